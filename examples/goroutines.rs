//! Ten thousand tasks that each sleep a second. They sleep at the same time, so all of it takes little over a second,
//! and a parked task costs about one page of memory. With `--threads` OS threads do the same.
//!
//! ```text
//! $ cargo run --release --example goroutines              # or with: -- 1000000, or: -- --threads
//! 10000 of 10000 tasks finished in 1.02 s
//! peak memory 44.4 MiB, 4.3 KiB for each of the 10000 tasks alive at once
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use fibra::sync::WaitGroup;

const USAGE: &str = "usage: goroutines [COUNT] [--threads]   (COUNT from 1 to 10000000, default 10000)";

/// Counts those alive now, the most at any time, and the finished ones.
#[derive(Default)]
struct Census {
    alive: AtomicUsize,
    most: AtomicUsize,
    finished: AtomicUsize,
}

impl Census {
    fn live_for_a_second(&self, sleep: fn(Duration)) {
        self.most.fetch_max(self.alive.fetch_add(1, Relaxed) + 1, Relaxed);
        sleep(Duration::from_secs(1));
        self.alive.fetch_sub(1, Relaxed);
        self.finished.fetch_add(1, Relaxed);
    }
}

fn run_tasks(count: usize, census: &Arc<Census>) {
    fibra::run(|| {
        let wg = WaitGroup::new();
        for _ in 0..count {
            let census = census.clone();
            wg.go(move || census.live_for_a_second(fibra::sleep));
        }
        wg.wait();
    });
}

fn run_threads(count: usize, census: &Arc<Census>) {
    // A thread takes four map entries (its two stacks and their guards), and std aborts the process when a new thread
    // finds none left: so that refusal has to be foreseen.
    let maps = number_in("/proc/sys/vm/max_map_count", "").unwrap_or(65_530);
    let most = (maps / 4).saturating_sub(500);
    if count > most {
        println!(
            "the system refuses more than {most} threads at once (vm.max_map_count = {maps}, four a thread)"
        );
    }
    let mut threads = Vec::new();
    for started in 0..count.min(most) {
        let census = census.clone();
        match thread::Builder::new().spawn(move || census.live_for_a_second(thread::sleep)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                println!("the system refuses more than {started} threads: {error}");
                break;
            }
        }
    }
    threads.into_iter().for_each(|thread| thread.join().expect("the thread only sleeps"));
}

fn main() {
    let (mut count, mut threads) = (None, false);
    for arg in env::args().skip(1) {
        match arg.parse() {
            _ if arg == "--threads" => threads = true,
            Ok(n @ 1..=10_000_000) if count.is_none() => count = Some(n),
            _ => fail(&format!("\"{arg}\" is not what is expected here\n{USAGE}")),
        }
    }
    let count = count.unwrap_or(10_000);
    let census = Arc::new(Census::default());
    let before = memory_kib("VmRSS:");
    let start = Instant::now();
    if threads {
        run_threads(count, &census)
    } else {
        run_tasks(count, &census)
    }
    let seconds = start.elapsed().as_secs_f64();

    let kind = if threads { "threads" } else { "tasks" };
    let (finished, most) = (census.finished.load(Relaxed), census.most.load(Relaxed));
    let peak = memory_kib("VmHWM:");
    let each = peak.saturating_sub(before) as f64 / most.max(1) as f64;
    println!("{finished} of {count} {kind} finished in {seconds:.2} s");
    let peak = peak as f64 / 1024.0;
    println!("peak memory {peak:.1} MiB, {each:.1} KiB for each of the {most} {kind} alive at once");
}

fn memory_kib(field: &str) -> usize {
    number_in("/proc/self/status", field).unwrap_or_else(|| fail(&format!("no {field} in /proc/self/status")))
}

/// The first number behind `field` in a file of /proc.
fn number_in(path: &str, field: &str) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    text[text.find(field)? + field.len()..].split_whitespace().next()?.parse().ok()
}

fn fail(message: &str) -> ! {
    eprintln!("goroutines: {message}");
    process::exit(2)
}
