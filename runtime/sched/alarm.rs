//! Wakes the watchdog from the sleep that it lies down to when all workers sleep.
//!
//! The same argument as in [`sleep`](super::sleep) holds, with one simplification: should a ring be missed, the next
//! time a worker gets up makes up for it.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use crate::os::futex;

const WATCHING: u32 = 0;
const ASLEEP: u32 = 1;
const ENDED: u32 = 2;

/// See the head of this file.
pub(crate) struct Alarm(AtomicU32);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(WATCHING))
    }

    /// A worker got up.
    pub(crate) fn ring_if_asleep(&self) {
        // SeqCst fence: pairs with the one in `sleep`. We have left our bed; either the watchdog sees that, or we see
        // it asleep.
        fence(Ordering::SeqCst);
        if self.0.load(Ordering::Relaxed) == ASLEEP {
            // Relaxed: the word carries no data.
            let woken = self.0.compare_exchange(ASLEEP, WATCHING, Ordering::Relaxed, Ordering::Relaxed);
            if woken.is_ok() {
                futex::wake_one(&self.0);
            }
        }
    }

    /// The runtime has ended, and so shall the watchdog.
    pub(crate) fn end(&self) {
        self.0.store(ENDED, Ordering::Relaxed);
        futex::wake_one(&self.0);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENDED
    }

    /// Waits for `time`, or less if the runtime ends meanwhile.
    pub(crate) fn pause(&self, time: Duration) {
        futex::wait(&self.0, WATCHING, Some(time));
    }

    /// Sleeps until rung, unless `somebody_up` after all.
    pub(crate) fn sleep(&self, somebody_up: impl FnOnce() -> bool) {
        let lain = self.0.compare_exchange(WATCHING, ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
        if lain.is_err() {
            return;
        }
        // Pairs with the fence in `ring_if_asleep`.
        fence(Ordering::SeqCst);
        if somebody_up() {
            let _ = self.0.compare_exchange(ASLEEP, WATCHING, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        while self.0.load(Ordering::Relaxed) == ASLEEP {
            futex::wait(&self.0, ASLEEP, None);
        }
    }
}
