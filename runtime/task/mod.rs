//! Groups of tasks: see [`Group`]. (To spawn single tasks, see [`thread`](crate::thread).)
//!
//! # In the source
//!
//! The life of a task: its state word and allocation, its stack, how it parks, ends and is joined. It knows no
//! scheduler: a task carries the function that makes it ready again. The group, which users look for under this name, is
//! built in the layer `group`, on top of all that.

pub(crate) mod bounds;
pub(crate) mod cancel;
pub(crate) mod cell;
pub(crate) mod cell_cache;
pub(crate) mod cells;
pub(crate) mod core;
pub(crate) mod current;
pub(crate) mod describe;
pub(crate) mod entry;
pub(crate) mod fiber;
pub(crate) mod flag;
pub(crate) mod handle;
pub(crate) mod header;
pub(crate) mod hook;
pub(crate) mod join;
#[cfg(feature = "futures")]
pub(crate) mod join_future;
pub(crate) mod join_word;
pub mod local;
pub(crate) mod local_owner;
pub(crate) mod local_table;
pub(crate) mod panic_count;
pub(crate) mod park;
pub(crate) mod parker;
pub(crate) mod preempt;
#[cfg(all(test, not(fibra_loom)))]
pub(crate) mod probe;
pub(crate) mod reason;
pub(crate) mod region;
pub(crate) mod state;
pub(crate) mod thread_parker;
pub(crate) mod unwind;
pub(crate) mod waiter;
#[cfg(feature = "futures")]
pub(crate) mod watch;

pub(crate) use core::Outcome;
pub(crate) use park::{Wait, park};
pub(crate) use parker::Parker;
pub(crate) use preempt::checkpoint;
pub(crate) use reason::Reason;

pub use crate::group::{Group, Iter, TrySpawnError};
