//! A switch between tasks costs some nanoseconds, between OS threads microseconds; and more of them are not faster.
//!
//! Two tasks, and two OS threads, hand a turn to each other by `park` and `unpark`. A computation is cut into more and
//! more pieces: once every core is busy more can't help, and with threads the switches and stacks soon eat the gain.
//!
//! ```text
//! $ cargo run --release --example context_switch          # or with the job's size in million steps: -- 400
//! million steps a second of a job of 100 million steps, cut into
//!      1 tasks   ████████████████████                       1207
//!    …
//!   1000 tasks   ████████████████████████████████████████   2359
//!    …
//!   2000 threads ████████████                                688
//! a switch takes 32 ns between tasks, 12911 ns between OS threads: 403 times as long
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Nanoseconds for each of `turns` that two sides take in alternation: whoever has the turn passes it on and parks.
macro_rules! switch {
    ($turns:expr, $($module:ident)::+) => {{
        use $($module)::+ as module;
        let turn = AtomicU32::new(0);
        let play = |mine: u32, peer: &module::Thread| {
            for n in (mine..$turns).step_by(2) {
                // Acquire and Release: a turn hands over what its side has done.
                while turn.load(Ordering::Acquire) != n {
                    module::park();
                }
                turn.store(n + 1, Ordering::Release);
                peer.unpark();
            }
        };
        let start = Instant::now();
        module::scope(|s| {
            let main = module::current();
            let second = s.spawn(move || play(1, &main));
            play(0, second.thread());
        });
        start.elapsed().as_nanos() as f64 / f64::from($turns)
    }};
}

/// Million steps a second when the job is cut into `pieces`.
macro_rules! throughput {
    ($steps:expr, $pieces:expr, $($module:ident)::+) => {{
        let start = Instant::now();
        $($module)::+::scope(|s| {
            for piece in 1..=$pieces {
                // No compiler shortens this: each step needs the one before.
                s.spawn(move || black_box((1..=$steps / $pieces).fold(piece, |x, _| x ^ (x << 13) ^ (x >> 7))));
            }
        });
        $steps as f64 / start.elapsed().as_secs_f64() / 1e6
    }};
}

fn main() {
    let steps = argument::number("size in million steps", 1..=100_000, 100) * 1_000_000;
    let one_worker = fibra::Builder::new().workers(1);
    let task = one_worker.run(|| switch!(1_000_000, fibra::thread)).expect("one worker can be started");
    let thread = switch!(40_000, std::thread);

    println!("million steps a second of a job of {} million steps, cut into", steps / 1_000_000);
    let tasks = [1, 2, 10, 100, 1000, 10_000];
    let tasks = tasks.map(|n| (n, "tasks", fibra::run(|| throughput!(steps, n, fibra::thread))));
    let threads = [1, 2, 10, 100, 1000, 2000].map(|n| (n, "threads", throughput!(steps, n, std::thread)));
    let best = tasks.iter().chain(&threads).fold(1.0, |best: f64, line| best.max(line.2));
    for (pieces, kind, speed) in tasks.into_iter().chain(threads) {
        let bar = "█".repeat((40.0 * speed / best).round() as usize);
        println!("{pieces:>6} {kind:<7} {bar:<40} {speed:>6.0}");
    }
    let times = thread / task;
    println!(
        "a switch takes {task:.0} ns between tasks, {thread:.0} ns between OS threads: {times:.0} times as long"
    );
}
