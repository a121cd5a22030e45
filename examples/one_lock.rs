//! Two tasks that take turns under one lock, as two Python threads do under the GIL, and the same two without it.
//!
//! Each has a worker, and so a processor, to itself. Under the lock only one of them computes at any time, and the second
//! processor is of no use. Who ran when is recorded, and printed as text (█ computes, · waits) and as Mermaid sequence
//! diagrams: put one between "```mermaid" and "```" in a Markdown file, or into <https://mermaid.live>.
//!
//! ```text
//! $ cargo run --release --example one_lock                # or with the number of turns of each: -- 5
//! under one lock: 6 turns in 49.9 ms, both compute for 0.0 ms of them
//! A ██████████··········██████████··········██████████
//! B ··········██████████··········██████████··········██████████
//! in parallel: 6 turns in 24.6 ms, both compute for 24.5 ms of them
//! A ██████████████████████████████
//! B ██████████████████████████████
//! sequenceDiagram
//!     participant A
//!     participant lock
//!     participant B
//!     A->>lock: may I? (0.1 ms)
//!     lock->>+A: yes (0.1 ms)
//!     B->>lock: may I? (0.1 ms)
//!     A->>-lock: done (8.3 ms)
//!     A->>lock: may I? (8.3 ms)
//!     lock->>+B: yes (8.3 ms)
//!    …
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::hint::black_box;
use std::time::{Duration, Instant};

use fibra::sync::{Mutex, MutexGuard};

/// The width of the bars.
const COLUMNS: u32 = 60;

/// One turn of a task: when it asked for it, and from when to when it computed. Times are counted from the start.
#[derive(Clone)]
struct Turn {
    who: char,
    asks: Duration,
    starts: Duration,
    stops: Duration,
}

fn main() {
    let count = argument::number("number of turns", 1..=20, 3);
    let builder = fibra::Builder::new().workers(2);
    let lock = Mutex::new(());
    let run = || (record(count, Some(&lock)), record(count, None));
    let (one_lock, parallel) = builder.run(run).expect("two workers can be started");

    let column = end(&one_lock).max(end(&parallel)) / COLUMNS;
    print_bars("under one lock", &one_lock, column);
    print_bars("in parallel", &parallel, column);
    print_diagram(&one_lock, &["A", "lock", "B"]);
    print_diagram(&parallel, &["A", "B"]);
}

/// Has both tasks take their turns.
fn record(count: u64, lock: Option<&Mutex<()>>) -> Vec<Turn> {
    let start = Instant::now();
    let take_turn = |who| {
        let asks = start.elapsed();
        let guard = lock.map(Mutex::lock);
        let starts = start.elapsed();
        compute();
        let stops = start.elapsed();
        // Hands the lock to the other if it waits. If the guard were just dropped, this task could take it again at once.
        if let Some(guard) = guard {
            MutexGuard::unlock_fair(guard);
        }
        Turn { who, asks, starts, stops }
    };
    fibra::scope(|s| {
        let tasks = [(0, 'A'), (1, 'B')].map(|(worker, who)| {
            let builder = fibra::thread::Builder::new().worker(worker);
            builder.spawn_scoped(s, move || (0..count).map(|_| take_turn(who)).collect::<Vec<_>>())
        });
        tasks.map(|task| task.expect("a task can be made").join().expect("it does not panic")).concat()
    })
}

/// Some milliseconds of work that no compiler shortens: each step needs the one before.
fn compute() {
    black_box((0..10_000_000).fold(black_box(1u64), |x, _| x ^ (x << 13) ^ (x >> 7)));
}

fn print_bars(how: &str, turns: &[Turn], column: Duration) {
    let (a, b): (Vec<_>, Vec<_>) = turns.iter().partition(|turn| turn.who == 'A');
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    let both: Duration =
        pairs.map(|(a, b)| a.stops.min(b.stops).saturating_sub(a.starts.max(b.starts))).sum();
    let (count, took, both) = (turns.len(), millis(end(turns)), millis(both));
    println!("{how}: {count} turns in {took:.1} ms, both compute for {both:.1} ms of them");
    for (who, turns) in [('A', a), ('B', b)] {
        let mark = |at| match turns.iter().find(|turn| at < turn.stops) {
            Some(turn) if at >= turn.starts => '█',
            Some(turn) if at >= turn.asks => '·',
            _ => ' ',
        };
        let bar: String = (0..COLUMNS).map(|n| mark(column * n + column / 2)).collect();
        println!("{who} {}", bar.trim_end());
    }
}

/// What happened, in the order in which it did. In the messages a plus begins an activity, and a minus ends it.
fn print_diagram(turns: &[Turn], participants: &[&str]) {
    let messages = |&Turn { who, asks, starts, stops }: &Turn| match participants {
        [_, lock, _] => vec![
            (asks, format!("{who}->>{lock}: may I?")),
            (starts, format!("{lock}->>+{who}: yes")),
            (stops, format!("{who}->>-{lock}: done")),
        ],
        _ => vec![(starts, format!("{who}->>+{who}: starts")), (stops, format!("{who}->>-{who}: done"))],
    };
    let mut messages: Vec<_> = turns.iter().flat_map(messages).collect();
    messages.sort_by_key(|(at, _)| *at);

    println!("sequenceDiagram");
    participants.iter().for_each(|name| println!("    participant {name}"));
    messages.iter().for_each(|(at, message)| println!("    {message} ({:.1} ms)", millis(*at)));
}

fn end(turns: &[Turn]) -> Duration {
    turns.iter().map(|turn| turn.stops).max().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
