//! Creating tasks, and the same on a [`Handle`] or [`Runtime`].

use std::io;

use super::{Builder, JoinHandle};
use crate::sched::{Handle, Options, Runtime, WhenStopping, with_current};

/// Spawns a task: in a task on its own runtime, on a plain thread on the global one, which starts at the first call.
///
/// Costs an allocation; the stack comes when the task starts. Never parks. Until the task first runs any worker may
/// take it; from then on it stays on one OS thread, so `f` may keep `Rc`s and thread-locals across parks.
///
/// In a runtime that is ending the task is cancelled at once: `f` is dropped, and `join` says so.
///
/// # Panics
///
/// Where [`try_spawn`] returns an error.
///
/// # Examples
///
/// ```
/// let task = fibra::spawn(|| "no runtime was started by hand");
/// assert!(task.join().unwrap().starts_with("no runtime"));
/// ```
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let spawned = with_current(|shared| {
        // SAFETY: the bounds say that `f` and its result may go to another thread and live on.
        unsafe { crate::sched::spawn(shared, Options::default(), WhenStopping::Cancel, f) }
    });
    unwrap_spawn(spawned.and_then(|task| task.map(JoinHandle::new)))
}

/// As [`spawn`], with an error where that panics.
///
/// # Errors
///
/// `QuotaExceeded` if [`max_tasks`](crate::Builder::max_tasks) tasks are unfinished; `OutOfMemory` if the system has run
/// out of stacks; an error of another kind if the global runtime can't be started, or if the task's runtime is ending.
/// `f` is dropped then.
///
/// # Examples
///
/// ```
/// let runtime = fibra::Builder::new().max_tasks(2).build()?;
/// runtime.run(|| {
///     let first = fibra::try_spawn(|| fibra::thread::park())?;
///     let error = fibra::try_spawn(|| ()).unwrap_err();
///     assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded);
///     first.thread().unpark();
///     first.join().unwrap();
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn try_spawn<F, T>(f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f)
}

/// Spawns a task on the worker that the caller runs on. `f` need not be [`Send`], since it never leaves that thread.
///
/// # Panics
///
/// On a plain thread: it has no worker. And where [`try_spawn`] returns an error.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// fibra::run(|| {
///     let count = Rc::new(Cell::new(0));
///     let tasks: Vec<_> = (0..10)
///         .map(|_| {
///             let count = Rc::clone(&count);
///             fibra::spawn_local(move || count.set(count.get() + 1))
///         })
///         .collect();
///     tasks.into_iter().for_each(|task| task.join().unwrap());
///     assert_eq!(count.get(), 10);
/// });
/// ```
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    unwrap_spawn(Builder::new().spawn_local_or(WhenStopping::Cancel, f))
}

pub(super) fn unwrap_spawn<H>(spawned: io::Result<H>) -> H {
    spawned.unwrap_or_else(|error| panic!("failed to spawn a task: {error}"))
}

impl Handle {
    /// Spawns a task in this handle's runtime, as [`fibra::spawn`](crate::spawn) does in the current one.
    ///
    /// # Panics
    ///
    /// Where [`try_spawn`](Self::try_spawn) returns an error, except in a runtime that is ending or has ended: there
    /// `f` is dropped and `join` says that the task was cancelled.
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let task = self.spawn_task(Options::default(), WhenStopping::Cancel, f);
        unwrap_spawn(task.map(JoinHandle::new))
    }

    /// Spawns a task in this handle's runtime, as [`fibra::try_spawn`](crate::try_spawn) does in the current one.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_spawn<F, T>(&self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_task(Options::default(), WhenStopping::Fail, f).map(JoinHandle::new)
    }
}

impl Runtime {
    /// Spawns a task in this runtime; see [`Handle::spawn`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.borrow_handle().spawn(f)
    }
}
