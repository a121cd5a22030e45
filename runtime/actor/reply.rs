//! The answer to a call, and who owes it.

use std::fmt;

use super::own;
use crate::channel::oneshot;

/// The obligation to answer a [`call`](super::Address::call) with an `R`: a part of the message.
///
/// The answer can be given later, from anywhere: keep this, or hand it on to another actor, task or thread. Dropping it
/// unanswered tells the caller at once that there will be no answer.
///
/// # Examples
///
/// An answer that another task gives, while the actor goes on:
///
/// ```
/// use fibra::actor::{self, ReplyTo};
///
/// struct Square(u64, ReplyTo<u64>);
///
/// let actor = actor::spawn(|_| (), |(), Square(number, reply_to)| {
///     fibra::spawn(move || reply_to.send(number * number));
/// });
/// assert_eq!(actor.call(|reply_to| Square(7, reply_to)).unwrap(), 49);
/// ```
#[must_use = "a caller waits for the answer"]
pub struct ReplyTo<R: 'static> {
    sender: Option<oneshot::Sender<R>>,
}

impl<R> ReplyTo<R> {
    /// The obligation, and where its caller waits.
    pub(super) fn new() -> (Self, oneshot::Receiver<R>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender) }, receiver)
    }

    /// Answers. An answer that nobody waits for any more, since the time was up, is dropped. Never parks.
    pub fn send(self, answer: R) {
        let _ = self.try_send(answer);
    }

    /// Answers. Never parks.
    ///
    /// # Errors
    ///
    /// Gives the answer back if nobody waits for it any more.
    pub fn try_send(mut self, answer: R) -> Result<(), R> {
        match self.sender.take() {
            Some(sender) => sender.send(answer).map_err(|error| error.into_inner()),
            None => Err(answer),
        }
    }

    /// Whether the caller still waits: an answer is worth its making.
    pub fn is_waiting(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| !sender.is_disconnected())
    }
}

/// Unanswered: an actor that unwinds tells the caller when it is known why.
impl<R: 'static> Drop for ReplyTo<R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            drop(own::abandon(sender));
        }
    }
}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyTo").field("is_waiting", &self.is_waiting()).finish()
    }
}
