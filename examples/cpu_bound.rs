//! Work that computes, Python's `heavy_computation` four times: concurrency gains nothing, parallelism does.
//!
//! ```python
//! def heavy_computation(n): return sum(i * i for i in range(n))
//! with multiprocessing.Pool() as pool: pool.map(heavy_computation, [10_000_000] * 4)
//! ```
//!
//! Tasks on one worker are concurrent but not parallel, as Python's threads are: computing gains nothing from them. On
//! all workers they share out the processors, and `pool::map` does that without spawning or joining by hand.
//!
//! ```text
//! $ cargo run --release --example cpu_bound               # or with another number: -- 100000000
//! heavy_computation(10000000), four times, with 2 workers
//! one task                        21.9 ms   1.00 times as fast
//! four tasks on one worker        21.9 ms   1.00 times as fast
//! four tasks on all workers       11.2 ms   1.95 times as fast
//! pool::map                       11.2 ms   1.96 times as fast
//! all 80 results are [333333283333335000000]
//! four tasks on one worker are 1.00 times as fast as one task, pool::map on 2 workers 1.96 times
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::hint::black_box;
use std::time::Instant;

use fibra::{Builder, pool, scope};

/// A round measures each way once; the medians count.
const ROUNDS: usize = 5;

/// The sum of the first `n` squares, step by step; the compiler knows a formula for it, and must not use it.
#[inline(never)]
fn heavy_computation(n: u64) -> u128 {
    (0..n).map(|i| u128::from(black_box(i)).pow(2)).sum()
}

fn main() {
    let n = argument::number("number of steps", 1..=10_000_000_000, 10_000_000);
    let runtime = Builder::new().build().expect("the workers can be started");
    let one_worker = Builder::new().workers(1).build().expect("a worker can be started");
    println!("heavy_computation({n}), four times, with {} workers", runtime.handle().workers());

    let numbers = [n; 4];
    let in_turn = || numbers.map(heavy_computation).to_vec();
    let in_tasks = || {
        scope(|s| {
            let tasks = numbers.map(|n| s.spawn(move || heavy_computation(n)));
            tasks.map(|task| task.join().expect("it does not panic")).to_vec()
        })
    };
    let ways: [(&str, &dyn Fn() -> Vec<u128>); 4] = [
        ("one task", &|| runtime.run(in_turn)),
        ("four tasks on one worker", &|| one_worker.run(in_tasks)),
        ("four tasks on all workers", &|| runtime.run(in_tasks)),
        ("pool::map", &|| runtime.run(|| pool::map(numbers, heavy_computation))),
    ];

    let (mut results, mut times) = (Vec::new(), [const { Vec::new() }; 4]);
    for _ in 0..ROUNDS {
        for ((_, compute), times) in ways.iter().zip(&mut times) {
            let start = Instant::now();
            results.extend(compute());
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let medians = times.map(median);
    for ((how, _), ms) in ways.iter().zip(medians) {
        println!("{how:<26} {ms:>9.1} ms {:>6.2} times as fast", medians[0] / ms);
    }
    let count = results.len();
    results.dedup();
    println!("all {count} results are {results:?}");
    let [_, one_worker, _, pool_map] = medians.map(|ms| medians[0] / ms);
    print!("four tasks on one worker are {one_worker:.2} times as fast as one task, ");
    println!("pool::map on {} workers {pool_map:.2} times", runtime.handle().workers());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
