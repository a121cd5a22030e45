//! A lock that its holder, a task or a plain thread, may take again: for standard output and error, as in
//! std.
//!
//! Code that prints while it holds the lock, in a `Display` or a destructor for example, must not wait for
//! itself.

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use lock_api::GetThreadId;

use crate::sync::RawMutex;
use crate::task::current::{self, context};

/// Parks; gives only shared access, since there may be several guards.
pub(super) type Reentrant<T> = lock_api::ReentrantMutex<RawMutex, Holder, T>;

pub(super) type ReentrantGuard<'a, T> = lock_api::ReentrantMutexGuard<'a, RawMutex, Holder, T>;

/// Tells tasks and plain threads from each other.
pub(super) struct Holder;

// SAFETY: the address of a task is no other task's, and that of a thread's context no other thread's, as long
// as they live; both point to memory in use, so none is zero and a task's is no thread's. A task keeps its
// address wherever it runs. Guards are not `Send`, so those of a task or thread that has ended were
// forgotten, and nothing can be reached through them.
unsafe impl GetThreadId for Holder {
    const INIT: Self = Self;

    fn nonzero_thread_id(&self) -> NonZeroUsize {
        match current::task() {
            Some(task) => NonNull::from_ref(task).addr(),
            None => NonNull::from_ref(context()).addr(),
        }
    }
}
