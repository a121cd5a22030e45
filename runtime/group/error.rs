//! What can go wrong when a task is to join a group without waiting.

use std::error::Error;
use std::{fmt, io};

/// Why [`try_spawn`](super::Group::try_spawn) has not spawned a task.
pub enum TrySpawnError<F> {
    /// As many tasks run as the group's [`limit`](super::Group::limit) allows; the closure comes back.
    AtLimit(F),
    /// No task could be made: what [`fibra::try_spawn`](crate::try_spawn) says.
    Failed(io::Error),
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLimit(_) => f.write_str("AtLimit(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLimit(_) => f.write_str("the group runs as many tasks as its limit allows"),
            Self::Failed(error) => write!(f, "failed to spawn a task: {error}"),
        }
    }
}

impl<F> Error for TrySpawnError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AtLimit(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}
