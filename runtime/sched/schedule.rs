//! Where a task goes that has become ready: home.
//!
//! One rule: no home yet → the deque of unstarted tasks (see `spawn.rs`); home is here → `next`; home is elsewhere →
//! that worker's inbox, and wake it if it sleeps.

use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::shared::Remote;
use super::worker::Worker;
use crate::task::core::ThreadCore;
use crate::task::header::TaskPtr;
use crate::util::abort;

/// The function in a task's header that makes it ready again after its wait has been claimed: to its home it goes.
///
/// # Safety
///
/// `core` is that of a started task of a runtime of ours, and the caller has claimed its wait.
pub(crate) unsafe fn schedule(core: NonNull<ThreadCore>) {
    // SAFETY: by the contract; a claimed task can't run, and so can't end, until we have queued it.
    let task = unsafe { TaskPtr::from_core(core) };
    let home: *const Remote = task.home.get().cast();
    let worker = Worker::current();
    if let Some(worker) = worker
        && ptr::eq(worker.remote(), home)
    {
        return worker.make_ready(task);
    }
    // SAFETY: the runtime doesn't end before its parked tasks have.
    let remote = unsafe { &*home };
    match worker {
        // A worker's thread is joined before its runtime is freed.
        Some(worker) if ptr::eq(Arc::as_ptr(worker.shared()), remote.shared.as_ptr()) => {
            remote.deliver(task, worker.shared())
        }
        // Anybody else could find the runtime freed between the push and the wake-up call: the task may run, end, and
        // be the last. So the runtime is held for that long.
        _ => match remote.shared.upgrade() {
            Some(shared) => remote.deliver(task, &shared),
            None => abort("a task outlived its runtime"),
        },
    }
}
