//! `count++` from several tasks and threads at once: updates get lost, and four ways in which none does.
//!
//! An addition that is a load and a store loses what others add in between. Every thousandth of them gives way there, as an
//! operating system may have a thread do at any moment. (On a plain variable this is undefined, and does not compile.) Under
//! a mutex, as one atomic operation, or as a message to the one owner of the count, every addition counts.
//!
//! ```text
//! $ cargo run --release --example race                    # or with the additions of each: -- 1000000
//! 4 tasks and 4 threads add 1, 100000 times each
//! count++ as         the count     lost   ns an addition
//! load and store        291445   508555              6.4
//! Mutex                 800000        0              8.1
//! fetch_add             800000        0              7.3
//! channel               800000        0             21.5
//! actor                 800000        0             33.6
//! load and store lost 508555 of 800000 additions, the other ways 0
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use fibra::actor::{self, ReplyTo};
use fibra::channel;
use fibra::sync::{Barrier, Mutex};

enum Message {
    Add(u64),
    Get(ReplyTo<u64>),
}

fn main() {
    let times = argument::number("number of additions", 1..=10_000_000, 100_000);
    println!("4 tasks and 4 threads add 1, {times} times each");
    println!("{:<14} {:>13} {:>8} {:>16}", "count++ as", "the count", "lost", "ns an addition");

    let count = AtomicU64::new(0);
    let add = |n| {
        let seen = count.load(Relaxed);
        if n % 1000 == 0 {
            fibra::yield_now();
        }
        count.store(seen + 1, Relaxed);
    };
    let lost = race("load and store", times, add, || count.load(Relaxed));
    let count = Mutex::new(0);
    let mut others = race("Mutex", times, |_| *count.lock() += 1, || *count.lock());
    let count = AtomicU64::new(0);
    others += race("fetch_add", times, |_| _ = count.fetch_add(1, Relaxed), || count.load(Relaxed));

    let (tx, rx) = channel::unbounded();
    let owner = fibra::spawn(move || rx.iter().take(8 * times as usize).sum());
    others +=
        race("channel", times, |_| tx.send(1).expect("it listens"), || owner.join().expect("it has a sum"));

    let handle = |count: &mut u64, message| match message {
        Message::Add(n) => *count += n,
        Message::Get(caller) => caller.send(*count),
    };
    let owner = actor::Builder::new().unbounded().spawn(|_| 0, handle).expect("there is memory");
    let add = |_| owner.send(Message::Add(1)).expect("it lives");
    others += race("actor", times, add, || owner.call(Message::Get).expect("it answers"));
    println!("load and store lost {lost} of {} additions, the other ways {others}", 8 * times);
}

/// Has four tasks and four threads call `add` so many times each, all at once, and returns how many got lost.
fn race(how: &str, times: u64, add: impl Fn(u64) + Sync, count: impl FnOnce() -> u64) -> u64 {
    let (start, began) = (Barrier::new(8), Instant::now());
    let run = || {
        start.wait();
        (0..times).for_each(&add);
    };
    std::thread::scope(|threads| {
        fibra::scope(|tasks| {
            for _ in 0..4 {
                threads.spawn(run);
                tasks.spawn(run);
            }
        });
    });
    let (count, each) = (count(), began.elapsed().as_nanos() as f64 / (8 * times) as f64);
    println!("{how:<14} {count:>13} {:>8} {each:>16.1}", 8 * times - count);
    8 * times - count
}
