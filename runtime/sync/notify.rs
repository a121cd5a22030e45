//! A signal without data: tokio's `Notify`.
//!
//! ```text
//! 63          2        1         0
//! | generation | WAITERS | PERMIT |
//! ```
//!
//! `generation` counts the calls of `notify_waiters`.
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | no `WAITERS` → `PERMIT` | `notify_one` | compare-and-swap |
//! | `PERMIT` → none | one who waits, or would | compare-and-swap |
//! | no `PERMIT` → `WAITERS` | one who is about to queue | compare-and-swap under the queue's lock |
//! | `WAITERS` → none, or → `PERMIT` | a notifier that leaves the queue empty, or found nobody in it | under that lock |
//! | generation + 1 | `notify_waiters` | under that lock |
//!
//! `PERMIT` and `WAITERS` are never both set. A notification goes to one whose wait the notifier has claimed; a waiter
//! that has timed out or is cancelled can't be claimed, so none is spent on it.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::spin::SpinLock;

const PERMIT: u64 = 1;
const WAITERS: u64 = 1 << 1;
const GENERATION: u64 = 1 << 2;

/// Tells tasks and threads that something has happened, with the semantics of `tokio`'s `Notify`.
///
/// [`notify_one`](Self::notify_one) wakes the first that waits. If nobody does, it leaves one permit, however often it
/// is called, and the next one does not wait. [`notify_waiters`](Self::notify_waiters) wakes all that wait, and leaves
/// nothing. Where tokio says `notify.notified().await`, this is `notify.notified().wait()`.
///
/// **Parks**: only [`Notified::wait`] and those beside it. **Cancellation**: a task that is cancelled while it waits
/// unwinds, and no notification is lost to it.
///
/// # Examples
///
/// ```
/// use fibra::sync::Notify;
///
/// static WORK: Notify = Notify::new();
///
/// fibra::run(|| {
///     let worker = fibra::spawn(|| WORK.notified().wait());
///     WORK.notify_one(); // not lost, whether or not the worker waits already
///     worker.join().unwrap();
/// });
/// ```
pub struct Notify {
    word: AtomicU64,
    queue: SpinLock<WaitQueue<()>>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

impl Notify {
    /// Makes one without a permit.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(0), queue: SpinLock::new(WaitQueue::new()) }
    }

    /// Prepares to wait: a later [`notify_waiters`](Self::notify_waiters) is not missed, even if it comes before the wait
    /// begins. Does not take part in [`notify_one`](Self::notify_one) until it waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let notify = fibra::sync::Notify::new();
    /// let notified = notify.notified();
    /// // … look whether there is anything to wait for; meanwhile:
    /// notify.notify_waiters();
    /// notified.wait();
    /// ```
    #[inline]
    pub fn notified(&self) -> Notified<'_> {
        // Acquire: as in `Notified::take`.
        Notified { notify: self, generation: self.word.load(Ordering::Acquire) / GENERATION }
    }

    /// Wakes the first that waits, or leaves the permit for the next one. Never parks.
    ///
    /// What was written before is visible to the one that gets it.
    #[inline]
    pub fn notify_one(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & WAITERS == 0 {
            // Release: pairs with the Acquire in `Notified::take`. Written even if the permit is there already, so that
            // its taker sees what this caller wrote.
            match self.word.compare_exchange_weak(word, word | PERMIT, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(actual) => word = actual,
            }
        }
        self.notify_one_slow();
    }

    /// Wakes all that wait and all that have [prepared](Self::notified) to. Leaves no permit. Never parks.
    pub fn notify_waiters(&self) {
        let mut queue = self.queue.lock();
        // Release: pairs with the Acquire in `Notified::take`.
        self.word.fetch_add(GENERATION, Ordering::Release);
        let all = queue.claim_all(Selected::Served);
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
        drop(queue);
        all.unpark();
    }

    #[cold]
    fn notify_one_slow(&self) {
        let mut queue = self.queue.lock();
        let first = queue.claim_first();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let left = if queue.is_empty() { word & !WAITERS } else { word };
            let next = if first.is_some() { left } else { left | PERMIT };
            // Release: as in `notify_one`.
            match self.word.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(actual) => word = actual,
            }
        }
        let wake = first.map(|first| first.select(Selected::Served));
        drop(queue);
        if let Some(wake) = wake {
            wake.unpark();
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

/// The intention to wait for a notification, from [`Notify::notified`].
#[must_use = "does nothing until it waits"]
pub struct Notified<'a> {
    notify: &'a Notify,
    generation: u64,
}

impl Notified<'_> {
    /// Parks until notified.
    #[inline]
    pub fn wait(self) {
        checkpoint();
        if !self.take() {
            self.wait_slow(None);
        }
    }

    /// Parks until notified, but no longer than `timeout`; returns whether there was a notification.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let notify = fibra::sync::Notify::new();
    /// assert!(!notify.notified().wait_timeout(Duration::from_millis(1)));
    /// notify.notify_one();
    /// assert!(notify.notified().wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> bool {
        checkpoint();
        // A deadline beyond the clock's range never comes.
        self.take() || self.wait_slow(Instant::now().checked_add(timeout))
    }

    /// Parks until notified, but not beyond `deadline`; returns whether there was a notification.
    pub fn wait_deadline(self, deadline: Instant) -> bool {
        checkpoint();
        self.take() || self.wait_slow(Some(deadline))
    }

    /// Whether there was a notification already; takes the permit if that is what there was.
    #[inline]
    fn take(&self) -> bool {
        // Acquire, here and below: pairs with the Release of the notifier.
        let mut word = self.notify.word.load(Ordering::Acquire);
        loop {
            if word / GENERATION != self.generation {
                return true;
            }
            if word & PERMIT == 0 {
                return false;
            }
            match self.notify.word.compare_exchange_weak(
                word,
                word & !PERMIT,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(actual) => word = actual,
            }
        }
    }

    /// Returns whether there was a notification before the deadline.
    #[cold]
    fn wait_slow(&self, deadline: Option<Instant>) -> bool {
        let notify = self.notify;
        let queue = notify.queue.lock();
        while !self.take() {
            let word = notify.word.load(Ordering::Relaxed);
            // Relaxed: the bit is for later notifiers, which the word's own order decides.
            let announce = |next| {
                notify.word.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            };
            // The generation can't change: that needs the lock.
            if word & PERMIT != 0 || !announce(word | WAITERS) {
                continue;
            }
            let node = Waiter::new(());
            let wait = Wait { reason: Reason::Notify, object: std::ptr::from_ref(notify).cast(), deadline };
            // SAFETY: the guard is of this lock, whose value is the queue; the node is new.
            let selected = unsafe { wait_in(&notify.queue, queue, |queue| queue, &node, End::Back, wait) };
            return selected == Selected::Served;
        }
        true
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").finish_non_exhaustive()
    }
}
