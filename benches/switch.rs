//! What it costs to switch: yields among few and many tasks, and two tasks that unpark each other.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fibra::thread::{self, Builder, JoinHandle};

/// Yields in `tasks` tasks on one worker until there have been `iterations` in all.
fn yields(tasks: u64, iterations: u64) -> Duration {
    let each = iterations.div_ceil(tasks);
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..tasks).map(|_| fibra::spawn_local(move || (0..each).for_each(|_| fibra::yield_now()))).collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    start.elapsed()
}

/// One task on each of two workers (or the same, twice) unparks the other and parks.
fn ping_pong(workers: [usize; 2], iterations: u64) -> Duration {
    let start = Instant::now();
    let pong: JoinHandle<()> = on_worker(workers[1], move || {
        (0..iterations).for_each(|_| {
            thread::park();
            PING.lock().as_ref().expect("set before the first unpark").unpark();
        })
    });
    let ping = on_worker(workers[0], move || {
        *PING.lock() = Some(thread::current());
        for _ in 0..iterations {
            pong.thread().unpark();
            thread::park();
        }
        pong.join().unwrap();
    });
    ping.join().unwrap();
    start.elapsed()
}

static PING: fibra::sync::Mutex<Option<thread::Thread>> = fibra::sync::Mutex::new(None);

fn on_worker(index: usize, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().worker(index).spawn(f).expect("a worker of that index")
}

fn switch(c: &mut Criterion) {
    let runtime = fibra::Builder::new().workers(2).build().expect("two workers");
    let mut group = c.benchmark_group("switch");
    for tasks in [2, 1000] {
        group.bench_function(format!("yield, {tasks} tasks"), |b| {
            runtime.run(|| b.iter_custom(|iterations| yields(tasks, iterations)));
        });
    }
    group.bench_function("ping-pong, one worker", |b| {
        runtime.run(|| b.iter_custom(|iterations| ping_pong([0, 0], iterations)));
    });
    group.bench_function("ping-pong, two workers", |b| {
        runtime.run(|| b.iter_custom(|iterations| ping_pong([0, 1], iterations)));
    });
    group.finish();
}

criterion_group!(benches, switch);
criterion_main!(benches);
