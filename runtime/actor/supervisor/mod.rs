//! Supervisors: actors that start others, start them again when they crash, and end them in order.
//!
//! ```text
//! SupervisorRef ─┐                        ┌─ start functions run in it ─▶ children, linked to it
//! DynamicRef ────┴─ Message ─▶ Run (run) ─┤
//!                                         └─ Children (children) ─ Child (child) ─ Ending (ending)
//! ```
//!
//! Both kinds run the same loop over the same list of children. That of a [`Supervisor`] has an order and unique names; that
//! of a [`DynamicSupervisor`] has neither, and is ended all at once.

mod child;
mod children;
mod contact;
mod dynamic;
mod ending;
mod handle;
mod info;
mod intensity;
mod message;
mod run;
mod spec;
mod start;

use std::fmt;
use std::time::Duration;

pub use dynamic::{DynamicRef, DynamicSupervisor};
pub use handle::SupervisorRef;
pub use info::{ChildError, ChildInfo, Counts};
use run::{Kind, Plan};
use spec::Spec;
pub use spec::{ChildSpec, IntoStart, Restart, Shutdown, Strategy};
use start::Setup;

use super::handle::Handle;
use super::start_error::StartError;

/// The intensity unless told otherwise: OTP's.
pub(super) const MAX_RESTARTS: usize = 1;
pub(super) const WITHIN: Duration = Duration::from_secs(5);

/// Configures and starts a supervisor: an actor that starts its children in order, starts them again when they
/// [should be](Restart), and ends them in the reverse order.
///
/// **A child is what its start function returns a handle of**: an actor of any kind, that of another supervisor too. All
/// that the function spawns is linked to the supervisor, so nothing that it has started outlives it, however it ends.
/// Only what traps exits and ignores them could.
///
/// **When a child ends** that is to be restarted, the [`Strategy`] says which others are ended and started with it. A
/// restart takes as long as the start functions do; there is no pause before it. A start that fails then is tried again,
/// and counts as one more restart. When there are more than the [intensity](Self::intensity) allows, the supervisor
/// ends all its children and itself, for a reason that says which child it was and why. That is how a fault that restarts
/// don't cure goes up the tree: the supervisor above sees a child that has ended, and restarts the whole branch.
///
/// **It ends** when it is [stopped](SupervisorRef::stop), when it gets an exit signal (of the supervisor above, by
/// [`Pid::exit`](super::Pid::exit), or of anybody else who has [linked](super::link()) himself with it, unless that ends as
/// [`Normal`](super::ExitReason::Normal)), or when its runtime ends: always so that its children are ended in the reverse order
/// first, each as its [`Shutdown`] says. An actor that can't be ended, since it computes without a runtime call or shields
/// itself, is killed, awaited for some time more (as long as it had been given, and at least a second), reported on
/// stderr and left alone. A supervisor that is [killed](super::Pid::kill) ends nobody; its children get exit signals by
/// their links.
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, Address, ChildSpec, ReplyTo, Strategy, Supervisor};
///
/// enum Message {
///     Divide(u32, u32, ReplyTo<u32>),
/// }
///
/// fn calculator() -> Address<Message> {
///     actor::spawn(|_| (), |(), Message::Divide(a, b, reply_to)| reply_to.send(a / b))
/// }
///
/// let supervisor = Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("calculator", calculator)).start()?;
/// let first: Address<Message> = supervisor.child("calculator").unwrap();
/// assert!(first.call(|reply_to| Message::Divide(1, 0, reply_to)).is_err()); // panics
/// let second: Address<Message> = supervisor.child("calculator").unwrap();
/// assert_eq!(second.call(|reply_to| Message::Divide(6, 2, reply_to))?, 3);
/// assert_eq!(supervisor.count()?.restarts, 1);
/// supervisor.stop();
/// assert!(second.call(|reply_to| Message::Divide(6, 2, reply_to)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    setup: Setup,
    strategy: Strategy,
    max_restarts: usize,
    within: Duration,
    specs: Vec<Spec>,
}

impl Supervisor {
    /// One without children, that gives up at the second restart within five seconds.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            setup: Setup::default(),
            strategy,
            max_restarts: MAX_RESTARTS,
            within: WITHIN,
            specs: Vec::new(),
        }
    }

    /// What reports and errors call it; see [`Builder::name`](super::Builder::name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.setup.name = Some(name.into());
        self
    }

    /// Links it to the actor that starts it, whose exit signals it then obeys, whatever the reason. In the start function
    /// of a child that is so anyway.
    pub fn link(mut self) -> Self {
        self.setup.link = true;
        self
    }

    /// How many restarts it makes within this time before it gives up; with [`usize::MAX`] it never does.
    pub fn intensity(mut self, max_restarts: usize, within: Duration) -> Self {
        (self.max_restarts, self.within) = (max_restarts, within);
        self
    }

    /// Adds a child behind the others.
    pub fn child<A: Handle>(mut self, spec: ChildSpec<A>) -> Self {
        self.specs.push(spec.into_spec());
        self
    }

    /// Starts the supervisor, and parks until it has started its children.
    ///
    /// If the wait is cut short, because the caller is cancelled or a [`timeout`](crate::timeout()) around this call is
    /// over, the supervisor ends.
    ///
    /// # Errors
    ///
    /// If a child fails to start, or two have the same name: those that were started have been ended in the reverse order
    /// then, and the supervisor has ended. [`StartError::Spawn`] also where [`Builder::spawn`](super::Builder::spawn)
    /// returns an error.
    pub fn start(self) -> Result<SupervisorRef, StartError> {
        let Self { setup, strategy, max_restarts, within, specs } = self;
        let plan = Plan { kind: Kind::Ordered, strategy, max_restarts, within, specs };
        Ok(SupervisorRef { contact: start::start(setup, plan)? })
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children: Vec<_> = self.specs.iter().map(|spec| &spec.id).collect();
        let mut debug = f.debug_struct("Supervisor");
        debug.field("strategy", &self.strategy).field("children", &children).finish_non_exhaustive()
    }
}
