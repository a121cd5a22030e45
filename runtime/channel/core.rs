//! What all channels have in common: one lock, one buffer, and two queues of those who wait.
//!
//! ```text
//! Channel ─▶ | lock | buffer | senders ─▶ waiting | receivers ─▶ waiting | gone flags |  one cache line, if bounded
//!            | numbers of handles | capacity |                                           the next one
//! ```
//!
//! Each operation is one critical section, and so costs one read-modify-write. While nobody waits it moves a message
//! into the buffer or out of it. Where somebody waits on the other side the message goes from hand to hand, through
//! the [`Packet`] in the waiter's node:
//!
//! | operation | finds | does |
//! | --- | --- | --- |
//! | send | a waiting receiver | puts the message into its packet, wakes it |
//! | send | room in the buffer | pushes |
//! | send | neither | waits with the message in its own packet |
//! | receive | a message, senders wait | pops, pushes the first waiting sender's message into the gap, wakes that sender |
//! | receive | a message | pops |
//! | receive | no buffer, a waiting sender | takes the message out of its packet, wakes it |
//! | receive | nothing | waits with an empty packet |
//!
//! A message is moved into or out of a packet only by who has claimed its owner's wait. So when a wait ends by a timeout
//! or a cancellation, a sender still has its message, and a receiver has none: nothing is lost and nothing sent twice.
//!
//! Rejected: a lock-free ring as crossbeam-channel has it. It costs two contended words a message where this costs one
//! uncontended one among tasks of the same worker, and can't promise more than a hint about who waits, so every message
//! would have to look for waiters behind a fence.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::error::{RecvTimeoutError, SendTimeoutError};
use super::ring::Ring;
use super::segments::{Segment, Segments};
use crate::task::waiter::{Claimed, End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::abort;
use crate::util::spin::{SpinGuard, SpinLock};

/// Where sent messages lie until they are received.
pub(crate) trait Buffer<T>: Default {
    /// Whether a full buffer can be helped by more room; else only a pop helps.
    const GROWS: bool;

    fn len(&self) -> usize;
    /// Whether a push needs a pop or an [`add`](Self::add) first.
    fn is_full(&self) -> bool;
    fn push(&mut self, message: T);
    fn pop(&mut self) -> Option<T>;
    /// What [`add`](Self::add) takes.
    type Room;
    /// Makes room without an allocation, where that is possible.
    fn reuse(&mut self) -> bool;
    /// Allocates, so call it without the lock.
    fn more_room() -> Self::Room;
    /// What comes back is to be freed without the lock.
    fn add(&mut self, room: Self::Room) -> Option<Self::Room>;
}

/// The message on its way between two waiters' hands: a sender's is full, a receiver's empty, until they are served.
type Packet<T> = Cell<Option<T>>;

/// How long an operation may wait.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    Never,
    After(Duration),
    At(Instant),
}

/// One channel; the handles share it.
#[repr(C, align(64))]
pub(crate) struct Channel<T, B> {
    state: SpinLock<State<T, B>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    capacity: Option<usize>,
}

struct State<T, B> {
    // At least one of `senders` and `receivers` is empty.
    // If the buffer holds messages, no receiver waits. If it has room, no sender waits.
    // Once the receivers are gone the buffer holds nothing and nobody waits; once the senders are gone nobody waits.
    buffer: B,
    senders: WaitQueue<Packet<T>>,
    receivers: WaitQueue<Packet<T>>,
    senders_gone: bool,
    receivers_gone: bool,
}

impl<T, B: Buffer<T>> Channel<T, B> {
    /// A channel with one sender and one receiver.
    pub(crate) fn new(buffer: B, capacity: Option<usize>) -> Self {
        let state = State {
            buffer,
            senders: WaitQueue::new(),
            receivers: WaitQueue::new(),
            senders_gone: false,
            receivers_gone: false,
        };
        Self {
            state: SpinLock::new(state),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            capacity,
        }
    }

    #[inline]
    pub(crate) fn send(&self, message: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        checkpoint();
        self.send_here(message, limit)
    }

    /// Gives its turn back only if there is no room: a loop that tries for ever must not keep the receiver from running.
    /// A success never does, since programs send under a std lock.
    #[inline]
    pub(crate) fn try_send(&self, message: T) -> Result<(), SendTimeoutError<T>> {
        self.send_here(message, Limit::Now).inspect_err(|_| checkpoint())
    }

    #[inline]
    pub(crate) fn recv(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        checkpoint();
        self.recv_here(limit)
    }

    /// As [`try_send`](Self::try_send).
    #[inline]
    pub(crate) fn try_recv(&self) -> Result<T, RecvTimeoutError> {
        self.recv_here(Limit::Now).inspect_err(|_| checkpoint())
    }

    #[inline]
    fn send_here(&self, message: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        if state.receivers.is_empty() && !state.buffer.is_full() && !state.receivers_gone {
            state.buffer.push(message);
            return Ok(());
        }
        self.send_slow(state, message, limit)
    }

    #[inline]
    fn recv_here(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        if state.senders.is_empty()
            && let Some(message) = state.buffer.pop()
        {
            return Ok(message);
        }
        self.recv_slow(state, limit)
    }

    #[inline(never)]
    fn send_slow<'a>(
        &'a self,
        mut state: SpinGuard<'a, State<T, B>>,
        message: T,
        limit: Limit,
    ) -> Result<(), SendTimeoutError<T>> {
        loop {
            state.check();
            if state.receivers_gone {
                drop(state);
                return Err(SendTimeoutError::Disconnected(message));
            }
            if let Some(receiver) = state.receivers.claim_first() {
                receiver.packet().set(Some(message));
                let wake = receiver.select(Selected::Served);
                drop(state);
                wake.unpark();
                return Ok(());
            }
            if !state.buffer.is_full() || state.buffer.reuse() {
                state.buffer.push(message);
                return Ok(());
            }
            if !B::GROWS {
                return self.send_wait(state, message, limit);
            }
            // Neither the allocation nor its failure belongs under the lock; then look again.
            drop(state);
            let room = B::more_room();
            state = self.state.lock();
            // Somebody else may have made room meanwhile, or the receivers may have gone.
            let superfluous = if state.buffer.is_full() && !state.receivers_gone {
                state.buffer.add(room)
            } else {
                Some(room)
            };
            if superfluous.is_some() {
                drop(state);
                drop(superfluous);
                state = self.state.lock();
            }
        }
    }

    #[inline(never)]
    fn recv_slow(&self, mut state: SpinGuard<'_, State<T, B>>, limit: Limit) -> Result<T, RecvTimeoutError> {
        state.check();
        if let Some(message) = state.buffer.pop() {
            let wake = state.senders.claim_first().map(|sender| {
                state.buffer.push(message_of(&sender));
                sender.select(Selected::Served)
            });
            drop(state);
            if let Some(wake) = wake {
                wake.unpark();
            }
            return Ok(message);
        }
        if let Some(sender) = state.senders.claim_first() {
            let message = message_of(&sender);
            let wake = sender.select(Selected::Served);
            drop(state);
            wake.unpark();
            return Ok(message);
        }
        if state.senders_gone {
            return Err(RecvTimeoutError::Disconnected);
        }
        self.recv_wait(state, limit)
    }

    /// Waits with the message in hand. The buffer is full, and no receiver waits.
    #[inline(always)]
    fn send_wait(
        &self,
        state: SpinGuard<'_, State<T, B>>,
        message: T,
        limit: Limit,
    ) -> Result<(), SendTimeoutError<T>> {
        let Some(wait) = self.wait(Reason::ChannelSend, limit) else {
            drop(state);
            return Err(SendTimeoutError::Timeout(message));
        };
        // If the wait unwinds, the message is dropped with the node, which has left the queue by then.
        let node = Waiter::new(Cell::new(Some(message)));
        // SAFETY: the guard is of this lock; the closure names one field; the node is new.
        let selected =
            unsafe { wait_in(&self.state, state, |state| &mut state.senders, &node, End::Back, wait) };
        match (selected, node.into_packet().into_inner()) {
            (Selected::Served, None) => Ok(()),
            (Selected::Closed, Some(message)) => Err(SendTimeoutError::Disconnected(message)),
            (Selected::Nothing, Some(message)) => Err(SendTimeoutError::Timeout(message)),
            _ => abort("a waiting sender and its channel disagree on whose the message is"),
        }
    }

    /// Waits for a message. The buffer is empty, and no sender waits.
    // Inlined, as all between a user's call and the switch; see `suspend` in `task/park.rs`.
    #[inline(always)]
    fn recv_wait(&self, state: SpinGuard<'_, State<T, B>>, limit: Limit) -> Result<T, RecvTimeoutError> {
        let Some(wait) = self.wait(Reason::ChannelReceive, limit) else {
            return Err(RecvTimeoutError::Timeout);
        };
        let node = Waiter::new(Cell::new(None));
        // SAFETY: the guard is of this lock; the closure names one field; the node is new.
        let selected =
            unsafe { wait_in(&self.state, state, |state| &mut state.receivers, &node, End::Back, wait) };
        match (selected, node.into_packet().into_inner()) {
            (Selected::Served, Some(message)) => Ok(message),
            (Selected::Closed, None) => Err(RecvTimeoutError::Disconnected),
            (Selected::Nothing, None) => Err(RecvTimeoutError::Timeout),
            _ => abort("a waiting receiver and its channel disagree on whose the message is"),
        }
    }

    /// What to tell `park`, or `None` if the operation must not wait. Only here, where it is about to wait, does an
    /// operation with a timeout read the clock.
    fn wait(&self, reason: Reason, limit: Limit) -> Option<Wait> {
        let deadline = match limit {
            Limit::Now => return None,
            Limit::Never => None,
            // A deadline beyond the clock's range never comes.
            Limit::After(timeout) => Instant::now().checked_add(timeout),
            Limit::At(deadline) => Some(deadline),
        };
        Some(Wait { reason, object: std::ptr::from_ref(self).cast(), deadline })
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    pub(crate) fn has_receivers(&self) -> bool {
        // Relaxed: an answer that is out of date the next moment carries no data.
        self.receivers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add_sender(&self) {
        // Relaxed: a new handle is made from one that exists. Every handle also holds a reference of the `Arc` around
        // us, whose own check aborts before this counter can overflow.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_receiver(&self) {
        // Relaxed: as in `add_sender`.
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    /// With the last sender, receivers drain the buffer and then learn that no more will come.
    pub(crate) fn drop_sender(&self) {
        // Release and Acquire: pair with each other. The other senders' last messages are in before we close; that they
        // were sent under the lock would do as well.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.state.lock();
            state.senders_gone = true;
            let receivers = state.receivers.claim_all(Selected::Closed);
            state.check();
            drop(state);
            receivers.unpark();
        }
    }

    /// With the last receiver, buffered messages are dropped and waiting senders get theirs back.
    pub(crate) fn drop_receiver(&self) {
        // Release and Acquire: as in `drop_sender`.
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.state.lock();
            state.receivers_gone = true;
            let discarded = mem::take(&mut state.buffer);
            let senders = state.senders.claim_all(Selected::Closed);
            state.check();
            drop(state);
            senders.unpark();
            // The messages' destructors may do anything, so they run last and without the lock.
            drop(discarded);
        }
    }
}

impl<T, B: Buffer<T>> State<T, B> {
    /// The invariants at the head of this struct.
    fn check(&self) {
        debug_assert!(self.senders.is_empty() || self.receivers.is_empty());
        debug_assert!(self.receivers.is_empty() || self.buffer.len() == 0);
        debug_assert!(self.senders.is_empty() || self.buffer.is_full());
        debug_assert!(!self.receivers_gone || self.senders.is_empty() && self.buffer.len() == 0);
        debug_assert!(!self.senders_gone || self.receivers.is_empty());
    }
}

/// Takes the message of a sender that we have claimed.
fn message_of<T>(sender: &Claimed<Packet<T>>) -> T {
    sender.packet().take().unwrap_or_else(|| abort("a waiting sender has no message"))
}

impl<T> Buffer<T> for Ring<T> {
    const GROWS: bool = false;

    #[inline]
    fn len(&self) -> usize {
        Ring::len(self)
    }

    #[inline]
    fn is_full(&self) -> bool {
        Ring::is_full(self)
    }

    #[inline]
    fn push(&mut self, message: T) {
        Ring::push(self, message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        Ring::pop(self)
    }

    type Room = ();

    #[inline]
    fn reuse(&mut self) -> bool {
        false
    }

    fn more_room() {}

    fn add(&mut self, (): ()) -> Option<()> {
        abort("a bounded channel does not grow");
    }
}

impl<T> Buffer<T> for Segments<T> {
    const GROWS: bool = true;

    #[inline]
    fn len(&self) -> usize {
        Segments::len(self)
    }

    #[inline]
    fn is_full(&self) -> bool {
        Segments::is_full(self)
    }

    #[inline]
    fn push(&mut self, message: T) {
        Segments::push(self, message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        Segments::pop(self)
    }

    type Room = Segment<T>;

    fn reuse(&mut self) -> bool {
        Segments::reuse(self)
    }

    fn more_room() -> Segment<T> {
        Segments::segment()
    }

    fn add(&mut self, room: Segment<T>) -> Option<Segment<T>> {
        Segments::add(self, room)
    }
}
