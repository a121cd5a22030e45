//! How many workers' loops still run, and who waits for that number to fall to 0.

use std::time::Instant;
use std::{mem, ptr};

use crate::task::{Outcome, Parker, Reason, Wait, cancel, park};
use crate::util::AbortOnDrop;
use crate::util::spin::SpinLock;

/// See the head of this file.
pub(crate) struct Exits(SpinLock<Inner>);

struct Inner {
    alive: usize,
    /// The one who ends the runtime.
    waiter: Option<Parker>,
}

impl Exits {
    pub(crate) fn new(workers: usize) -> Self {
        Self(SpinLock::new(Inner { alive: workers, waiter: None }))
    }

    /// A worker's last act: its loop has ended, or it has given its tasks up.
    pub(crate) fn report(&self) {
        let waiter = {
            let mut inner = self.0.lock();
            inner.alive -= 1;
            // SAFETY: a waiter clears its entry, under this lock, before it stops waiting.
            inner.waiter.take().filter(|waiter| unsafe { waiter.claim() })
        };
        if let Some(waiter) = waiter {
            // SAFETY: claimed above.
            unsafe { waiter.unpark() };
        }
    }

    /// Workers that were counted but never started.
    pub(crate) fn discount(&self, workers: usize) {
        self.0.lock().alive -= workers;
    }

    /// Waits until no worker is alive; false at the deadline. Parks the calling task, or blocks the calling thread.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let bomb = AbortOnDrop("the wait for a runtime's end unwound");
        // The ender may itself be cancelled; the end it has begun goes on.
        let ended = cancel::shield(|| {
            loop {
                let mut inner = self.0.lock();
                if inner.alive == 0 {
                    return true;
                }
                inner.waiter = Some(Parker::current());
                let wait = Wait { reason: Reason::Shutdown, object: ptr::from_ref(self).cast(), deadline };
                let outcome = park(wait, move || {
                    drop(inner);
                    true
                });
                if outcome == Outcome::TimedOut {
                    let mut inner = self.0.lock();
                    inner.waiter = None;
                    return inner.alive == 0;
                }
            }
        });
        mem::forget(bomb);
        ended
    }
}
