//! Ten thousand tasks sleep at once: it takes little over a second in all, and about a page of memory for each.
//!
//! Each sleeps for a second. With `--threads` OS threads do the same, or fewer of them if the system refuses so many.
//!
//! ```text
//! $ cargo run --release --example goroutines              # or with: -- 1000000, or: -- --threads
//! 10000 of 10000 tasks finished in 1.04 s; peak memory 45.0 MiB, 4.4 KiB for each of 10000 at once
//! ```

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use fibra::sync::WaitGroup;

/// Those asleep now, and the most at any time; and those that have finished.
static ASLEEP: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static FINISHED: AtomicUsize = AtomicUsize::new(0);

fn live_for_a_second(sleep: fn(Duration)) {
    MOST.fetch_max(ASLEEP.fetch_add(1, Relaxed) + 1, Relaxed);
    sleep(Duration::from_secs(1));
    ASLEEP.fetch_sub(1, Relaxed);
    FINISHED.fetch_add(1, Relaxed);
}

fn run_tasks(count: usize) {
    fibra::run(|| {
        let wg = WaitGroup::new();
        (0..count).for_each(|_| wg.go(|| live_for_a_second(fibra::sleep)));
        wg.wait();
    });
}

fn run_threads(count: usize) {
    // A thread takes four map entries (its two stacks and their guards), and std aborts the process when a new thread
    // finds none left: so that refusal has to be foreseen.
    let most = (number_in("/proc/sys/vm/max_map_count", "") / 4).saturating_sub(500);
    let spawn = |_| {
        let spawned = thread::Builder::new().spawn(|| live_for_a_second(thread::sleep));
        spawned.inspect_err(|error| println!("no thread more: {error}")).ok()
    };
    let threads: Vec<_> = (0..count.min(most)).map_while(spawn).collect();
    if threads.len() < count {
        println!("the system refuses more than {} threads at once", threads.len());
    }
    threads.into_iter().for_each(|thread| thread.join().expect("the thread only sleeps"));
}

fn main() {
    let mut arguments: Vec<_> = env::args().skip(1).collect();
    let flag = arguments.iter().position(|argument| argument == "--threads");
    let threads = flag.map(|at| arguments.remove(at)).is_some();
    let text = if arguments.is_empty() { "10000".to_owned() } else { arguments.join(" ") };
    let count = text.parse().ok().filter(|n| (1..=10_000_000).contains(n)).unwrap_or_else(|| {
        eprintln!("goroutines: expected a count from 1 to 10000000, or --threads, or both, not \"{text}\"");
        process::exit(2)
    });

    let before = number_in("/proc/self/status", "VmRSS:");
    let start = Instant::now();
    if threads {
        run_threads(count)
    } else {
        run_tasks(count)
    }
    let seconds = start.elapsed().as_secs_f64();
    let peak = number_in("/proc/self/status", "VmHWM:");

    let (finished, most) = (FINISHED.load(Relaxed), MOST.load(Relaxed));
    let each = peak.saturating_sub(before) as f64 / most.max(1) as f64;
    let (kind, peak) = (if threads { "threads" } else { "tasks" }, peak as f64 / 1024.0);
    print!("{finished} of {count} {kind} finished in {seconds:.2} s; ");
    println!("peak memory {peak:.1} MiB, {each:.1} KiB for each of {most} at once");
}

/// The first number behind `field` in a file of /proc.
fn number_in(path: &str, field: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    let number = text.split_once(field).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("there is no number behind \"{field}\" in {path}"))
}
