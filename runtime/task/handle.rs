//! The other end of a task: who holds it may join, cancel and identify the task.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::thread;

use super::core::CoreRef;
use super::header::{Header, TaskPtr};
use super::join::join;

/// Owns the claim to a task's result of type `T`. Dropping it detaches the task.
pub(crate) struct TaskHandle<T> {
    core: CoreRef,
    result: PhantomData<T>,
}

// SAFETY: the handle may bring the result of another thread here, so `T` must be `Send`; all else is `Sync`.
unsafe impl<T: Send> Send for TaskHandle<T> {}
// SAFETY: a shared handle gives no access to the result.
unsafe impl<T: Send> Sync for TaskHandle<T> {}

impl<T> TaskHandle<T> {
    /// # Safety
    ///
    /// `task` was allocated with the result type `T` and not as detached, and this is its only handle.
    pub(crate) unsafe fn new(task: TaskPtr) -> Self {
        // SAFETY: `allocate` counted a reference for the handle.
        let core = unsafe { CoreRef::from_owned(task.as_non_null().cast()) };
        Self { core, result: PhantomData }
    }

    pub(crate) fn core(&self) -> &CoreRef {
        &self.core
    }

    fn task(&self) -> &Header {
        // SAFETY: the core is the first field of a task's header, which our reference keeps alive.
        unsafe { self.core.as_ptr().cast().as_ref() }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task().join.is_finished()
    }

    /// Parks until the task has ended, and takes its result.
    pub(crate) fn join(self) -> thread::Result<T> {
        join(&self.task().join, &self.core);
        let this = ManuallyDrop::new(self);
        let header = this.core.as_ptr().cast();
        let mut result = MaybeUninit::<thread::Result<T>>::uninit();
        // SAFETY: the task has finished, its result is of type `thread::Result<T>`, and belongs to us, its handle.
        unsafe { (this.task().vtable.take_result)(header, result.as_mut_ptr().cast()) };
        // SAFETY: `this` is never dropped, so the reference is moved out once.
        drop(unsafe { std::ptr::read(&this.core) });
        // SAFETY: `take_result` has written it.
        unsafe { result.assume_init() }
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if self.task().join.detach() {
            // SAFETY: the task has finished and its result is ours.
            unsafe { (self.task().vtable.drop_result)(self.core.as_ptr().cast()) };
        }
    }
}
