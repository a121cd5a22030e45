//! The root of every task's stack: nothing unwinds past it.

use super::cancel::Cancelled;
use super::fiber::{Fiber, Suspension};
use super::header::TaskPtr;
use crate::stack::Stack;
use crate::util::AbortOnDrop;

/// Gives an unstarted task its stack; it begins at the first resumption.
///
/// # Safety
///
/// The caller owns the task, which has no stack yet and stays alive until it has ended.
pub(crate) unsafe fn equip(task: TaskPtr, stack: Stack) {
    let fiber = Fiber::new(stack, move |suspension| enter(task, suspension));
    // SAFETY: the task is the caller's, and so is its fiber.
    unsafe { *task.fiber.get() = Some(fiber) };
}

fn enter(task: TaskPtr, suspension: Suspension) {
    let bomb = AbortOnDrop("a panic left a task's root");
    task.suspension.set(Some(suspension));
    let header = task.as_non_null();
    if task.core.state.is_cancelled() {
        // SAFETY: this is the task's stack, and its closure has not been taken.
        unsafe { (task.vtable.abandon)(header, Box::new(Cancelled)) };
    } else {
        // SAFETY: as above.
        unsafe { (task.vtable.run)(header) };
    }
    std::mem::forget(bomb);
}
