//! A clock whose lateness shows whether others leave the workers in time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Wakes up every `period` until `done`, and tells how late each time was.
pub fn tick_until(done: &AtomicBool, period: Duration) -> Vec<Duration> {
    let mut late = Vec::new();
    let start = Instant::now();
    while !done.load(Relaxed) {
        let due = start + period * (late.len() as u32 + 1);
        fibra::thread::sleep_until(due);
        late.push(due.elapsed());
    }
    late
}
