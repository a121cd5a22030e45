//! A counter to wait for: Go's `sync.WaitGroup`.
//!
//! ```text
//! 63            32 31 30                 0
//! |     count     | W |      round       |
//! ```
//!
//! `count` is what is left to be done, `W` is set when somebody may wait for it to become 0, and `round` says how often
//! it became 0 while somebody waited. Whoever brings the count to 0 clears `W` and begins the next round in the same
//! compare-and-swap; then it takes the queue's lock and releases those who wait for the round that ended, and nobody
//! else. So the group can be used again at once, even while a slow releaser has not reached the queue yet.
//!
//! A waiter sets `W` and joins the queue under one hold of the queue's lock. If its compare-and-swap saw a count above 0,
//! the one that ends this round sees `W`, and will find the waiter in the queue.
//!
//! Rejected: `fetch_add` and a second look under the lock. A releaser that is delayed between the two can't tell the
//! waiters of its own round from those of the next.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::spin::SpinLock;

const ONE: u64 = 1 << 32;
const WAITERS: u64 = 1 << 31;
const ROUND: u64 = WAITERS - 1;

/// A counter of unfinished work, and a way to wait until it is 0: Go's `sync.WaitGroup`.
///
/// [`clone`](Clone::clone) shares the group and counts nothing; what counts is [`add`](Self::add),
/// [`go`](Self::go) and [`guard`](Self::guard). The group may be used again after it has reached 0.
///
/// As in Go, an `add` that starts from 0 must happen before the `wait` that is to see it: do it before the task is
/// spawned, not inside. Several rounds need no more care than that.
///
/// **Parks**: only [`wait`](Self::wait) and [`wait_timeout`](Self::wait_timeout), tasks and OS threads alike.
/// **Cost**: one atomic operation to add and one to be done; the last one also wakes those who wait.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use fibra::sync::WaitGroup;
///
/// static DONE: AtomicU32 = AtomicU32::new(0);
///
/// fibra::run(|| {
///     let wg = WaitGroup::new();
///     for _ in 0..100 {
///         wg.go(|| {
///             DONE.fetch_add(1, Ordering::Relaxed);
///         });
///     }
///     wg.wait();
///     assert_eq!(DONE.load(Ordering::Relaxed), 100);
/// });
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

// No waiter can see a broken state: the lock inside is held for a few instructions that don't unwind.
impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

struct Inner {
    word: AtomicU64,
    waiters: SpinLock<WaitQueue<Round>>,
}

/// The round that a waiter waits for.
type Round = u32;

impl WaitGroup {
    /// Makes a group whose count is 0.
    pub fn new() -> Self {
        let inner = Inner { word: AtomicU64::new(0), waiters: SpinLock::new(WaitQueue::new()) };
        Self { inner: Arc::new(inner) }
    }

    /// Adds `delta`, which may be negative, to the count; at 0 all who wait go on.
    ///
    /// # Panics
    ///
    /// If the count would become negative, or greater than `u32::MAX`. It then stays as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// let wg = fibra::sync::WaitGroup::new();
    /// wg.add(2);
    /// wg.done();
    /// wg.add(-1);
    /// wg.wait();
    /// ```
    #[inline]
    pub fn add(&self, delta: isize) {
        let mut word = self.inner.word.load(Ordering::Relaxed);
        loop {
            let Some(next) = after(word, delta) else { refuse(word, delta) };
            // Release: pairs with the Acquire in `wait`; what was done before `done` is visible behind it.
            // Acquire: whoever ends the round passes on what the others released.
            match self.inner.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if next & ROUND != word & ROUND => return self.inner.release(round(word)),
                Ok(_) => return,
                Err(actual) => word = actual,
            }
        }
    }

    /// Takes one off the count; at 0 all who wait go on.
    ///
    /// # Panics
    ///
    /// If the count is 0 already.
    #[inline]
    pub fn done(&self) {
        self.add(-1);
    }

    /// Parks until the count is 0; returns at once if it is.
    ///
    /// A cancelled task unwinds out of the wait; the count does not change.
    #[inline]
    pub fn wait(&self) {
        checkpoint();
        if !self.inner.is_zero() {
            self.inner.wait_slow(None);
        }
    }

    /// Parks until the count is 0, but no longer than `timeout`; returns whether it became 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let wg = fibra::sync::WaitGroup::new();
    /// let guard = wg.guard();
    /// assert!(!wg.wait_timeout(Duration::from_millis(1)));
    /// drop(guard);
    /// assert!(wg.wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        checkpoint();
        // A deadline beyond the clock's range never comes.
        self.inner.is_zero() || self.inner.wait_slow(Instant::now().checked_add(timeout))
    }

    /// Adds one and spawns a detached task that runs `f` and is done, also if `f` panics or never starts.
    ///
    /// The task belongs to the caller's runtime, or on a plain thread to the global one. It is done after `f`, and all
    /// that `f` owns, has been dropped.
    ///
    /// # Panics
    ///
    /// As [`spawn`](fn@crate::spawn) does, if no task can be made; and if the count overflows. A panic of `f` itself is
    /// reported on stderr and goes no further.
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        let job = Job { f, guard: self.guard() };
        crate::sched::spawn_detached(move || job.run());
    }

    /// Adds one, and is done when the guard is dropped, also by a panic.
    ///
    /// # Panics
    ///
    /// If the count overflows.
    #[inline]
    pub fn guard(&self) -> WaitGroupGuard {
        self.add(1);
        WaitGroupGuard { group: self.clone() }
    }
}

impl WaitGroup {
    /// The count of this moment, to be told: nothing that was done before it need be visible.
    pub(crate) fn count(&self) -> usize {
        // Relaxed: it orders nothing.
        (self.inner.word.load(Ordering::Relaxed) >> 32) as usize
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// One unit of a [`WaitGroup`]'s count, from [`WaitGroup::guard`]; done when dropped.
#[must_use = "a guard that is dropped at once is done at once"]
pub struct WaitGroupGuard {
    group: WaitGroup,
}

impl Drop for WaitGroupGuard {
    #[inline]
    fn drop(&mut self) {
        self.group.done();
    }
}

impl fmt::Debug for WaitGroupGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroupGuard").finish_non_exhaustive()
    }
}

/// A task of the group. The fields are dropped in this order, so that the group never waits too short.
struct Job<F> {
    f: F,
    guard: WaitGroupGuard,
}

impl<F: FnOnce()> Job<F> {
    fn run(self) {
        let Self { f, guard } = self;
        f();
        drop(guard);
    }
}

impl Inner {
    #[inline]
    fn is_zero(&self) -> bool {
        // Acquire: pairs with the Release in `add`.
        self.word.load(Ordering::Acquire) < ONE
    }

    /// Lets those go on who waited for `ended` or an earlier round.
    #[cold]
    fn release(&self, ended: Round) {
        let mut waiters = self.waiters.lock();
        let released = waiters.claim_all_where(Selected::Served, |&round| !is_later(round, ended));
        drop(waiters);
        released.unpark();
    }

    /// Returns whether the count became 0 before the deadline.
    #[cold]
    fn wait_slow(&self, deadline: Option<Instant>) -> bool {
        let waiters = self.waiters.lock();
        let Some(round) = self.announce_waiter() else { return true };
        let node = Waiter::new(round);
        let wait = Wait { reason: Reason::WaitGroup, object: std::ptr::from_ref(self).cast(), deadline };
        // SAFETY: the guard is of this lock, whose value is the queue; the node is new.
        let selected = unsafe { wait_in(&self.waiters, waiters, |queue| queue, &node, End::Back, wait) };
        selected == Selected::Served
    }

    /// Sets `WAITERS` and returns the round, unless the count is 0. Called under the queue's lock.
    fn announce_waiter(&self) -> Option<Round> {
        // Acquire, here and below: as in `is_zero`.
        let mut word = self.word.load(Ordering::Acquire);
        while word >= ONE {
            let next = word | WAITERS;
            match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(round(word)),
                Err(actual) => word = actual,
            }
        }
        None
    }
}

/// The word after `delta` was added to its count, or `None` if it does not fit. Ends the round if somebody waits for 0.
#[inline]
fn after(word: u64, delta: isize) -> Option<u64> {
    let count = i64::try_from(word >> 32).ok()?.checked_add(i64::try_from(delta).ok()?)?;
    let count = u64::from(u32::try_from(count).ok()?);
    let low = word & (WAITERS | ROUND);
    // The round wraps: only rounds close to each other are ever compared.
    let low = if count == 0 && low & WAITERS != 0 { (low + 1) & ROUND } else { low };
    Some(count << 32 | low)
}

#[inline]
fn round(word: u64) -> Round {
    (word & ROUND) as Round
}

/// Whether `a` comes after `b`, in 31 bits that wrap.
fn is_later(a: Round, b: Round) -> bool {
    let distance = a.wrapping_sub(b) & ROUND as Round;
    distance != 0 && distance < 1 << 30
}

#[cold]
fn refuse(word: u64, delta: isize) -> ! {
    let count = word >> 32;
    if delta < 0 {
        panic!(
            "negative WaitGroup counter: {count} with {delta} added; `done` was called more often than `add(1)`"
        );
    }
    panic!("WaitGroup counter overflow: {count} with {delta} added exceeds {}", u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_wrap() {
        let last = ROUND as Round;
        assert!(is_later(0, last));
        assert!(!is_later(last, 0));
        assert!(!is_later(7, 7));
        assert_eq!(after(ONE | WAITERS | ROUND, -1), Some(0));
    }

    #[test]
    fn count_is_checked_at_both_ends() {
        assert_eq!(after(0, -1), None);
        assert_eq!(after(u64::from(u32::MAX) << 32, 1), None);
        assert_eq!(after(0, isize::MAX), None);
        assert_eq!(after(ONE, isize::MIN), None);
        assert_eq!(after(5 * ONE, -5), Some(0));
    }
}
