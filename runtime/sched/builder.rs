//! Settings of a runtime, and their check.

use std::env::{self, VarError};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use crossbeam_deque::Worker as Deque;

use super::runtime::Runtime;
use super::shared::{Config, Shared};
use super::sleep::MAX_WORKERS;
use super::worker::Worker;
use super::{shutdown, watchdog};
use crate::stack::{self, Class};
use crate::task::describe::describe;
use crate::task::hook;
use crate::task::park::assert_parking_is_possible;

/// The environment variable that sets the number of workers where the program doesn't.
const WORKERS_VARIABLE: &str = "FIBRA_WORKERS";

const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_BLOCKING_THREADS: usize = 512;
const DEFAULT_BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Configures and starts a runtime.
///
/// Nothing is checked before [`build`](Self::build); its error names the setting, the value and what is allowed.
///
/// # Examples
///
/// ```
/// let runtime = fibra::Builder::new().workers(2).thread_name("engine").build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    workers: Option<usize>,
    stack_size: Option<usize>,
    thread_name: Option<String>,
    shutdown_timeout: Option<Duration>,
    max_tasks: Option<usize>,
    max_blocking_threads: Option<usize>,
    blocking_keep_alive: Option<Duration>,
}

impl Builder {
    /// A builder with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many workers, each with an OS thread, run the tasks: from 1 to 1,024.
    ///
    /// The default is the environment variable `FIBRA_WORKERS`, and where that is not set
    /// [`std::thread::available_parallelism`], which respects affinity masks and cgroup limits.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The least number of bytes of stack that a task can use. It is rounded up; the default is 224 KiB.
    ///
    /// This is address space: only the pages that a task touches cost memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// What the runtime's threads are called; worker 3 of `"engine"` becomes `engine-3`, and thread 3 of its blocking pool
    /// `engine-block-3`. The default is `fibra`.
    ///
    /// The kernel shows the first 15 bytes. The name must not contain a zero byte.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = Some(name.into());
        self
    }

    /// How long the end of the runtime waits for its tasks to unwind; the default is 10 s.
    ///
    /// What has not stopped by then is named on stderr, and leaked with its worker's thread.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// The greatest number of unfinished tasks; at least 1. A spawn beyond it is an error. There is no limit by default.
    ///
    /// The main task of [`run`] and [`Runtime::run`] counts as one. A limit costs every spawn two atomic
    /// operations on one shared counter.
    pub fn max_tasks(mut self, tasks: usize) -> Self {
        self.max_tasks = Some(tasks);
        self
    }

    /// The greatest number of threads that [`blocking`](crate::blocking) calls run on; at least 1, and 512 by default.
    /// Calls beyond it queue.
    ///
    /// There is none before the first such call.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.max_blocking_threads = Some(threads);
        self
    }

    /// How long a thread of the blocking pool stays without work before it ends; the default is 10 s.
    pub fn blocking_keep_alive(mut self, time: Duration) -> Self {
        self.blocking_keep_alive = Some(time);
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a setting out of range; else what the system said when it refused a thread, a file
    /// descriptor or memory. Nothing is left behind then.
    pub fn build(self) -> io::Result<Runtime> {
        start(self.check()?)
    }

    /// Starts a runtime, runs `f` as its main task, and ends the runtime: [`run`] with settings.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// With the payload of `f`, if `f` panics.
    pub fn run<F, T>(self, f: F) -> io::Result<T>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        assert_parking_is_possible();
        Ok(self.build()?.run(f))
    }

    fn check(self) -> io::Result<Config> {
        let max_tasks = match self.max_tasks {
            Some(0) => return Err(invalid("max_tasks", "0", "a number from 1")),
            other => other,
        };
        let max_blocking_threads = match self.max_blocking_threads {
            Some(0) => return Err(invalid("max_blocking_threads", "0", "a number from 1")),
            other => other.unwrap_or(DEFAULT_MAX_BLOCKING_THREADS),
        };
        let class = match self.stack_size {
            None => Class::DEFAULT,
            Some(bytes) => Class::for_size(bytes)?,
        };
        let thread_name = self.thread_name.unwrap_or_else(|| "fibra".to_owned());
        if thread_name.contains('\0') {
            return Err(invalid("thread_name", &format!("{thread_name:?}"), "a name without zero bytes"));
        }
        Ok(Config {
            workers: workers(self.workers)?,
            class,
            thread_name,
            shutdown_timeout: self.shutdown_timeout.unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT),
            max_tasks,
            max_blocking_threads,
            blocking_keep_alive: self.blocking_keep_alive.unwrap_or(DEFAULT_BLOCKING_KEEP_ALIVE),
        })
    }
}

fn workers(set: Option<usize>) -> io::Result<usize> {
    let allowed = format!("a number from 1 to {MAX_WORKERS}");
    let (setting, value) = match (set, env::var(WORKERS_VARIABLE)) {
        (Some(n), _) => ("workers", n.to_string()),
        (None, Ok(text)) => (WORKERS_VARIABLE, text),
        (None, Err(VarError::NotPresent)) => {
            // Where the system can't tell, one worker is the safe guess.
            return Ok(thread::available_parallelism().map_or(1, |n| n.get().min(MAX_WORKERS)));
        }
        (None, Err(VarError::NotUnicode(text))) => (WORKERS_VARIABLE, format!("{text:?}")),
    };
    match value.trim().parse() {
        Ok(n) if (1..=MAX_WORKERS).contains(&n) => Ok(n),
        _ => Err(invalid(setting, &value, &allowed)),
    }
}

fn invalid(setting: &str, value: &str, allowed: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{setting} = {value} is not valid: it must be {allowed}"),
    )
}

fn start(config: Config) -> io::Result<Runtime> {
    hook::install();
    stack::overflow::set_describer(describe);
    stack::overflow::install()?;
    let deques: Vec<_> = (0..config.workers).map(|_| Deque::new_lifo()).collect();
    let shared = Shared::new(config, deques.iter().map(Deque::stealer).collect())?;
    let mut threads = Vec::with_capacity(deques.len() + 1);
    let started = deques.into_iter().enumerate().try_for_each(|(index, deque)| {
        let worker_shared = Arc::clone(&shared);
        let name = format!("{}-{index}", shared.config.thread_name);
        let main = move || Worker::new(worker_shared, index, deque).main();
        threads.push(thread::Builder::new().name(name).spawn(main)?);
        io::Result::Ok(())
    });
    let started = started.and_then(|()| {
        let watched = Arc::clone(&shared);
        let name = format!("{}-watch", shared.config.thread_name);
        let watch = move || watchdog::watch(&watched);
        threads.push(thread::Builder::new().name(name).spawn(watch)?);
        Ok(())
    });
    if let Err(error) = started {
        abort_start(&shared, threads);
        let message = format!("could not start the threads of a runtime: {error}");
        return Err(io::Error::new(error.kind(), message));
    }
    Ok(Runtime::new(shared, threads))
}

/// Ends the threads that did start.
fn abort_start(shared: &Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) {
    let missing = shared.config.workers.saturating_sub(threads.len());
    shared.exits.discount(missing);
    shutdown::shut_down(shared);
    shared.alarm.end();
    for thread in threads {
        // A worker has no tasks yet, so there is nothing in it that could panic.
        let _ = thread.join();
    }
}

/// Starts a runtime with the default settings, runs `f` as its main task on a stack of 8 MiB, ends the runtime, and
/// returns the value of `f`.
///
/// `f` may borrow from the caller. When it returns, the tasks that are left are cancelled: they unwind at their
/// current or next park, and their destructors run. Join what must be finished.
///
/// # Panics
///
/// With the payload of `f`, if `f` panics; and if the runtime can't be started, for example because `FIBRA_WORKERS`
/// is not a number. [`Builder::run`](crate::Builder::run) returns an error there.
///
/// # Examples
///
/// ```
/// let words = vec!["green", "threads"];
/// let total = fibra::run(|| {
///     fibra::scope(|s| {
///         let tasks: Vec<_> = words.iter().map(|word| s.spawn(move || word.len())).collect();
///         tasks.into_iter().map(|task| task.join().unwrap()).sum::<usize>()
///     })
/// });
/// assert_eq!(total, 12);
/// ```
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    assert_parking_is_possible();
    let runtime = Builder::new().build();
    runtime.unwrap_or_else(|error| panic!("failed to start a runtime: {error}")).run(f)
}
