//! What a supervisor receives.

use super::info::{ChildError, ChildInfo, Counts};
use super::spec::{Begun, Spec};
use crate::actor::pid::{Exit, Pid};
use crate::actor::reply::ReplyTo;

/// See the head of this file.
pub(super) enum Message {
    /// A child has ended, or somebody wants the supervisor to.
    Exit(Exit),
    /// Add a child, and start it.
    Add(Spec, Asked),
    /// End a child.
    End(Which, ReplyTo<Result<(), ChildError>>),
    /// Start a child that does not run.
    Again(String, Asked),
    /// Forget a child that does not run.
    Delete(String, ReplyTo<Result<(), ChildError>>),
    Find(String, ReplyTo<Option<Begun>>),
    List(ReplyTo<Vec<ChildInfo>>),
    Count(ReplyTo<Counts>),
}

/// Who waits for a child's start.
pub(super) type Asked = ReplyTo<Result<Begun, ChildError>>;

/// A child, by what its supervisor's kind knows it by.
pub(super) enum Which {
    Id(String),
    Pid(Pid),
}
