//! An ordinary threaded program starts a runtime, uses it from plain threads, and goes on without it.
//!
//! `main` is a plain thread and spawns tasks; a second plain thread receives their results by channel. Dropping the runtime
//! ends its workers.
//!
//! ```text
//! $ cargo run --release --example embed                   # or with a count of tasks: -- 100000
//! 1000 tasks spawned from main in 276.1µs, finished after 108.3ms
//! the printer thread received 1000 squares, their sum is 332833500
//! threads of this process: 1 before the runtime, 4 with it, 1 after it
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::time::{Duration, Instant};
use std::{fs, thread};

use fibra::channel;

fn main() {
    let count = argument::number("count of tasks", 1..=1_000_000, 1000);
    let before = threads();
    let runtime = fibra::Builder::new()
        .workers(2)
        .thread_name("background")
        .shutdown_timeout(Duration::from_secs(5))
        .build()
        .expect("the runtime can be started");
    let (tx, rx) = channel::bounded(64);

    // An OS thread waits at the channel exactly as a task does.
    let printer = thread::spawn(move || {
        let (received, sum) = rx.iter().fold((0u64, 0u64), |(n, sum), square| (n + 1, sum + square));
        println!("the printer thread received {received} squares, their sum is {sum}");
    });

    // The handle spawns from any thread. A task may sleep and send as if it had a thread of its own.
    let start = Instant::now();
    let handle = runtime.handle();
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let tx = tx.clone();
            handle.spawn(move || {
                fibra::sleep(Duration::from_millis(100));
                tx.send(n * n).expect("the printer stays to the end");
            })
        })
        .collect();
    let spawned = start.elapsed();
    tasks.into_iter().for_each(|task| task.join().expect("the task does not panic"));
    println!("{count} tasks spawned from main in {spawned:.1?}, finished after {:.1?}", start.elapsed());

    // The printer's loop ends with the last sender; the workers end with the runtime.
    drop(tx);
    printer.join().expect("the printer does not panic");
    let with = threads();
    drop(runtime);
    println!("threads of this process: {before} before the runtime, {with} with it, {} after it", threads());
}

/// How many OS threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
