//! A mutual exclusion lock without its data: taking, waiting, unlocking.
//!
//! The [word](super::word) says whether the lock is held and whether somebody waits; its file has the table of its states.
//! Those who wait stand in one queue, first come, first served. A woken waiter that finds the lock taken again queues at
//! the front, and the holder that beat it will look there.
//!
//! A cancelled waiter leaves nothing behind. Either the claim of its wait was the canceller's, and then no holder has
//! given it anything; or a holder's, and then it takes what it was given, or queues again before it unwinds, so that the
//! one who holds the lock meanwhile wakes the next.
//!
//! Rejected: handing over at every unlock. A lock that is taken in a loop would then switch tasks every time, which
//! costs ten times the critical section; so barging is the rule and the hand-over comes after [`PATIENCE`].

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use lock_api::GuardNoSend;

use super::super::patience::{PATIENCE, spin};
use super::word::Word;
use crate::task::cancel::shield;
use crate::task::waiter::{Claimed, End, Selected, WaitQueue, Waiter, Wake, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::AbortOnDrop;
use crate::util::spin::SpinLock;

/// What a waiter tells the holder: since when it waits.
type Since = Instant;

/// The lock without its data, for [`lock_api`]'s types. See [`Mutex`](crate::sync::Mutex).
///
/// Its own [`lock`](lock_api::RawMutex::lock) holds a cancellation back, since it is what guards that unlock for a while
/// take the lock with again.
pub struct RawMutex {
    word: Word,
    queue: SpinLock<WaitQueue<Since>>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for RawMutex {}
impl RefUnwindSafe for RawMutex {}

// SAFETY: `LOCKED` is set only by a compare-and-swap from a state without it, or stays set when a holder hands the lock
// to one claimed waiter; so there is one holder at a time. Taking is an Acquire and unlocking a Release on the word, or on
// the queue's lock and the unpark for a hand-over. A forgotten guard leaves the lock held, which is safe; a locked mutex
// that is moved or dropped has no waiters, since those borrow it. What unwinds out of a wait holds nothing.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self { word: Word::new(), queue: SpinLock::new(WaitQueue::new()) };

    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        checkpoint();
        if !self.word.try_take() {
            self.lock_shielded();
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        let taken = self.word.try_take();
        if !taken {
            // A loop that tries for ever must not keep the holder from running.
            checkpoint();
        }
        taken.then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _guard: GuardNoSend) {
        if !self.word.try_release() {
            self.unlock_slow(false);
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        // Relaxed: the answer may be stale anyway.
        self.word.is_locked()
    }
}

// SAFETY: as above. `bump` returns only with the lock held: a shielded wait does not unwind, and a panic aborts.
unsafe impl lock_api::RawMutexFair for RawMutex {
    #[inline]
    unsafe fn unlock_fair(&self, _guard: GuardNoSend) {
        if !self.word.try_release() {
            self.unlock_slow(true);
        }
    }

    #[inline]
    unsafe fn bump(&self, _guard: &mut GuardNoSend) {
        // Relaxed: a waiter that we miss now is seen by the unlock.
        if self.word.has_waiters() {
            let bomb = AbortOnDrop("`bump` could not lock its mutex again");
            self.unlock_slow(true);
            if !self.word.try_take() {
                self.lock_shielded();
            }
            std::mem::forget(bomb);
        }
    }
}

// SAFETY: as for `RawMutex`. No method of a guard calls these, so they may unwind.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        checkpoint();
        // A deadline beyond the clock's range never comes.
        let taken = self.word.try_take() || self.lock_slow(Instant::now().checked_add(timeout));
        taken.then(GuardNoSend::new)
    }

    #[inline]
    fn try_lock_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        checkpoint();
        (self.word.try_take() || self.lock_slow(Some(deadline))).then(GuardNoSend::new)
    }
}

impl RawMutex {
    /// Takes the lock; unwinds, without it, if the task is cancelled while it waits.
    #[inline]
    pub(crate) fn lock_cancellable(&self) -> GuardNoSend {
        checkpoint();
        if !self.word.try_take() {
            self.lock_slow(None);
        }
        GuardNoSend::new()
    }

    /// Waits for the lock with cancellation held back.
    #[cold]
    fn lock_shielded(&self) {
        shield(|| self.lock_slow(None));
    }

    /// Waits for the lock; false when the deadline has passed. Unwinds, without the lock, if the task is cancelled.
    #[cold]
    fn lock_slow(&self, deadline: Option<Instant>) -> bool {
        if spin(|| self.word.try_take(), || self.word.has_waiters()) {
            return true;
        }
        let node = Waiter::new(Instant::now());
        let mut end = End::Back;
        loop {
            let queue = self.queue.lock();
            if !self.word.announce() {
                return true;
            }
            let wait = Wait { reason: Reason::Mutex, object: std::ptr::from_ref(self).cast(), deadline };
            // SAFETY: the guard is of this lock, whose value is the queue; the node has left it on every way out.
            let selected = unsafe { wait_in(&self.queue, queue, |queue| queue, &node, end, wait) };
            match selected {
                // The holder left the lock locked, for us.
                Selected::Served => return true,
                Selected::Retry if self.word.try_take() => return true,
                // Somebody was faster, so we keep our place.
                Selected::Retry => end = End::Front,
                Selected::Nothing | Selected::Closed => return self.word.try_take(),
            }
        }
    }

    /// Unlocks while somebody may wait.
    #[cold]
    fn unlock_slow(&self, fair: bool) {
        let mut queue = self.queue.lock();
        let impatient = || queue.first_packet().is_some_and(|since| since.elapsed() > PATIENCE);
        let hand_over = fair || impatient();
        let first = queue.claim_first();
        self.word.settle(hand_over && first.is_some(), !queue.is_empty());
        let wake = first.map(|first| Self::pass_on(first, hand_over));
        drop(queue);
        if let Some(wake) = wake {
            wake.unpark();
        }
    }

    fn pass_on(first: Claimed<Since>, hand_over: bool) -> Wake {
        first.select(if hand_over { Selected::Served } else { Selected::Retry })
    }
}
