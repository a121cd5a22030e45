//! Cooperative time slices: a task that has run too long yields at its next runtime call.

use super::current;
use super::flag;
use super::header::{Header, Parking};
use super::park;

/// Yields if the watchdog has asked for it: one relaxed load of a static where it has not.
#[inline]
pub(crate) fn checkpoint() {
    if flag::any_raised() {
        checkpoint_slow();
    }
}

#[cold]
fn checkpoint_slow() {
    let Some(task) = current::task() else { return };
    if task.parking.get() == Parking::Allowed && wants_yield(task) {
        park::yield_task(task);
    }
}

/// Whether the request is for this task: the flag that its worker put into its header.
fn wants_yield(task: &Header) -> bool {
    // SAFETY: a started task's worker keeps the flag alive for as long as it runs tasks.
    task.preempt.get().is_some_and(|flag| unsafe { flag.as_ref() }.is_raised())
}
