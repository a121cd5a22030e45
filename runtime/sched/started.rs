//! The list of a worker's started, unfinished tasks: whom to cancel when the runtime ends, and whom to name.
//!
//! Doubly linked through the tasks' headers. Only the worker's thread touches it, so linking costs four stores.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::task::header::{Header, TaskPtr};

/// See the head of this file. Every member is alive: the worker unlinks a task before it lets go of its reference.
pub(crate) struct StartedList {
    head: Cell<*const Header>,
    len: Cell<u32>,
}

impl StartedList {
    pub(crate) fn new() -> Self {
        Self { head: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.get()
    }

    pub(crate) fn link(&self, task: TaskPtr) {
        let head = self.head.get();
        task.started.prev.set(ptr::null());
        task.started.next.set(head);
        // SAFETY: members are alive.
        if let Some(head) = unsafe { head.as_ref() } {
            head.started.prev.set(task.as_ptr());
        }
        self.head.set(task.as_ptr());
        self.len.set(self.len.get() + 1);
    }

    pub(crate) fn unlink(&self, task: TaskPtr) {
        let (prev, next) = (task.started.prev.get(), task.started.next.get());
        // SAFETY: members are alive.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.started.next.set(next),
            None => self.head.set(next),
        }
        // SAFETY: members are alive.
        if let Some(next) = unsafe { next.as_ref() } {
            next.started.prev.set(prev);
        }
        self.len.set(self.len.get() - 1);
    }

    /// Calls `each` with every member. It must not link or unlink anything.
    pub(crate) fn for_each(&self, mut each: impl FnMut(TaskPtr)) {
        let mut at = self.head.get().cast_mut();
        while let Some(header) = NonNull::new(at) {
            // SAFETY: members are alive.
            let task = unsafe { TaskPtr::new(header) };
            at = task.started.next.get().cast_mut();
            each(task);
        }
    }
}
