//! Work that blocks goes to the pool: a ticker stays on time while others hash passwords, read files and resolve names.
//!
//! There is one worker. Argon2 computes for some 10 ms per password without a pause, and a name may take seconds to
//! resolve. On the pool neither delays the ticker by more than the processors need to get to all their threads.
//!
//! ```text
//! $ cargo run --release --example thread_pool             # or with the number of passwords to hash: -- 100
//! hashed 40 passwords in 0.51 s on 4 threads, 12.7 ms each; the first key is 1c8a…
//! read 40 files of 1 MiB, and resolved "localhost" 40 times to 127.0.0.1:80
//! the ticker ticked 101 times, late by 0.1 ms on average and by 2.1 ms at most
//! ```

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, process};

use argon2::Argon2;
use fibra::{JoinHandle, fs};

const PERIOD: Duration = Duration::from_millis(5);
const FILE_SIZE: usize = 1 << 20;
const THREADS: usize = 4;

fn main() {
    let count = count(40);
    let builder = fibra::Builder::new().workers(1).max_blocking_threads(THREADS);
    let report = builder.run(|| {
        let done = Arc::new(AtomicBool::new(false));
        let stop = done.clone();
        let ticker = fibra::spawn(move || tick_until(&stop));
        let file = env::temp_dir().join(format!("fibra-thread-pool-{}", process::id()));
        fs::write(&file, vec![b'.'; FILE_SIZE])?;

        let start = Instant::now();
        let hashes = all(count, |i| fibra::blocking(|| hash(&format!("password {i}"))));
        let path = file.clone();
        let reads = all(count, move |_| fs::read(&path).map(|contents| contents.len()));
        let names = all(count, |_| fibra::blocking(|| ("localhost", 80).to_socket_addrs()));
        let keys: Vec<_> = hashes.into_iter().map(join).collect();
        let elapsed = start.elapsed().as_secs_f64();
        let each = elapsed * 1e3 * THREADS as f64 / count as f64;
        let key = u16::from_be_bytes([keys[0][0], keys[0][1]]);
        println!("hashed {count} passwords in {elapsed:.2} s on {THREADS} threads, {each:.1} ms each; the first key is {key:04x}…");
        for read in reads {
            assert_eq!(join(read)?, FILE_SIZE);
        }
        let addresses: Vec<_> = names.into_iter().map(join).collect::<Result<_, _>>()?;
        let address = addresses.into_iter().flatten().next().map_or("nothing".into(), |found| found.to_string());
        println!("read {count} files of 1 MiB, and resolved \"localhost\" {count} times to {address}");
        fs::remove_file(&file)?;

        done.store(true, Relaxed);
        let late: Vec<Duration> = join(ticker);
        let mean = late.iter().sum::<Duration>().as_secs_f64() * 1e3 / late.len().max(1) as f64;
        let worst = late.iter().max().map_or(0.0, |late| late.as_secs_f64() * 1e3);
        let ticks = late.len();
        println!("the ticker ticked {ticks} times, late by {mean:.1} ms on average and by {worst:.1} ms at most");
        std::io::Result::Ok(())
    });
    if let Err(error) = report.flatten() {
        eprintln!("thread_pool: {error}");
        process::exit(1);
    }
}

/// Spawns `count` tasks.
fn all<T: Send + 'static>(
    count: usize,
    f: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<JoinHandle<T>> {
    let f = Arc::new(f);
    (0..count)
        .map(|i| {
            fibra::spawn({
                let f = f.clone();
                move || f(i)
            })
        })
        .collect()
}

fn join<T>(task: JoinHandle<T>) -> T {
    task.join().expect("no task panics")
}

/// A key of 32 bytes, expensive to compute: Argon2id with its usual settings, 19 MiB and two passes.
fn hash(password: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Argon2::default()
        .hash_password_into(password.as_bytes(), b"a salt for all", &mut key)
        .expect("valid lengths");
    key
}

/// Wakes up every [`PERIOD`] until `done`, and tells how late each time was.
fn tick_until(done: &AtomicBool) -> Vec<Duration> {
    let mut late = Vec::new();
    let start = Instant::now();
    while !done.load(Relaxed) {
        let due = start + PERIOD * (late.len() as u32 + 1);
        fibra::thread::sleep_until(due);
        late.push(due.elapsed());
    }
    late
}

/// The count on the command line, or `default`.
fn count(default: usize) -> usize {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse().ok().filter(|n| (1..=10_000).contains(n)).unwrap_or_else(|| {
        eprintln!("thread_pool: expected one count from 1 to 10000, not \"{text}\"");
        process::exit(2)
    })
}
