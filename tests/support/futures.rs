//! What the tests of futures need.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use fibra::Builder;

use super::support::within_patience;

/// Runs `f` in a task of a runtime with so many workers.
#[track_caller]
pub fn on_workers<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(move || Builder::new().workers(workers).run(f).unwrap())
}

/// A waker that counts its calls.
#[derive(Default)]
pub struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Calls {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
