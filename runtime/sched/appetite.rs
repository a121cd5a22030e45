//! Whether and how long a worker searches before it sleeps.
//!
//! Searching burns a core, so it has to be earned: a worker searches only if its last wake came from another worker
//! (that one may have more), for as long as its appetite says. A hit doubles the appetite, up to [`MAX`]; a miss
//! halves it, down to nothing. A worker that went to sleep and was sent a task right after regrets it, and has the
//! greatest appetite; without that, two workers whose tasks talk to each other would both sleep between any two
//! messages, and never learn that it pays to wait.

use std::cell::Cell;
use std::time::Duration;

const MIN: Duration = Duration::from_micros(1);
const MAX: Duration = Duration::from_micros(20);

/// See the head of this file.
pub(crate) struct Appetite {
    duration: Cell<Duration>,
    /// The last wake came from another worker, or there was work to be seen.
    woken: Cell<bool>,
    /// The worker counts as a searcher in the census.
    searching: Cell<bool>,
}

impl Appetite {
    pub(crate) fn new() -> Self {
        Self { duration: Cell::new(MIN), woken: Cell::new(false), searching: Cell::new(false) }
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration.get()
    }

    pub(crate) fn is_hungry(&self) -> bool {
        self.woken.get() && !self.duration.get().is_zero()
    }

    pub(crate) fn is_searching(&self) -> bool {
        self.searching.get()
    }

    pub(crate) fn set_searching(&self, searching: bool) {
        self.searching.set(searching);
    }

    pub(crate) fn hit(&self) {
        self.duration.set((self.duration.get() * 2).clamp(MIN, MAX));
    }

    pub(crate) fn miss(&self) {
        let half = self.duration.get() / 2;
        self.duration.set(if half < MIN { Duration::ZERO } else { half });
    }

    /// The last search was given up too early.
    pub(crate) fn regret(&self) {
        self.duration.set(MAX);
    }

    /// The worker has got up.
    pub(crate) fn note_rise(&self, woken: bool, called: bool) {
        self.woken.set(woken);
        self.searching.set(called);
        if woken && self.duration.get().is_zero() {
            self.duration.set(MIN);
        }
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn hits_whet_the_appetite_and_misses_spoil_it() {
        let appetite = Appetite::new();
        assert!(!appetite.is_hungry(), "nobody has woken it yet");
        appetite.note_rise(true, false);
        (0..10).for_each(|_| appetite.hit());
        assert_eq!(appetite.duration(), MAX);
        (0..10).for_each(|_| appetite.miss());
        assert!(!appetite.is_hungry());
        appetite.note_rise(true, true);
        assert!(appetite.is_hungry() && appetite.is_searching());
    }
}
