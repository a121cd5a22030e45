//! What OS threads coordinate with: parking_lot's locks, `crossbeam-channel`, rayon.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{bounded, select};
use parking_lot::{Mutex, RwLock};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use versus::turns::{self, time};
use versus::{Args, LOCKERS, Report, SIDES, work};

use crate::join_all;

pub fn run(args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "rendezvous" => versus::per_op(n, || rendezvous(n)),
        "mutex_8" => {
            let std = versus::per_op(n, || mutex_8_std(n));
            versus::per_op(n, || mutex_8(n)).with("std_ns", std.value())
        }
        "mutex" => mutex(n),
        "rwlock_read" => rwlock_read(n),
        "select" => choose(n),
        "pool_map" => pool_map(n, args.workers),
        "semaphore" => Report::skip("neither std nor parking_lot has one"),
        "timeout_ready" | "timeout_parked" => Report::skip("a thread's calls can't be given a deadline"),
        "cancel" => Report::skip("a thread can't be cancelled"),
        _ => Report::skip("a scope is compared with a spawn of the same runtime"),
    }
}

fn rendezvous(n: usize) {
    let (tx, rx) = bounded(0);
    let each = n / SIDES;
    let mut threads = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        threads.push(thread::spawn(move || {
            (0..each).for_each(|i| tx.send(i).unwrap());
            0
        }));
        threads.push(thread::spawn(move || rx.iter().sum::<usize>()));
    }
    drop((tx, rx));
    assert_eq!(join_all(threads).iter().sum::<usize>(), versus::rendezvous_sum(n));
}

fn mutex_8(n: usize) {
    let counter = Arc::new(Mutex::new(0));
    let locker = || {
        let counter = counter.clone();
        move || (0..n / LOCKERS).for_each(|_| *counter.lock() += 1)
    };
    join_all((0..LOCKERS).map(|_| thread::spawn(locker())).collect());
    assert_eq!(*counter.lock(), n / LOCKERS * LOCKERS);
}

fn mutex_8_std(n: usize) {
    let counter = Arc::new(std::sync::Mutex::new(0));
    let locker = || {
        let counter = counter.clone();
        move || (0..n / LOCKERS).for_each(|_| *counter.lock().unwrap() += 1)
    };
    join_all((0..LOCKERS).map(|_| thread::spawn(locker())).collect());
    assert_eq!(*counter.lock().unwrap(), n / LOCKERS * LOCKERS);
}

/// What parking_lot's side, the first, takes, and std's.
fn with_std(turns: turns::Turns<2>) -> Report {
    Report::new(turns.nanos(0), "ns").with("std_ns", turns.nanos(1))
}

fn mutex(n: usize) -> Report {
    let (lot, std) = (Mutex::new(0), std::sync::Mutex::new(0));
    let turns = turns::take(
        n,
        [&mut |ops| time(|| (0..ops).for_each(|_| *black_box(&lot).lock() += 1)), &mut |ops| {
            time(|| (0..ops).for_each(|_| *black_box(&std).lock().unwrap() += 1))
        }],
    );
    assert_eq!([lot.into_inner(), std.into_inner().unwrap()], [turns::all_of(n); 2]);
    with_std(turns)
}

fn rwlock_read(n: usize) -> Report {
    let (lot, std) = (RwLock::new(1), std::sync::RwLock::new(1));
    let mut sums = [0, 0];
    let [lot_sum, std_sum] = &mut sums;
    let turns = turns::take(
        n,
        [&mut |ops| time(|| (0..ops).for_each(|_| *lot_sum += *black_box(&lot).read())), &mut |ops| {
            time(|| (0..ops).for_each(|_| *std_sum += *black_box(&std).read().unwrap()))
        }],
    );
    assert_eq!(sums, [turns::all_of(n); 2]);
    with_std(turns)
}

fn choose(n: usize) -> Report {
    let mut taken = [0, 0];
    let n = versus::whole_fills(n);
    let turns = turns::take(n, [&mut |ops| versus::choose!(select, bounded, ops, taken)]);
    versus::assert_fair(taken, turns::all_of(n));
    Report::new(turns.nanos(0), "ns")
}

fn pool_map(n: usize, workers: usize) -> Report {
    let (steps, pool) =
        (work::steps(), rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap());
    let map = || (0..n).into_par_iter().map(|i| work::item(i as u64, steps)).collect();
    pool.install(|| work::report(n, workers, steps, map))
}
