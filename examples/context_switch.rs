//! What a switch costs, and why more threads are not faster.
//!
//! First two tasks, then two OS threads, hand a turn to each other by `park` and `unpark`; then a thousand of each only
//! yield. After that the same computation is cut into more and more pieces. Once every core is busy more of them can't
//! help, and with threads the switches and stacks soon eat the gain.
//!
//! ```text
//! $ cargo run --release --example context_switch          # or with the job's size in million steps: -- 400
//! ns a switch             task   OS thread
//! park and unpark           32       12911
//! yield among 1000          12        2183
//!
//! a job of 100 million steps cut into           million steps a second
//!      1 tasks   ████████████████████                       1207
//!    …
//!   1000 tasks   ████████████████████████████████████████   2359
//!    …
//!   2000 threads ████████████                                688
//! ```

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{env, process, thread};

/// Nanoseconds for each of `turns` that two sides take in alternation: whoever has the turn passes it on and parks.
macro_rules! park_and_unpark {
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

/// Nanoseconds of processor time for each yield while a thousand are alive.
macro_rules! yields {
    ($each:expr, $processors:expr, $($module:ident)::+) => {{
        use $($module)::+ as module;
        let start = Instant::now();
        module::scope(|s| {
            for _ in 0..1000 {
                s.spawn(|| (0..$each).for_each(|_| module::yield_now()));
            }
        });
        start.elapsed().as_nanos() as f64 * $processors as f64 / (1000.0 * f64::from($each))
    }};
}

/// Million steps a second when the job is cut into `pieces`.
macro_rules! throughput {
    ($steps:expr, $pieces:expr, $($module:ident)::+) => {{
        let start = Instant::now();
        $($module)::+::scope(|s| {
            for piece in 0..$pieces {
                s.spawn(move || compute($steps / $pieces, piece));
            }
        });
        $steps as f64 / start.elapsed().as_secs_f64() / 1e6
    }};
}

/// A computation that no compiler shortens: each step needs the one before.
fn compute(steps: u64, seed: u64) {
    let x = (0..steps).fold(seed | 1, |x, _| x ^ (x << 13) ^ (x >> 7));
    black_box(x);
}

fn main() {
    let steps = million_steps(100) * 1_000_000;
    let processors = thread::available_parallelism().map_or(1, |n| n.get());
    let one_worker =
        |f: fn() -> f64| fibra::Builder::new().workers(1).run(f).expect("one worker can be started");

    println!("ns a switch             task   OS thread");
    let task = one_worker(|| park_and_unpark!(1_000_000, fibra::thread));
    println!("park and unpark   {task:>10.0} {:>11.0}", park_and_unpark!(40_000, std::thread));
    let task = one_worker(|| yields!(10_000, 1, fibra::thread));
    println!("yield among 1000  {task:>10.0} {:>11.0}", yields!(1000, processors, std::thread));

    println!("\na job of {} million steps cut into {:>32}", steps / 1_000_000, "million steps a second");
    let tasks = [1, 2, 10, 100, 1000, 10_000];
    let tasks = tasks.map(|n| (n, "tasks", fibra::run(|| throughput!(steps, n, fibra::thread))));
    let threads = [1, 2, 10, 100, 1000, 2000].map(|n| (n, "threads", throughput!(steps, n, std::thread)));
    let best = tasks.iter().chain(&threads).fold(1.0, |best: f64, line| best.max(line.2));
    for (pieces, kind, speed) in tasks.into_iter().chain(threads) {
        let bar = "█".repeat((40.0 * speed / best).round() as usize);
        println!("{pieces:>6} {kind:<7} {bar:<40} {speed:>6.0}");
    }
}

/// The job's size on the command line, or `default`.
fn million_steps(default: u64) -> u64 {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse().ok().filter(|n| (1..=100_000).contains(n)).unwrap_or_else(|| {
        eprintln!("context_switch: expected one size from 1 to 100000 (million steps), not \"{text}\"");
        process::exit(2)
    })
}
