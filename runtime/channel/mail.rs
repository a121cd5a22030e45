//! A buffer for mailboxes.

use std::collections::VecDeque;
use std::mem;

use super::buffer::Buffer;
use super::core::Channel;
use super::error::SendError;
use super::packet::{Wakes, claim_partner};
use super::segments::{Segment, Segments};
use crate::task::waiter::Selected;

/// See the head of this file.
pub(crate) struct Mail<M> {
    messages: Segments<M>,
    /// From how many messages on senders wait.
    limit: usize,
}

impl<M> Mail<M> {
    /// An empty one, for `limit` messages, or for any number; at least one.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        debug_assert_ne!(limit, Some(0));
        Self { messages: Segments::default(), limit: limit.unwrap_or(usize::MAX) }
    }

    fn is_at_limit(&self) -> bool {
        self.messages.len() >= self.limit
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
        self.messages.is_full() || self.is_at_limit()
    }

    #[inline]
    fn has_room_besides(&self, reserved: usize) -> bool {
        debug_assert_eq!(reserved, 0);
        !self.is_full()
    }

    #[inline]
    fn push(&mut self, message: M) {
        self.messages.push(message);
    }

    #[inline]
    fn pop(&mut self) -> Option<M> {
        self.messages.pop()
    }

    type Room = Segment<M>;

    fn reuse(&mut self) -> bool {
        !self.is_at_limit() && self.messages.reuse()
    }

    fn growth(&self) -> Option<usize> {
        if self.is_at_limit() { None } else { Some(self.messages.growth()) }
    }

    fn more_room(places: usize) -> Segment<M> {
        Segments::segment(places)
    }

    fn add(&mut self, room: Segment<M>) -> Option<Segment<M>> {
        if self.messages.is_full() { self.messages.add(room) } else { Some(room) }
    }

    fn make_room(&mut self) -> bool {
        if self.is_at_limit() {
            return false;
        }
        if !self.messages.reuse() {
            let places = self.messages.growth();
            self.messages.add(Segments::segment(places));
        }
        true
    }
}

impl<M> Channel<M, Mail<M>> {
    /// Sends without waiting, beyond the limit if need be.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receivers are gone.
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
            let messages = &mut state.buffer.messages;
            if !messages.is_full() || messages.reuse() {
                messages.push(message);
                drop(state);
                return Ok(());
            }
            let places = messages.growth();
            drop(state);
            drop(wakes);
            let room = Segments::segment(places);
            state = self.state.lock();
            let superfluous = if state.intake.is_closed() { Some(room) } else { state.buffer.add(room) };
            if superfluous.is_some() {
                drop(state);
                drop(superfluous);
                state = self.state.lock();
            }
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

    /// Puts messages that the only receiver has taken back to where they were: before all others, in their order.
    pub(crate) fn restore(&self, mut messages: VecDeque<M>) {
        if messages.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if state.intake.is_closed() || state.buffer.messages.restore(&mut messages).is_ok() {
            drop(state);
            return;
        }
        drop(state);
        let len = messages.len();
        let packed = Segments::pack(messages);
        let mut state = self.state.lock();
        let left = if state.intake.is_closed() { packed } else { state.buffer.messages.prepend(packed, len) };
        drop(state);
        drop(left);
    }

    /// Makes a sender, whether there are any left or not. For the receiver.
    pub(crate) fn reopen(&self) {
        let mut state = self.state.lock();
        self.add_sender();
        state.senders_gone = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Forever, Limit, RecvTimeoutError, SendTimeoutError};
    use std::sync::Arc;

    fn mailbox(limit: Option<usize>) -> Arc<Channel<usize, Mail<usize>>> {
        Arc::new(Channel::new(Mail::new(limit), limit))
    }

    #[test]
    fn a_forced_message_goes_beyond_the_limit() {
        let mail = mailbox(Some(2));
        (0..2).for_each(|i| mail.try_send(i).unwrap());
        assert_eq!(mail.try_send(9), Err(SendTimeoutError::Timeout(9)));
        (2..200).for_each(|i| mail.force_send(i).unwrap());
        assert_eq!(mail.len(), 200);
        (0..198).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
        assert_eq!(mail.try_send(9), Err(SendTimeoutError::Timeout(9)));
        (198..200).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
        assert_eq!(mail.try_recv(), Err(RecvTimeoutError::Timeout));
        mail.send(5, Forever).unwrap();
        mail.close(|_| ());
        assert_eq!(mail.len(), 0);
        assert_eq!(mail.force_send(7), Err(SendError(7)));
    }

    #[test]
    fn restored_messages_come_first_and_in_order() {
        for (sent, popped) in (0..150).flat_map(|sent| (0..=sent).map(move |popped| (sent, popped))) {
            let mail = mailbox(None);
            (0..sent).for_each(|i| mail.send(i, Forever).unwrap());
            let skipped: VecDeque<_> = (0..popped).map(|_| mail.try_recv().unwrap()).collect();
            if popped % 3 == 0 {
                mail.send(sent, Forever).unwrap();
            }
            mail.restore(skipped);
            if popped % 3 != 0 {
                mail.send(sent, Forever).unwrap();
            }
            assert_eq!(mail.len(), sent + 1);
            (0..=sent).for_each(|i| assert_eq!(mail.recv(Forever), Ok(i)));
            assert_eq!(mail.len(), 0);
        }
    }

    #[test]
    fn messages_restored_to_a_mailbox_that_never_held_any_leave_room_for_more() {
        for restored in [1, 64, 65, 200] {
            for taken in 0..=restored {
                let mail = mailbox(None);
                // All of them came from hand to hand.
                mail.restore((0..restored).collect());
                (0..taken).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
                (restored..restored + 70).for_each(|i| mail.send(i, Forever).unwrap());
                (taken..restored + 70).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
                assert_eq!(mail.len(), 0);
            }
        }
    }

    #[test]
    fn a_reopened_channel_waits_again() {
        let mail = mailbox(Some(2));
        mail.drop_sender();
        assert!(!mail.try_add_sender());
        assert_eq!(mail.recv(Forever), Err(RecvTimeoutError::Disconnected));
        mail.reopen();
        assert!(mail.try_add_sender());
        assert_eq!(mail.try_recv(), Err(RecvTimeoutError::Timeout));
        mail.drop_sender();
        mail.drop_sender();
        assert_eq!(mail.recv(Limit::Never), Err(RecvTimeoutError::Disconnected));
    }
}
