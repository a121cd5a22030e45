//! What stands for an actor: an address, a server, a supervisor's handle, or the bare [`Pid`].

use super::pid::Pid;

/// Something that stands for one actor: [`Address`](super::Address), [`Server`](super::Server),
/// [`SupervisorRef`](super::SupervisorRef), [`DynamicRef`](super::DynamicRef) and [`Pid`].
///
/// It is sealed: only this crate's types have it.
pub trait Handle: sealed::Sealed + Clone + Send + Sync + 'static {
    /// The actor.
    fn pid(&self) -> Pid;
}

impl Handle for Pid {
    fn pid(&self) -> Pid {
        self.clone()
    }
}

impl sealed::Sealed for Pid {}

pub(super) mod sealed {
    use crate::cancel::Token;

    /// Keeps [`Handle`](super::Handle) to this crate.
    pub trait Sealed {
        /// Whether it stands for a supervisor.
        const SUPERVISES: bool = false;

        /// What keeps a supervisor from starting children, and interrupts the start that is under way.
        fn starts(&self) -> Option<&Token> {
            None
        }
    }
}
