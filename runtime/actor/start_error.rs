//! Why there is no server, and no supervisor.

use std::error::Error;
use std::{fmt, io};

use super::reason::ExitReason;

/// Why a server, or a supervisor, has not been started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its `init` has failed, panicked, or been ended by an exit signal: the reason. The actor has ended.
    Init(ExitReason),
    /// There is no actor.
    Spawn(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(reason) => write!(f, "failed to initialise an actor: {reason}"),
            Self::Spawn(error) => write!(f, "failed to spawn an actor: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Init(reason) => Some(reason),
            Self::Spawn(error) => Some(error),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Spawn(error)
    }
}

/// For an actor that ends since it can't start another one.
impl From<StartError> for ExitReason {
    fn from(error: StartError) -> Self {
        Self::failed(error)
    }
}
