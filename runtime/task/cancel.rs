//! Cancellation: making a parked task unwind, so that its destructors run.
//!
//! The flag lives in the [state word](super::state) and is sticky; what is thrown is a payload of a private type, by
//! `resume_unwind`, so no panic hook runs. At the task's root it becomes the public [`Cancelled`].

use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;

use super::current;
use super::header::Header;

/// What `join` hands back of a task that was cancelled: the `Err`'s payload is a value of this type.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let task = fibra::spawn(|| fibra::thread::park());
///     task.cancel();
///     assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// The payload in flight. Private, so that nobody mistakes a cancellation for a panic of the same type.
struct Unwinding;

/// Unwinds the running task.
#[cold]
pub(crate) fn unwind() -> ! {
    resume_unwind(Box::new(Unwinding))
}

/// Turns the payload in flight into the public one, and leaves every other payload alone.
pub(crate) fn public_payload(payload: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    if payload.is::<Unwinding>() { Box::new(Cancelled) } else { payload }
}

/// Whether a cancellation must not be delivered to the running task now: it is shielded, or it is unwinding already
/// and a second panic would abort the process.
#[inline]
pub(crate) fn is_masked(task: &Header) -> bool {
    task.shield.get() != 0 || std::thread::panicking()
}

/// Runs `f` with cancellation held back until it returns.
pub(crate) fn shield<R>(f: impl FnOnce() -> R) -> R {
    struct Unshield<'a>(&'a Header);

    impl Drop for Unshield<'_> {
        fn drop(&mut self) {
            self.0.shield.set(self.0.shield.get() - 1);
        }
    }

    let _unshield = current::task().map(|task| {
        task.shield.set(task.shield.get() + 1);
        Unshield(task)
    });
    f()
}
