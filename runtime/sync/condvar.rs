//! A condition variable that parks.
//!
//! | a waiter is | from | until |
//! | --- | --- | --- |
//! | holding the mutex | the call | its park is committed: queued first, then the mutex is unlocked |
//! | queued | that moment | a notifier claims it, or its deadline or its cancellation does; exactly one of them |
//! | notified | a notifier's claim | it runs again, and takes the mutex |
//! | leaving | the claim of its deadline or cancellation | it has left the queue, and takes the mutex |
//!
//! A notifier that meets a leaving waiter fails to claim it and goes on to the next: so a notification is never spent on
//! somebody who doesn't get it, and what `notify_one` and `notify_all` return is exact.
//!
//! `waiting` repeats whether the queue has anybody, so that a notifier need not lock an empty one. It is written under
//! the queue's lock before the waiter unlocks the mutex; whoever has had the mutex after that sees it.
//!
//! Rejected: moving the notified over to the mutex's queue instead of waking them, as parking_lot does. It saves those
//! switches in which a woken task finds the mutex taken, some 100 ns each, but every node would have two queues that it
//! may have to leave, and a deadline would go on in the wrong one.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lock_api::{GuardNoSend, RawMutex as _, RawMutexFair as _};

use super::mutex::RawMutex;
use crate::task::park::assert_parking_is_possible;
use crate::task::waiter::{Selected, WaitQueue, Waiter};
use crate::task::{Outcome, Reason, Wait, checkpoint, park};
use crate::util::AbortOnDrop;
use crate::util::spin::{SpinGuard, SpinLock};

/// A condition variable with `parking_lot`'s API, for [`Mutex`](super::Mutex): `const fn new`, waits on a borrowed guard.
///
/// [`wait`](lock_api::Condvar::wait) unlocks the mutex and parks the task or the thread, in one step as far as notifiers
/// that hold the mutex can see, and takes the mutex again before it returns. `wait_for`, `wait_until`, `wait_while`,
/// `wait_while_for` and `wait_while_until` do what they say.
///
/// **No spurious wake-ups**: an untimed `wait` returns only after a notification, and
/// [`notify_one`](lock_api::Condvar::notify_one) and [`notify_all`](lock_api::Condvar::notify_all) return exactly
/// whether, and how many, waiters got one. They wake in the order of coming.
///
/// **Cancellation.** A cancelled task takes the mutex again, however long that takes, and then unwinds out of the wait.
/// A notification is not lost to it, nor to a wait that timed out: it goes to another waiter, or the wait returns as
/// notified, and the cancellation comes at the next wait.
///
/// **Panics.** A wait inside [`on_thread_stack`](crate::on_thread_stack), where a task can't park; the mutex stays locked.
/// Different mutexes at a time are allowed.
///
/// **Cost.** A notification while nobody waits is one load.
///
/// # Examples
///
/// ```
/// use fibra::sync::{Condvar, Mutex};
///
/// static READY: Mutex<bool> = Mutex::new(false);
/// static CHANGED: Condvar = Condvar::new();
///
/// fibra::run(|| {
///     let waiter = fibra::spawn(|| CHANGED.wait_while(&mut READY.lock(), |ready| !*ready));
///     *READY.lock() = true;
///     CHANGED.notify_one();
///     waiter.join().unwrap();
/// });
/// ```
pub type Condvar = lock_api::Condvar<RawCondvar>;

/// The queue without the methods, for [`lock_api`]'s type. See [`Condvar`].
pub struct RawCondvar {
    waiting: AtomicBool,
    queue: SpinLock<Queue>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for RawCondvar {}
impl RefUnwindSafe for RawCondvar {}

/// The number of a waiter, in the order of coming.
type Ticket = u64;

struct Queue {
    waiters: WaitQueue<Ticket>,
    /// How many have come.
    tickets: Ticket,
}

impl fmt::Debug for RawCondvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCondvar").finish_non_exhaustive()
    }
}

// SAFETY: the mutex is unlocked by the commit of a park whose node is queued, so notifiers find the waiter from then on.
// `Relock` takes the mutex again on every way out after that, unwinding included; its wait is shielded and does not
// unwind. A park that is refused or cancelled before its commit leaves the mutex locked. The guard's state is a unit.
unsafe impl lock_api::RawCondvar for RawCondvar {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self {
        waiting: AtomicBool::new(false),
        queue: SpinLock::new(Queue { waiters: WaitQueue::new(), tickets: 0 }),
    };

    type RawMutex = RawMutex;

    #[inline]
    unsafe fn wait(&self, mutex: &RawMutex, _guard: &mut GuardNoSend) {
        // SAFETY: passed on from our caller.
        unsafe { self.wait_deadline(mutex, None) };
    }

    #[inline]
    fn notify_one(&self) -> bool {
        // Relaxed: whoever had the mutex since the waiter unlocked it sees its store; for others there is no order.
        self.waiting.load(Ordering::Relaxed) && self.notify_one_slow()
    }

    #[inline]
    fn notify_all(&self) -> usize {
        // Relaxed: as above.
        if self.waiting.load(Ordering::Relaxed) { self.notify_all_slow() } else { 0 }
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawCondvarTimed for RawCondvar {
    fn checked_duration_to_instant(timeout: &Duration) -> Option<Instant> {
        Instant::now().checked_add(*timeout)
    }

    #[inline]
    unsafe fn wait_until(&self, mutex: &RawMutex, _guard: &mut GuardNoSend, deadline: &Instant) -> bool {
        // SAFETY: passed on from our caller.
        !unsafe { self.wait_deadline(mutex, Some(*deadline)) }
    }
}

impl RawCondvar {
    /// Returns whether the waiter was notified before the deadline.
    ///
    /// # Safety
    ///
    /// The caller holds the mutex and does not use its data meanwhile.
    unsafe fn wait_deadline(&self, mutex: &RawMutex, deadline: Option<Instant>) -> bool {
        assert_parking_is_possible();
        let relock = Relock { mutex, unlocked: Cell::new(false) };
        let mut queue = self.queue.lock();
        let node = Waiter::new(queue.tickets);
        queue.tickets += 1;
        let leave = Leave { condvar: self, node: &node };
        // SAFETY: the node is new, and `leave` takes it out on every way out. The wait begins before the commit releases
        // the lock; where `park` drops the commit unrun, no wait has begun and claims fail until `leave` is dropped.
        unsafe { queue.waiters.push_back(&node) };
        // Relaxed: the unlock of the mutex below makes it visible to those who need it.
        self.waiting.store(true, Ordering::Relaxed);
        let wait = Wait { reason: Reason::Condvar, object: std::ptr::from_ref(self).cast(), deadline };
        let unlocked = &relock.unlocked;
        let outcome = park(wait, move || {
            unlocked.set(true);
            drop(queue);
            // The waiter may be claimed by now, but it keeps the mutex alive: it needs it again.
            // SAFETY: passed on from our caller: the mutex is held, and the data is not used.
            unsafe { mutex.unlock(GuardNoSend::new()) };
            true
        });
        match outcome {
            Outcome::Woken => {
                // Only notifiers claim this wait, and this one has popped the node.
                std::mem::forget(leave);
                true
            }
            Outcome::TimedOut => {
                drop(leave);
                if !relock.unlocked.get() {
                    // The deadline had passed already. A loop of such waits must let the others have the mutex.
                    // SAFETY: passed on from our caller.
                    unsafe { mutex.bump(&mut GuardNoSend::new()) };
                    checkpoint();
                }
                false
            }
        }
    }

    #[cold]
    fn notify_one_slow(&self) -> bool {
        let queue = self.queue.lock();
        self.notify_before(Ticket::MAX, queue)
    }

    #[cold]
    fn notify_all_slow(&self) -> usize {
        let mut queue = self.queue.lock();
        // Those who come while we wake the others are not meant.
        let end = queue.tickets;
        let mut notified = 0;
        while self.notify_before(end, queue) {
            notified += 1;
            queue = self.queue.lock();
        }
        notified
    }

    /// Wakes the first waiter, if its ticket is from before `end`.
    fn notify_before(&self, end: Ticket, mut queue: SpinGuard<'_, Queue>) -> bool {
        let claimed = queue.waiters.claim_first_where(|&ticket| ticket < end);
        self.waiting.store(!queue.waiters.is_empty(), Ordering::Relaxed);
        let Some(claimed) = claimed else { return false };
        let wake = claimed.select(Selected::Served);
        drop(queue);
        wake.unpark();
        true
    }
}

/// Takes the mutex again on every way out of a wait that has unlocked it.
struct Relock<'a> {
    mutex: &'a RawMutex,
    unlocked: Cell<bool>,
}

impl Drop for Relock<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.unlocked.get() {
            let bomb = AbortOnDrop("a wait on a condition variable could not lock its mutex again");
            self.mutex.lock();
            std::mem::forget(bomb);
        }
    }
}

/// Takes the node of a waiter that nobody has notified out of the queue.
struct Leave<'a> {
    condvar: &'a RawCondvar,
    node: &'a Waiter<Ticket>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut queue = self.condvar.queue.lock();
        // SAFETY: the node is in this queue or has been popped from it.
        unsafe { queue.waiters.remove(self.node) };
        self.condvar.waiting.store(!queue.waiters.is_empty(), Ordering::Relaxed);
    }
}
