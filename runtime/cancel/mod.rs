//! Ending blocking code early: timeouts, cancellation, and what holds them back.
//!
//! Code that parks needs no parameter and no special error to be ended early. [`timeout()`] and [`deadline`] bound any
//! closure; a [`Token`] ends what runs under it when somebody cancels the token; a [`Context`] is both, with values; and
//! [`JoinHandle::cancel`](crate::JoinHandle::cancel) ends a whole task.
//!
//! # What happens
//!
//! The *current or next park* inside the closure unwinds to the call that bounds it, as a panic would, but without the
//! message and the panic hook. Destructors run on the way: files are closed, locks released, what was spawned in a
//! [`scope`](crate::scope()) awaited. Code that never parks is not interrupted: call [`check`] in its loops.
//!
//! - It is sticky. Code that swallows the unwinding (by [`catch_unwind`](std::panic::catch_unwind)) meets it again at
//!   its next park, until the closure has been left.
//! - A task that unwinds already, for whatever reason, is left alone: a destructor may park.
//! - When several bounds are over at once, the outermost wins.
//! - A call that succeeds at the last moment has succeeded: its result comes back, though the time is over.
//!
//! # Nothing is lost
//!
//! A call that is ended has either happened or not. A message is sent and received, or still in the sender's hands or
//! the channel; bytes read have been returned, or are still in the socket; a permit is yours or the semaphore's. A
//! [`blocking`](crate::blocking) call that has begun is finished first. Calls of several steps (`write_all`,
//! `read_exact`, `io::copy`) can be ended between two of them, as they can by an error.
//!
//! # Critical sections
//!
//! **A cancellation can unwind at any park inside a critical section.** The guard of a [`Mutex`](crate::sync::Mutex)
//! unlocks then, and since our locks don't poison, the next holder finds the data as it was left. Finish a change
//! before you park, undo it in a destructor, or hold the cancellation back with [`shield`]:
//!
//! ```
//! use fibra::sync::Mutex;
//! use fibra::{cancel, thread};
//!
//! static PAIR: Mutex<(u32, u32)> = Mutex::new((0, 0)); // both are the same whenever the lock is free
//!
//! fibra::run(|| {
//!     let task = fibra::spawn(|| {
//!         let mut pair = PAIR.lock();
//!         cancel::shield(|| {
//!             pair.0 += 1;
//!             thread::sleep(std::time::Duration::from_millis(1)); // a park in the middle of the change
//!             pair.1 += 1;
//!         });
//!     });
//!     fibra::yield_now();
//!     task.cancel();
//!     let _ = task.join();
//!     let pair = PAIR.lock();
//!     assert_eq!(pair.0, pair.1);
//! });
//! ```
//!
//! The same goes for a park inside of a callback that foreign code calls: unwinding out of an `extern "C"` function
//! aborts the process, so such a callback belongs under a [`shield`] as a whole.
//!
//! ```
//! use fibra::{cancel, channel::Sender};
//!
//! extern "C" fn on_event(sender: &Sender<i32>, event: i32) {
//!     cancel::shield(|| {
//!         let _ = sender.send(event); // may park
//!     });
//! }
//! # let (sender, receiver) = fibra::channel::unbounded();
//! # on_event(&sender, 1);
//! # assert_eq!(receiver.recv(), Ok(1));
//! ```
//!
//! # Threads, and `panic = "abort"`
//!
//! All of this works on plain OS threads as in tasks, with one exception: a thread in a call that waits for a file
//! descriptor notices a deadline, but not the cancellation of a token.
//!
//! In a program built with `panic = "abort"` nothing can unwind. Blocking calls are not interrupted there; [`check`] and
//! [`Token::is_cancelled`] still tell.

mod context;
mod registry;
mod timeout;
mod token;

pub use context::{Context, ContextError};
pub use timeout::{Elapsed, deadline, timeout};
pub use token::{DropGuard, Reason, Token};

use crate::task::cancel as of_task;
pub use crate::task::cancel::Cancelled;

/// Runs `f` with cancellation held back until it returns: of the task, and of all timeouts, tokens and contexts around
/// this call. Those that `f` enters by itself work in it.
///
/// What was held back is met at the next park after it. Never parks by itself. Costs a few instructions.
///
/// # Examples
///
/// A last message that a timeout doesn't interrupt, but for one second of its own:
///
/// ```
/// use std::time::Duration;
/// use fibra::{cancel, channel, timeout};
///
/// let (sender, receiver) = channel::bounded(1);
/// struct Goodbye(channel::Sender<&'static str>);
/// impl Drop for Goodbye {
///     fn drop(&mut self) {
///         let _ = cancel::shield(|| timeout(Duration::from_secs(1), || self.0.send("goodbye")));
///     }
/// }
///
/// let goodbye = Goodbye(sender);
/// let stopped = timeout(Duration::from_millis(1), move || {
///     let _goodbye = goodbye;
///     fibra::thread::park();
/// });
/// assert!(stopped.is_err());
/// assert_eq!(receiver.recv(), Ok("goodbye"));
/// ```
pub fn shield<R>(f: impl FnOnce() -> R) -> R {
    of_task::shield(f)
}

/// Whether this code is to stop: for loops that compute and never park.
///
/// Looks at the task and at all timeouts, tokens and contexts around this call. Never parks and never unwinds. Costs a
/// few instructions, and a look at the clock inside a timeout.
///
/// # Errors
///
/// The next park here would unwind. (Inside a [`shield`], and while the task unwinds, there is none.)
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::cancel::{self, Cancelled};
///
/// fn count() -> Result<u64, Cancelled> {
///     let mut n = 0;
///     loop {
///         n += 1;
///         cancel::check()?;
///     }
/// }
///
/// assert_eq!(fibra::timeout(Duration::from_millis(5), count), Ok(Err(Cancelled)));
/// ```
pub fn check() -> Result<(), Cancelled> {
    if of_task::is_due() { Err(Cancelled) } else { Ok(()) }
}
