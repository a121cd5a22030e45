//! How many tasks keep a scope from ending, in a word that may be gone right after it has fallen to 0.
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | n → n + 1 | a task of the scope, or its closure, that spawns; so n may be 0 only in the closure | `fetch_add` |
//! | n → n − 1, n > 1 | a task that ends | compare-and-swap, without the scope's lock |
//! | n → n − 1, any n | a task that ends and has seen 1 | `fetch_sub` under the scope's lock |
//!
//! So it falls to 0 under the lock alone. The scope looks at it under the lock: if it sees 0 there, the last task has
//! unlocked, which is the last thing that it does to the scope's frame.

use crate::util::abort;
use crate::util::atomic::{AtomicU64, Ordering};

/// See the head of this file.
pub(super) struct LoanCount(AtomicU64);

impl LoanCount {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn add(&self) {
        // Relaxed: the one who adds keeps the scope from being over meanwhile.
        if self.0.fetch_add(1, Ordering::Relaxed) > u64::MAX / 2 {
            abort("too many tasks in a scope");
        }
    }

    /// Takes one off unless it is the last: false, and [`remove_locked`](Self::remove_locked) must follow.
    #[inline]
    pub(super) fn remove_unless_last(&self) -> bool {
        let mut count = self.0.load(Ordering::Relaxed);
        while count > 1 {
            // Release: pairs with the Acquire in `is_zero`, and later read-modify-writes pass it on; all that the task did
            // is visible behind the scope.
            match self.0.compare_exchange_weak(count, count - 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => count = actual,
            }
        }
        false
    }

    /// Under the scope's lock: takes one off. True: it was the last, and the frame may be gone when the lock is released.
    pub(super) fn remove_locked(&self) -> bool {
        // Release: as in `remove_unless_last`.
        self.0.fetch_sub(1, Ordering::Release) == 1
    }

    /// Under the scope's lock: whether the scope is over.
    pub(super) fn is_zero(&self) -> bool {
        // Acquire: pairs with the Release in both removals.
        self.0.load(Ordering::Acquire) == 0
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    /// A scope's frame, as `scope` uses it. `alive` stands for its memory: whoever uses the frame reads it, and the scope
    /// writes it when it is over, so loom reports a use that does not come before that.
    struct Frame {
        count: LoanCount,
        locked: AtomicBool,
        waits: UnsafeCell<bool>,
        alive: UnsafeCell<()>,
        /// Not part of the frame: how the waiter is woken.
        unpark: Notify,
        /// What the tasks borrow.
        data: [UnsafeCell<u32>; 2],
    }

    impl Frame {
        fn new(loans: usize) -> Arc<Self> {
            let frame = Self {
                count: LoanCount::new(),
                locked: AtomicBool::new(false),
                waits: UnsafeCell::new(false),
                alive: UnsafeCell::new(()),
                unpark: Notify::new(),
                data: [UnsafeCell::new(0), UnsafeCell::new(0)],
            };
            (0..loans).for_each(|_| frame.count.add());
            Arc::new(frame)
        }

        fn lock(&self) {
            while self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
                thread::yield_now();
            }
        }

        fn unlock(&self) {
            self.alive.with(|_| ());
            self.locked.store(false, Ordering::Release);
        }

        /// As `ScopeData::take_back`.
        fn take_back(&self) {
            self.alive.with(|_| ());
            if self.count.remove_unless_last() {
                return;
            }
            self.lock();
            // SAFETY: under the lock.
            let claimed = self.count.remove_locked()
                && self.waits.with_mut(|waits| std::mem::take(unsafe { &mut *waits }));
            self.unlock();
            if claimed {
                self.unpark.notify();
            }
        }

        /// As `ScopeData::wait`, and the end of the frame.
        fn wait(&self) {
            loop {
                self.lock();
                let over = self.count.is_zero();
                // SAFETY: under the lock.
                self.waits.with_mut(|waits| unsafe { *waits = !over });
                self.unlock();
                if over {
                    break;
                }
                self.unpark.wait();
            }
            self.alive.with_mut(|_| ());
        }
    }

    #[test]
    fn loom_the_last_task_of_a_scope_wakes_it_and_uses_nothing_of_it_afterwards() {
        loom::model(|| {
            let frame = Frame::new(2);
            let tasks: Vec<_> = (0..2)
                .map(|i| {
                    let frame = frame.clone();
                    thread::spawn(move || {
                        // SAFETY: loom checks it: nobody else writes this one before the scope is over.
                        frame.data[i].with_mut(|data| unsafe { *data += 1 });
                        frame.take_back();
                    })
                })
                .collect();
            frame.wait();
            for data in &frame.data {
                // SAFETY: loom checks it: the tasks have let go.
                data.with(|data| assert_eq!(unsafe { *data }, 1));
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }

    #[test]
    fn loom_a_task_that_spawns_into_its_scope_keeps_it_open() {
        loom::model(|| {
            let frame = Frame::new(1);
            let task = {
                let frame = frame.clone();
                thread::spawn(move || {
                    frame.count.add();
                    let child = {
                        let frame = frame.clone();
                        thread::spawn(move || {
                            // SAFETY: loom checks it.
                            frame.data[0].with_mut(|data| unsafe { *data += 1 });
                            frame.take_back();
                        })
                    };
                    frame.take_back();
                    child.join().unwrap();
                })
            };
            frame.wait();
            // SAFETY: loom checks it: the tasks have let go.
            frame.data[0].with(|data| assert_eq!(unsafe { *data }, 1));
            task.join().unwrap();
        });
    }
}
