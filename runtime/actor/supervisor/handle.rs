//! The handle of a supervisor.

use std::any::Any;
use std::fmt;

use super::contact::Contact;
use super::info::{ChildError, ChildInfo, Counts};
use super::message::{Message, Which};
use super::spec::{Begun, ChildSpec};
use crate::actor::call::CallError;
use crate::actor::handle::{Handle, sealed::Sealed};
use crate::actor::pid::Pid;
use crate::actor::reason::ExitReason;
use crate::cancel::Token;

/// Stands for a running [`Supervisor`](super::Supervisor). Clones are of the same one; dropping them does not stop it.
///
/// Its functions work from tasks and from plain OS threads. They park until the supervisor has time to answer: while it
/// starts or ends a child it has none. So a start function, and what an actor does before its start has returned, must not
/// ask the supervisor that starts it. They return an error if the supervisor has ended.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SupervisorRef {
    pub(super) contact: Contact,
}

impl SupervisorRef {
    /// The supervisor's actor.
    pub fn pid(&self) -> Pid {
        self.contact.address.pid()
    }

    /// Ends the supervisor: it ends its children in the reverse order of their start, each within the time that its
    /// [`ChildSpec`] says, and then itself. Parks until that is so, and returns why it has ended:
    /// [`Shutdown`](ExitReason::Shutdown), or what came before.
    ///
    /// Also in the middle of a restart. A start function that is under way has five seconds to return; then its current or
    /// next park unwinds. A start function that never parks can't be ended, and then this never returns.
    ///
    /// # Panics
    ///
    /// In a start function of this supervisor, which can't wait for its own end.
    pub fn stop(&self) -> ExitReason {
        self.contact.stop()
    }

    /// All children, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the supervisor has ended.
    pub fn children(&self) -> Result<Vec<ChildInfo>, CallError> {
        self.contact.ask(Message::List)
    }

    /// How many children there are.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the supervisor has ended.
    pub fn count(&self) -> Result<Counts, CallError> {
        self.contact.ask(Message::Count)
    }

    /// What the child's start function has returned: a clone of it, or the child's [`Pid`].
    ///
    /// If the child has ended and is started again, this waits for that, and returns the new one. (It may end at any time,
    /// of course.) `None` if there is no such child, if it does not run and is not about to, if the handle is of another
    /// type, or if the supervisor has ended.
    pub fn child<A: Handle>(&self, id: &str) -> Option<A> {
        let found = self.contact.ask(|reply_to| Message::Find(id.into(), reply_to)).ok()?;
        found.and_then(|begun| downcast(&begun))
    }

    /// Adds a child behind the others, starts it, and returns what its start function has returned.
    ///
    /// # Errors
    ///
    /// [`ChildError::AlreadyPresent`]; [`ChildError::Start`], and the child is not kept; [`ChildError::Call`] if the
    /// supervisor has ended.
    pub fn start_child<A: Handle>(&self, spec: ChildSpec<A>) -> Result<A, ChildError> {
        start_child(&self.contact, spec)
    }

    /// Ends a child. It is kept, unless it is temporary: [`restart_child`](Self::restart_child) starts it again, and so does
    /// a restart of all or of those behind another one.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`]; [`ChildError::Call`] if the supervisor has ended.
    pub fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.contact.ask(|reply_to| Message::End(Which::Id(id.into()), reply_to))?
    }

    /// Starts a child that does not run.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`]; [`ChildError::Running`], also if it is about to be started; [`ChildError::Start`], and the
    /// child is kept; [`ChildError::Call`] if the supervisor has ended.
    pub fn restart_child(&self, id: &str) -> Result<Pid, ChildError> {
        let begun = self.contact.ask(|reply_to| Message::Again(id.into(), reply_to))??;
        Ok(begun.pid)
    }

    /// Forgets a child that does not run.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`]; [`ChildError::Running`], also if it is about to be started; [`ChildError::Call`] if the
    /// supervisor has ended.
    pub fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        self.contact.ask(|reply_to| Message::Delete(id.into(), reply_to))?
    }
}

/// Adds a child to a supervisor of either kind.
pub(super) fn start_child<A: Handle>(contact: &Contact, spec: ChildSpec<A>) -> Result<A, ChildError> {
    let spec = spec.into_spec();
    let begun = contact.ask(|reply_to| Message::Add(spec, reply_to))??;
    Ok(downcast(&begun).expect("the start function returns a handle of this type"))
}

/// The handle if it is of this type, or the actor's [`Pid`].
fn downcast<A: Handle>(begun: &Begun) -> Option<A> {
    let pid: &dyn Any = &begun.pid;
    begun.handle.downcast_ref::<A>().or_else(|| pid.downcast_ref()).cloned()
}

impl Handle for SupervisorRef {
    fn pid(&self) -> Pid {
        self.contact.address.pid()
    }
}

impl Sealed for SupervisorRef {
    const SUPERVISES: bool = true;

    fn starts(&self) -> Option<&Token> {
        Some(&self.contact.starts)
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorRef").field("pid", &self.pid()).finish()
    }
}
