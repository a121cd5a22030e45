//! `count++` from several tasks and threads at once: updates get lost, and three ways in which none does.
//!
//! Four tasks and four OS threads add to one count. An addition that is a load and a store loses what others add in
//! between. Every thousandth of them gives way there, as an operating system may have a thread do at any moment, so that
//! one processor is enough to see it. (Both are atomic: on a plain variable this is undefined, and does not compile.)
//! Under a mutex, as one atomic operation, or as a message to the one owner of the count, every addition counts.
//!
//! ```text
//! $ cargo run --release --example race                    # or with the additions of each: -- 1000000
//! 4 tasks and 4 threads add 1, 100000 times each
//! count++ as         the count     lost   ns an addition
//! load and store        201009   598991              5.5
//! Mutex                 800000        0             18.8
//! fetch_add             800000        0              3.9
//! channel               800000        0             16.8
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use fibra::channel;
use fibra::sync::{Barrier, Mutex};

/// How many tasks there are, and how many threads.
const EACH_KIND: usize = 4;

fn main() {
    let times = argument::number("number of additions", 1..=10_000_000, 100_000);
    println!("{EACH_KIND} tasks and {EACH_KIND} threads add 1, {times} times each");
    println!("{:<14} {:>13} {:>8} {:>16}", "count++ as", "the count", "lost", "ns an addition");

    report("load and store", times, || {
        let count = AtomicU64::new(0);
        race(times, |n| {
            let seen = count.load(Relaxed);
            if n % 1000 == 0 {
                fibra::yield_now();
            }
            count.store(seen + 1, Relaxed);
        });
        count.into_inner()
    });
    report("Mutex", times, || {
        let count = Mutex::new(0);
        race(times, |_| *count.lock() += 1);
        count.into_inner()
    });
    report("fetch_add", times, || {
        let count = AtomicU64::new(0);
        race(times, |_| _ = count.fetch_add(1, Relaxed));
        count.into_inner()
    });
    report("channel", times, || {
        let (tx, rx) = channel::unbounded();
        let owner = fibra::spawn(move || rx.iter().sum());
        race(times, |_| tx.send(1).expect("the owner listens to the end"));
        drop(tx);
        owner.join().expect("the owner does not panic")
    });
}

/// Has everybody call `add` so many times, all at once, and returns when all are done.
fn race(times: u64, add: impl Fn(u64) + Sync) {
    let start = Barrier::new(2 * EACH_KIND);
    let run = || {
        start.wait();
        (0..times).for_each(&add);
    };
    std::thread::scope(|threads| {
        fibra::scope(|tasks| {
            for _ in 0..EACH_KIND {
                threads.spawn(run);
                tasks.spawn(run);
            }
        });
    });
}

/// Prints what `count_up` makes of the additions, and what each of them costs.
fn report(how: &str, times: u64, count_up: impl FnOnce() -> u64) {
    let start = Instant::now();
    let count = count_up();
    let all = 2 * EACH_KIND as u64 * times;
    let each = start.elapsed().as_nanos() as f64 / all as f64;
    println!("{how:<14} {count:>13} {:>8} {each:>16.1}", all - count);
}
