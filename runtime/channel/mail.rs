//! The buffer of a mailbox, and what a mailbox can do that other channels can't.
//!
//! An actor's mailbox is a channel with one receiver. There may be very many, most of them empty, so its buffer allocates
//! nothing before the first message, however many it may hold at last: it is a queue of [`Segments`] with a limit.
//!
//! | | waits at the limit | goes |
//! | --- | --- | --- |
//! | [`send`](Channel::send) | yes | to the back |
//! | [`force_send`](Channel::force_send): what must not wait, such as news of a death | no | to the back |
//! | [`restore`](Channel::restore): messages that the receiver has taken and does not want yet | no | to the front |
//!
//! The limit is not always the same as being full: below it a queue may want a segment. Senders bring that from outside
//! of the lock. A sender that waits can't, when its turn comes: the receiver, which pushes the message for it, holds the
//! lock. So before a sender waits it provides for a reserve, which lasts: by the time that it is used up, pops have
//! drained a segment. Only where forced messages have taken the reserve does the receiver allocate under the lock.
//!
//! A mailbox has no sending arm of a select, so nothing is ever reserved in it.
//!
//! Rejected: a ring of the limit's size. A million actors would take 16 GiB for messages of 16 bytes.

use std::collections::VecDeque;
use std::mem;

use super::buffer::Buffer;
use super::core::Channel;
use super::error::SendError;
use super::packet::{Wakes, claim_partner};
use super::segments::{Growth, Room, Segments};
use crate::task::waiter::Selected;

#[cfg(test)]
mod tests;

/// See the head of this file.
pub(crate) struct Mail<M> {
    messages: Segments<M>,
    /// With so many messages senders wait.
    limit: usize,
}

impl<M> Mail<M> {
    /// For `limit` messages, which is at least one, or for any number.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        debug_assert_ne!(limit, Some(0));
        Self { messages: Segments::default(), limit: limit.unwrap_or(usize::MAX) }
    }

    #[inline]
    fn is_below_limit(&self) -> bool {
        self.messages.len() < self.limit
    }
}

impl<M> Default for Mail<M> {
    fn default() -> Self {
        Self::new(None)
    }
}

impl<M> Buffer<M> for Mail<M> {
    const ENDLESS: bool = false;

    #[inline]
    fn len(&self) -> usize {
        self.messages.len()
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.messages.is_full() || !self.is_below_limit()
    }

    #[inline]
    fn takes_besides(&self, reserved: usize) -> bool {
        debug_assert_eq!(reserved, 0);
        self.is_below_limit()
    }

    #[inline]
    fn push(&mut self, message: M) {
        self.messages.push(message);
    }

    #[inline]
    fn pop(&mut self) -> Option<M> {
        self.messages.pop()
    }

    type Room = Room<M>;

    #[inline]
    fn make_place(&mut self) -> bool {
        !self.messages.is_full() || self.messages.reuse()
    }

    fn growth(&self) -> Option<Growth> {
        if self.is_below_limit() || !self.messages.has_reserve() {
            Some(self.messages.growth())
        } else {
            None
        }
    }

    fn more_room(growth: Growth) -> Room<M> {
        Room::new(growth)
    }

    fn add(&mut self, room: Room<M>) -> Option<Room<M>> {
        self.messages.add(room)
    }

    fn admit(&mut self, message: M) {
        while !self.make_place() {
            self.grow_locked();
        }
        self.messages.push(message);
    }
}

impl<M> Mail<M> {
    #[cold]
    fn grow_locked(&mut self) {
        let room = Room::new(self.messages.growth());
        drop(self.messages.add(room));
    }
}

impl<M> Channel<M, Mail<M>> {
    /// Sends without waiting, beyond the limit if need be. Not a point to give the turn back.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone.
    pub(crate) fn force_send(&self, message: M) -> Result<(), SendError<M>> {
        let mut state = self.state.lock();
        loop {
            state.check();
            if state.intake.is_closed() {
                drop(state);
                return Err(SendError(message));
            }
            let mut wakes = Wakes::new();
            if let Some(receiver) = claim_partner(&mut state.receivers, &mut wakes) {
                // SAFETY: a receiver of this channel, which waits with an empty slot; we have claimed it.
                unsafe { receiver.packet().put(message) };
                let wake = receiver.select(Selected::Served);
                drop(state);
                wake.unpark();
                return Ok(());
            }
            if state.buffer.make_place() {
                state.buffer.push(message);
                drop(state);
                return Ok(());
            }
            // As in `send_slow`.
            let growth = state.buffer.messages.growth();
            drop(state);
            drop(wakes);
            state = self.add_room(Room::new(growth));
        }
    }

    /// The only receiver goes; `discard` gets each message that is left, and so none is kept by another whose destructor
    /// panics.
    pub(crate) fn close(&self, mut discard: impl FnMut(M)) {
        let Some(mut left) = self.discard_with_receiver() else { return };
        if mem::needs_drop::<M>() {
            while let Some(message) = left.pop() {
                discard(message);
            }
        }
    }

    /// Puts messages back to where they were: in front of all others, in their order. For the only receiver, who has
    /// taken them one after the other. Neither waits nor gives the turn back, so it can be called while unwinding.
    ///
    /// If the mailbox has been closed meanwhile they are dropped.
    pub(crate) fn restore(&self, mut messages: VecDeque<M>) {
        if messages.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        // Nobody is to be woken: the receiver is here, and the senders have less room than before.
        debug_assert!(state.receivers.is_empty());
        if state.intake.is_closed() || state.buffer.messages.restore(&mut messages) {
            drop(state);
            return;
        }
        drop(state);
        let packed = Segments::pack(messages);
        let mut state = self.state.lock();
        // What is left over, or all of it: freed without the lock.
        let left = if state.intake.is_closed() { packed } else { state.buffer.messages.prepend(packed) };
        drop(state);
        drop(left);
    }

    /// Makes a sender, also if there is none left. For the receiver, who goes on to wait; see `handles.rs`.
    pub(crate) fn reopen(&self) {
        let mut state = self.state.lock();
        self.senders.add();
        state.senders_gone = false;
    }

    /// Makes a sender if there is one.
    pub(crate) fn try_add_sender(&self) -> bool {
        self.senders.try_add()
    }
}
