//! Waiting for a task and its result.

use std::fmt;

use super::{Result, Thread};
use crate::task::checkpoint;
use crate::task::handle::TaskHandle;

/// Owns the permission to join a task. Dropping it detaches the task, which then goes on by itself.
pub struct JoinHandle<T>(TaskHandle<T>);

impl<T> JoinHandle<T> {
    pub(super) fn new(task: TaskHandle<T>) -> Self {
        Self(task)
    }

    /// The task's identity.
    pub fn thread(&self) -> &Thread {
        Thread::from_ref(self.0.core())
    }

    /// Parks (on a plain thread: blocks) until the task has ended, and returns its result.
    ///
    /// If the joiner is cancelled meanwhile, the task is detached.
    ///
    /// # Errors
    ///
    /// The payload of the task's panic; a [`Cancelled`](crate::Cancelled) if it was cancelled; an [`std::io::Error`] if
    /// it could not start because there was no memory for its stack.
    ///
    /// # Examples
    ///
    /// ```
    /// fibra::run(|| {
    ///     assert_eq!(fibra::spawn(|| 6 * 7).join().unwrap(), 42);
    ///     let payload = fibra::spawn(|| panic!("oh no")).join().unwrap_err();
    ///     assert_eq!(payload.downcast_ref(), Some(&"oh no"));
    /// });
    /// ```
    pub fn join(self) -> Result<T> {
        self.0.join()
    }

    /// Whether the task's closure has ended; [`join`](Self::join) then returns at once.
    pub fn is_finished(&self) -> bool {
        let finished = self.0.is_finished();
        if !finished {
            // A loop that asks for ever must not keep the task from running.
            checkpoint();
        }
        finished
    }

    /// Makes the task unwind at its current or next park, so that its destructors run; see the
    /// [module's page](super#cancellation). A task that has not started never runs its closure, but drops it.
    ///
    /// Never parks, and does not wait: [`join`](Self::join) does, and returns [`Cancelled`](crate::Cancelled) unless
    /// the task came to its end before it met the cancellation.
    pub fn cancel(&self) {
        self.0.core().cancel();
    }
}

#[cfg(feature = "futures")]
impl<T> JoinHandle<T> {
    /// See [`TaskHandle::poll_join`].
    pub(crate) fn poll_join(&mut self, waker: &std::task::Waker) -> std::task::Poll<Result<T>> {
        self.0.poll_join(waker)
    }
}

// The result is not in here.
impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}
