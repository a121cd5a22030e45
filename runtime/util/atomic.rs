//! The switch between std's atomics and loom's.
//!
//! Only the files with a model in them import from here; the rest of the crate uses std directly. The models run with
//! `RUSTFLAGS="--cfg fibra_loom" cargo test --release --lib loom`.

#[cfg(not(fibra_loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(fibra_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
