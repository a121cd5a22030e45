//! Who uses a file's position, so that a read that must not wait never waits for one that does.
//!
//! The kernel locks the position of an open file during each read, write and seek that uses it. A read on the pool that
//! waits for a disk holds that lock; the same file read by another task on its worker, though it asked not to wait,
//! would wait for the lock.
//!
//! | word | meaning | next |
//! | --- | --- | --- |
//! | 0 | nobody | `QUICK`, or a number |
//! | `QUICK` | a call that does not wait, on a worker | 0 when it is over |
//! | n | n calls that may wait, on other threads | 0 when all are over |
//! | `QUICK` + n | the n have yet to begin: they wait for the quick one | n |
//!
//! Rejected: a lock. Whoever has to wait for it would be the worker again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const QUICK: u32 = 1 << 31;

/// See the head of this file.
pub(super) struct Position(AtomicU32);

impl Position {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// For a call that does not wait: none if another call uses the position.
    pub(super) fn try_use(&self) -> Option<QuickUse<'_>> {
        // Acquire: pairs with the Releases in the drops below. The kernel orders the calls themselves; it is for
        // symmetry, and costs nothing.
        let used = self.0.compare_exchange(0, QUICK, Ordering::Acquire, Ordering::Relaxed);
        used.is_ok().then(|| QuickUse(self))
    }

    /// For a call that may wait, on a thread that may: waits for a quick one.
    pub(super) fn use_slowly(&self) -> SlowUse<'_> {
        // Acquire: as in `try_use`.
        self.0.fetch_add(1, Ordering::Acquire);
        while self.0.load(Ordering::Acquire) & QUICK != 0 {
            thread::yield_now();
        }
        SlowUse(self)
    }
}

pub(super) struct QuickUse<'a>(&'a Position);

impl Drop for QuickUse<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next user.
        self.0.0.fetch_and(!QUICK, Ordering::Release);
    }
}

pub(super) struct SlowUse<'a>(&'a Position);

impl Drop for SlowUse<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next user.
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_use_gives_way_and_a_slow_one_waits_for_it() {
        let position = Position::new();
        let slow = (position.use_slowly(), position.use_slowly());
        assert!(position.try_use().is_none());
        drop(slow.0);
        assert!(position.try_use().is_none());
        drop(slow.1);
        let quick = position.try_use().unwrap();
        assert!(position.try_use().is_none());
        thread::scope(|s| {
            let slow = s.spawn(|| drop(position.use_slowly()));
            while position.0.load(Ordering::Relaxed) == QUICK {
                thread::yield_now();
            }
            assert!(!slow.is_finished());
            drop(quick);
        });
        assert!(position.try_use().is_some());
    }
}
