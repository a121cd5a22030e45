//! Two tasks that take turns under one lock, as Python's threads do under the GIL, and the same two in parallel.
//!
//! Each has a worker, and so a processor, to itself. Under one lock only one of them computes at any time, and the second
//! processor is of no use; with a lock each, both compute. Who did what when is recorded, and printed as bars (█ computes,
//! · waits) and as Mermaid sequence diagrams: put one between "```mermaid" and "```" in a Markdown file.
//!
//! ```text
//! $ cargo run --release --example one_lock                # or with the number of turns of each: -- 5
//! under one lock: 6 turns in 62.4 ms, both compute for 0.0 ms of them
//! A    ······██████████·············█████████··········█████████
//! B █████████·············██████████·········██████████
//! in parallel: 6 turns in 29.7 ms, both compute for 29.0 ms of them
//! A █████████████████████████████
//! B ████████████████████████████
//! sequenceDiagram
//!     B->>lock: may I? (0.0 ms)
//!     lock->>+B: yes (0.0 ms)
//!    …
//! 6 turns take 62.4 ms under one lock, 29.7 ms with a lock each: 2.10 times as fast
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/timeline.rs"]
mod timeline;

use std::hint::black_box;
use std::time::Instant;

use fibra::sync::{Mutex, MutexGuard};
use timeline::Event;

fn main() {
    let turns = argument::number("number of turns", 1..=20, 3);
    let locks = [Mutex::new(()), Mutex::new(())];
    let run = || [record(turns, [&locks[0], &locks[0]]), record(turns, [&locks[0], &locks[1]])];
    let records = fibra::Builder::new().workers(2).run(run).expect("two workers can be started");

    let took = [0, 1].map(|n| records[n].last().expect("there is a turn").0);
    let millis = took.map(|time| time.as_secs_f64() * 1e3);
    for (n, how) in ["under one lock", "in parallel"].into_iter().enumerate() {
        let both = timeline::both_compute(&records[n]).as_secs_f64() * 1e3;
        println!("{how}: {} turns in {:.1} ms, both compute for {both:.1} ms of them", 2 * turns, millis[n]);
        timeline::print_bars(&records[n], took[0].max(took[1]));
    }
    timeline::print_diagram(&records[0], ["lock"; 2]);
    timeline::print_diagram(&records[1], ["lock1", "lock2"]);
    let [one_lock, parallel] = millis;
    print!("{} turns take {one_lock:.1} ms under one lock, {parallel:.1} ms with a lock each: ", 2 * turns);
    println!("{:.2} times as fast", one_lock / parallel);
}

/// Has both tasks take their turns, each under its lock.
fn record(turns: u64, locks: [&Mutex<()>; 2]) -> Vec<Event> {
    let (start, events) = (Instant::now(), Mutex::new(Vec::new()));
    let note = |who, what| {
        // Reads the clock when it has the lock, so that the events are in order.
        let mut events = events.lock();
        events.push((start.elapsed(), who, what));
    };
    let take_turn = |who: usize| {
        note(who, '·');
        let guard = locks[who].lock();
        note(who, '█');
        // Some milliseconds of work that no compiler shortens: each step needs the one before.
        black_box((0..10_000_000).fold(black_box(1u64), |x, _| x ^ (x << 13) ^ (x >> 7)));
        note(who, ' ');
        // Hands the lock to the other if it waits. If the guard were just dropped, this task could take it again at once.
        MutexGuard::unlock_fair(guard);
    };
    fibra::scope(|s| {
        for who in 0..2 {
            let builder = fibra::thread::Builder::new().worker(who);
            let task = builder.spawn_scoped(s, move || (0..turns).for_each(|_| take_turn(who)));
            task.expect("a task can be made");
        }
    });
    events.into_inner()
}
