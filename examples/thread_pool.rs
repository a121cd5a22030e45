//! Work that blocks goes to the pool: a ticker stays on time while others hash passwords, read files and resolve names.
//!
//! There is one worker, and the ticker's task shares it with all others. Argon2 computes for some 15 ms per password
//! without a pause, and a name may take seconds to resolve; on the worker each would hold the ticker up for that long.
//!
//! ```text
//! $ cargo run --release --example thread_pool             # or with the number of passwords to hash: -- 100
//! hashed 40 passwords, read 40 files of 1 MiB and resolved 40 names in 0.57 s, on 4 threads
//! the ticker ticked 114 times, late by 0.2 ms on average and by 4.1 ms at most
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/ticker.rs"]
mod ticker;

use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, io, process};

use argon2::Argon2;

const PERIOD: Duration = Duration::from_millis(5);
const THREADS: usize = 4;

fn main() -> io::Result<()> {
    let count = argument::number("count", 1..=10_000, 40) as usize;
    fibra::Builder::new().workers(1).max_blocking_threads(THREADS).run(|| measure(count))?
}

fn measure(count: usize) -> io::Result<()> {
    let file = env::temp_dir().join(format!("fibra-thread-pool-{}", process::id()));
    fibra::fs::write(&file, vec![b'.'; 1 << 20])?;
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let (worked, elapsed, late) = fibra::scope(|s| {
        let ticker = s.spawn(|| ticker::tick_until(&done, PERIOD));
        let hashes = s.spawn(|| all(count, |i| fibra::blocking(|| hash(&format!("password {i}")))));
        let reads = s.spawn(|| all(count, |_| fibra::fs::read(&file).map(drop)));
        let resolve = || ("localhost", 80).to_socket_addrs().map(drop);
        let names = s.spawn(move || all(count, |_| fibra::blocking(resolve)));
        let worked = [hashes, reads, names].map(|work| work.join().expect("no work panics"));
        done.store(true, Relaxed);
        (worked.into_iter().collect::<io::Result<()>>(), start.elapsed(), ticker.join().expect("nor does it"))
    });
    fibra::fs::remove_file(&file)?;
    worked?;
    println!(
        "hashed {count} passwords, read {count} files of 1 MiB and resolved {count} names in {:.2} s, on {} threads",
        elapsed.as_secs_f64(),
        fibra::Handle::current().blocking_stats().threads
    );
    ticker::report(&late);
    Ok(())
}

/// Runs `count` tasks at once; the first error of them.
fn all(count: usize, work: impl Fn(usize) -> io::Result<()> + Sync) -> io::Result<()> {
    let work = &work;
    fibra::scope(|s| {
        let tasks: Vec<_> = (0..count).map(|i| s.spawn(move || work(i))).collect();
        tasks.into_iter().try_for_each(|task| task.join().expect("no task panics"))
    })
}

/// Derives a key, at some expense: Argon2id with its usual settings, 19 MiB and two passes.
fn hash(password: &str) -> io::Result<()> {
    let mut key = [0; 32];
    let hashed = Argon2::default().hash_password_into(password.as_bytes(), b"a salt for all", &mut key);
    hashed.map_err(|error| io::Error::other(error.to_string()))
}
