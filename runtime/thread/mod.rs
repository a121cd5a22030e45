//! Tasks in the shape of [`std::thread`]: the same names, signatures and edge cases.
//!
//! What a function does to *the current thread* in std, it does here to the running task; on a plain OS thread it does
//! it to the thread, so code that mixes both works. Beyond std there are [`try_spawn`], [`spawn_local`],
//! [`Builder::worker`], [`JoinHandle::cancel`] and [`on_thread_stack`].
//!
//! # Cancellation
//!
//! A task can be cancelled: by [`JoinHandle::cancel`], and when its runtime ends. Its current or next park then unwinds,
//! so its destructors run. Every function that says "parks" can do so. It is sticky: a task that catches the unwinding
//! meets it again at its next park. While a task unwinds, for whatever reason, nothing is thrown into it. Timeouts and
//! tokens do the same for a part of a task's calls: see [`cancel`](crate::cancel).

mod blocking;
mod builder;
mod identity;
mod join_handle;
mod loan_count;
mod local;
mod scope;
mod spawn;

use std::ptr;
use std::time::{Duration, Instant};

pub use blocking::{blocking, try_blocking};
pub use builder::Builder;
pub use identity::{Thread, ThreadId, current};
pub use join_handle::JoinHandle;
pub use local::on_thread_stack;
pub(crate) use scope::{Lender, Loan};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use spawn::{spawn, spawn_local, try_spawn};
pub use std::thread::{AccessError, LocalKey, Result, available_parallelism, panicking};

use crate::task::cancel::is_in_region;
use crate::task::park::{park_for_token, yield_task};
use crate::task::{Outcome, Reason, Wait, checkpoint, current as context, park as park_task};

/// Parks until somebody calls [`Thread::unpark`] on this task or thread; returns at once if somebody has since the last
/// park. Unlike std's it never returns for no reason, but don't write code that relies on that.
///
/// Parks the task, or blocks the thread.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let task = fibra::spawn(|| fibra::thread::park());
///     task.thread().unpark();
///     task.join().unwrap();
/// });
/// ```
pub fn park() {
    checkpoint();
    park_for_token(None);
}

/// As [`park`], but for at most `timeout`.
pub fn park_timeout(timeout: Duration) {
    checkpoint();
    // A deadline that can't be represented is never reached.
    park_for_token(Instant::now().checked_add(timeout));
}

/// Gives the other tasks of this worker a turn; on a plain thread it is [`std::thread::yield_now`].
///
/// Costs a switch, some 10 ns. It is not a park: it does not unwind a cancelled task.
#[inline]
pub fn yield_now() {
    match context::task() {
        Some(task) => yield_task(task),
        None => std::thread::yield_now(),
    }
}

/// Sleeps for at least `duration`. Parks the task, or blocks the thread.
///
/// A task costs one entry in its worker's timers meanwhile. A worker that sleeps wakes on time, to about 50 µs; a busy
/// one looks at its timers every 200 µs or, if its tasks run longer than that, whenever one of them lets go.
pub fn sleep(duration: Duration) {
    if is_plain() {
        return std::thread::sleep(duration);
    }
    if duration.is_zero() {
        return yield_now();
    }
    sleep_task(Instant::now().checked_add(duration));
}

/// Sleeps until `deadline`, or not at all if that has passed. Parks the task, or blocks the thread.
pub fn sleep_until(deadline: Instant) {
    if is_plain() {
        return std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    }
    if deadline <= Instant::now() {
        return checkpoint();
    }
    sleep_task(Some(deadline));
}

/// Whether this is a plain thread whose waits nothing ends early.
fn is_plain() -> bool {
    context::task().is_none() && !is_in_region()
}

/// Sleeps until the deadline; for ever without one, until cancelled.
fn sleep_task(deadline: Option<Instant>) {
    while park_task(Wait { reason: Reason::Sleep, object: ptr::null(), deadline }, || true)
        != Outcome::TimedOut
    {}
}
