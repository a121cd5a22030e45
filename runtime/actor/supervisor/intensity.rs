//! How often a supervisor restarts before it gives up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most so many restarts within so much time.
pub(super) struct Intensity {
    max: usize,
    within: Duration,
    /// When the last restarts were, oldest first. At most `max` of them.
    restarts: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(max: usize, within: Duration) -> Self {
        Self { max, within, restarts: VecDeque::new() }
    }

    /// Counts a restart that is about to be. False: it would be one too many.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        // Who means "always" may give a long time too, over which they would pile up.
        if self.max == usize::MAX {
            return true;
        }
        while self.restarts.front().is_some_and(|&first| now.duration_since(first) > self.within) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.max {
            return false;
        }
        self.restarts.push_back(now);
        true
    }

    /// What has been exceeded: "restarted more than 3 times within 5s".
    pub(super) fn exceeded(&self) -> String {
        let times = if self.max == 1 { "once" } else { &format!("{} times", self.max) };
        format!("restarted more than {times} within {:?}", self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_fit_into_every_stretch_of_that_length() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut intensity = Intensity::new(2, Duration::from_secs(5));
        assert!(intensity.admits(at(0)));
        assert!(intensity.admits(at(3)));
        assert!(!intensity.admits(at(5)));
        assert!(intensity.admits(at(6)));
        assert!(!intensity.admits(at(7)));
        assert!(intensity.admits(at(9)));
        assert!(intensity.admits(at(60)));
    }

    #[test]
    fn all_of_them_leave_nothing_behind() {
        let mut intensity = Intensity::new(usize::MAX, Duration::MAX);
        assert!((0..1000).all(|_| intensity.admits(Instant::now())));
        assert_eq!(intensity.restarts.capacity(), 0);
    }

    #[test]
    fn none_at_all() {
        let mut intensity = Intensity::new(0, Duration::from_secs(5));
        assert!(!intensity.admits(Instant::now()));
        assert_eq!(intensity.exceeded(), "restarted more than 0 times within 5s");
    }
}
