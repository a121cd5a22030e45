//! What the select macros expand to: the arms on the caller's stack, each with room for its message.
//!
//! All of it is safe to call in any order, since macros may not write `unsafe` into crates that forbid it: what was
//! chosen can be completed once, and only by its own arm.

use std::array;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::time::Duration;

use super::arm::{Arm, Entry, Token};
use super::buffer::Buffer;
use super::core::Channel;
use super::error::{RecvError, SendError};
use super::limit::Limit;
use super::packet::Slot;
use super::receiver::Receiver;
use super::run::{self, Mode, wait_for_nothing};
use super::sender::Sender;
use super::sides::RecvSide;

/// What a message can be received from in a `recv` arm.
pub trait Receive {
    /// What the channel puts into the arm's slot.
    type Slot;
    /// What the arm's result is, if there is a message.
    type Message;
    /// What it is otherwise.
    type Error;

    /// The arm.
    fn recv_arm(&self) -> ArmOf<'_, Self>;
}

/// The arm of an `R`.
pub type ArmOf<'a, R> =
    RecvArm<'a, <R as Receive>::Slot, Result<<R as Receive>::Message, <R as Receive>::Error>>;

/// A `recv` arm, whose result is an `O`. It has no destructor, so what it borrows is free again in the arm's body.
pub struct RecvArm<'a, M, O> {
    arm: &'a dyn Arm,
    slot: Slot<M>,
    /// The message, if there was one, has been taken out of the slot.
    completed: Cell<bool>,
    result: unsafe fn(Token, &Slot<M>) -> O,
}

/// A `send` arm. As [`RecvArm`].
pub struct SendArm<'a, T> {
    sender: &'a Sender<T>,
}

/// A chosen `send` arm: dropped, if its message is never made, it gives back what was chosen.
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
    token: Token,
}

/// The arm that was chosen.
pub struct Chosen<'a> {
    index: usize,
    token: Token,
    /// The address of the `RecvArm` or `SendArm`, which stays borrowed until this is used.
    owner: *const (),
    _arms: PhantomData<&'a ()>,
}

/// However many references there are.
impl<R: Receive + ?Sized> Receive for &R {
    type Slot = R::Slot;
    type Message = R::Message;
    type Error = R::Error;

    #[inline(always)]
    fn recv_arm(&self) -> ArmOf<'_, Self> {
        (**self).recv_arm()
    }
}

impl<T> Receive for Receiver<T> {
    type Slot = T;
    type Message = T;
    type Error = RecvError;

    #[inline]
    fn recv_arm(&self) -> RecvArm<'_, T, Result<T, RecvError>> {
        // SAFETY: with this token there is a message in the slot; and it is taken once.
        unsafe {
            RecvArm::new(self.arm(), |token, slot| match token {
                Token::Message => Ok(slot.take()),
                _ => Err(RecvError),
            })
        }
    }
}

/// Given a reference to what refers to a sender, it is coerced; a sender's type that is not known yet is learnt from this.
#[inline]
pub fn send_arm<T>(sender: &Sender<T>) -> SendArm<'_, T> {
    SendArm { sender }
}

impl<'a, M> RecvArm<'a, M, Result<M, RecvError>> {
    /// The receiving end of a channel.
    #[inline]
    pub(crate) fn of<B: Buffer<M>>(channel: &'a Channel<M, B>) -> Self {
        // SAFETY: the arm receives an `M`; with this token there is one in the slot, and it is taken once.
        unsafe {
            RecvArm::new(RecvSide::of(channel), |token, slot| match token {
                Token::Message => Ok(slot.take()),
                _ => Err(RecvError),
            })
        }
    }
}

impl<'a, M, O> RecvArm<'a, M, O> {
    /// # Safety
    ///
    /// The arm receives an `M`; `result` is called once with a token that it has answered and with the slot that it was
    /// given.
    #[inline]
    pub(super) unsafe fn new(arm: &'a dyn Arm, result: unsafe fn(Token, &Slot<M>) -> O) -> Self {
        Self { arm, slot: Slot::empty(), completed: Cell::new(false), result }
    }

    /// The arm, and where it puts a message.
    #[cfg(feature = "futures")]
    pub(super) fn parts(&self) -> (&'a dyn Arm, *mut ()) {
        (self.arm, self.slot.pointer())
    }

    /// What a token means.
    ///
    /// # Safety
    ///
    /// The arm has answered this token, with the slot of [`parts`](Self::parts); called once.
    #[cfg(feature = "futures")]
    pub(super) unsafe fn result(&self, token: Token) -> O {
        // SAFETY: passed on.
        unsafe { (self.result)(token, &self.slot) }
    }

    /// The arm's place in the select.
    #[inline]
    pub fn entry(&self) -> Entry<'_> {
        Entry::new(self.arm, self.slot.pointer(), ptr::from_ref(self).cast())
    }

    /// Does what is left to do.
    #[inline]
    pub fn complete(&self, chosen: Chosen<'_>) -> O {
        chosen.assert_owner(ptr::from_ref(self).cast());
        assert!(!self.completed.replace(true), "an arm of a select can be completed once");
        // SAFETY: the token is this arm's, and with it a message of its type was put into the slot if there is one. Of all
        // choices that this arm was in, this is the first one to be completed, and the last.
        unsafe { (self.result)(chosen.token, &self.slot) }
    }
}

impl<'a, T> SendArm<'a, T> {
    /// The arm's place in the select.
    #[inline]
    pub fn entry(&self) -> Entry<'_> {
        Entry::new(self.sender.arm(), ptr::null_mut(), ptr::from_ref(self).cast())
    }

    /// What the message is to be given to.
    #[inline]
    pub fn permit(&self, chosen: Chosen<'_>) -> Permit<'a, T> {
        chosen.assert_owner(ptr::from_ref(self).cast());
        Permit { sender: self.sender, token: chosen.token }
    }
}

impl<T> Permit<'_, T> {
    /// Sends without waiting.
    #[inline]
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: the token is this sender's, and is used here alone, since nobody drops `this`.
        unsafe { this.sender.complete(this.token, message) }
    }
}

impl<T> Drop for Permit<'_, T> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the token is this sender's, and ends here.
        unsafe { self.sender.arm().abort(self.token) }
    }
}

impl Chosen<'_> {
    /// The arm's number.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    #[inline]
    fn assert_owner(&self, owner: *const ()) {
        assert!(self.owner == owner, "a select can be completed by its chosen arm only");
    }
}

/// Waits until an arm is ready.
#[inline]
pub fn choose<'a, const N: usize>(entries: &[Entry<'a>; N], biased: bool) -> Chosen<'a> {
    match choose_in(entries, Limit::Never, biased) {
        Some(chosen) => chosen,
        None => impossible(),
    }
}

/// Does not wait.
#[inline]
pub fn choose_now<'a, const N: usize>(entries: &[Entry<'a>; N], biased: bool) -> Option<Chosen<'a>> {
    choose_in(entries, Limit::Now, biased)
}

/// Waits for `timeout` at most.
#[inline]
pub fn choose_within<'a, const N: usize>(
    entries: &[Entry<'a>; N],
    timeout: Duration,
    biased: bool,
) -> Option<Chosen<'a>> {
    choose_in(entries, Limit::After(timeout), biased)
}

#[inline]
fn choose_in<'a, const N: usize>(entries: &[Entry<'a>; N], limit: Limit, biased: bool) -> Option<Chosen<'a>> {
    if N == 0 {
        wait_for_nothing(limit);
        return None;
    }
    let mut order: [u32; N] = array::from_fn(|index| index as u32);
    let mode = Mode { biased, look: false, alone: false };
    let run::Chosen { index, token } = run::choose(entries, &mut order, limit, mode)?;
    Some(Chosen { index, token, owner: entries[index].owner, _arms: PhantomData })
}

/// A chosen arm has one of the numbers that the macro gave out.
#[cold]
pub fn impossible() -> ! {
    unreachable!("a select has chosen none of its arms")
}
