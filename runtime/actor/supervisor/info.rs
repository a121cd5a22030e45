//! What a supervisor tells about its children, and why it does not do what it is asked.

use std::error::Error;
use std::fmt;

use super::spec::Restart;
use crate::actor::call::CallError;
use crate::actor::pid::Pid;
use crate::actor::start_error::StartError;

/// A child, as its supervisor knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its name.
    pub id: String,
    /// The actor; `None` while it is about to be started, and after it has ended and is not to be started again.
    pub pid: Option<Pid>,
    /// When it is started again.
    pub restart: Restart,
    /// Whether it is a supervisor.
    pub is_supervisor: bool,
    /// How often it has been started after the first time.
    pub restarts: u64,
}

/// How many children a supervisor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All that it knows, running or not.
    pub specs: usize,
    /// Those that run.
    pub running: usize,
    /// Those that are supervisors, running or not.
    pub supervisors: usize,
    /// How often children have been started after their first time: of all that there are or ever were.
    pub restarts: u64,
}

/// Why a supervisor has not done what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// There is no such child.
    #[non_exhaustive]
    NotFound {
        /// The name, or the actor.
        child: String,
    },
    /// There is a child of this name.
    #[non_exhaustive]
    AlreadyPresent {
        /// The name.
        id: String,
    },
    /// The child runs, or is about to be started.
    #[non_exhaustive]
    Running {
        /// The name.
        id: String,
    },
    /// There are as many children as there may be.
    #[non_exhaustive]
    MaxChildren {
        /// How many.
        max: usize,
    },
    /// The child could not be started.
    Start(StartError),
    /// The supervisor has ended, or an actor has asked itself.
    Call(CallError),
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { child } => write!(f, "the supervisor has no child {child}"),
            Self::AlreadyPresent { id } => write!(f, "the supervisor has a child '{id}' already"),
            Self::Running { id } => write!(f, "the child '{id}' runs, or is about to be started"),
            Self::MaxChildren { max } => {
                write!(f, "the supervisor has {max} children, and may not have more")
            }
            Self::Start(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl Error for ChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CallError> for ChildError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<StartError> for ChildError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}
