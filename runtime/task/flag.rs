//! The request to a running task to give its turn back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many [`Flag`]s of the process are raised: the one word that every runtime call looks at.
static RAISED: AtomicUsize = AtomicUsize::new(0);

/// Whether any flag of the process is raised.
#[inline]
pub(crate) fn any_raised() -> bool {
    RAISED.load(Ordering::Relaxed) != 0
}

/// A worker's request to its running task.
pub(crate) struct Flag(AtomicBool);

impl Drop for Flag {
    fn drop(&mut self) {
        self.lower();
    }
}

impl Flag {
    pub(crate) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// The watchdog's: asks the running task to yield.
    pub(crate) fn raise(&self) {
        // Relaxed, here and below: the flag is a hint and guards no data.
        if !self.0.swap(true, Ordering::Relaxed) {
            RAISED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The worker's: the request is met, or the task has parked by itself.
    #[inline]
    pub(crate) fn lower(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            RAISED.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
