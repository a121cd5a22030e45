//! What a task of a group does: run the closure, leave the result in its node, and report its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use super::core::Core;
use super::node::Node;
use crate::Cancelled;
use crate::task::cancel;
use crate::thread::Loan;

/// A closure and what follows it. Dropped unrun, it leaves no result.
pub(super) struct Job<F, T> {
    // First, so that it is dropped before the end is reported.
    f: F,
    end: End<T>,
}

/// Reports the task's end when it is dropped.
struct End<T> {
    node: NonNull<Node<T>>,
    decisive: bool,
    core: Arc<Core<T>>,
    // Last, since `core` may own values that borrow what the loan is for.
    _loan: Option<Loan>,
}

// SAFETY: the node goes with the task, and gives access to a result alone.
unsafe impl<T: Send> Send for End<T> {}

impl<F: FnOnce() -> T, T> Job<F, T> {
    /// # Safety
    ///
    /// `node` came from [`Core::begin`] of this core, and has no other job.
    pub(super) unsafe fn new(node: NonNull<Node<T>>, core: Arc<Core<T>>, loan: Option<Loan>, f: F) -> Self {
        Self { f, end: End { node, decisive: false, core, _loan: loan } }
    }

    pub(super) fn run(self) {
        let Self { f, mut end } = self;
        let core = &end.core;
        if core.is_cancelled() {
            // Shielded: destructors that park run to their end, as where a task is cancelled before it starts.
            return cancel::shield(|| drop(f));
        }
        let mut decisive = false;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let value = f();
            decisive = core.settings.cancel_if.is_some_and(|accepts| accepts(&value));
            value
        }));
        let result = result.map_err(cancel::public_payload);
        let panicked = result.as_ref().is_err_and(|payload| !payload.is::<Cancelled>());
        end.decisive = decisive || panicked && !core.settings.independent;
        // SAFETY: the task has not ended, so its result is its own.
        unsafe { *end.node.as_ref().result.get() = Some(result) };
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        // SAFETY: the node is this core's, and a job ends once.
        unsafe { self.core.end(self.node, self.decisive) };
        if let Some(limit) = &self.core.settings.limit {
            limit.add_permits(1);
        }
    }
}
