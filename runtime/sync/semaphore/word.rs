//! The state word of a [`Semaphore`](crate::sync::Semaphore).
//!
//! ```text
//! 63                  2        1        0
//! | permits available | CLOSED | WAITERS |
//! ```
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | permits − n, no `WAITERS`, no `CLOSED` | one who acquires n at once | compare-and-swap |
//! | permits + n | one who releases or adds | compare-and-swap; if `WAITERS` is set it then serves the queue |
//! | permits − n, `WAITERS` set | the server, for the first of the queue, which it has claimed | under the queue's lock |
//! | `WAITERS` set | one who is about to queue | compare-and-swap under the queue's lock |
//! | `WAITERS` cleared | the server, when the queue is empty | under the queue's lock |
//! | `CLOSED` set | `close`, for good | under the queue's lock |

use super::error::TryAcquireError;
use crate::util::atomic::{AtomicU64, Ordering};

const WAITERS: u64 = 1;
const CLOSED: u64 = 1 << 1;
const ONE: u64 = 1 << 2;

pub(super) const MAX_PERMITS: usize = usize::MAX >> 3;

/// See the head of this file.
pub(super) struct Word(AtomicU64);

/// What came of an attempt to queue.
pub(super) enum Announced {
    Taken,
    Closed,
    Waiter,
}

impl Word {
    #[cfg(not(fibra_loom))]
    pub(super) const fn new(permits: usize) -> Self {
        assert!(permits <= MAX_PERMITS, "a semaphore has no more than `Semaphore::MAX_PERMITS` permits");
        Self(AtomicU64::new(permits as u64 * ONE))
    }

    #[cfg(fibra_loom)]
    pub(super) fn new(permits: usize) -> Self {
        Self(AtomicU64::new(permits as u64 * ONE))
    }

    pub(super) fn available(&self) -> usize {
        // Relaxed, here and below: the answer may be stale anyway.
        permits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Adds permits. Returns whether the caller has to serve those who wait.
    #[inline]
    pub(super) fn add(&self, n: usize) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if n > MAX_PERMITS - permits(word) {
                refuse(permits(word), n);
            }
            // Release: pairs with the Acquire of whoever takes these permits next.
            let next = word + n as u64 * ONE;
            match self.0.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return word & WAITERS != 0,
                Err(actual) => word = actual,
            }
        }
    }

    /// Takes up to `n` of the available permits away, and returns how many. Called under the queue's lock.
    pub(super) fn remove(&self, n: usize) -> usize {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let taken = n.min(permits(word));
            let next = word - taken as u64 * ONE;
            // Acquire: as for any taker.
            match self.0.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(actual) => word = actual,
            }
        }
    }

    /// Called under the queue's lock.
    pub(super) fn close(&self) {
        // Relaxed: it passes nothing on but itself.
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Takes `n` permits if nobody waits.
    #[inline]
    pub(super) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & (WAITERS | CLOSED) != 0 || permits(word) < n {
                return Err(why_not(word));
            }
            let next = word - n as u64 * ONE;
            // Acquire: pairs with the Release in `add`, which later read-modify-writes of the word pass on.
            match self.0.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(actual) => word = actual,
            }
        }
    }

    /// Sets `WAITERS`, or does without. Called under the queue's lock.
    pub(super) fn announce(&self, n: usize) -> Announced {
        loop {
            match self.try_take(n) {
                Ok(()) => return Announced::Taken,
                Err(TryAcquireError::Closed) => return Announced::Closed,
                Err(TryAcquireError::NoPermits) => {}
            }
            let word = self.0.load(Ordering::Relaxed);
            let must_wait = word & CLOSED == 0 && (word & WAITERS != 0 || permits(word) < n);
            // Relaxed: the bit is for those who add later, which the word's own order decides.
            let set =
                || self.0.compare_exchange_weak(word, word | WAITERS, Ordering::Relaxed, Ordering::Relaxed);
            if must_wait && set().is_ok() {
                return Announced::Waiter;
            }
        }
    }

    /// How many permits there are for who waits. Called under the queue's lock.
    pub(super) fn to_give(&self) -> usize {
        // Acquire: pairs with the Release in `add`: the unpark passes it on to those who are served.
        permits(self.0.load(Ordering::Acquire))
    }

    /// Takes `n` permits for a waiter. Called under the queue's lock, after [`to_give`](Self::to_give) showed that there
    /// are so many: they only become more, since nobody else takes any while `WAITERS` is set.
    pub(super) fn give(&self, n: usize) {
        self.0.fetch_sub(n as u64 * ONE, Ordering::Relaxed);
    }

    /// Says that nobody queues any more, if that is so. Called under the queue's lock.
    pub(super) fn settle(&self, is_empty: bool) {
        if is_empty {
            self.0.fetch_and(!WAITERS, Ordering::Relaxed);
        }
    }

    /// Why there was nothing to be had.
    pub(super) fn why_not(&self) -> TryAcquireError {
        why_not(self.0.load(Ordering::Relaxed))
    }
}

#[inline]
const fn permits(word: u64) -> usize {
    (word / ONE) as usize
}

fn why_not(word: u64) -> TryAcquireError {
    if word & CLOSED != 0 { TryAcquireError::Closed } else { TryAcquireError::NoPermits }
}

#[cold]
fn refuse(available: usize, added: usize) -> ! {
    panic!("Semaphore overflow: {available} permits with {added} added exceed `Semaphore::MAX_PERMITS`");
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// One permit that guards data, and a queue as the [raw semaphore](super::super::raw::RawSemaphore) uses its own.
    struct Lock {
        word: Word,
        queue: Mutex<(Vec<usize>, [bool; 3])>,
        served: Condvar,
        data: UnsafeCell<u32>,
    }

    impl Lock {
        /// False: gave up at its wait.
        fn acquire(&self, id: usize, gives_up: bool) -> bool {
            if self.word.try_take(1).is_ok() {
                return true;
            }
            let mut queue = self.queue.lock().unwrap();
            match self.word.announce(1) {
                Announced::Taken => return true,
                Announced::Closed => unreachable!(),
                Announced::Waiter => queue.0.push(id),
            }
            if gives_up {
                drop(queue);
                thread::yield_now();
                queue = self.queue.lock().unwrap();
                if !queue.1[id] {
                    queue.0.retain(|&waiter| waiter != id);
                    drop(queue);
                    self.serve();
                    return false;
                }
            }
            while !queue.1[id] {
                queue = self.served.wait(queue).unwrap();
            }
            true
        }

        fn serve(&self) {
            loop {
                let mut queue = self.queue.lock().unwrap();
                let first = (self.word.to_give() > 0 && !queue.0.is_empty()).then(|| queue.0.remove(0));
                if let Some(first) = first {
                    self.word.give(1);
                    queue.1[first] = true;
                    self.served.notify_all();
                }
                self.word.settle(queue.0.is_empty());
                if first.is_none() {
                    return;
                }
            }
        }

        fn count(&self, id: usize, gives_up: bool) {
            if self.acquire(id, gives_up) {
                self.data.with_mut(|data| {
                    // SAFETY: loom checks it: there is one permit.
                    unsafe { *data += 1 }
                });
                if self.word.add(1) {
                    self.serve();
                }
            }
        }
    }

    /// Ends only if nobody is left behind: a waiter that nobody serves makes loom report a deadlock.
    fn model(threads: &'static [fn(&Lock)]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let lock = Arc::new(Lock {
                word: Word::new(1),
                queue: Mutex::new((Vec::new(), [false; 3])),
                served: Condvar::new(),
                data: UnsafeCell::new(0),
            });
            let others: Vec<_> = threads[1..]
                .iter()
                .map(|&body| {
                    let lock = lock.clone();
                    thread::spawn(move || body(&lock))
                })
                .collect();
            threads[0](&lock);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(lock.word.available(), 1, "no permit is lost or made");
            assert!(lock.queue.lock().unwrap().0.is_empty());
            assert!(lock.word.try_take(1).is_ok(), "nobody seems to wait");
        });
    }

    #[test]
    fn loom_a_permit_goes_from_one_to_the_next() {
        model(&[|l| l.count(0, false), |l| l.count(1, false), |l| l.count(2, false)]);
    }

    #[test]
    fn loom_a_waiter_that_gives_up_takes_no_permit_along() {
        model(&[|l| l.count(0, false), |l| l.count(1, true), |l| l.count(2, false)]);
    }
}
