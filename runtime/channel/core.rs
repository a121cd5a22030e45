//! What all channels have in common: one lock, one buffer, and two queues of those who wait.
//!
//! ```text
//! Channel ─▶ | lock | buffer | senders ─▶ waiting | receivers ─▶ waiting | flags |  one cache line, if bounded
//!            | numbers of handles | capacity |                                      the next one
//! ```
//!
//! Each operation is one critical section, and so costs one read-modify-write. While nobody waits it moves a message
//! into the buffer or out of it. Where somebody waits on the other side the message goes from hand to hand, through
//! the [`Packet`] in the waiter's node. A waiting sender may be an arm of a select that has no message yet
//! ([`Role::Later`]): it is given a *reserved* place in the buffer, or the receiver as its partner.
//!
//! | operation | finds | does |
//! | --- | --- | --- |
//! | send | a waiting receiver | puts the message into its packet, wakes it |
//! | send | room in the buffer | pushes |
//! | send | neither | waits with the message in its own packet |
//! | receive | a message, senders wait | pops; the first waiting sender's message takes the gap, or it is reserved for it |
//! | receive | a message | pops |
//! | receive | no message, a waiting sender | takes its message and wakes it, or awaits the message that it makes |
//! | receive | nothing | waits with an empty packet |
//!
//! Whoever finds nothing also wakes those at the other side that only [look](Role::Look).
//!
//! A message is moved into or out of a packet only by who has claimed its owner's wait. So when a wait ends by a timeout
//! or a cancellation, a sender still has its message, and a receiver has none: nothing is lost and nothing sent twice.
//!
//! Rejected: a lock-free ring as crossbeam-channel has it. It costs two contended words a message where this costs one
//! uncontended one among tasks of the same worker, and can't promise more than a hint about who waits, so every message
//! would have to look for waiters behind a fence.

use std::marker::PhantomData;
use std::mem;
use std::time::Instant;

use super::buffer::Buffer;
use super::error::{RecvTimeoutError, SendTimeoutError};
use super::handles::Handles;
use super::limit::{Limit, Until};
use super::packet::{Node, Packet, Role, Slot, Unsent, Wakes, await_message, claim_partner};
use crate::task::waiter::{Claimed, End, Place, Selected, WaitQueue, wait_in, wait_in_and_drop};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::abort;
use crate::util::spin::{SpinGuard, SpinLock};

/// One channel; the handles share it.
// Not aligned to a cache line by itself: the allocator takes seven times as long for that, and a channel for one answer, or
// an actor's mailbox, does not live long enough to earn it.
#[repr(C)]
pub(crate) struct Channel<T, B> {
    pub(super) state: SpinLock<State<T, B>>,
    pub(super) senders: Handles,
    receivers: Handles,
    capacity: Option<usize>,
}

pub(super) struct State<T, B> {
    // If the buffer holds messages, no receiver waits. If it has room that is not reserved, no sender waits.
    // Nobody waits at one side who could be served by somebody at the other. (One select may wait at both.)
    // Once the receivers are gone the buffer holds nothing and nobody waits; once the senders are gone no receiver does.
    // Messages in the buffer and reserved places together are at most the capacity.
    pub(super) buffer: B,
    pub(super) senders: WaitQueue<Packet>,
    pub(super) receivers: WaitQueue<Packet>,
    pub(super) intake: Intake,
    pub(super) senders_gone: bool,
    _messages: PhantomData<T>,
}

/// What one round of receiving comes to.
enum Received {
    /// The message lies in the slot.
    Message,
    Failed(RecvTimeoutError),
    /// There was somebody who would have had a message, but it was never made.
    Retry,
}

/// What stands between a sender and an unfilled buffer: how many places are reserved, and whether the receivers are
/// gone. One word, so that the fast path of a send looks at both at once.
pub(super) struct Intake(u32);

impl Intake {
    const CLOSED: u32 = 1 << 31;

    fn is_free(&self) -> bool {
        self.0 == 0
    }

    fn reserved(&self) -> usize {
        (self.0 & !Self::CLOSED) as usize
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    fn close(&mut self) {
        self.0 |= Self::CLOSED;
    }

    pub(super) fn reserve(&mut self) {
        self.0 += 1;
        if self.reserved() == 0 {
            abort("two thousand million selected sends were forgotten");
        }
    }

    pub(super) fn release(&mut self) {
        debug_assert_ne!(self.reserved(), 0);
        self.0 -= 1;
    }
}

impl<T, B: Buffer<T>> Channel<T, B> {
    /// A channel with one sender and one receiver.
    pub(crate) fn new(buffer: B, capacity: Option<usize>) -> Self {
        let state = State {
            buffer,
            senders: WaitQueue::new(),
            receivers: WaitQueue::new(),
            intake: Intake(0),
            senders_gone: false,
            _messages: PhantomData,
        };
        Self { state: SpinLock::new(state), senders: Handles::one(), receivers: Handles::one(), capacity }
    }

    #[inline]
    pub(crate) fn send<L: Until>(&self, message: T, limit: L) -> Result<(), SendTimeoutError<T>> {
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
    pub(crate) fn recv<L: Until>(&self, limit: L) -> Result<T, RecvTimeoutError> {
        checkpoint();
        self.recv_here(limit)
    }

    /// As [`try_send`](Self::try_send).
    #[inline]
    pub(crate) fn try_recv(&self) -> Result<T, RecvTimeoutError> {
        self.recv_here(Limit::Now).inspect_err(|_| checkpoint())
    }

    #[inline]
    fn send_here<L: Until>(&self, message: T, limit: L) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        if state.receivers.is_empty() && !state.buffer.is_full() && state.intake.is_free() {
            state.buffer.push(message);
            return Ok(());
        }
        self.send_slow(state, message, limit)
    }

    #[inline]
    fn recv_here<L: Until>(&self, limit: L) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        if state.senders.is_empty()
            && let Some(message) = state.buffer.pop()
        {
            return Ok(message);
        }
        self.recv_slow(state, limit)
    }

    #[inline(never)]
    fn send_slow<'a, L: Until>(
        &'a self,
        mut state: SpinGuard<'a, State<T, B>>,
        message: T,
        limit: L,
    ) -> Result<(), SendTimeoutError<T>> {
        // In place for all ways that it may go: messages can be large.
        let mut slot = Slot::empty();
        let message = Unsent::put(&mut slot, message);
        loop {
            state.check();
            if state.intake.is_closed() {
                drop(state);
                return message.fail(SendTimeoutError::Disconnected);
            }
            let mut wakes = Wakes::new();
            if let Some(receiver) = claim_partner(&mut state.receivers, &mut wakes) {
                // SAFETY: a receiver of this channel, which waits with an empty slot; we have claimed it.
                unsafe { message.give_to(receiver.packet()) };
                let wake = receiver.select(Selected::Served);
                drop(state);
                wake.unpark();
                return Ok(());
            }
            if state.has_room() && state.buffer.make_place() {
                state.buffer.push(message.take());
                drop(state);
                return Ok(());
            }
            let Some(growth) = state.buffer.growth() else {
                return self.send_wait(state, message, limit, wakes);
            };
            // Neither the allocation nor its failure belongs under the lock; then look again.
            drop(state);
            drop(wakes);
            state = self.add_room(B::more_room(growth));
        }
    }

    /// Gives a full buffer room, and comes back with the lock.
    pub(super) fn add_room(&self, room: B::Room) -> SpinGuard<'_, State<T, B>> {
        let mut state = self.state.lock();
        // Somebody else may have made room meanwhile, or the receivers may have gone.
        let superfluous = if state.buffer.is_full() && !state.intake.is_closed() {
            state.buffer.add(room)
        } else {
            Some(room)
        };
        if superfluous.is_none() {
            return state;
        }
        drop(state);
        drop(superfluous);
        self.state.lock()
    }

    #[inline(never)]
    fn recv_slow<'a, L: Until>(
        &'a self,
        state: SpinGuard<'a, State<T, B>>,
        mut limit: L,
    ) -> Result<T, RecvTimeoutError> {
        // In place for all ways that a message may come: messages can be large.
        let slot = Slot::empty();
        match self.recv_once(state, &mut limit, &slot) {
            // SAFETY: there is a message in the slot.
            Received::Message => Ok(unsafe { slot.take() }),
            Received::Failed(error) => Err(error),
            Received::Retry => self.recv_again(limit.into(), &slot),
        }
    }

    /// Outside of the first round, which a loop would make slower. The slot is empty.
    #[cold]
    fn recv_again(&self, mut limit: Limit, slot: &Slot<T>) -> Result<T, RecvTimeoutError> {
        loop {
            match self.recv_once(self.state.lock(), &mut limit, slot) {
                // SAFETY: there is a message in the slot.
                Received::Message => return Ok(unsafe { slot.take() }),
                Received::Failed(error) => return Err(error),
                Received::Retry => {}
            }
        }
    }

    /// Receives into the slot, which is empty.
    #[inline(always)]
    fn recv_once<'a, L: Until>(
        &'a self,
        mut state: SpinGuard<'a, State<T, B>>,
        limit: &mut L,
        slot: &Slot<T>,
    ) -> Received {
        state.check();
        let mut wakes = Wakes::new();
        if let Some(message) = state.buffer.pop() {
            // SAFETY: it is empty, and nobody waits by it now.
            unsafe { slot.put(message) };
            state.admit(&mut wakes);
            drop(state);
            return Received::Message;
        }
        if let Some(sender) = claim_partner(&mut state.senders, &mut wakes) {
            if sender.packet().role == Role::Message {
                // SAFETY: a sender of this channel, which waits with its message; we have claimed it. The slot is empty, and
                // nobody waits by it now.
                unsafe { sender.packet().take_into(slot) };
                let wake = sender.select(Selected::Served);
                drop(state);
                wake.unpark();
                return Received::Message;
            }
            drop(state);
            drop(wakes);
            return self.recv_promised(sender, slot);
        }
        if state.senders_gone {
            drop(state);
            return Received::Failed(RecvTimeoutError::Disconnected);
        }
        self.recv_wait(state, limit, wakes, slot)
    }

    #[cold]
    fn recv_promised(&self, sender: Claimed<Packet>, slot: &Slot<T>) -> Received {
        let came = await_message(sender, slot.pointer(), self.wait(Reason::ChannelReceive, None));
        if came { Received::Message } else { Received::Retry }
    }

    /// Waits with the message in hand. The buffer is full, and no receiver waits.
    #[inline(always)]
    fn send_wait<L: Until>(
        &self,
        state: SpinGuard<'_, State<T, B>>,
        message: Unsent<'_, T>,
        mut limit: L,
        wakes: Wakes,
    ) -> Result<(), SendTimeoutError<T>> {
        let Some(deadline) = limit.fix() else {
            drop(state);
            return message.fail(SendTimeoutError::Timeout);
        };
        // If the wait unwinds, the message is dropped behind the node, which has left the queue by then.
        let node = Node::new(Packet::new(Role::Message, message.pointer()));
        let wait = self.wait(Reason::ChannelSend, deadline);
        // SAFETY: the guard is of this lock; the closure names one field; the node is new.
        let selected = unsafe { self.wait_in(state, |state| &mut state.senders, &node, wait, wakes) };
        match selected {
            Selected::Served => {
                message.forget();
                Ok(())
            }
            Selected::Closed => message.fail(SendTimeoutError::Disconnected),
            Selected::Nothing => message.fail(SendTimeoutError::Timeout),
            Selected::Retry => abort("a waiting sender with a message was told to look again"),
        }
    }

    /// Waits for a message. The buffer is empty, and no sender waits.
    // Inlined, as all between a user's call and the switch; see `suspend` in `task/park.rs`.
    #[inline(always)]
    fn recv_wait<L: Until>(
        &self,
        state: SpinGuard<'_, State<T, B>>,
        limit: &mut L,
        wakes: Wakes,
        slot: &Slot<T>,
    ) -> Received {
        let Some(deadline) = limit.fix() else {
            drop(state);
            return Received::Failed(RecvTimeoutError::Timeout);
        };
        let node = Node::new(Packet::new(Role::Message, slot.pointer()));
        let wait = self.wait(Reason::ChannelReceive, deadline);
        // SAFETY: the guard is of this lock; the closure names one field; the node is new.
        match unsafe { self.wait_in(state, |state| &mut state.receivers, &node, wait, wakes) } {
            Selected::Served => Received::Message,
            Selected::Closed => Received::Failed(RecvTimeoutError::Disconnected),
            Selected::Nothing => Received::Failed(RecvTimeoutError::Timeout),
            Selected::Retry => Received::Retry,
        }
    }

    /// Waits in a queue, and wakes the others once that has begun.
    ///
    /// # Safety
    ///
    /// As for [`wait_in`].
    #[inline(always)]
    unsafe fn wait_in(
        &self,
        state: SpinGuard<'_, State<T, B>>,
        queue: impl Place<State<T, B>, Packet>,
        node: &Node,
        wait: Wait,
        wakes: Wakes,
    ) -> Selected {
        if wakes.is_empty() {
            mem::forget(wakes);
            // SAFETY: passed on.
            return unsafe { wait_in(&self.state, state, queue, node, End::Back, wait) };
        }
        // SAFETY: passed on.
        unsafe { self.wait_in_and_wake(state, queue, node, wait, wakes) }
    }

    /// # Safety
    ///
    /// As for [`wait_in`].
    #[cold]
    unsafe fn wait_in_and_wake(
        &self,
        state: SpinGuard<'_, State<T, B>>,
        queue: impl Place<State<T, B>, Packet>,
        node: &Node,
        wait: Wait,
        wakes: Wakes,
    ) -> Selected {
        // SAFETY: passed on.
        unsafe { wait_in_and_drop(&self.state, state, queue, node, End::Back, wait, wakes) }
    }

    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Wait {
        Wait { reason, object: std::ptr::from_ref(self).cast(), deadline }
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    pub(crate) fn has_receivers(&self) -> bool {
        !self.receivers.are_gone()
    }

    pub(crate) fn add_sender(&self) {
        self.senders.add();
    }

    pub(crate) fn add_receiver(&self) {
        self.receivers.add();
    }

    /// With the last sender, receivers drain the buffer and then learn that no more will come.
    pub(crate) fn drop_sender(&self) {
        if self.senders.drop_one() {
            let mut state = self.state.lock();
            // The receiver of a mailbox may have reopened it since.
            if !self.senders.are_gone() {
                return;
            }
            state.senders_gone = true;
            let mut wakes = Wakes::new();
            wakes.append(state.receivers.claim_all(Selected::Closed));
            state.check();
            drop(state);
        }
    }

    /// With the last receiver, buffered messages are dropped and waiting senders get theirs back.
    pub(crate) fn drop_receiver(&self) {
        // The messages' destructors may do anything, so they run last and without the lock.
        drop(self.discard_with_receiver());
    }

    /// As [`drop_receiver`](Self::drop_receiver), but leaves it to the caller to drop the messages, if these are to be.
    pub(super) fn discard_with_receiver(&self) -> Option<B> {
        if !self.receivers.drop_one() {
            return None;
        }
        let mut state = self.state.lock();
        state.intake.close();
        let discarded = mem::take(&mut state.buffer);
        let mut wakes = Wakes::new();
        wakes.append(state.senders.claim_all(Selected::Closed));
        state.check();
        drop(state);
        drop(wakes);
        Some(discarded)
    }
}

impl<T, B: Buffer<T>> State<T, B> {
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.buffer.takes_besides(self.intake.reserved())
    }

    /// Lets waiting senders have the room that there is.
    #[inline]
    pub(super) fn admit(&mut self, wakes: &mut Wakes) {
        while !self.senders.is_empty() && self.has_room() {
            let Some(sender) = claim_partner(&mut self.senders, wakes) else { return };
            if sender.packet().role == Role::Message {
                // SAFETY: a sender of this channel, which waits with its message; we have claimed it.
                self.buffer.admit(unsafe { sender.packet().take() });
            } else {
                self.intake.reserve();
            }
            wakes.push(sender, Selected::Served);
        }
    }

    /// The invariants at the head of this struct, as far as waits that have ended but not left yet don't blur them.
    pub(super) fn check(&self) {
        debug_assert!(self.receivers.is_empty() || self.buffer.len() == 0);
        debug_assert!(self.senders.is_empty() || B::ENDLESS || !self.has_room());
        debug_assert!(!self.intake.is_closed() || self.senders.is_empty() && self.buffer.len() == 0);
        debug_assert!(!self.senders_gone || self.receivers.is_empty());
    }
}
