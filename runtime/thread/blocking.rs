//! Calls that would block their worker, run on other OS threads.

use std::io;

use crate::sched::{Worker, call_in_pool};
use crate::task::{checkpoint, local_owner};

/// Runs `f`, which may block its OS thread for as long as it likes, on a thread of the runtime's *blocking pool*, and
/// returns its value. The task is parked meanwhile; the other tasks of its worker go on.
///
/// It is for whatever has no counterpart here that parks: a C library that waits, a name to resolve, a lock of another
/// process, a computation of many milliseconds. `f` may borrow from its caller. Within it, [`spawn`](crate::spawn) and
/// [`Handle::current`](crate::Handle::current) mean the task's runtime, and [task-locals](mod@crate::task_local) whose type
/// is `Send` are the task's; the runtime's blocking calls, this one included, block the pool's thread. On a plain OS thread `f` is simply called.
///
/// The pool starts a thread when a call finds none that is idle, up to
/// [`max_blocking_threads`](crate::Builder::max_blocking_threads); calls beyond that queue, first come, first served. So
/// don't wait in `f` for another blocking call that has not begun: with the pool full of such waits, it never will. A
/// thread that was idle for [`blocking_keep_alive`](crate::Builder::blocking_keep_alive) ends.
/// [`Handle::blocking_stats`](crate::Handle::blocking_stats) tells how busy the pool is.
///
/// # Cancellation
///
/// A call that still queues is taken out: `f` is dropped without having run, and the task unwinds. Once `f` runs nothing
/// can stop it, since it may use its caller's stack: the task waits for its end, gets the value, and meets the
/// cancellation at its next park. In the same way the end of a runtime waits for `f`, but not longer than
/// [`shutdown_timeout`](crate::Builder::shutdown_timeout): then the task is leaked, and this never returns.
///
/// # Cost
///
/// Two handovers between threads, some 20–60 µs if both sleep. The call itself allocates nothing.
///
/// # Panics
///
/// With the payload of `f`, if `f` panics. Where [`try_blocking`] returns an error. And, with advice, inside
/// [`on_thread_stack`](crate::on_thread_stack), where nothing can park.
///
/// # Examples
///
/// ```
/// use std::net::ToSocketAddrs;
///
/// fibra::run(|| {
///     let host = String::from("localhost");
///     let addresses: Vec<_> = fibra::blocking(|| (host.as_str(), 80).to_socket_addrs())?.collect();
///     assert!(!addresses.is_empty());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    try_blocking(f).unwrap_or_else(|error| panic!("failed to make a blocking call: {error}"))
}

/// As [`blocking`], with an error where that panics for want of a thread.
///
/// # Errors
///
/// What the system said when it refused a thread, if the pool has no other; `f` is dropped unrun. As long as it has one,
/// the call queues.
///
/// # Panics
///
/// With the payload of `f`, and inside [`on_thread_stack`](crate::on_thread_stack).
///
/// # Examples
///
/// ```
/// let mut lines = vec!["b", "a"];
/// fibra::run(|| fibra::try_blocking(|| lines.sort()))?;
/// assert_eq!(lines, ["a", "b"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn try_blocking<F, T>(f: F) -> io::Result<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    checkpoint();
    match Worker::current() {
        Some(worker) => {
            let locals = local_owner::lend();
            // SAFETY: the pool's threads run no tasks, and the caller is parked until the call is over.
            call_in_pool(worker, || unsafe { locals.during(f) })
        }
        None => Ok(f()),
    }
}
