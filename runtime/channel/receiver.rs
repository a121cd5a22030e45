//! The receiving end.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arm::{Arm, Never};
use super::clock::Clock;
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::flavour::Flavour;
use super::limit::{Forever, Limit, Until};
use super::run::wait_for_nothing;

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
    source: Source<T>,
}

/// Where the messages come from.
enum Source<T> {
    Senders(Flavour<T>),
    /// The clock; or nowhere, if there is none.
    Clock(Option<Arc<Clock<T>>>),
}

impl<T> Receiver<T> {
    /// Takes over the count of one receiver.
    pub(super) fn new(flavour: Flavour<T>) -> Self {
        Self { source: Source::Senders(flavour) }
    }

    pub(super) fn of_clock(clock: Clock<T>) -> Self {
        Self { source: Source::Clock(Some(Arc::new(clock))) }
    }

    pub(super) const fn of_nothing() -> Self {
        Self { source: Source::Clock(None) }
    }

    /// What a select tries and waits on.
    pub(super) fn arm(&self) -> &dyn Arm {
        match &self.source {
            Source::Senders(flavour) => flavour.recv_arm(),
            Source::Clock(Some(clock)) => &**clock,
            Source::Clock(None) => &Never,
        }
    }

    #[inline(always)]
    fn recv_within<L: Until>(&self, limit: L) -> Result<T, RecvTimeoutError> {
        match &self.source {
            Source::Senders(flavour) => flavour.recv(limit),
            Source::Clock(clock) => recv_from_clock(clock.as_deref(), limit.into()),
        }
    }

    /// Receives if that is possible at once; does not wait for a sender.
    ///
    /// With capacity 0 the sender may be an arm of a select, which makes its message only now that it has a receiver: the
    /// call parks until that is done.
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
        let result = match &self.source {
            Source::Senders(flavour) => flavour.try_recv(),
            Source::Clock(Some(clock)) => clock.try_recv(),
            Source::Clock(None) => Err(RecvTimeoutError::Timeout),
        };
        result.map_err(|error| match error {
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
        self.recv_within(Forever).map_err(|_| RecvError)
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
        self.recv_within(Limit::After(timeout))
    }

    /// Receives; parks until `deadline` at the latest. Otherwise as [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Errors
    ///
    /// If the time is up, or if the channel is empty and all senders are gone.
    #[inline]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(Limit::At(deadline))
    }

    /// Whether no message lies in the channel; with capacity 0 always true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether as many messages lie in the channel as it holds; with capacity 0 always true.
    pub fn is_full(&self) -> bool {
        self.capacity() == Some(self.len())
    }

    /// How many messages lie in the channel.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Senders(flavour) => flavour.len(),
            Source::Clock(clock) => clock.as_ref().map_or(0, |clock| clock.len()),
        }
    }

    /// How many messages the channel holds; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        match &self.source {
            Source::Senders(flavour) => flavour.capacity(),
            Source::Clock(clock) => Some(usize::from(clock.is_some())),
        }
    }

    /// Whether both receive from the same channel. Receivers from [`never`](super::never) all do.
    pub fn same_channel(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (Source::Senders(a), Source::Senders(b)) => a.is_same(b),
            (Source::Clock(Some(a)), Source::Clock(Some(b))) => Arc::ptr_eq(a, b),
            (Source::Clock(None), Source::Clock(None)) => true,
            _ => false,
        }
    }
}

#[cold]
fn recv_from_clock<T>(clock: Option<&Clock<T>>, limit: Limit) -> Result<T, RecvTimeoutError> {
    match clock {
        Some(clock) => clock.recv(limit),
        None => {
            wait_for_nothing(limit);
            Err(RecvTimeoutError::Timeout)
        }
    }
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let source = match &self.source {
            Source::Senders(flavour) => {
                flavour.add_receiver();
                Source::Senders(flavour.share())
            }
            Source::Clock(clock) => Source::Clock(clock.clone()),
        };
        Self { source }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Source::Senders(flavour) = &self.source {
            flavour.drop_receiver();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
