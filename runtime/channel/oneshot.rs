//! A channel for one message: the answer to a request.
//!
//! Sending takes the sender, and never waits. The receiver can wait for the message, alone or in
//! [`select!`](crate::select), and learns if the sender is dropped instead. Both ends work from tasks and from plain OS
//! threads. One allocation serves the whole channel.
//!
//! # Examples
//!
//! ```
//! use fibra::channel::{oneshot, unbounded};
//!
//! fibra::run(|| {
//!     let (requests, inbox) = unbounded::<(u32, oneshot::Sender<u32>)>();
//!     fibra::go!(for (number, answer) in inbox {
//!         let _ = answer.send(number * number); // the asker may have gone
//!     });
//!     let (answer, result) = oneshot::channel();
//!     requests.send((7, answer)).unwrap();
//!     assert_eq!(result.recv(), Ok(49));
//! });
//! ```

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Single;
use super::core::Channel;
use super::error::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use super::limit::{Forever, Limit};
use super::macro_arm::{Receive, RecvArm};

/// Makes a channel for one message.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let core = Arc::new(Channel::new(Single::default(), Some(1)));
    (Sender(core.clone()), Receiver(core))
}

/// The sending end; dropped without a message, it tells the receiver so.
pub struct Sender<T>(Arc<Channel<T, Single<T>>>);

/// The receiving end.
pub struct Receiver<T>(Arc<Channel<T, Single<T>>>);

impl<T> Sender<T> {
    /// Sends the message; never parks.
    ///
    /// # Errors
    ///
    /// Gives it back if the receiver is gone.
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        self.0.try_send(message).map_err(|error| SendError(error.into_inner()))
    }

    /// Whether the receiver is gone, so that an answer is not worth its making.
    pub fn is_disconnected(&self) -> bool {
        !self.0.has_receivers()
    }
}

impl<T> Receiver<T> {
    /// Receives the message if it is there; never parks.
    ///
    /// # Errors
    ///
    /// If it is not there yet; or if it never will be, since it has been received or the sender was dropped.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.try_recv().map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives the message; parks until it is there. If the task is cancelled meanwhile, it has received nothing.
    ///
    /// # Errors
    ///
    /// If there will be none: it has been received, or the sender was dropped.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.recv(Forever).map_err(|_| RecvError)
    }

    #[inline]
    pub(crate) fn recv_within(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        self.0.recv(limit)
    }

    /// As [`recv`](Self::recv), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the time is up, or if there will be no message.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.0.recv(Limit::After(timeout))
    }

    /// As [`recv`](Self::recv), but parks until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// If the time is up, or if there will be no message.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.0.recv(Limit::At(deadline))
    }
}

impl<T> Receive for Receiver<T> {
    type Slot = T;
    type Message = T;
    type Error = RecvError;

    fn recv_arm(&self) -> RecvArm<'_, T, Result<T, RecvError>> {
        RecvArm::of(&*self.0)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.drop_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.drop_receiver();
    }
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
