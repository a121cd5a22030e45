//! Why an actor ended.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why an actor ended, or is to end: what its links and monitors are told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitReason {
    /// It came to its end. Linked actors go on.
    Normal,
    /// It was asked to stop in good order: by its supervisor, or because its runtime ended.
    Shutdown,
    /// It panicked, with this message.
    Panic(Arc<str>),
    /// It was [killed](super::Pid::kill).
    Killed,
    /// It gave up since an answer took too long: which one.
    Timeout(Arc<str>),
    /// It gave up for a reason of its own.
    Failed(Arc<str>),
}

impl ExitReason {
    /// A failure that is described by `why`.
    ///
    /// ```
    /// use fibra::actor::ExitReason;
    ///
    /// assert_eq!(ExitReason::failed("no disk").to_string(), "failed: no disk");
    /// ```
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::Failed(why.to_string().into())
    }

    /// Whether the actor ended as it was meant to: [`Normal`](Self::Normal) or [`Shutdown`](Self::Shutdown). A
    /// supervisor restarts a transient child for any other reason.
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
    }

    /// The reason of an actor that ended by this panic.
    pub(super) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a value that is no text");
        Self::Panic(message.into())
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.pad("normal"),
            Self::Shutdown => f.pad("shutdown"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Killed => f.pad("killed"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl Error for ExitReason {}
