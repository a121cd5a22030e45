//! Java's 100,000 virtual threads in one executor: the first success wins, and the others are cancelled.
//!
//! ```java
//! try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
//!     var answer = executor.invokeAny(tasks);
//! }
//! ```
//!
//! Here a group is the executor, and `first_ok` is `invokeAny`. As many servers are asked the same question: every tenth
//! refuses at once, one answers when all have been asked, and the others would take an hour. Their tasks unwind where they
//! wait, so that each connection is closed by its destructor, and none is left when `first_ok` returns.
//!
//! ```text
//! $ cargo run --release --example virtual_threads         # or with the number of servers: -- 1000000
//! 100000 servers were asked within 0.32 s, 10000 of them refused
//! server 7 answered first, 89999 tasks were cancelled
//! 100000 of 100000 connections were closed, the last of them 0.19 s after the answer
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::panicking;
use std::time::{Duration, Instant};

use fibra::sync::WaitGroup;
use fibra::task::Group;

static REFUSED: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// What a task holds while it waits for its server.
struct Connection;

impl Drop for Connection {
    fn drop(&mut self) {
        CLOSED.fetch_add(1, Relaxed);
        if panicking() {
            CANCELLED.fetch_add(1, Relaxed); // A cancelled task unwinds as a panicking one does.
        }
    }
}

/// The server's number and when it answered. Blocks, as any code may.
fn ask(server: u64, all_asked: &WaitGroup) -> Result<(u64, Instant), &'static str> {
    let _connection = Connection;
    all_asked.done();
    if server == 7 {
        all_asked.wait();
    } else if server % 10 == 9 {
        REFUSED.fetch_add(1, Relaxed);
        return Err("connection refused");
    } else {
        fibra::sleep(Duration::from_secs(3600));
    }
    Ok((server, Instant::now()))
}

fn main() {
    let count = argument::number("number of servers", 10..=10_000_000, 100_000);
    fibra::run(|| {
        let start = Instant::now();
        let group = Group::new();
        let all_asked = WaitGroup::new();
        all_asked.add(count as isize);
        for server in 0..count {
            let all_asked = all_asked.clone();
            group.spawn(move || ask(server, &all_asked));
        }
        let (winner, answered) = group.first_ok().expect("one server answers");
        let end = answered.elapsed().as_secs_f64();

        let asked = (answered - start).as_secs_f64();
        let [refused, cancelled, closed] = [&REFUSED, &CANCELLED, &CLOSED].map(|count| count.load(Relaxed));
        println!("{count} servers were asked within {asked:.2} s, {refused} of them refused");
        println!("server {winner} answered first, {cancelled} tasks were cancelled");
        println!("{closed} of {count} connections were closed, the last of them {end:.2} s after the answer");
    });
}
