//! A runtime inside an ordinary threaded program. `main` is a plain thread and spawns tasks; a second plain thread
//! receives their results by channel; dropping the runtime ends its workers, and the program goes on without it.
//!
//! ```text
//! $ cargo run --release --example embed                   # or with a count of tasks: -- 100000
//! 1000 tasks spawned from main in 430.0µs, finished after 102.7ms
//! the printer thread received 1000 squares, their sum is 332833500
//! threads of this process: 1 before the runtime, 4 with it, 1 after it
//! ```

use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use fibra::channel;

fn main() {
    let count = count(1000);
    let before = threads();
    let runtime = fibra::Builder::new()
        .workers(2)
        .thread_name("background")
        .shutdown_timeout(Duration::from_secs(5))
        .build()
        .unwrap_or_else(|error| fail(&format!("the runtime can't start: {error}")));
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

/// The count on the command line, or `default`.
fn count(default: u64) -> u64 {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse()
        .ok()
        .filter(|n| (1..=1_000_000).contains(n))
        .unwrap_or_else(|| fail(&format!("expected one count of tasks from 1 to 1000000, not \"{text}\"")))
}

fn fail(message: &str) -> ! {
    eprintln!("embed: {message}");
    process::exit(2)
}
