//! An item of work for `pool_map`: a computation of 10 µs that nobody can shorten.
//!
//! It counts steps, not time: an item that watched the clock would be done early on a thread that has no core.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Report;
use crate::turns::{self, time};

/// How long an item takes.
const ITEM: Duration = Duration::from_micros(10);

/// The number of steps that make up an item on this machine, from the fastest of some tries.
pub fn steps() -> u64 {
    const TRIAL: u64 = 100_000;
    let tries = (0..50).map(|seed| {
        let start = Instant::now();
        black_box(item(black_box(seed), TRIAL));
        start.elapsed()
    });
    let fastest = tries.min().expect("there are tries");
    (TRIAL as f64 * ITEM.as_secs_f64() / fastest.as_secs_f64()) as u64
}

/// Does one item. Each step needs the one before.
pub fn item(seed: u64, steps: u64) -> u64 {
    (0..steps).fold(seed, |x, _| {
        let x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        x ^ x >> 29
    })
}

/// Measures `map`, which does the items `0..n` in parallel, beside a serial loop and as many OS threads as there are
/// workers. The value is the part of the loop's time that it takes.
pub fn report(n: usize, workers: usize, steps: u64, mut map: impl FnMut() -> Vec<u64>) -> Report {
    let right: Vec<_> = (0..n).map(|i| item(i as u64, steps)).collect();
    let turns = turns::take_long(
        41,
        1,
        [
            &mut |_| time(|| assert_eq!(map(), right)),
            &mut |_| time(|| (0..n).for_each(|i| assert_eq!(item(i as u64, steps), right[i]))),
            &mut |_| time(|| on_threads(workers, steps, &right)),
        ],
    );
    Report::new(turns.ratio(0, 1), "× serial")
        .with("serial_ms", turns.nanos(1) / 1e6)
        .with("times_threads", turns.ratio(0, 2))
}

/// The least that sharing among OS threads costs: each takes the next item by a counter, and keeps nothing.
fn on_threads(threads: usize, steps: u64, right: &[u64]) {
    let next = AtomicUsize::new(0);
    thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Relaxed);
                    let Some(right) = right.get(i) else { break };
                    assert_eq!(item(i as u64, steps), *right);
                }
            });
        }
    });
}
