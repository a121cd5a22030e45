//! The other end of a task: who holds it may join, cancel and identify the task.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
#[cfg(feature = "futures")]
use std::task::{Poll, Waker};
use std::thread;

use super::core::CoreRef;
use super::header::{Header, TaskPtr};
use super::join::join;
#[cfg(feature = "futures")]
use super::join_future::Polled;

/// Owns the claim to a task's result of type `T`. Dropping it detaches the task.
pub(crate) struct TaskHandle<T> {
    core: CoreRef,
    #[cfg(feature = "futures")]
    polled: Polled,
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
        Self {
            core,
            #[cfg(feature = "futures")]
            polled: Polled::No,
            result: PhantomData,
        }
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
        #[cfg(feature = "futures")]
        let mut this = self;
        #[cfg(not(feature = "futures"))]
        let this = self;
        #[cfg(feature = "futures")]
        this.let_go_of_future();
        join(&this.task().join, &this.core);
        let this = ManuallyDrop::new(this);
        // SAFETY: the task has finished, and its result is ours, since `this` is never dropped.
        let result = unsafe { this.take_result() };
        // SAFETY: as above, so the reference is moved out once.
        drop(unsafe { std::ptr::read(&this.core) });
        result
    }

    /// # Safety
    ///
    /// The task has finished, and its result has not been taken or dropped; nor is it later.
    unsafe fn take_result(&self) -> thread::Result<T> {
        let mut result = MaybeUninit::<thread::Result<T>>::uninit();
        // SAFETY: by the contract; the result is of type `thread::Result<T>`, and belongs to us, the task's handle.
        unsafe { (self.task().vtable.take_result)(self.core.as_ptr().cast(), result.as_mut_ptr().cast()) };
        // SAFETY: `take_result` has written it.
        unsafe { result.assume_init() }
    }
}

#[cfg(feature = "futures")]
impl<T> TaskHandle<T> {
    /// Takes the result if the task has ended; else calls the waker when it does, in place of one given before.
    ///
    /// # Panics
    ///
    /// If the result has been taken.
    pub(crate) fn poll_join(&mut self, waker: &Waker) -> Poll<thread::Result<T>> {
        // SAFETY: as in `task`; not borrowed from `self`, whose other field is changed.
        let word = unsafe { &self.core.as_ptr().cast::<Header>().as_ref().join };
        if self.polled.poll(word, waker).is_pending() {
            return Poll::Pending;
        }
        // SAFETY: the task has finished; `polled` says from now on that the result has been taken.
        Poll::Ready(unsafe { self.take_result() })
    }

    fn let_go_of_future(&mut self) {
        // SAFETY: as in `poll_join`.
        let word = unsafe { &self.core.as_ptr().cast::<Header>().as_ref().join };
        self.polled.withdraw(word);
        assert!(
            !self.polled.is_taken(),
            "a task was joined whose result had been taken by polling its handle"
        );
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        #[cfg(feature = "futures")]
        {
            // SAFETY: as in `poll_join`.
            let word = unsafe { &self.core.as_ptr().cast::<Header>().as_ref().join };
            self.polled.withdraw(word);
            if self.polled.is_taken() {
                return;
            }
        }
        if self.task().join.detach() {
            // SAFETY: the task has finished and its result is ours.
            unsafe { (self.task().vtable.drop_result)(self.core.as_ptr().cast()) };
        }
    }
}
