//! A bridge to asynchronous code, in both directions: tasks run futures, and what tasks wait for is a future for others.
//!
//! Needs the feature `futures`. Nothing here depends on a runtime of futures: it works with whatever crate needs none.
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | a future | a call that parks | [`block_on()`] |
//! | a task | a future | [`JoinHandle`](crate::JoinHandle) is one: its output is what `join` returns |
//! | a receiver | a future | [`recv_async`](crate::channel::Receiver::recv_async); [`oneshot`](crate::channel::oneshot) receivers can be awaited |
//! | a receiver | a stream | [`stream`](crate::channel::Receiver::stream), [`into_stream`](crate::channel::Receiver::into_stream) |
//! | a socket or pipe | `futures_io`'s `AsyncRead` and `AsyncWrite` | [`Async`] |
//!
//! The futures of this crate may be polled anywhere: in a task, on a plain thread, in a runtime of futures. Polling them does
//! not park, but for one case that [`Recv`] names.
//!
//! # Cancellation
//!
//! A future of this crate that is dropped, and one that is forgotten, takes nothing with it: no message, no byte, no
//! result of a task. A task that is cancelled in [`block_on()`] drops the future.
//!
//! # Wakers
//!
//! They are called wherever something happens: in the task that sends, or on a worker, between tasks. So a waker must not
//! block; those of runtimes of futures don't. One that panics is reported, and does no other harm.
//!
//! # Examples
//!
//! ```
//! use fibra::channel;
//! use futures_util::StreamExt;
//!
//! fibra::run(|| {
//!     let (tx, rx) = channel::bounded(4);
//!     fibra::go!((1..=10).for_each(|n| tx.send(n).unwrap()));
//!     let squares = fibra::go!(7 * 7);
//!     let (sum, square) = fibra::block_on(async move {
//!         let sum = rx.into_stream().fold(0, |sum, n| async move { sum + n });
//!         futures_util::join!(sum, squares)
//!     });
//!     assert_eq!((sum, square.unwrap()), (55, 49));
//! });
//! ```

mod asynchronous;
mod block_on;
mod join;
mod receive;

pub use asynchronous::{Async, Pollable, Readable, Writable};
pub use block_on::block_on;
pub use receive::{Recv, RecvStream, Streams};
