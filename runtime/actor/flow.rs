//! What an actor's closures may return.

use std::ops::ControlFlow;

use super::reason::ExitReason;
use crate::channel::{RecvError, RecvTimeoutError};

/// What the handler of [`spawn`](super::spawn) returns: whether the actor goes on. `()` is yes.
pub trait IntoFlow {
    /// `Break` with the reason, if the actor is to end.
    fn into_flow(self) -> ControlFlow<ExitReason>;
}

/// What the body of [`spawn_body`](super::spawn_body) returns: why the actor ends. `()` is
/// [`Normal`](ExitReason::Normal), and so is the end of the mailbox.
pub trait IntoExit {
    /// The reason.
    fn into_exit(self) -> ExitReason;
}

impl IntoFlow for () {
    #[inline]
    fn into_flow(self) -> ControlFlow<ExitReason> {
        ControlFlow::Continue(())
    }
}

impl IntoFlow for ControlFlow<()> {
    #[inline]
    fn into_flow(self) -> ControlFlow<ExitReason> {
        self.map_break(|()| ExitReason::Normal)
    }
}

impl IntoFlow for ControlFlow<ExitReason> {
    #[inline]
    fn into_flow(self) -> Self {
        self
    }
}

impl<E: Into<ExitReason>> IntoFlow for Result<(), E> {
    #[inline]
    fn into_flow(self) -> ControlFlow<ExitReason> {
        match self {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.into()),
        }
    }
}

impl IntoExit for () {
    fn into_exit(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExit for ExitReason {
    fn into_exit(self) -> ExitReason {
        self
    }
}

impl<E: Into<ExitReason>> IntoExit for Result<(), E> {
    fn into_exit(self) -> ExitReason {
        match self {
            Ok(()) => ExitReason::Normal,
            Err(error) => error.into(),
        }
    }
}

/// Nobody can send to the actor any more: for `?` on [`recv`](super::Mailbox::recv).
impl From<RecvError> for ExitReason {
    fn from(_: RecvError) -> Self {
        Self::Normal
    }
}

/// For `?` on [`recv_timeout`](super::Mailbox::recv_timeout).
impl From<RecvTimeoutError> for ExitReason {
    fn from(error: RecvTimeoutError) -> Self {
        match error {
            RecvTimeoutError::Timeout => Self::Timeout("no message came in time".into()),
            RecvTimeoutError::Disconnected => Self::Normal,
        }
    }
}
