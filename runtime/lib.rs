//! Stackful green threads for Linux: Go's programming model with the standard library's names.
//!
//! A *task* is a green thread: it costs about as much as a struct, blocks like a thread, and needs no `async`. Some
//! OS threads, the *workers*, run all tasks of a runtime. Code moves over by changing `std::thread` to
//! [`fibra::thread`](thread), locks and channels to [`sync`] and [`channel`], and the rest of `std` that waits to [`net`],
//! [`fs`], [`io`], [`process`].
//!
//! ```
//! use fibra::{channel, sync::WaitGroup};
//!
//! fibra::run(|| {
//!     let wg = WaitGroup::new();
//!     let (tx, rx) = channel::bounded(0);
//!     wg.go(move || (0..100).for_each(|i| tx.send(i).unwrap())); // dropping tx ends the loops below
//!     for id in 0..3 {
//!         let rx = rx.clone();
//!         wg.go(move || rx.iter().for_each(|n| println!("worker {id} processed {n}")));
//!     }
//!     wg.wait();
//! });
//! ```
//!
//! Whoever comes from Go, from Erlang, from threads or from tokio finds each thing's name here in the [`guide`].
//!
//! # What a task may do
//!
//! All that a thread may. A task that has started stays on one OS thread for life, so thread-locals, `Rc`s and guards
//! may live across a park. Three things remain the program's business:
//!
//! - *Tasks interleave on one thread.* Code that relies on scopes nesting there (`scoped-tls`, Python's GIL guards)
//!   breaks when it parks inside such a scope.
//! - *A std lock held across a park can deadlock its worker*, and so can an initialiser of a `OnceLock` or `LazyLock`
//!   that parks: the next task of that worker blocks the thread that would have to let go. The locks in [`sync`] don't.
//!   Calls that can park are also where a task that has run for long gives its turn back; [`spawn`], `unpark` and a
//!   `try_send` or `try_recv` that succeeds are safe under a std lock.
//! - *A task that never calls the runtime hogs its worker*, and so does a call that blocks: see [`blocking`]. A task that
//!   does call it is asked to yield after 10 ms.
//!
//! # A tour of the source
//!
//! In reading order: `os` and `util` below everything, then `stack`, [`task`], `time`, `poll`, `sched`, [`sync`],
//! [`channel`], [`thread`], [`cancel`], `group`, and std's shapes: [`io`], [`net`], [`fs`], [`process`], [`signal`]; then
//! what is built on all of it: [`pool`], [`actor`], and `futures` if its feature is on. A file uses only its own layer and those
//! before it.

#![deny(unsafe_op_in_unsafe_fn)]

mod os;
mod util;

mod stack;

pub mod task;

mod time;

mod poll;

mod sched;

pub mod sync;

pub mod channel;

pub mod thread;

pub mod cancel;

mod group;

pub mod io;

pub mod net;

pub mod fs;

pub mod process;

pub mod signal;

pub mod pool;

pub mod actor;

#[cfg(feature = "futures")]
pub mod futures;

pub mod guide;

// Tests that need to count a task's parks, and otherwise only what everybody may use.
#[cfg(all(test, not(fibra_loom)))]
extern crate self as fibra;

#[cfg(all(test, not(fibra_loom)))]
#[path = "../tests/cancel_points/mod.rs"]
mod cancel_points;

pub use cancel::{Cancelled, deadline, timeout};
#[cfg(feature = "futures")]
pub use futures::block_on;
pub use sched::{BlockingStats, Builder, Handle, Runtime, run};
pub use task::local as task_local;
pub use thread::{
    JoinHandle, blocking, on_thread_stack, scope, sleep, spawn, spawn_local, try_blocking, try_spawn,
    yield_now,
};

/// Spawns a task that runs a block or a call, and hands back its [`JoinHandle`]: Go's `go`.
///
/// The block takes what it uses with it, as a `move` closure does.
///
/// # Examples
///
/// ```
/// fn double(n: i32) -> i32 {
///     2 * n
/// }
///
/// fibra::run(|| {
///     let twice = fibra::go!(double(21));
///     let greeting = fibra::go!({
///         let name = "world";
///         format!("hello {name}")
///     });
///     assert_eq!(twice.join().unwrap(), 42);
///     assert_eq!(greeting.join().unwrap(), "hello world");
/// });
/// ```
#[macro_export]
macro_rules! go {
    ($body:expr $(,)?) => {
        $crate::spawn(move || $body)
    };
}
