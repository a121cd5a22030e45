//! A task that differs from the ordinary.

use std::io;

use super::JoinHandle;
use crate::sched::{Options, Place, WhenStopping, Worker, spawn, with_current};

/// Configures a task: [`std::thread::Builder`], with [`worker`](Self::worker) beside.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let deep = fibra::thread::Builder::new().name("deep".into()).stack_size(4 << 20);
///     let task = deep.spawn(|| fibra::thread::current().name().map(str::to_owned))?;
///     assert_eq!(task.join().unwrap().as_deref(), Some("deep"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    worker: Option<usize>,
}

impl Builder {
    /// A task like any other.
    pub fn new() -> Self {
        Self::default()
    }

    /// What reports and panic messages call the task. Costs the spawn an allocation and a lock.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// The least number of bytes of stack that the task can use; rounded up. The default is that of the
    /// [runtime](crate::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the task on the worker of this index, counted from 0, and not where its load would have it.
    pub fn worker(mut self, index: usize) -> Self {
        self.worker = Some(index);
        self
    }

    /// Spawns the task; see [`spawn`](crate::spawn).
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](super::try_spawn); and `InvalidInput` for a stack size out of range or a worker that is not
    /// there, `OutOfMemory` if the system can't give a stack of that size.
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: the bounds say that `f` and its result may go to another thread and live on.
        let task = with_current(|shared| unsafe { spawn(shared, self.options(), WhenStopping::Fail, f) });
        task?.map(JoinHandle::new)
    }

    /// Spawns the task on the caller's worker; see [`spawn_local`](super::spawn_local).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); and `Unsupported` on a plain thread, `InvalidInput` if [`worker`](Self::worker) names
    /// another one.
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.spawn_local_or(WhenStopping::Fail, f)
    }

    pub(super) fn spawn_local_or<F, T>(self, when_stopping: WhenStopping, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let Some(worker) = Worker::current() else {
            let message =
                "spawn_local works only inside a task: a plain thread has no worker to run the new one on";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        };
        if self.worker.is_some_and(|index| index != worker.index()) {
            let message =
                format!("spawn_local starts on the caller's worker {}, not on another", worker.index());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let options = Options { place: Place::Here, ..self.options() };
        // SAFETY: placed here, the task stays on this thread, so nothing needs to be `Send`; nothing is borrowed.
        unsafe { spawn(worker.shared(), options, when_stopping, f) }.map(JoinHandle::new)
    }

    pub(super) fn options(self) -> Options {
        Options {
            name: self.name.map(String::into_boxed_str),
            id: None,
            stack_size: self.stack_size,
            place: self.worker.map_or(Place::Anywhere, Place::Worker),
            passing: 0,
        }
    }
}
