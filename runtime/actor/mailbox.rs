//! The actor's own end: what it receives from, and what it does as itself.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::handle::Handle;
use super::inner::Inner;
use super::own::Own;
use super::pid::{Down, Exit, MonitorId, Pid, Process};
use super::quiet::quietly;
use super::reason::ExitReason;
use crate::channel::{Forever, Limit, Receive, RecvArm, RecvError, RecvTimeoutError, TryRecvError, Until};
use crate::task::cancel::deliver_cancellation;

/// The mailbox of the running actor.
///
/// It may stand in [`select!`](crate::select) as a `recv` arm. It can't be cloned or shared: its
/// messages are for one actor.
///
/// # Examples
///
/// Messages of other channels beside one's own:
///
/// ```
/// use fibra::actor::{self, Mailbox};
/// use fibra::{channel, select};
///
/// let (prices, feed) = channel::unbounded::<u32>();
/// let (result, sum) = channel::oneshot::channel();
/// let shop = actor::spawn_body(move |mailbox: &Mailbox<&str>| {
///     let mut total = 0;
///     loop {
///         select! {
///             recv(mailbox) -> message => match message {
///                 Ok("close") | Err(_) => break,
///                 Ok(_) => continue,
///             },
///             recv(feed) -> price => total += price.unwrap_or(0),
///         }
///     }
///     total += feed.try_iter().sum::<u32>();
///     let _ = result.send(total);
/// });
/// prices.send(3).unwrap();
/// prices.send(4).unwrap();
/// shop.send("close").unwrap();
/// assert_eq!(sum.recv(), Ok(7));
/// ```
pub struct Mailbox<M> {
    inner: Arc<Inner<M>>,
    own: Own,
    /// An actor that traps exits waits for signals too, and so its mailbox is never disconnected.
    keeps_open: Cell<Option<Address<M>>>,
}

impl<M: Send + 'static> Mailbox<M> {
    pub(super) fn new(inner: Arc<Inner<M>>) -> Self {
        let own = Own::new(Pid::new(inner.clone()));
        Self { inner, own, keeps_open: Cell::new(None) }
    }

    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    /// Receives the next message; parks while there is none.
    ///
    /// # Errors
    ///
    /// If the mailbox is empty and all addresses are gone.
    #[inline]
    pub fn recv(&self) -> Result<M, RecvError> {
        self.recv_within(Forever).map_err(|_| RecvError)
    }

    /// As [`recv`](Self::recv), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the time is up; or if the mailbox is empty and all addresses are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<M, RecvTimeoutError> {
        self.recv_within(Limit::After(timeout))
    }

    /// As [`recv`](Self::recv), but parks until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// If the time is up; or if the mailbox is empty and all addresses are gone.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<M, RecvTimeoutError> {
        self.recv_within(Limit::At(deadline))
    }

    /// Receives the next message if there is one; never parks.
    ///
    /// # Errors
    ///
    /// If the mailbox is empty, or empty with all addresses gone.
    pub fn try_recv(&self) -> Result<M, TryRecvError> {
        self.own.give_up_abandoned();
        self.inner.channel.try_recv().map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    #[inline(always)]
    fn recv_within<L: Until>(&self, limit: L) -> Result<M, RecvTimeoutError> {
        self.own.give_up_abandoned();
        // An actor that always finds a message does not park, and has to end all the same.
        deliver_cancellation();
        // Whoever ends the actor and then drops the last address has ended it.
        self.inner.channel.recv(limit).inspect_err(|_| deliver_cancellation())
    }

    /// An iterator that receives until all addresses are gone.
    pub fn iter(&self) -> Iter<'_, M> {
        Iter(self)
    }

    /// Receives the first message that `pattern` accepts, in the order of arrival; parks while there is none. Erlang's
    /// selective `receive`.
    ///
    /// `pattern` is given each message once, and returns `Ok` with what it makes of it, or gives it back as an `Err`. Those
    /// given back stay in the mailbox, in their order and before all that come later. While this call lasts they take no
    /// place in it, since what is waited for must be able to come.
    ///
    /// A call looks at all messages that are there: with many of them unwanted, it takes its time.
    ///
    /// # Errors
    ///
    /// If no message fits and all addresses are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::actor::{self, Mailbox};
    ///
    /// enum Message {
    ///     Item(u32),
    ///     End,
    /// }
    ///
    /// let (result, order) = fibra::channel::unbounded();
    /// let actor = actor::spawn_body(move |mailbox: &Mailbox<Message>| {
    ///     let end = mailbox.receive(|message| match message {
    ///         Message::End => Ok(()),
    ///         other => Err(other),
    ///     });
    ///     result.send(if end.is_ok() { "the end came" } else { "no end" }).unwrap();
    ///     while let Ok(Message::Item(_)) = mailbox.try_recv() {
    ///         result.send("then an item").unwrap();
    ///     }
    /// });
    /// actor.send(Message::Item(1)).unwrap();
    /// actor.send(Message::Item(2)).unwrap();
    /// actor.send(Message::End).unwrap();
    /// assert_eq!(order.iter().collect::<Vec<_>>(), ["the end came", "then an item", "then an item"]);
    /// ```
    pub fn receive<R>(&self, pattern: impl FnMut(M) -> Result<R, M>) -> Result<R, RecvError> {
        self.receive_within(Limit::Never, pattern).map_err(|_| RecvError)
    }

    /// As [`receive`](Self::receive), but parks for at most `timeout`. With a timeout of zero it looks at what is there.
    ///
    /// # Errors
    ///
    /// If the time is up; or if no message fits and all addresses are gone.
    pub fn receive_timeout<R>(
        &self,
        timeout: Duration,
        pattern: impl FnMut(M) -> Result<R, M>,
    ) -> Result<R, RecvTimeoutError> {
        let limit = Instant::now().checked_add(timeout).map_or(Limit::Never, Limit::At);
        self.receive_within(limit, pattern)
    }

    fn receive_within<R>(
        &self,
        limit: Limit,
        mut pattern: impl FnMut(M) -> Result<R, M>,
    ) -> Result<R, RecvTimeoutError> {
        let mut skipped = Skipped { inner: &self.inner, messages: VecDeque::new() };
        loop {
            match pattern(self.recv_within(limit)?) {
                Ok(result) => return Ok(result),
                Err(message) => skipped.messages.push_back(message),
            }
        }
    }

    /// An address of this actor. It can always be made, also when all others are gone.
    ///
    /// An actor that keeps one of its own is never told that nobody can send to it any more.
    pub fn address(&self) -> Address<M> {
        self.inner.channel.reopen();
        Address::new(self.inner.clone())
    }

    /// This actor.
    pub fn pid(&self) -> &Pid {
        &self.own.pid
    }

    /// How many messages lie in the mailbox.
    pub fn len(&self) -> usize {
        self.inner.channel.len()
    }

    /// Whether no message lies in the mailbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the mailbox holds before senders wait; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        self.inner.channel.capacity()
    }

    /// From now on an exit signal does not end this actor, but becomes a message: `message` makes it. Erlang's
    /// `process_flag(trap_exit, true)`.
    ///
    /// Signals come from [linked](super::link()) actors that end, for whatever reason, and from [`Pid::exit`]. A
    /// [kill](Pid::kill) can't be trapped. `message` is called by who sends the signal, so it should do no more than what its
    /// name says; a variant of an enum serves. If it panics there is no message. The message comes in even if the mailbox is
    /// full.
    ///
    /// While exits are trapped the mailbox is never disconnected.
    pub fn trap_exits(&self, message: fn(Exit) -> M) {
        self.keeps_open.set(Some(self.address()));
        self.inner.set_trap(Some(message));
    }

    /// Exit signals end the actor again.
    pub fn untrap_exits(&self) {
        self.inner.set_trap(None);
        self.keeps_open.set(None);
    }

    /// Has `message` made and sent to this actor when another one has ended; at once, if it has.
    ///
    /// The message comes after all that the other one has sent here, and even if the mailbox is full. `message` is called
    /// by the ending actor; if it panics there is no message. Until then the mailbox counts as having an address. The
    /// monitor goes with this actor.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::actor::{self, Down, ExitReason, Mailbox};
    ///
    /// let worker = actor::spawn(|_| (), |(), job: &str| -> () { panic!("no tools for {job}") });
    /// let watcher = actor::spawn_body({
    ///     let worker = worker.clone();
    ///     move |mailbox: &Mailbox<Down>| {
    ///         mailbox.monitor(&worker, |down| down);
    ///         worker.send("a roof").unwrap();
    ///         let down = mailbox.recv().unwrap();
    ///         assert_eq!(down.reason, ExitReason::Panic("no tools for a roof".into()));
    ///     }
    /// });
    /// assert_eq!(watcher.pid().wait(), ExitReason::Normal);
    /// ```
    pub fn monitor(
        &self,
        other: &impl Handle,
        message: impl FnOnce(Down) -> M + Send + 'static,
    ) -> MonitorId {
        let target = other.pid();
        let to = self.address();
        let id = MonitorId::new(target.clone());
        let monitor = id.clone();
        let tell = move |reason: &ExitReason| {
            let _target = to.inner().control().with_relations(|own| own.monitors.remove(&monitor.number()));
            // Foreign code: what it throws has been reported, and concerns nobody here.
            quietly(|| {
                let down = Down { pid: monitor.pid().clone(), reason: reason.clone(), monitor };
                let _ = to.inner().channel.force_send(message(down));
            });
        };
        // For the end of this actor, with which the monitor goes. It runs, so this can't fail.
        let _ = self.inner.control().relate(|own| own.monitors.insert(id.number(), target.clone()));
        target.watch(id.number(), Box::new(tell));
        id
    }

    /// Takes a monitor of this actor back. False: its message has been sent, or is about to be.
    pub fn demonitor(&self, monitor: &MonitorId) -> bool {
        let target = self.inner.control().with_relations(|own| own.monitors.remove(&monitor.number()));
        target.flatten().is_some_and(|target| target.unwatch(monitor.number()))
    }
}

/// Messages that a selective receive has passed over.
struct Skipped<'a, M> {
    inner: &'a Inner<M>,
    messages: VecDeque<M>,
}

impl<M> Drop for Skipped<'_, M> {
    fn drop(&mut self) {
        if !self.messages.is_empty() {
            self.inner.channel.restore(std::mem::take(&mut self.messages));
        }
    }
}

impl<M> Receive for Mailbox<M> {
    type Slot = M;
    type Message = M;
    type Error = RecvError;

    fn recv_arm(&self) -> RecvArm<'_, M, Result<M, RecvError>> {
        self.own.give_up_abandoned();
        RecvArm::of(&self.inner.channel)
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("pid", &self.own.pid).finish_non_exhaustive()
    }
}

impl<'a, M: Send + 'static> IntoIterator for &'a Mailbox<M> {
    type Item = M;
    type IntoIter = Iter<'a, M>;

    fn into_iter(self) -> Iter<'a, M> {
        self.iter()
    }
}

/// Receives until all addresses are gone; made by [`Mailbox::iter`].
#[derive(Debug)]
pub struct Iter<'a, M>(&'a Mailbox<M>);

impl<M: Send + 'static> Iterator for Iter<'_, M> {
    type Item = M;

    fn next(&mut self) -> Option<M> {
        self.0.recv().ok()
    }
}
