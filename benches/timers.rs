//! What a sleep costs beside the sleeping: one insert and one expiry.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

/// `sleepers` tasks of one worker, each sleeping a microsecond again and again, `iterations` times in all.
fn short_sleeps(sleepers: u64, iterations: u64) -> Duration {
    let each = iterations.div_ceil(sleepers);
    let start = Instant::now();
    let sleep = move || (0..each).for_each(|_| fibra::sleep(Duration::from_micros(1)));
    let tasks: Vec<_> = (0..sleepers).map(|_| fibra::spawn_local(sleep)).collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    start.elapsed()
}

fn timers(c: &mut Criterion) {
    let runtime = fibra::Builder::new().workers(1).build().expect("one worker");
    let mut group = c.benchmark_group("timers");
    for sleepers in [100, 10_000] {
        group.bench_function(format!("sleep and expire, {sleepers} sleepers"), |b| {
            runtime.run(|| b.iter_custom(|iterations| short_sleeps(sleepers, iterations)));
        });
    }
    group.bench_function("a timeout that is not reached", |b| {
        runtime.run(|| {
            b.iter_custom(|iterations| {
                let sleeper = fibra::spawn_local(move || {
                    for _ in 0..iterations {
                        fibra::thread::park_timeout(Duration::from_secs(60));
                    }
                });
                let start = Instant::now();
                for _ in 0..iterations {
                    sleeper.thread().unpark();
                    fibra::yield_now();
                }
                sleeper.join().unwrap();
                start.elapsed()
            });
        });
    });
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);
