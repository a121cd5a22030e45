//! Channels: time per message, on one worker and on two.
//!
//! `spsc` and `mpmc` (4 producers, 4 consumers) pass messages through a buffer of 128; `ping_pong` is a round trip over
//! two rendezvous channels. `cargo bench --bench channel`.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fibra::Builder;
use fibra::channel::{bounded, unbounded};
use fibra::sync::WaitGroup;

const CAPACITY: usize = 128;

/// Passes about `messages` from `pairs` producers to `pairs` consumers; returns the time of the whole.
fn pass(pairs: usize, messages: u64) -> Duration {
    let each = messages.div_ceil(pairs as u64);
    let wg = WaitGroup::new();
    let start = Instant::now();
    let (tx, rx) = bounded(CAPACITY);
    for _ in 0..pairs {
        let (tx, rx) = (tx.clone(), rx.clone());
        wg.go(move || (0..each).for_each(|i| tx.send(i).unwrap()));
        wg.go(move || {
            for i in rx {
                std::hint::black_box(i);
            }
        });
    }
    drop((tx, rx));
    wg.wait();
    start.elapsed()
}

fn ping_pong(round_trips: u64) -> Duration {
    let (ping_tx, ping_rx) = bounded(0);
    let (pong_tx, pong_rx) = bounded(0);
    let wg = WaitGroup::new();
    wg.go(move || ping_rx.iter().for_each(|i: u64| pong_tx.send(i).unwrap()));
    let start = Instant::now();
    for i in 0..round_trips {
        ping_tx.send(i).unwrap();
        assert_eq!(pong_rx.recv(), Ok(i));
    }
    let elapsed = start.elapsed();
    drop(ping_tx);
    wg.wait();
    elapsed
}

/// The cost of the calls alone: no task ever waits.
fn uncontended(messages: u64) -> Duration {
    let (tx, rx) = unbounded();
    let start = Instant::now();
    for i in 0..messages {
        tx.send(i).unwrap();
        std::hint::black_box(rx.recv().unwrap());
    }
    start.elapsed()
}

fn channel(c: &mut Criterion) {
    for workers in [1, 2] {
        let runtime = Builder::new().workers(workers).build().expect("a small runtime starts");
        let mut group = c.benchmark_group(format!("channel/{workers} workers"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("spsc", |b| b.iter_custom(|n| runtime.run(move || pass(1, n))));
        group.bench_function("mpmc", |b| b.iter_custom(|n| runtime.run(move || pass(4, n))));
        group.bench_function("ping_pong", |b| b.iter_custom(|n| runtime.run(move || ping_pong(n))));
        group.bench_function("uncontended", |b| b.iter_custom(|n| runtime.run(move || uncontended(n))));
    }
}

criterion_group!(benches, channel);
criterion_main!(benches);
