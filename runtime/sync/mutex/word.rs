//! The state word of a [`Mutex`](crate::sync::Mutex).
//!
//! | state word | means |
//! | --- | --- |
//! | 0 | free, nobody waits |
//! | `LOCKED` | held, nobody waits |
//! | `LOCKED` and `WAITERS` | held; the holder must look into the queue when it unlocks |
//! | `WAITERS` | free; somebody still queues, and a woken waiter is on its way to take the lock |
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | not `LOCKED` → `LOCKED` | anybody: the lock may be barged into | compare-and-swap, `WAITERS` is kept |
//! | `LOCKED` → `LOCKED`, `WAITERS` | one who is about to queue, under the queue's lock | compare-and-swap |
//! | `LOCKED` → 0 | the holder | compare-and-swap |
//! | `LOCKED`, `WAITERS` → any of the four | the holder, under the queue's lock | store |
//!
//! Whoever holds the lock is alone in clearing `LOCKED`, and `WAITERS` changes only under the queue's lock. So a waiter
//! that has set `WAITERS` while the lock is held, and queues before it releases the queue's lock, is seen by the holder.

use std::sync::atomic::{AtomicU8, Ordering};

const LOCKED: u8 = 1;
const WAITERS: u8 = 2;

/// What the word needs of an atomic: std's, or loom's in the model. A lock must be made in a constant, and so can't be
/// switched as a whole.
pub(super) trait Byte {
    fn load(&self, order: Ordering) -> u8;
    fn store(&self, value: u8, order: Ordering);
    fn compare_exchange_weak(&self, old: u8, new: u8, success: Ordering, failure: Ordering)
    -> Result<u8, u8>;
}

macro_rules! byte {
    ($atomic:ty) => {
        impl Byte for $atomic {
            #[inline]
            fn load(&self, order: Ordering) -> u8 {
                self.load(order)
            }

            #[inline]
            fn store(&self, value: u8, order: Ordering) {
                self.store(value, order);
            }

            #[inline]
            fn compare_exchange_weak(
                &self,
                old: u8,
                new: u8,
                success: Ordering,
                failure: Ordering,
            ) -> Result<u8, u8> {
                self.compare_exchange_weak(old, new, success, failure)
            }
        }
    };
}

byte!(AtomicU8);

/// See the head of this file.
pub(super) struct Word<A = AtomicU8>(A);

impl Word {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(0))
    }
}

impl<A: Byte> Word<A> {
    /// Takes the lock if it is free, whether or not somebody waits.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            // Acquire: pairs with the Release of the unlock; the last holder's writes are visible.
            match self.0.compare_exchange_weak(state, state | LOCKED, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
        false
    }

    /// Unlocks if nobody waits.
    #[inline]
    pub(super) fn try_release(&self) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        while state == LOCKED {
            // Release: pairs with the Acquire of whoever takes the lock next.
            match self.0.compare_exchange_weak(LOCKED, 0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
        false
    }

    /// Sets `WAITERS` while the lock is held, or takes the lock and returns false. Called under the queue's lock.
    pub(super) fn announce(&self) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let next = if state & LOCKED == 0 { state | LOCKED } else { state | WAITERS };
            // Acquire: as in `try_take`, for the case that we take the lock.
            match self.0.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return state & LOCKED != 0,
                Err(actual) => state = actual,
            }
        }
    }

    /// Unlocks, unless the lock is handed over, and says whether anybody still queues. Called by the holder, under the
    /// queue's lock.
    pub(super) fn settle(&self, handed_over: bool, queued: bool) {
        let next = if handed_over { LOCKED } else { 0 } | if queued { WAITERS } else { 0 };
        // Release: pairs with the Acquire of whoever takes the lock next. A plain store will do: only the holder clears
        // `LOCKED`, and whoever would set `WAITERS` needs the queue's lock.
        self.0.store(next, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_locked(&self) -> bool {
        // Relaxed, here and below: the answer may be stale anyway.
        self.0.load(Ordering::Relaxed) & LOCKED != 0
    }

    #[inline]
    pub(super) fn has_waiters(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITERS != 0
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    byte!(loom::sync::atomic::AtomicU8);

    /// A lock with its data, and a queue as the [raw lock](super::super::RawMutex) uses its own.
    struct Lock {
        word: Word<loom::sync::atomic::AtomicU8>,
        queue: Mutex<Queue>,
        claim: Condvar,
        data: UnsafeCell<u32>,
    }

    #[derive(Default)]
    struct Queue {
        waiters: Vec<usize>,
        /// Who has been claimed, and whether the lock was handed over to it.
        claimed: [Option<bool>; 3],
    }

    impl Lock {
        fn new() -> Arc<Self> {
            let word = Word(loom::sync::atomic::AtomicU8::new(0));
            Arc::new(Self { word, queue: Mutex::default(), claim: Condvar::new(), data: UnsafeCell::new(0) })
        }

        /// False: gave up at its first wait, unless a holder was faster to claim it, or the lock was free.
        fn lock(&self, id: usize, gives_up: bool) -> bool {
            let mut woken = false;
            while !self.word.try_take() {
                let mut queue = self.queue.lock().unwrap();
                if !self.word.announce() {
                    return true;
                }
                let place = if woken { 0 } else { queue.waiters.len() };
                queue.waiters.insert(place, id);
                if gives_up {
                    drop(queue);
                    thread::yield_now();
                    queue = self.queue.lock().unwrap();
                    if queue.claimed[id].is_none() {
                        queue.waiters.retain(|&waiter| waiter != id);
                        return false;
                    }
                }
                while queue.claimed[id].is_none() {
                    queue = self.claim.wait(queue).unwrap();
                }
                if queue.claimed[id].take() == Some(true) {
                    return true;
                }
                woken = true;
            }
            true
        }

        fn unlock(&self, hand_over: bool) {
            if self.word.try_release() {
                return;
            }
            let mut queue = self.queue.lock().unwrap();
            let first = (!queue.waiters.is_empty()).then(|| queue.waiters.remove(0));
            if let Some(first) = first {
                queue.claimed[first] = Some(hand_over);
                self.claim.notify_all();
            }
            self.word.settle(hand_over && first.is_some(), !queue.waiters.is_empty());
        }

        fn count(&self, id: usize, hand_over: bool, gives_up: bool) {
            if self.lock(id, gives_up) {
                self.data.with_mut(|data| {
                    // SAFETY: loom checks it: the lock is held.
                    unsafe { *data += 1 }
                });
                self.unlock(hand_over);
            }
        }
    }

    /// Ends only if nobody is left behind: a waiter that nobody wakes makes loom report a deadlock.
    fn model(threads: &'static [fn(&Lock)]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let lock = Lock::new();
            let others: Vec<_> = threads[1..]
                .iter()
                .map(|&body| {
                    let lock = lock.clone();
                    thread::spawn(move || body(&lock))
                })
                .collect();
            threads[0](&lock);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert!(!lock.word.is_locked());
            assert!(lock.queue.lock().unwrap().waiters.is_empty());
            lock.data.with(|data| {
                // SAFETY: loom checks it: the others have ended.
                assert!(unsafe { *data } >= 2);
            });
        });
    }

    #[test]
    fn loom_holders_exclude_each_other_and_nobody_is_left_behind() {
        model(&[|l| l.count(0, false, false), |l| l.count(1, false, false), |l| l.count(2, false, false)]);
        model(&[|l| l.count(0, true, false), |l| l.count(1, true, false), |l| l.count(2, false, false)]);
    }

    #[test]
    fn loom_a_waiter_that_gives_up_takes_no_wake_along() {
        model(&[|l| l.count(0, false, false), |l| l.count(1, false, true), |l| l.count(2, false, false)]);
        model(&[|l| l.count(0, true, false), |l| l.count(1, true, true), |l| l.count(2, true, false)]);
    }
}
