//! How long the calls of one direction may wait: a timeout for each call, and a point in time for all of them.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A timeout and a deadline, which others may change while a call waits: they wake it, and it looks again.
///
/// Relaxed throughout: a waiter that has read an old value is woken by whoever changed it, through the lock of the
/// source's waiters.
pub(crate) struct Limit {
    /// Nanoseconds that a call may take; 0 for no limit.
    timeout: AtomicU64,
    /// Nanoseconds from [`epoch`] to the deadline, at least 1; 0 for none.
    deadline: AtomicU64,
}

/// The earliest deadline that can be told from another.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

fn nanos(duration: Duration) -> u64 {
    // 64 bits of nanoseconds are 584 years; what lies beyond is as good as never.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Limit {
    pub(crate) const fn new() -> Self {
        Self { timeout: AtomicU64::new(0), deadline: AtomicU64::new(0) }
    }

    /// At most `timeout` for each call. Unlike [`set_timeout`](Self::set_timeout) it takes zero.
    pub(crate) fn within(timeout: Duration) -> Self {
        Self { timeout: AtomicU64::new(nanos(timeout).max(1)), ..Self::new() }
    }

    /// Not after `deadline`.
    pub(crate) fn until(deadline: Instant) -> Self {
        let limit = Self::new();
        limit.set_deadline(Some(deadline));
        limit
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let nanos = self.timeout.load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Zero is refused, as in std.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            let message = "a timeout of zero would never let a call wait: use `None` for no timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.timeout.store(timeout.map_or(0, nanos), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let nanos = self.deadline.load(Ordering::Relaxed);
        // A time that can't be represented is never reached.
        (nanos != 0).then(|| epoch().checked_add(Duration::from_nanos(nanos))).flatten()
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        let nanos = deadline.map_or(0, |at| nanos(at.saturating_duration_since(epoch())).max(1));
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    /// The deadline has passed: calls fail at once.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|at| at <= Instant::now())
    }

    /// When a call that began at `began` has to give up; the first question sets `began`.
    pub(crate) fn end_of_call(&self, began: &mut Option<Instant>) -> Option<Instant> {
        let by_timeout =
            self.timeout().and_then(|timeout| began.get_or_insert_with(Instant::now).checked_add(timeout));
        match (by_timeout, self.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_of_timeout_and_deadline_counts() {
        let limit = Limit::new();
        let mut began = None;
        assert_eq!(limit.end_of_call(&mut began), None);
        let soon = Instant::now() + Duration::from_secs(1);
        limit.set_deadline(Some(soon));
        assert_eq!(limit.end_of_call(&mut began), Some(soon));
        limit.set_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(limit.end_of_call(&mut began), Some(soon));
        limit.set_timeout(Some(Duration::from_nanos(1))).unwrap();
        assert_eq!(limit.end_of_call(&mut began), Some(began.unwrap() + Duration::from_nanos(1)));
    }

    #[test]
    fn a_deadline_before_the_process_is_over() {
        let limit = Limit::new();
        epoch();
        limit.set_deadline(Some(Instant::now() - Duration::from_secs(1)));
        assert!(limit.is_over());
        limit.set_deadline(None);
        assert!(!limit.is_over() && limit.deadline().is_none());
    }

    #[test]
    fn a_timeout_of_zero_is_refused_and_changes_nothing() {
        let limit = Limit::new();
        limit.set_timeout(Some(Duration::from_millis(3))).unwrap();
        assert_eq!(limit.set_timeout(Some(Duration::ZERO)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(limit.timeout(), Some(Duration::from_millis(3)));
    }
}
