//! What a supervisor is told about a child: how to start it, when to start it again, how to end it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::handle::Handle;
use crate::actor::pid::Pid;
use crate::actor::quiet::quietly;
use crate::actor::start_error::StartError;
use crate::cancel::Token;

/// When a child that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Whenever it ends.
    #[default]
    Permanent,
    /// If it did not end as it was meant to: unless its reason [is normal](crate::actor::ExitReason::is_normal).
    Transient,
    /// Never. The supervisor forgets the child.
    Temporary,
}

/// How a supervisor ends a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// It [kills](Pid::kill) the child.
    Brutal,
    /// It sends the exit signal [`Shutdown`](crate::actor::ExitReason::Shutdown), and kills the child if that has not
    /// ended after this time.
    Timeout(Duration),
    /// It sends the exit signal and waits for as long as it takes: for supervisors, which end their own children first.
    Infinity,
}

/// Which children are started again when one has ended that [is to be](Restart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// That one alone: children have nothing to do with each other.
    #[default]
    OneForOne,
    /// All of them: the others are ended, in the reverse order of their start, and then all are started.
    OneForAll,
    /// That one and those that were added after it: children rely on those before them.
    RestForOne,
}

/// Describes a child: its name, and how it is started, restarted and ended.
///
/// `A` is what stands for the running child: an [`Address`](crate::actor::Address), a handle of a supervisor, or any other
/// [`Handle`]. The supervisor keeps it, and with it the child's mailbox open; a bare [`Pid`] does not do that, and a child
/// that nobody else has an address of would end at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::actor::{self, ChildSpec, Restart, Shutdown};
///
/// let worker = ChildSpec::new("worker", || actor::spawn(|_| 0, |sum: &mut u32, n: u32| *sum += n))
///     .restart(Restart::Transient)
///     .shutdown(Shutdown::Timeout(Duration::from_millis(100)));
/// ```
#[must_use = "a child is started by the supervisor that it is given to"]
pub struct ChildSpec<A> {
    spec: Spec,
    handle: PhantomData<fn() -> A>,
}

/// The same, whatever stands for the child.
pub(super) struct Spec {
    pub(super) id: Arc<str>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    /// Whether the child is a supervisor.
    pub(super) supervises: bool,
    /// Only the destructor takes it.
    start: Option<Start>,
}

type Start = Box<dyn FnMut() -> Result<Begun, StartError> + Send>;

/// A handle of any type.
pub(super) type AnyHandle = Arc<dyn Any + Send + Sync>;

/// What a start function has handed over.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) pid: Pid,
    /// Keeps the child's mailbox open.
    pub(super) handle: AnyHandle,
    /// See [`starts`](crate::actor::handle::sealed::Sealed::starts).
    pub(super) starts: Option<Token>,
}

/// What the start function of a [child](ChildSpec) returns: a [`Handle`] of the actor, or a `Result` with one.
pub trait IntoStart {
    /// What stands for the actor.
    type Handle: Handle;

    /// The handle.
    ///
    /// # Errors
    ///
    /// There is no actor: why.
    fn into_start(self) -> Result<Self::Handle, StartError>;
}

impl<A: Handle> IntoStart for A {
    type Handle = A;

    fn into_start(self) -> Result<A, StartError> {
        Ok(self)
    }
}

impl<A: Handle, E: Into<StartError>> IntoStart for Result<A, E> {
    type Handle = A;

    fn into_start(self) -> Result<A, StartError> {
        self.map_err(Into::into)
    }
}

impl<A: Handle> ChildSpec<A> {
    /// A [permanent](Restart::Permanent) child, started by this function, which gets five seconds to end in; a supervisor
    /// gets as long as it takes. The name is for reports and, in a [`Supervisor`](super::Supervisor), to find the child
    /// by; it is no [registered](crate::actor::register) one.
    ///
    /// The function runs in the supervisor, once for every start. All actors that it spawns are linked to the supervisor
    /// before anything else can happen. The child is the one whose handle it returns; whatever else it spawns belongs to
    /// that child, and is ended after it. If it fails or panics, all that it has spawned is ended.
    ///
    /// While it runs, the supervisor does nothing else: it should start the actor, and leave slow work to that.
    pub fn new<R: IntoStart<Handle = A>>(
        id: impl Into<String>,
        mut start: impl FnMut() -> R + Send + 'static,
    ) -> Self {
        let start = move || {
            let handle = start().into_start()?;
            let (pid, starts) = (handle.pid(), handle.starts().cloned());
            Ok(Begun { pid, handle: Arc::new(handle), starts })
        };
        let patience = Shutdown::Timeout(Duration::from_secs(5));
        let spec = Spec {
            id: id.into().into(),
            restart: Restart::Permanent,
            shutdown: if A::SUPERVISES { Shutdown::Infinity } else { patience },
            supervises: A::SUPERVISES,
            start: Some(Box::new(start)),
        };
        Self { spec, handle: PhantomData }
    }

    /// When the child is started again.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.spec.restart = restart;
        self
    }

    /// How the child is ended.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.spec.shutdown = shutdown;
        self
    }

    pub(super) fn into_spec(self) -> Spec {
        self.spec
    }
}

impl Spec {
    /// Runs the start function.
    pub(super) fn start(&mut self) -> Result<Begun, StartError> {
        match &mut self.start {
            Some(start) => start(),
            None => unreachable!("only the destructor takes the start function"),
        }
    }
}

/// The start function is foreign code, and what its destructor throws concerns no supervisor.
impl Drop for Spec {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            quietly(|| drop(start));
        }
    }
}

impl<A> fmt::Debug for ChildSpec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { id, restart, shutdown, .. } = &self.spec;
        let mut debug = f.debug_struct("ChildSpec");
        debug.field("id", id).field("restart", restart).field("shutdown", shutdown).finish_non_exhaustive()
    }
}
