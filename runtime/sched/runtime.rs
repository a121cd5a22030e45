//! The runtime as its owner sees it, and the handle by which others spawn.

use std::sync::Arc;
use std::{fmt, io, mem, panic, thread};

use super::blocking::{current_runtime, end_pool};
use super::pool::BlockingStats;
use super::shared::Shared;
use super::shutdown;
use super::spawn::{Options, WhenStopping, spawn};
use crate::task::cancel;
use crate::task::handle::TaskHandle;
use crate::task::park::assert_parking_is_possible;
use crate::util::AbortOnDrop;

/// The stack of a main task: what Linux gives a process's main thread.
const MAIN_STACK: usize = 8 << 20;

/// A running runtime: its workers, and all tasks on them.
///
/// Dropping it ends it: all tasks that are left are cancelled (they unwind at their current or next park, and their
/// destructors run), unstarted ones are dropped, and the drop parks or blocks until everything has stopped, or
/// [`shutdown_timeout`](crate::Builder::shutdown_timeout) has passed.
///
/// Several runtimes may live in one process, one after another and at once.
///
/// # Panics
///
/// Dropping a runtime inside one of its own tasks or blocking calls panics: it would wait for itself. Drop it outside, or let the task
/// send a message to the thread that owns the runtime.
///
/// # Examples
///
/// ```
/// let runtime = fibra::Builder::new().workers(1).build()?;
/// let task = runtime.spawn(|| "from a task");
/// assert_eq!(task.join().unwrap(), "from a task");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Runtime {
    pub(crate) fn new(shared: Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) -> Self {
        Self { handle: Handle::new(shared), threads }
    }

    /// Runs `f` as a task with a stack of 8 MiB, and returns its value. The runtime goes on afterwards.
    ///
    /// `f` may borrow from the caller: this returns only when the task's frames are gone. A caller that is itself a
    /// task is not cancelled meanwhile. Parks a task, blocks a thread.
    ///
    /// # Panics
    ///
    /// With the payload of `f`, if `f` panics; and if the task can't be created, because
    /// [`max_tasks`](crate::Builder::max_tasks) are there already or the system has no memory for the stack.
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        assert_parking_is_possible();
        let options =
            Options { name: Some("main".into()), stack_size: Some(MAIN_STACK), ..Options::default() };
        // SAFETY: `f` and its result are `Send`. What they borrow outlives this call, and the task ends within it:
        // under the shield the join can't unwind.
        let task = unsafe { spawn(&self.handle.shared, options, WhenStopping::Fail, f) };
        let task = task.unwrap_or_else(|error| panic!("failed to start a main task: {error}"));
        let bomb = AbortOnDrop("the wait for a main task unwound while it may use its caller's stack");
        let result = cancel::shield(|| task.join());
        mem::forget(bomb);
        match result {
            Ok(value) => value,
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// A handle by which any thread can spawn tasks here.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn borrow_handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        if current_runtime().is_some_and(|current| Arc::ptr_eq(current, shared)) {
            self.refuse_to_wait_for_ourselves();
            return;
        }
        if !thread::panicking() {
            assert_parking_is_possible();
        }
        let ended = shutdown::shut_down(shared);
        shared.alarm.end();
        end_pool(shared, ended);
        if ended {
            for thread in self.threads.drain(..) {
                // A worker that panics aborts the process, so there is no panic to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl Runtime {
    #[cold]
    fn refuse_to_wait_for_ourselves(&self) {
        // The runtime lives on without its owner. A panic inside of a panic would abort.
        if !thread::panicking() {
            panic!(
                "a runtime was dropped inside one of its own tasks or blocking calls, where it would wait for itself for ever: keep the \
                 `Runtime` outside, and give tasks a `Handle`"
            );
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.handle.workers()).finish_non_exhaustive()
    }
}

/// Spawns tasks in a runtime, from any thread. Cheap to clone; does not keep the runtime from ending.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// How many workers the runtime has.
    pub fn workers(&self) -> usize {
        self.shared.remotes.len()
    }

    /// What the runtime's blocking pool is doing: how many threads it has, and how deep its queue is.
    ///
    /// Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// fibra::run(|| {
    ///     let stats = fibra::Handle::current().blocking_stats();
    ///     assert_eq!((stats.threads, stats.queued, stats.limit), (0, 0, 512));
    ///     let inside = fibra::blocking(|| fibra::Handle::current().blocking_stats());
    ///     assert_eq!((inside.threads, inside.idle), (1, 0));
    /// });
    /// ```
    pub fn blocking_stats(&self) -> BlockingStats {
        self.shared.pool.stats()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Spawns a task here that is `Send` and borrows nothing.
    pub(crate) fn spawn_task<F, T>(
        &self,
        options: Options,
        when_stopping: WhenStopping,
        f: F,
    ) -> io::Result<TaskHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: the bounds say it all.
        unsafe { spawn(&self.shared, options, when_stopping, f) }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("workers", &self.workers()).finish_non_exhaustive()
    }
}
