//! Bounding any blocking code in time.

use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::task::park::current_core;
use crate::task::region;

/// The time was over before the closure came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    /// An error of kind [`TimedOut`](io::ErrorKind::TimedOut).
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, for at most `duration`: see [`deadline`].
///
/// # Errors
///
/// [`Elapsed`] if a park inside `f` was still to come, or lasted, when the time was over.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::channel;
///
/// let (sender, receiver) = channel::bounded(1);
/// let half_a_second = Duration::from_millis(500);
/// assert!(fibra::timeout(half_a_second, || receiver.recv()).is_err(), "nobody sends");
/// sender.send("here").unwrap();
/// assert_eq!(fibra::timeout(half_a_second, || receiver.recv()), Ok(Ok("here")));
/// ```
#[inline]
pub fn timeout<R>(duration: Duration, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    // A deadline beyond the clock's range never comes.
    run_until(Instant::now().checked_add(duration), f)
}

/// Runs `f`, until `at` at the latest: then its current or next park unwinds to here, so destructors run, and nothing
/// that the call has not done is lost. See the [module's page](self::super).
///
/// `f` is run whatever the time is, and keeps its result if it ends without a park. A deadline never extends one that
/// lies around it. Calls of `f` that take a timeout of their own end at the earlier of the two.
///
/// Parks only where `f` does. Costs a few nanoseconds, and an entry in the worker's timers for each park meanwhile.
///
/// # Errors
///
/// [`Elapsed`] if a park inside `f` was still to come, or lasted, at the deadline.
///
/// # Panics
///
/// With the payload of `f`, if that panics.
///
/// # Examples
///
/// Several calls, one deadline:
///
/// ```
/// use std::time::{Duration, Instant};
/// use fibra::channel;
///
/// let (_sender, receiver) = channel::bounded::<u32>(1);
/// let mut sum = 0;
/// let all = fibra::deadline(Instant::now() + Duration::from_millis(10), || {
///     for number in &receiver {
///         sum += number;
///     }
/// });
/// assert!(all.is_err());
/// ```
#[inline]
pub fn deadline<R>(at: Instant, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    run_until(Some(at), f)
}

#[inline]
fn run_until<R>(deadline: Option<Instant>, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    // SAFETY: the core is our own; nobody is told of the region.
    unsafe { region::run(current_core(), deadline, |_| (), f) }.map_err(|region::Over| Elapsed)
}
