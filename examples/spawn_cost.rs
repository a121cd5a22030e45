//! What it costs to spawn something that does nothing, and to join it: tasks against OS threads.
//!
//! The two columns are two programs. One spawns and joins in turn; the other spawns a hundred, then joins them. Each
//! figure is the median of five rounds, tasks and threads in alternation.
//!
//! ```text
//! $ cargo run --release --example spawn_cost              # or with a count of tasks a round: -- 1000000
//! spawn and join, ns each      in turn   a hundred at a time
//! task                              94                   101
//! OS thread                      51990                 55542
//! ratio                            552                   548
//! spawned and joined in turn, a task takes 94 ns, an OS thread 51990 ns: 552 times as long
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::thread;
use std::time::Instant;

const BATCH: usize = 100;
const ROUNDS: usize = 5;

/// Nanoseconds for each of `count`, in two patterns. Tasks and threads run the same code, only its module differs.
macro_rules! measure {
    ($count:expr, $spawn:path) => {{
        let count = $count;
        let start = Instant::now();
        for _ in 0..count {
            $spawn(|| ()).join().expect("an empty body does not panic");
        }
        let in_turn = start.elapsed().as_nanos() as f64 / count as f64;

        let start = Instant::now();
        for _ in 0..count / BATCH {
            let handles: Vec<_> = (0..BATCH).map(|_| $spawn(|| ())).collect();
            handles.into_iter().for_each(|h| h.join().expect("an empty body does not panic"));
        }
        [in_turn, start.elapsed().as_nanos() as f64 / count as f64]
    }};
}

fn main() {
    // Threads are so much slower that a twentieth of the count gives as good a figure.
    let tasks =
        (argument::number("count of tasks", 1..=10_000_000, 100_000) as usize).next_multiple_of(BATCH);
    let threads = (tasks / 20).next_multiple_of(BATCH);

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let task = fibra::run(|| measure!(tasks, fibra::spawn));
        rounds.push((task, measure!(threads, thread::spawn)));
    }
    let task = [0, 1].map(|column| median(rounds.iter().map(|(task, _)| task[column])));
    let thread = [0, 1].map(|column| median(rounds.iter().map(|(_, thread)| thread[column])));

    println!("spawn and join, ns each {:>12}   a hundred at a time", "in turn");
    println!("task       {:>25.0} {:>21.0}", task[0], task[1]);
    println!("OS thread  {:>25.0} {:>21.0}", thread[0], thread[1]);
    let ratio = [0, 1].map(|column| thread[column] / task[column]);
    println!("ratio      {:>25.0} {:>21.0}", ratio[0], ratio[1]);
    let (task, thread, ratio) = (task[0], thread[0], ratio[0]);
    print!("spawned and joined in turn, a task takes {task:.0} ns, an OS thread {thread:.0} ns: ");
    println!("{ratio:.0} times as long");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
