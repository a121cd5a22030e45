//! Cooperative time slices: a task that computes for seconds leaves its worker to others, because it makes runtime calls.
//!
//! There is one worker. One task computes and after every few microseconds locks a mutex, which never blocks here and
//! never yields by itself. Yet when the task has run for 10 ms, a watchdog has its next runtime call give way to others.
//! So the ticker, due every 20 ms, is late by about a slice, and not by the two seconds of the computation.
//!
//! ```text
//! $ cargo run --release --example time_slice              # or with the seconds to compute: -- 10
//! computed for 2.00 s and locked the mutex 317973 times
//! the ticker ticked 99 times, late by 7.6 ms on average and by 15.2 ms at most
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/ticker.rs"]
mod ticker;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fibra::sync::Mutex;

const PERIOD: Duration = Duration::from_millis(20);

fn main() {
    let duration = Duration::from_secs(argument::number("number of seconds", 1..=3600, 2));
    let runtime = fibra::Builder::new().workers(1).build().expect("one worker can be started");
    runtime.run(|| {
        let done = Arc::new(AtomicBool::new(false));
        let ticker = fibra::spawn({
            let done = done.clone();
            move || ticker::tick_until(&done, PERIOD)
        });
        let start = Instant::now();
        let locked = fibra::spawn(move || compute(duration)).join().expect("the computation does not panic");
        let computed = start.elapsed().as_secs_f64();
        done.store(true, Relaxed);
        let late = ticker.join().expect("the ticker does not panic");

        println!("computed for {computed:.2} s and locked the mutex {locked} times");
        ticker::report(&late);
    });
}

/// Computes for `duration`, with a runtime call every few microseconds; says how many calls those were.
fn compute(duration: Duration) -> u64 {
    let calls = Mutex::new(0);
    let start = Instant::now();
    while start.elapsed() < duration {
        black_box((0..5000u64).fold(1, |x: u64, n| x ^ (x << 13) ^ n));
        *calls.lock() += 1;
    }
    calls.into_inner()
}
