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

/// Prints how often it ticked and how late it was.
pub fn report(late: &[Duration]) {
    let [mean, worst] = [
        late.iter().sum::<Duration>() / (late.len() as u32).max(1),
        late.iter().copied().max().unwrap_or_default(),
    ]
    .map(|time| time.as_secs_f64() * 1e3);
    let ticks = late.len();
    println!("the ticker ticked {ticks} times, late by {mean:.1} ms on average and by {worst:.1} ms at most");
}
