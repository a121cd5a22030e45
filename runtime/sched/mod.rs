//! The scheduler: workers, what each runs next, when they sleep, where tasks start, and how a runtime begins and ends.

mod alarm;
mod appetite;
mod blocking;
mod builder;
mod cadence;
mod exits;
mod global;
mod inbox;
mod local;
mod pick;
mod placement;
mod pool;
mod roster;
mod run;
mod runtime;
mod schedule;
mod search;
mod shared;
mod shutdown;
mod sleep;
mod spawn;
mod started;
mod watchdog;
mod worker;

pub(crate) use blocking::call_in_pool;
pub use builder::{Builder, run};
#[cfg(feature = "futures")]
pub(crate) use global::selector_for_future;
pub(crate) use global::{current_selector, spawn_detached, with_current};
pub use pool::BlockingStats;
pub use runtime::{Handle, Runtime};
pub(crate) use spawn::{Options, Place, WhenStopping, spawn, spawn_without_handle};
pub(crate) use worker::Worker;
