//! A worker's queue of ready tasks that belong to it: first in, first out, no atomics.

use std::cell::UnsafeCell;
use std::collections::VecDeque;

use crate::task::header::TaskPtr;

/// A queue keeps at most room for so many tasks when it runs empty.
const KEEP: usize = 1024;

/// Only its worker's thread uses it (the type is not `Sync`), and no method runs foreign code while it has the queue
/// borrowed; so the short borrows inside never overlap.
pub(crate) struct LocalQueue(UnsafeCell<VecDeque<TaskPtr>>);

impl LocalQueue {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(VecDeque::new()))
    }

    #[inline]
    pub(crate) fn push_back(&self, task: TaskPtr) {
        // SAFETY: see the type.
        unsafe { (*self.0.get()).push_back(task) }
    }

    #[inline]
    pub(crate) fn pop_front(&self) -> Option<TaskPtr> {
        // SAFETY: see the type.
        unsafe { (*self.0.get()).pop_front() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: see the type.
        unsafe { (*self.0.get()).is_empty() }
    }

    /// Gives memory back after a burst.
    pub(crate) fn trim(&self) {
        // SAFETY: see the type.
        let queue = unsafe { &mut *self.0.get() };
        if queue.capacity() > KEEP && queue.len() < KEEP {
            queue.shrink_to(KEEP);
        }
    }
}
