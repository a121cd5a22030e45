//! The two ends of a channel as arms of a select.
//!
//! A receiving arm that is chosen has its message: it lies in the arm's slot. A sending arm has no message before it is
//! chosen, so a choice only makes sure that the send will not wait:
//!
//! | the channel | the choice | [`complete_send`](SendSide::complete_send) | [`abort`](Arm::abort) |
//! | --- | --- | --- | --- |
//! | takes any number | `Open` | a plain send | nothing to do |
//! | has room | `Reserved`: one place is counted as taken | pushes, or hands over to who waits meanwhile | gives the place to the next |
//! | no room, a receiver waits | `Partner`: its claim | puts the message into its packet, wakes it | sends it back to the queue |
//! | the receivers are gone | `Closed` | gives the message back | nothing to do |
//!
//! While it has a place in the buffer a sender holds up nobody: a receiver that finds the buffer empty waits as ever, can
//! time out and can be cancelled.

use std::ptr;

use super::arm::{Arm, Poll, Token};
use super::buffer::Buffer;
use super::core::{Channel, State};
use super::error::SendError;
use super::packet::{Node, Role, Wakes, claim_partner, has_partner};
use crate::task::waiter::{Claimed, Selected};
use crate::util::abort;
use crate::util::spin::RawSpin;

/// A channel seen as what a message can be received from.
#[repr(transparent)]
pub(crate) struct RecvSide<T, B>(Channel<T, B>);

/// A channel seen as what a message can be sent to.
#[repr(transparent)]
pub(crate) struct SendSide<T, B>(Channel<T, B>);

impl<T, B: Buffer<T>> RecvSide<T, B> {
    pub(crate) fn of(channel: &Channel<T, B>) -> &Self {
        // SAFETY: a transparent wrapper.
        unsafe { &*ptr::from_ref(channel).cast() }
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    #[expect(clippy::mut_from_ref, reason = "as in a guard, the lock makes it unique")]
    unsafe fn state(&self) -> &mut State<T, B> {
        // SAFETY: passed on; no method of this file keeps the reference.
        unsafe { self.0.state.locked() }
    }
}

// SAFETY: the lock is the channel's, and the queue lies behind it.
unsafe impl<T, B: Buffer<T>> Arm for RecvSide<T, B> {
    #[inline]
    fn lock(&self) -> Option<&RawSpin> {
        Some(self.0.state.raw())
    }

    fn role(&self) -> Role {
        Role::Message
    }

    #[inline]
    unsafe fn poll(&self, slot: *mut (), wakes: &mut Wakes) -> Poll {
        // SAFETY: by the contract.
        let state = unsafe { self.state() };
        state.check();
        let slot: *mut T = slot.cast();
        if let Some(message) = state.buffer.pop() {
            state.admit(wakes);
            // SAFETY: by the contract the slot is empty and fits.
            unsafe { slot.write(message) };
            return Poll::Ready(Token::Message);
        }
        match claim_partner(&mut state.senders, wakes) {
            Some(sender) if sender.packet().role == Role::Message => {
                // SAFETY: a sender of this channel that waits with its message, which we have claimed; for the slot as
                // above.
                unsafe { slot.write(sender.packet().take()) };
                wakes.push(sender, Selected::Served);
                Poll::Ready(Token::Message)
            }
            Some(sender) => Poll::Promised(sender),
            None if state.senders_gone => Poll::Ready(Token::Closed),
            None => Poll::Pending,
        }
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: by the contract.
        let state = unsafe { self.state() };
        state.buffer.len() > 0 || state.senders_gone || has_partner(&state.senders)
    }

    unsafe fn enqueue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.state().receivers.push_back(node) }
    }

    unsafe fn dequeue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.state().receivers.remove(node) }
    }

    unsafe fn abort(&self, _token: Token) {}
}

impl<T, B: Buffer<T>> SendSide<T, B> {
    pub(crate) fn of(channel: &Channel<T, B>) -> &Self {
        // SAFETY: a transparent wrapper.
        unsafe { &*ptr::from_ref(channel).cast() }
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    #[expect(clippy::mut_from_ref, reason = "as in a guard, the lock makes it unique")]
    unsafe fn state(&self) -> &mut State<T, B> {
        // SAFETY: passed on; no method of this file keeps the reference.
        unsafe { self.0.state.locked() }
    }

    /// Sends the message of a chosen arm, without waiting.
    ///
    /// # Safety
    ///
    /// The token comes from this arm, and is used for nothing else.
    #[inline]
    pub(crate) unsafe fn complete_send(&self, token: Token, message: T) -> Result<(), SendError<T>> {
        match token {
            Token::Reserved => {
                let mut state = self.0.state.lock();
                state.intake.release();
                if state.intake.is_closed() {
                    drop(state);
                    return Err(SendError(message));
                }
                let mut wakes = Wakes::new();
                match claim_partner(&mut state.receivers, &mut wakes) {
                    Some(receiver) => {
                        // SAFETY: a receiver of this channel, which waits with an empty slot; we have claimed it.
                        unsafe { receiver.packet().put(message) };
                        wakes.push(receiver, Selected::Served);
                        state.admit(&mut wakes);
                    }
                    None => state.buffer.push(message),
                }
                drop(state);
                Ok(())
            }
            // Not a point to give the turn back, as no completion is.
            Token::Open => self.0.try_send(message).map_err(|error| SendError(error.into_inner())),
            Token::Partner(receiver) => {
                // SAFETY: by the contract the token, and so the claim, is ours alone.
                let receiver = unsafe { Claimed::from_raw(receiver) };
                // SAFETY: a receiver of this channel that waits with an empty slot.
                unsafe { receiver.packet().put(message) };
                receiver.select(Selected::Served).unpark();
                Ok(())
            }
            Token::Closed => Err(SendError(message)),
            Token::Message | Token::Lagged(_) => abort("a sending arm was chosen to receive"),
        }
    }
}

// SAFETY: the lock is the channel's, and the queue lies behind it.
unsafe impl<T, B: Buffer<T>> Arm for SendSide<T, B> {
    #[inline]
    fn lock(&self) -> Option<&RawSpin> {
        Some(self.0.state.raw())
    }

    fn role(&self) -> Role {
        Role::Later
    }

    #[inline]
    unsafe fn poll(&self, _slot: *mut (), wakes: &mut Wakes) -> Poll {
        // SAFETY: by the contract.
        let state = unsafe { self.state() };
        state.check();
        if state.intake.is_closed() {
            return Poll::Ready(Token::Closed);
        }
        if B::ENDLESS {
            return Poll::Ready(Token::Open);
        }
        if state.has_room() {
            state.intake.reserve();
            return Poll::Ready(Token::Reserved);
        }
        match claim_partner(&mut state.receivers, wakes) {
            Some(receiver) => Poll::Ready(Token::Partner(receiver.into_raw())),
            None => Poll::Pending,
        }
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: by the contract.
        let state = unsafe { self.state() };
        state.intake.is_closed() || B::ENDLESS || state.has_room() || has_partner(&state.receivers)
    }

    unsafe fn enqueue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.state().senders.push_back(node) }
    }

    unsafe fn dequeue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.state().senders.remove(node) }
    }

    fn served(&self, node: &Node) -> Token {
        node.packet().partner().map_or(Token::Reserved, Token::Partner)
    }

    unsafe fn abort(&self, token: Token) {
        match token {
            Token::Reserved => {
                let mut wakes = Wakes::new();
                let mut state = self.0.state.lock();
                state.intake.release();
                state.admit(&mut wakes);
                drop(state);
            }
            Token::Partner(receiver) => {
                // SAFETY: by the contract the token, and so the claim, is ours alone.
                unsafe { Claimed::from_raw(receiver) }.select(Selected::Retry).unpark();
            }
            _ => {}
        }
    }
}
