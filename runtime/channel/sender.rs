//! The sending end.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::arm::{Arm, Token};
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::flavour::Flavour;
use super::limit::{Forever, Limit};

/// The sending end of a channel; clone it to have several senders.
///
/// When the last one is dropped, receivers get what is left in the channel and then an error.
///
/// **Cost**: a send into a buffer with room is one atomic read-modify-write and one move of the message.
///
/// # Examples
///
/// ```
/// let (tx, rx) = fibra::channel::unbounded();
/// let other = tx.clone();
/// std::thread::spawn(move || other.send(1).unwrap());
/// fibra::spawn(move || tx.send(2).unwrap());
/// assert_eq!(rx.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    flavour: Flavour<T>,
}

impl<T> Sender<T> {
    /// Takes over the count of one sender.
    pub(super) fn new(flavour: Flavour<T>) -> Self {
        Self { flavour }
    }

    /// What a select tries and waits on.
    pub(super) fn arm(&self) -> &dyn Arm {
        self.flavour.send_arm()
    }

    /// Sends by an arm that has been chosen, without waiting.
    ///
    /// # Safety
    ///
    /// The token comes from this sender's [`arm`](Self::arm), and is used for nothing else.
    #[inline]
    pub(super) unsafe fn complete(&self, token: Token, message: T) -> Result<(), SendError<T>> {
        // SAFETY: passed on.
        unsafe { self.flavour.complete_send(token, message) }
    }

    /// Sends if that is possible at once; never parks.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel is full (with capacity 0: if no receiver waits), or if all receivers are
    /// gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::TrySendError;
    ///
    /// let (tx, rx) = fibra::channel::bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        self.flavour.try_send(msg).map_err(|error| match error {
            SendTimeoutError::Timeout(msg) => TrySendError::Full(msg),
            SendTimeoutError::Disconnected(msg) => TrySendError::Disconnected(msg),
        })
    }

    /// Sends; parks while the channel is full, or with capacity 0 until a receiver takes the message.
    ///
    /// If the task is cancelled while it is parked, the message is dropped unsent as it unwinds.
    ///
    /// # Errors
    ///
    /// Gives the message back if all receivers are gone, also if the last one goes during the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::SendError;
    ///
    /// let (tx, rx) = fibra::channel::bounded(1);
    /// assert_eq!(tx.send(1), Ok(()));
    /// drop(rx);
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.flavour.send(msg, Forever).map_err(|error| SendError(error.into_inner()))
    }

    /// Sends; parks for at most `timeout`. A timeout too long for the clock is none.
    ///
    /// If the task is cancelled while it is parked, the message is dropped unsent as it unwinds.
    ///
    /// # Errors
    ///
    /// Gives the message back if the time is up, or if all receivers are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use fibra::channel::SendTimeoutError;
    ///
    /// let (tx, _rx) = fibra::channel::bounded(0);
    /// let error = tx.send_timeout("nobody receives", Duration::from_millis(1));
    /// assert_eq!(error, Err(SendTimeoutError::Timeout("nobody receives")));
    /// ```
    #[inline]
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.flavour.send(msg, Limit::After(timeout))
    }

    /// Sends; parks until `deadline` at the latest. Otherwise as [`send_timeout`](Self::send_timeout).
    ///
    /// # Errors
    ///
    /// Gives the message back if the time is up, or if all receivers are gone.
    #[inline]
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.flavour.send(msg, Limit::At(deadline))
    }

    /// Whether no message lies in the channel; with capacity 0 always true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether as many messages lie in the channel as it holds; with capacity 0 always true.
    pub fn is_full(&self) -> bool {
        self.flavour.is_full()
    }

    /// How many messages lie in the channel.
    pub fn len(&self) -> usize {
        self.flavour.len()
    }

    /// How many messages the channel holds; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        self.flavour.capacity()
    }

    /// Whether all receivers are gone.
    pub(crate) fn is_disconnected(&self) -> bool {
        !self.flavour.has_receivers()
    }

    /// Whether both send to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.flavour.is_same(&other.flavour)
    }
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let flavour = self.flavour.share();
        flavour.add_sender();
        Self { flavour }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.flavour.drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
