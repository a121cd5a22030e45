//! The receiving end.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::core::Limit;
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::flavour::Flavour;

/// The receiving end of a channel; clone it to have several receivers, which share the messages among them.
///
/// When the last one is dropped, the messages left in the channel are dropped, and senders get an error.
///
/// **Cost**: a receive from a buffer with messages is one atomic read-modify-write and one move of the message.
///
/// # Examples
///
/// ```
/// let (tx, rx) = fibra::channel::unbounded();
/// fibra::spawn(move || (1..=3).for_each(|i| tx.send(i).unwrap()));
/// assert_eq!(rx.recv(), Ok(1));
/// assert_eq!(rx.iter().collect::<Vec<_>>(), [2, 3]);
/// ```
pub struct Receiver<T> {
    flavour: Flavour<T>,
}

impl<T> Receiver<T> {
    /// Takes over the count of one receiver.
    pub(super) fn new(flavour: Flavour<T>) -> Self {
        Self { flavour }
    }

    /// Receives if that is possible at once; never parks.
    ///
    /// # Errors
    ///
    /// If the channel is empty (with capacity 0: if no sender waits), or empty with all senders gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::TryRecvError;
    ///
    /// let (tx, rx) = fibra::channel::unbounded();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(5).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Ok(5));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.flavour.try_recv().map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives; parks while the channel is empty.
    ///
    /// If the task is cancelled while it is parked, it has received nothing.
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone, also if the last one goes during the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::RecvError;
    ///
    /// let (tx, rx) = fibra::channel::bounded(1);
    /// fibra::spawn(move || tx.send(5).unwrap());
    /// assert_eq!(rx.recv(), Ok(5));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.flavour.recv(Limit::Never).map_err(|_| RecvError)
    }

    /// Receives; parks for at most `timeout`. A timeout too long for the clock is none.
    ///
    /// If the task is cancelled while it is parked, it has received nothing.
    ///
    /// # Errors
    ///
    /// If the time is up, or if the channel is empty and all senders are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use fibra::channel::RecvTimeoutError;
    ///
    /// let (_tx, rx) = fibra::channel::unbounded::<i32>();
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[inline]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.flavour.recv(Limit::After(timeout))
    }

    /// Receives; parks until `deadline` at the latest. Otherwise as [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Errors
    ///
    /// If the time is up, or if the channel is empty and all senders are gone.
    #[inline]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.flavour.recv(Limit::At(deadline))
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

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.flavour.is_same(&other.flavour)
    }
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let flavour = self.flavour.share();
        flavour.add_receiver();
        Self { flavour }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.flavour.drop_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
