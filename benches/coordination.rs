//! What tasks coordinate with: locks, a choice among channels, deadlines, cancellation, scopes, the parallel map.
//!
//! Everything on one worker but `mutex, contended` and `map`, which have two. `benches/versus` has the same beside other
//! runtimes. `cargo bench --bench coordination`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fibra::channel::{bounded, select};
use fibra::sync::{Mutex, RwLock, Semaphore, WaitGroup};
use fibra::{Builder, Runtime, pool, thread};

/// Messages that lie ready in each channel before a measurement.
const FILL: u64 = 1_000;
/// A deadline that is never met.
const FAR: Duration = Duration::from_secs(60);

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a small runtime starts")
}

/// The time of `iterations` calls.
fn time(iterations: u64, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..iterations).for_each(|_| call());
    start.elapsed()
}

/// Tasks that add to one counter until it has reached about `iterations`.
fn contended(iterations: u64) -> Duration {
    const TASKS: u64 = 8;
    let counter = Arc::new(Mutex::new(0));
    let wg = WaitGroup::new();
    let start = Instant::now();
    for _ in 0..TASKS {
        let counter = counter.clone();
        wg.go(move || (0..iterations.div_ceil(TASKS)).for_each(|_| *counter.lock() += 1));
    }
    wg.wait();
    start.elapsed()
}

fn locks(c: &mut Criterion) {
    let one = runtime(1);
    let (mutex, rwlock, semaphore) = (Mutex::new(0), RwLock::new(0), Semaphore::new(1));
    let mut group = c.benchmark_group("locks");
    group.bench_function("mutex", |b| {
        b.iter_custom(|n| one.run(|| time(n, || *black_box(&mutex).lock() += 1)));
    });
    group.bench_function("rwlock_read", |b| {
        b.iter_custom(|n| one.run(|| time(n, || drop(black_box(&rwlock).read()))));
    });
    group.bench_function("semaphore", |b| {
        b.iter_custom(|n| one.run(|| time(n, || drop(black_box(&semaphore).acquire()))));
    });
    let two = runtime(2);
    group.bench_function("mutex, contended", |b| b.iter_custom(|n| two.run(|| contended(n))));
}

/// Chooses between two channels that have messages.
fn choices(iterations: u64) -> Duration {
    let ((one, from_one), (two, from_two)) = (bounded(FILL as usize), bounded(FILL as usize));
    let mut taken = Duration::ZERO;
    for _ in 0..iterations.div_ceil(FILL) {
        while one.try_send(()).is_ok() {}
        while two.try_send(()).is_ok() {}
        taken += time(FILL, || {
            select! {
                recv(from_one) -> message => message.expect("its sender is here"),
                recv(from_two) -> message => message.expect("its sender is here"),
            }
        });
    }
    taken
}

/// Receives messages that lie ready.
fn receives(iterations: u64, with_deadline: bool) -> Duration {
    let (tx, rx) = bounded(FILL as usize);
    let mut taken = Duration::ZERO;
    for _ in 0..iterations.div_ceil(FILL) {
        while tx.try_send(()).is_ok() {}
        taken += if with_deadline {
            time(FILL, || assert_eq!(fibra::timeout(FAR, || rx.recv()), Ok(Ok(()))))
        } else {
            time(FILL, || assert_eq!(rx.recv(), Ok(())))
        };
    }
    taken
}

/// Cancels tasks that wait for good, each of which is parked before the clock runs.
fn cancellations(iterations: u64) -> Duration {
    let (_tx, rx) = bounded::<()>(0);
    let mut taken = Duration::ZERO;
    for _ in 0..iterations {
        let (rx, arrived) = (rx.clone(), WaitGroup::new());
        arrived.add(1);
        let here = arrived.clone();
        let task = thread::spawn(move || {
            here.done();
            rx.recv()
        });
        // On one worker it runs on until it parks.
        arrived.wait();
        let start = Instant::now();
        task.cancel();
        task.join().expect_err("it was cancelled");
        taken += start.elapsed();
    }
    taken
}

fn waits(c: &mut Criterion) {
    let runtime = runtime(1);
    let mut group = c.benchmark_group("waits");
    group.bench_function("select", |b| b.iter_custom(|n| runtime.run(|| choices(n))));
    for with_deadline in [false, true] {
        let id = BenchmarkId::new("recv", if with_deadline { "with a deadline" } else { "plain" });
        group.bench_function(id, |b| b.iter_custom(|n| runtime.run(|| receives(n, with_deadline))));
    }
    group.bench_function("cancel and join", |b| b.iter_custom(|n| runtime.run(|| cancellations(n))));
}

fn many(c: &mut Criterion) {
    let (one, two) = (runtime(1), runtime(2));
    let mut group = c.benchmark_group("many");
    group.bench_function("scope, 10 children", |b| {
        let scope = || {
            thread::scope(|s| {
                (0..10).for_each(|_| {
                    s.spawn(|| ());
                });
            })
        };
        b.iter_custom(|n| one.run(|| time(n, scope)));
    });
    group.bench_function("map, 10,000 numbers", |b| {
        b.iter_custom(|n| two.run(|| time(n, || drop(black_box(pool::map(0..10_000u64, |i| i * i))))));
    });
}

criterion_group!(benches, locks, waits, many);
criterion_main!(benches);
