//! What it costs to spawn and join, beside OS threads.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fibra::Runtime;
use fibra::sync::WaitGroup;

/// Tasks in a batch, as a server would have them in flight.
const BATCH: usize = 1000;

fn runtime() -> Runtime {
    fibra::Builder::new().workers(2).build().expect("two workers")
}

fn spawn(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("spawn");
    group.bench_function("task, joined", |b| {
        runtime.run(|| b.iter(|| fibra::spawn(|| ()).join().unwrap()));
    });
    group.bench_function("thread, joined", |b| {
        b.iter(|| std::thread::spawn(|| ()).join().unwrap());
    });
    group.throughput(criterion::Throughput::Elements(BATCH as u64));
    group.bench_function("1,000 tasks, wait group", |b| {
        runtime.run(|| {
            b.iter_batched(
                WaitGroup::new,
                |wg| {
                    (0..BATCH).for_each(|_| wg.go(|| ()));
                    wg.wait();
                },
                BatchSize::SmallInput,
            );
        });
    });
    group.finish();
}

criterion_group!(benches, spawn);
criterion_main!(benches);
