//! Spawning actors.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::address::Address;
use super::flow::{IntoExit, IntoFlow};
use super::inner::Inner;
use super::mailbox::Mailbox;
use super::own;
use super::pid::Pid;
use super::reason::ExitReason;
use super::root::Root;
use crate::sched::{Options, Place, WhenStopping, spawn_without_handle, with_current};
use crate::task::current::next_id;

/// How many messages a mailbox holds, unless told otherwise, before senders wait.
const CAPACITY: usize = 1024;

/// Spawns an actor that calls `handle` with its state and each message, one after the other.
///
/// `init` makes the state, in the actor; it gets the [`Mailbox`], to have others watched or an address noted. The actor
/// ends when `handle` [says so](IntoFlow) or panics, when all its addresses are gone and all messages handled, or when it
/// is [told to](Pid::exit). The messages that it has not handled are dropped then.
///
/// Never parks. Costs two allocations; a stack comes when the actor starts. The task is as one of
/// [`fibra::spawn`](crate::spawn), and in a runtime that is ending the actor has ended at once.
///
/// # Panics
///
/// Where [`Builder::spawn`] returns an error.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use fibra::actor::{self, ReplyTo};
///
/// enum Message {
///     Push(i32),
///     Sum(ReplyTo<i32>),
///     Stop,
/// }
///
/// let actor = actor::spawn(
///     |_| Vec::new(),
///     |numbers: &mut Vec<i32>, message| {
///         match message {
///             Message::Push(number) => numbers.push(number),
///             Message::Sum(reply_to) => reply_to.send(numbers.iter().sum()),
///             Message::Stop => return ControlFlow::Break(()),
///         }
///         ControlFlow::Continue(())
///     },
/// );
/// (1..=4).for_each(|number| actor.send(Message::Push(number)).unwrap());
/// assert_eq!(actor.call(Message::Sum).unwrap(), 10);
/// actor.send(Message::Stop).unwrap();
/// assert!(actor.pid().wait().is_normal());
/// ```
pub fn spawn<M, S, R>(
    init: impl FnOnce(&Mailbox<M>) -> S + Send + 'static,
    handle: impl FnMut(&mut S, M) -> R + Send + 'static,
) -> Address<M>
where
    M: Send + 'static,
    S: 'static,
    R: IntoFlow + 'static,
{
    unwrap(Builder::new().spawn_or(WhenStopping::Cancel, serve(init, handle)))
}

/// Spawns an actor that runs `body`, which receives from its [`Mailbox`] as it likes: selectively, with a timeout, beside
/// other channels. What `body` returns is [why the actor ends](IntoExit).
///
/// # Panics
///
/// Where [`Builder::spawn`] returns an error.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::actor::{self, ExitReason, Mailbox};
///
/// let patient = actor::spawn_body(|mailbox: &Mailbox<String>| {
///     while let Ok(message) = mailbox.recv_timeout(Duration::from_millis(1)) {
///         println!("{message}");
///     }
///     ExitReason::failed("nobody talks to me")
/// });
/// assert_eq!(patient.pid().wait(), ExitReason::failed("nobody talks to me"));
/// ```
pub fn spawn_body<M, R>(body: impl FnOnce(&Mailbox<M>) -> R + Send + 'static) -> Address<M>
where
    M: Send + 'static,
    R: IntoExit,
{
    unwrap(Builder::new().spawn_or(WhenStopping::Cancel, |mailbox| body(mailbox).into_exit()))
}

fn unwrap<M>(spawned: io::Result<Address<M>>) -> Address<M> {
    spawned.unwrap_or_else(|error| panic!("failed to spawn an actor: {error}"))
}

/// The body of an actor that has a handler.
fn serve<M, S, R>(
    init: impl FnOnce(&Mailbox<M>) -> S,
    mut handle: impl FnMut(&mut S, M) -> R,
) -> impl FnOnce(&Mailbox<M>) -> ExitReason
where
    M: Send + 'static,
    R: IntoFlow,
{
    move |mailbox| {
        let mut state = init(mailbox);
        let reason = loop {
            let Ok(message) = mailbox.recv() else { break ExitReason::Normal };
            if let ControlFlow::Break(reason) = handle(&mut state, message).into_flow() {
                break reason;
            }
        };
        // For the callers whom the state still owes an answer.
        mailbox.own().ends.set(true);
        reason
    }
}

/// Configures an actor: its task, its mailbox, and whether it is linked.
///
/// # Examples
///
/// ```
/// use fibra::actor::Builder;
///
/// let actor = Builder::new().name("shy".into()).capacity(1).spawn_body(|mailbox| {
///     fibra::thread::park(); // never receives
///     let _: Result<u32, _> = mailbox.recv();
/// })?;
/// actor.send(1).unwrap();
/// assert!(actor.try_send(2).unwrap_err().is_full());
/// actor.pid().kill();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    worker: Option<usize>,
    capacity: Option<usize>,
    link: bool,
}

impl Builder {
    /// An actor like any other: with a mailbox for 1,024 messages.
    pub fn new() -> Self {
        Self { name: None, stack_size: None, worker: None, capacity: Some(CAPACITY), link: false }
    }

    /// What reports, panic messages and errors call the actor and its task; see [`thread::Builder::name`]. Not a name
    /// for [`whereis`](super::whereis).
    ///
    /// [`thread::Builder::name`]: crate::thread::Builder::name
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// The least number of bytes of stack that the actor can use; see
    /// [`thread::Builder::stack_size`](crate::thread::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the actor on the worker of this index, counted from 0, and not where its load would have it.
    pub fn worker(mut self, index: usize) -> Self {
        self.worker = Some(index);
        self
    }

    /// How many messages the mailbox holds before senders wait; at least 1. The default is 1,024. No memory is taken
    /// before there are messages.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = Some(messages);
        self
    }

    /// A mailbox without a limit, as Erlang's: sending never waits, and nothing slows a sender down that is faster.
    pub fn unbounded(mut self) -> Self {
        self.capacity = None;
        self
    }

    /// Links the actor to the one that spawns it, before it begins; see [`link`](super::link()). In the start function of a
    /// supervised child all actors are linked.
    pub fn link(mut self) -> Self {
        self.link = true;
        self
    }

    /// Spawns an actor with a handler; see [`spawn`].
    ///
    /// # Errors
    ///
    /// As [`thread::Builder::spawn`](crate::thread::Builder::spawn), also if the runtime is ending; and `InvalidInput`
    /// for a capacity of 0, or if it is to be linked and no actor runs here.
    pub fn spawn<M, S, R>(
        self,
        init: impl FnOnce(&Mailbox<M>) -> S + Send + 'static,
        handle: impl FnMut(&mut S, M) -> R + Send + 'static,
    ) -> io::Result<Address<M>>
    where
        M: Send + 'static,
        S: 'static,
        R: IntoFlow + 'static,
    {
        self.spawn_or(WhenStopping::Fail, serve(init, handle))
    }

    /// Spawns an actor with a body; see [`spawn_body`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_body<M, R>(
        self,
        body: impl FnOnce(&Mailbox<M>) -> R + Send + 'static,
    ) -> io::Result<Address<M>>
    where
        M: Send + 'static,
        R: IntoExit,
    {
        self.spawn_or(WhenStopping::Fail, |mailbox| body(mailbox).into_exit())
    }

    /// The running actor, if what is spawned here is to be linked with it.
    pub(super) fn parent(&self) -> Option<Pid> {
        own::with(|own| (self.link || own.adopts.get()).then(|| own.pid.clone())).flatten()
    }

    pub(super) fn spawn_or<M: Send + 'static>(
        self,
        when_stopping: WhenStopping,
        body: impl FnOnce(&Mailbox<M>) -> ExitReason + Send + 'static,
    ) -> io::Result<Address<M>> {
        if self.capacity == Some(0) {
            let message = "a mailbox of capacity 0 could hold no message: give it at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let parent = self.parent();
        if self.link && parent.is_none() {
            let message = "an actor can be linked to the one that spawns it, and here runs none";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let id = next_id();
        let name = self.name.map(String::into_boxed_str);
        let inner = Arc::new(Inner::new(id, name.clone(), self.capacity));
        let address = Address::new(inner.clone());
        let options = Options {
            name,
            id: Some(id),
            stack_size: self.stack_size,
            place: self.worker.map_or(Place::Anywhere, Place::Worker),
            ..Options::default()
        };
        let root = Root::new(inner, body);
        // SAFETY: the body is `Send` and borrows nothing; it and the messages are all that the root has of others.
        with_current(|shared| unsafe {
            spawn_without_handle(shared, options, when_stopping, move || root.run())
        })??;
        // Nothing can end this actor between the spawn and here, since it does not park.
        if let Some(parent) = parent {
            let pid = address.pid();
            parent.link(&pid);
            own::with(|own| own.note_adopted(&pid));
        }
        Ok(address)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// The running actor; `None` on a plain thread and in a task that is no actor, also one that an actor has spawned.
pub fn current() -> Option<Pid> {
    own::with(|own| own.pid.clone())
}
