//! Locks and barriers that park tasks and OS threads alike.
//!
//! Everything here works from a task, where it parks the task, and from a plain OS thread, where it parks the thread;
//! both kinds may wait for one object at once. There is no poisoning: a panic inside a critical section releases the
//! lock, as in `parking_lot`.

mod mutex;
mod wait_group;

pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, RawMutex};
pub use wait_group::{WaitGroup, WaitGroupGuard};
