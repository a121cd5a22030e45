//! The global runtime: it serves `spawn` on plain threads, and lives until the process ends.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::blocking::current_runtime;
use super::builder::Builder;
use super::runtime::{Handle, Runtime};
use super::shared::Shared;
use super::spawn::{Options, WhenStopping, spawn_without_handle};
use super::worker::Worker;
use crate::poll::Selector;

/// The runtime is never dropped: statics aren't.
static GLOBAL: OnceLock<Runtime> = OnceLock::new();

/// Held by whoever starts it, so that two threads don't start two. The outcome may be an error, which the next call
/// tries to mend; therefore not `OnceLock::get_or_init`.
static STARTING: Mutex<()> = Mutex::new(());

/// The global runtime's handle; starts it at the first call.
fn handle() -> io::Result<&'static Handle> {
    if let Some(runtime) = GLOBAL.get() {
        return Ok(runtime.borrow_handle());
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if GLOBAL.get().is_none() {
        let runtime = Builder::new().build()?;
        let _ = GLOBAL.set(runtime);
    }
    Ok(GLOBAL.get().expect("set above, under the lock").borrow_handle())
}

/// Starts it with the settings of `builder`.
fn start(builder: Builder) -> io::Result<()> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if GLOBAL.get().is_some() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the global runtime runs already: call build_global before the first spawn from a plain thread",
        ));
    }
    let runtime = builder.build()?;
    let _ = GLOBAL.set(runtime);
    Ok(())
}

/// Where the running task's worker watches descriptors; none on a plain thread. For use until the next park.
pub(crate) fn current_selector<'a>() -> Option<&'a Arc<Selector>> {
    Worker::current().map(|worker| worker.remote().driver.selector())
}

/// Where a future that is polled here has a descriptor watched: by the running task's worker, or by one of the global
/// runtime, which has no end; of these `spread` chooses. For use until the next park.
#[cfg(feature = "futures")]
pub(crate) fn selector_for_future<'a>(spread: usize) -> io::Result<&'a Arc<Selector>> {
    if let Some(selector) = current_selector() {
        return Ok(selector);
    }
    let remotes = &handle()?.shared().remotes;
    Ok(remotes[spread % remotes.len()].driver.selector())
}

/// Calls `f` with the runtime of the running task or blocking call, or with the global one on a plain thread.
pub(crate) fn with_current<R>(f: impl FnOnce(&Arc<Shared>) -> R) -> io::Result<R> {
    match current_runtime() {
        Some(shared) => Ok(f(shared)),
        None => handle().map(|handle| f(handle.shared())),
    }
}

/// Spawns a task in the current runtime, or the global one, whose result nobody wants.
///
/// # Panics
///
/// Where the task can't be created, as [`spawn`](crate::spawn) does.
pub(crate) fn spawn_detached<F: FnOnce() + Send + 'static>(f: F) {
    // SAFETY: the closure is `Send` and borrows nothing.
    let spawned = with_current(|shared| unsafe {
        spawn_without_handle(shared, Options::default(), WhenStopping::Cancel, f)
    });
    if let Err(error) = spawned.and_then(|created| created) {
        panic!("failed to spawn a task: {error}");
    }
}

impl Builder {
    /// Starts the global runtime, the one that serves plain threads, with these settings.
    ///
    /// It runs until the process ends.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); and `AlreadyExists` if the global runtime has been started, by this function or by
    /// the first [`spawn`](crate::spawn) on a plain thread.
    pub fn build_global(self) -> io::Result<()> {
        start(self)
    }
}

impl Handle {
    /// The runtime of the running task or blocking call; on a plain thread the global one, started now if it wasn't.
    ///
    /// # Panics
    ///
    /// If the global runtime can't be started; see [`try_current`](Self::try_current).
    pub fn current() -> Self {
        Self::try_current().unwrap_or_else(|error| panic!("failed to start the global runtime: {error}"))
    }

    /// As [`current`](Self::current), with an error where that panics.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`](crate::Builder::build) for the global runtime.
    pub fn try_current() -> io::Result<Self> {
        with_current(|shared| Self::new(Arc::clone(shared)))
    }
}
