//! Keeps `std::thread::panicking()` exact for every task.
//!
//! std counts the panics in flight per OS thread. A task that parks in a destructor while it unwinds would leave its
//! count with the thread: its neighbours would see `panicking()`, their std mutexes would be poisoned, and a
//! cancellation could not tell who may be unwound. So such a task takes its share of the count along.
//!
//! std offers no way to set the count, but starting an unwinding raises it by one and catching an unwinding lowers it
//! by one, each on the thread where that happens. An *IOU* is an unwinding that began on one thread, and waits in a
//! destructor on a stack of its own to be caught on another:
//!
//! ```text
//! put_back (n times): begin an unwinding here, leave it suspended: +1 here, one more IOU
//! take (until the count is 0): let a suspended unwinding be caught here: -1 here, one IOU less
//! ```
//!
//! The very first `take` finds no IOU, and has a short-lived thread issue one; that thread's count dies with it.
//!
//! Only a task that parks while it unwinds pays for this, a few microseconds. Marks that a panic hook leaves in the
//! task would be cheaper, but nothing tells when a panic has been caught, or that `resume_unwind` has begun one.

use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::fiber::Aside;
use crate::stack::{self, Class, Stack};

/// Unwindings in suspense, of all threads.
static IOUS: Mutex<Vec<Aside>> = Mutex::new(Vec::new());

/// A task's share of a thread's panic count: for each panic in flight the stack on which its IOU will wait.
#[must_use]
pub(crate) struct Share(Vec<Stack>);

/// Lowers this thread's panic count to 0.
pub(crate) fn take() -> Share {
    let mut stacks = Vec::new();
    while thread::panicking() {
        let Some(iou) = find_iou() else {
            // No memory for a stack, or no thread: the neighbours will see `panicking()`, as on a thread that unwinds.
            break;
        };
        stacks.push(redeem(iou));
    }
    Share(stacks)
}

/// Raises this thread's panic count by what [`take`] has lowered it.
pub(crate) fn put_back(share: Share) {
    share.0.into_iter().for_each(|stack| put_aside(issue(stack)));
}

fn find_iou() -> Option<Aside> {
    let found = IOUS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    found.or_else(|| {
        let stack = stack::lend(Class::DEFAULT).ok()?;
        thread::Builder::new().spawn(|| issue(stack)).ok()?.join().ok()
    })
}

fn put_aside(iou: Aside) {
    IOUS.lock().unwrap_or_else(PoisonError::into_inner).push(iou);
}

/// Begins an unwinding on this thread and leaves it suspended.
fn issue(stack: Stack) -> Aside {
    // SAFETY: `unwind_slowly` keeps on its stack what the unwinder needs, which belongs to no thread, and does not panic.
    let mut aside = unsafe { Aside::new(stack, unwind_slowly) };
    let suspended = aside.resume();
    debug_assert!(suspended);
    aside
}

/// Lets the unwinding be caught, on this thread.
fn redeem(mut iou: Aside) -> Stack {
    let suspended = iou.resume();
    debug_assert!(!suspended);
    iou.into_stack()
}

/// Unwinds and catches it, with a pause between the two.
fn unwind_slowly(pause: &dyn Fn()) {
    struct PauseInDrop<'a>(&'a dyn Fn());

    impl Drop for PauseInDrop<'_> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    // The payload has no size and its error no meaning.
    let _ = catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _pause = PauseInDrop(pause);
        resume_unwind(Box::new(()));
    }));
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_taken_and_put_back_also_when_nested() {
        struct TakeInDrop<'a>(&'a mut Vec<usize>);

        impl Drop for TakeInDrop<'_> {
            fn drop(&mut self) {
                assert!(thread::panicking());
                let share = take();
                assert!(!thread::panicking());
                self.0.push(share.0.len());
                put_back(share);
                assert!(thread::panicking());
            }
        }

        struct Nest<'a>(&'a mut Vec<usize>);

        impl Drop for Nest<'_> {
            fn drop(&mut self) {
                let inner = catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _take = TakeInDrop(self.0);
                    resume_unwind(Box::new("inner"));
                }));
                assert!(inner.is_err());
            }
        }

        let mut shares = Vec::new();
        for _ in 0..3 {
            let outer = catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _nest = Nest(&mut shares);
                resume_unwind(Box::new("outer"));
            }));
            assert!(outer.is_err() && !thread::panicking());
        }
        assert_eq!(shares, [2, 2, 2]);
    }
}
