//! Locks and barriers that park tasks and OS threads alike.
//!
//! Everything here works from a task, where it parks the task, and from a plain OS thread, where it parks the thread;
//! both kinds may wait for one object at once. There is no poisoning: a panic inside a critical section releases the
//! lock, as in `parking_lot`.
//!
//! **Fairness.** Who waits stands in a queue, first come, first served. A running task may take a [`Mutex`] or [`RwLock`]
//! ahead of the queue; who has waited for more than a millisecond gets it handed over. A [`Semaphore`] is never passed.
//!
//! **Cancellation.** All waits unwind when the task is cancelled, and leave the object as if they had never begun. The
//! exceptions are waits inside a guard's method (`unlocked`, `bump`, an upgrade) and the end of [`Condvar::wait`](lock_api::Condvar::wait):
//! they take the lock first, since the guard is going to unlock it.

mod barrier;
mod condvar;
mod lazy_lock;
mod mutex;
mod notify;
mod once;
mod once_lock;
mod patience;
mod rwlock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, RawCondvar};
pub use lazy_lock::LazyLock;
pub use lock_api::WaitTimeoutResult;
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, RawMutex};
pub use notify::{Notified, Notify};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RawRwLock, RwLock, RwLockReadGuard,
    RwLockUpgradableReadGuard, RwLockWriteGuard,
};
pub use semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};
pub use wait_group::{WaitGroup, WaitGroupGuard};
