//! Cancellation: making a parked task unwind, so that its destructors run; and how to hold that back.
//!
//! The flag lives in the [state word](super::state) and is sticky; what is thrown is of a private type (see
//! [`unwind`]). At the task's root it becomes the public [`Cancelled`].

use std::any::Any;
use std::fmt;
use std::ptr;
use std::time::Instant;

use super::core::ThreadCore;
use super::park::current_core;
use super::region;
use super::state::UNWINDING;
use super::unwind;

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
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Turns a payload in flight into the public one, and leaves every other payload alone.
pub(crate) fn public_payload(payload: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    if is_cancellation(&*payload) { Box::new(Cancelled) } else { payload }
}

/// Whether this is the payload of a cancellation in flight, or of an unwinding to a region.
pub(crate) fn is_cancellation(payload: &(dyn Any + Send)) -> bool {
    unwind::is_ours(payload)
}

/// The running task's or thread's core. Ask again after every park.
#[inline]
fn core<'a>() -> &'a ThreadCore {
    // SAFETY: it outlives the running code.
    unsafe { current_core().as_ref() }
}

/// Whether an unwinding is due at the next wait of the running task or thread.
pub(crate) fn is_due() -> bool {
    unwind::is_due(core())
}

/// Whether the running task's cancellation is held back.
pub(crate) fn is_masked() -> bool {
    unwind::depth(core()) != 0
}

/// Unwinds if that is due: for waits that are not parks.
pub(crate) fn deliver() {
    if is_due()
        && let Some(unwinding) = unwind::due(core(), unwind::depth(core()))
    {
        unwinding.unwind();
    }
}

/// Unwinds if the running task has been cancelled: for operations that rather end than go on without a park. Costs a load
/// where it has not.
#[inline]
pub(crate) fn deliver_cancellation() {
    if core().state.is_cancelled() {
        deliver();
    }
}

/// Whether something other than a cancellation can end waits here: see [`region`].
pub(crate) fn is_in_region() -> bool {
    !core().region.get().is_null()
}

/// When the regions that the caller is in are over: for waits that are not parks. `None` while it unwinds, when that ends
/// no wait.
pub(crate) fn until() -> Option<Instant> {
    let core = core();
    if unwind::depth(core) == UNWINDING { None } else { region::until(core) }
}

/// Runs `f` with cancellation held back until it returns: of the task, and of the regions entered outside.
pub(crate) fn shield<R>(f: impl FnOnce() -> R) -> R {
    struct Unshield<'a> {
        core: &'a ThreadCore,
        hidden: *const (),
    }

    impl Drop for Unshield<'_> {
        fn drop(&mut self) {
            self.core.shield.set(self.core.shield.get() - 1);
            self.core.region.set(self.hidden);
            // The interrupt for one of them may have been taken, in vain, while they were hidden.
            if !self.hidden.is_null() && region::outermost_over(self.core).is_some() {
                self.core.state.interrupt_self();
            }
        }
    }

    let core = core();
    core.shield.set(core.shield.get() + 1);
    let _unshield = Unshield { core, hidden: core.region.replace(ptr::null()) };
    f()
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    #[test]
    fn a_region_bounds_no_wait_of_a_thread_that_unwinds() {
        struct AskInDrop<'a>(&'a mut Option<Instant>);

        impl Drop for AskInDrop<'_> {
            fn drop(&mut self) {
                *self.0 = until();
            }
        }

        let now = Instant::now();
        let (mut asked, mut in_drop) = (None, Some(now));
        // SAFETY: the core is our own; nobody is told of the region.
        let outcome = unsafe {
            region::run(
                current_core(),
                Some(now),
                |_| (),
                || {
                    asked = until();
                    let thrown = catch_unwind(AssertUnwindSafe(|| {
                        let _ask = AskInDrop(&mut in_drop);
                        resume_unwind(Box::new("unwound"));
                    }));
                    assert!(thrown.is_err());
                },
            )
        };
        assert_eq!((outcome, asked, in_drop), (Ok(()), Some(now), None));
    }
}
