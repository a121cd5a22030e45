//! Supervisors of children that come and go.

use std::fmt;
use std::time::Duration;

use super::contact::Contact;
use super::handle::start_child;
use super::info::{ChildError, ChildInfo, Counts};
use super::message::{Message, Which};
use super::run::{Kind, Plan};
use super::spec::{ChildSpec, Strategy};
use super::start::{Setup, start};
use crate::actor::call::CallError;
use crate::actor::handle::{Handle, sealed::Sealed};
use crate::actor::pid::Pid;
use crate::actor::reason::ExitReason;
use crate::actor::start_error::StartError;
use crate::cancel::Token;

/// Configures and starts a supervisor of children that are all added while it runs, up to very many, and that have
/// nothing to do with each other. OTP's `simple_one_for_one`, Elixir's `DynamicSupervisor`.
///
/// Its children are known by their actors, and not by their names, of which several can be the same. One that ends, and is
/// not to be [restarted](crate::actor::Restart), is forgotten. When the supervisor ends, all children are told to at once.
///
/// Otherwise it is as a [`Supervisor`](super::Supervisor).
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, ChildSpec, DynamicSupervisor, ReplyTo, Restart};
///
/// let sessions = DynamicSupervisor::new().max_children(1000).start()?;
/// let greet = |name: &'static str| {
///     let start = move || actor::spawn(move |_| name, |name, reply_to: ReplyTo<String>| reply_to.send(format!("hello {name}")));
///     ChildSpec::new("session", start).restart(Restart::Temporary)
/// };
/// let ann = sessions.start_child(greet("Ann"))?;
/// let bob = sessions.start_child(greet("Bob"))?;
/// assert_eq!(ann.call(|reply_to| reply_to)?, "hello Ann");
/// sessions.terminate_child(&ann)?;
/// assert_eq!(bob.call(|reply_to| reply_to)?, "hello Bob");
/// assert_eq!(sessions.count()?.running, 1);
/// sessions.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a supervisor does nothing until it is started"]
pub struct DynamicSupervisor {
    setup: Setup,
    max_restarts: usize,
    within: Duration,
    max_children: usize,
}

impl DynamicSupervisor {
    /// One without children, and without a limit for their number, that gives up at the second restart within five
    /// seconds.
    pub fn new() -> Self {
        Self {
            setup: Setup::default(),
            max_restarts: super::MAX_RESTARTS,
            within: super::WITHIN,
            max_children: usize::MAX,
        }
    }

    /// What reports and errors call it; see [`Builder::name`](crate::actor::Builder::name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.setup.name = Some(name.into());
        self
    }

    /// Links it to the actor that starts it; see [`Supervisor::link`](super::Supervisor::link).
    pub fn link(mut self) -> Self {
        self.setup.link = true;
        self
    }

    /// How many restarts of all its children within this time it makes before it gives up.
    pub fn intensity(mut self, max_restarts: usize, within: Duration) -> Self {
        (self.max_restarts, self.within) = (max_restarts, within);
        self
    }

    /// How many children there may be at once, those included that are about to be restarted.
    pub fn max_children(mut self, max: usize) -> Self {
        self.max_children = max;
        self
    }

    /// Starts the supervisor.
    ///
    /// # Errors
    ///
    /// As [`Supervisor::start`](super::Supervisor::start).
    pub fn start(self) -> Result<DynamicRef, StartError> {
        let plan = Plan {
            kind: Kind::Dynamic { max_children: self.max_children },
            strategy: Strategy::OneForOne,
            max_restarts: self.max_restarts,
            within: self.within,
            specs: Vec::new(),
        };
        Ok(DynamicRef { contact: start(self.setup, plan)? })
    }
}

impl Default for DynamicSupervisor {
    fn default() -> Self {
        Self::new()
    }
}

/// Stands for a running [`DynamicSupervisor`]. Clones are of the same one; dropping them does not stop it.
///
/// Its functions work and fail as those of a [`SupervisorRef`](super::SupervisorRef).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DynamicRef {
    contact: Contact,
}

impl DynamicRef {
    /// The supervisor's actor.
    pub fn pid(&self) -> Pid {
        self.contact.address.pid()
    }

    /// Ends the supervisor: it tells all children to end at once, waits for each as long as its [`ChildSpec`] says, and then
    /// ends itself. Otherwise as [`SupervisorRef::stop`](super::SupervisorRef::stop).
    ///
    /// # Panics
    ///
    /// In a start function of this supervisor.
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

    /// Adds a child, starts it, and returns what its start function has returned.
    ///
    /// # Errors
    ///
    /// [`ChildError::MaxChildren`]; [`ChildError::Start`], and the child is not kept; [`ChildError::Call`] if the
    /// supervisor has ended.
    pub fn start_child<A: Handle>(&self, spec: ChildSpec<A>) -> Result<A, ChildError> {
        start_child(&self.contact, spec)
    }

    /// Ends a child, and forgets it.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`], also if it has ended and been started again, as another actor; [`ChildError::Call`] if the
    /// supervisor has ended.
    pub fn terminate_child(&self, child: &impl Handle) -> Result<(), ChildError> {
        self.contact.ask(|reply_to| Message::End(Which::Pid(child.pid()), reply_to))?
    }
}

impl Handle for DynamicRef {
    fn pid(&self) -> Pid {
        self.contact.address.pid()
    }
}

impl Sealed for DynamicRef {
    const SUPERVISES: bool = true;

    fn starts(&self) -> Option<&Token> {
        Some(&self.contact.starts)
    }
}

impl fmt::Debug for DynamicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicRef").field("pid", &self.pid()).finish()
    }
}
