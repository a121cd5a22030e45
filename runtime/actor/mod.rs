//! Actors: tasks that own their state, and that others reach by messages alone. Erlang/OTP's model and terms.
//!
//! | level | what | here |
//! | --- | --- | --- |
//! | process | a state, a mailbox, links and monitors | [`spawn`], [`spawn_body`], [`Address`], [`Mailbox`], [`link()`], [`Pid`] |
//! | generic server | calls with typed answers, casts, an orderly end | [`GenServer`], [`Server`], [`Context`], [`ReplyTo`] |
//! | supervisor | children that are started in order, again when they crash, and ended in order | [`Supervisor`], [`DynamicSupervisor`], [`ChildSpec`] |
//!
//! An actor is a task: it may block on sockets, channels, locks and `select!`, and it is cancelled like one. Messages of
//! one sender come in the order of their sending. A mailbox has a bound, beyond which senders wait; signals of an actor's
//! end always fit.
//!
//! # How an actor ends
//!
//! It comes to its end, or [exits](exit()), or panics; or it gets an exit signal: of a [linked](link()) actor that has ended,
//! by [`Pid::exit`] or by [`Pid::kill`]. A signal ends it at its current or next park, as every cancellation (see
//! [`cancel`](crate::cancel)), or when it next [receives](Mailbox::recv), though there be a message: code that does neither
//! is not interrupted. An actor that [traps exits](Mailbox::trap_exits) gets a message instead. When its runtime ends, an
//! actor ends with the reason [`Shutdown`](ExitReason::Shutdown), and so it does when all its addresses are gone, as
//! [`Normal`](ExitReason::Normal).
//!
//! The actor's state is dropped first. Then its names are free, the messages that it has not received are dropped, callers
//! learn that they get no answer, and [monitors](Mailbox::monitor) and links are told, in this order. A panic is reported
//! on stderr as that of any task, and concerns nobody else but by these signals.
//!
//! # Where this differs from Erlang
//!
//! - Messages have a type, and so have answers: there is no message that nobody expected.
//! - A mailbox is bounded, unless [asked otherwise](Builder::unbounded).
//! - An actor that nobody can send to any more ends by itself.
//! - `terminate` of a [`GenServer`] is called also where the server does not trap exits.
//! - A supervisor ends by any exit signal that is not the end of a child, and not only by its own supervisor's.
//! - A monitor of an actor that has ended says why, and not just that there is none.
//! - With `panic = "abort"` exit signals, `exit` and `kill` can't unwind: a signal is met by nobody but
//!   [`cancel::check`](crate::cancel::check).
//!
//! # Examples
//!
//! ```
//! use fibra::actor::{self, ReplyTo};
//!
//! enum Message {
//!     Increment,
//!     Get(ReplyTo<u64>),
//! }
//!
//! let counter = actor::spawn(|_| 0, |count: &mut u64, message| match message {
//!     Message::Increment => *count += 1,
//!     Message::Get(reply_to) => reply_to.send(*count),
//! });
//! let callers: Vec<_> = (0..100)
//!     .map(|_| {
//!         let counter = counter.clone();
//!         fibra::spawn(move || counter.send(Message::Increment).unwrap())
//!     })
//!     .collect();
//! callers.into_iter().for_each(|caller| caller.join().unwrap());
//! assert_eq!(counter.call(Message::Get).unwrap(), 100);
//! ```

mod address;
mod builder;
mod call;
mod control;
mod exit;
mod few;
mod flow;
mod handle;
mod inner;
mod link;
mod mailbox;
mod monitor;
mod own;
mod pid;
mod quiet;
mod reason;
mod registry;
mod reply;
mod root;
mod server;
mod start_error;
mod supervisor;
mod timer;

pub use address::{Address, WeakAddress};
pub use builder::{Builder, current, spawn, spawn_body};
pub use call::{CallError, CallTimeout};
pub use exit::exit;
pub use flow::{IntoExit, IntoFlow};
pub use handle::Handle;
pub use link::{link, unlink};
pub use mailbox::{Iter, Mailbox};
pub use monitor::Monitor;
pub use pid::{Down, Exit, MonitorId, Pid};
pub use reason::ExitReason;
pub use registry::{RegisterError, register, registered, unregister, whereis};
pub use reply::ReplyTo;
pub use server::{Context, GenServer, Info, Server, WeakServer};
pub use start_error::StartError;
pub use supervisor::{
    ChildError, ChildInfo, ChildSpec, Counts, DynamicRef, DynamicSupervisor, IntoStart, Restart, Shutdown,
    Strategy, Supervisor, SupervisorRef,
};
pub use timer::{Timer, send_after};
