//! What coroutines of may coordinate with.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use may::coroutine;
use may::go;
use may::sync::{Mutex, RwLock, Semphore, mpmc};
use versus::turns::{self, time};
use versus::{Args, CANCELLED, LOCKERS, Report, SIDES};

use crate::{enter, join_all};

pub fn run(args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "rendezvous" => {
            let slot = versus::per_op(n, || enter(move || one_slot(n))).value();
            let taken = versus::per_op(n, || enter(move || rendezvous(n))).value();
            Report::new(slot.min(taken), "ns").with("capacity_1_ns", slot).with("told_when_taken_ns", taken)
        }
        "mutex_8" => versus::per_op(n, || enter(move || mutex_8(n))),
        "mutex" => enter(move || turns::alone(n, mutex)),
        "rwlock_read" => enter(move || turns::alone(n, rwlock_read)),
        "semaphore" => enter(move || turns::alone(n, semaphore)),
        "cancel" => cancel(n),
        "select" => Report::skip("its select starts a coroutine for each arm"),
        "timeout_ready" | "timeout_parked" => Report::skip("its code can't be given a deadline"),
        "pool_map" => Report::skip("may has no parallel map"),
        _ => Report::skip("a scope is compared with a spawn of the same runtime"),
    }
}

/// A channel whose senders wait until their message is taken.
fn rendezvous(n: usize) {
    let (tx, rx) = mpmc::channel::<(usize, Arc<Semphore>)>();
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(go!(move || {
            let taken = Arc::new(Semphore::new(0));
            for i in 0..each {
                tx.send((i, taken.clone())).unwrap();
                taken.wait();
            }
            0
        }));
        tasks.push(go!(move || {
            let mut sum = 0;
            for _ in 0..each {
                let (i, taken) = rx.recv().unwrap();
                taken.post();
                sum += i;
            }
            sum
        }));
    }
    assert_eq!(join_all(tasks).iter().sum::<usize>(), versus::rendezvous_sum(n));
}

/// A channel with room for one message.
fn one_slot(n: usize) {
    let (tx, rx) = mpmc::channel();
    let slot = Arc::new(Semphore::new(1));
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx, slot, free) = (tx.clone(), rx.clone(), slot.clone(), slot.clone());
        tasks.push(go!(move || {
            for i in 0..each {
                slot.wait();
                tx.send(i).unwrap();
            }
            0
        }));
        tasks.push(go!(move || {
            let mut sum = 0;
            for _ in 0..each {
                sum += rx.recv().unwrap();
                free.post();
            }
            sum
        }));
    }
    assert_eq!(join_all(tasks).iter().sum::<usize>(), versus::rendezvous_sum(n));
}

fn mutex_8(n: usize) {
    let counter = Arc::new(Mutex::new(0));
    let locker = || {
        let counter = counter.clone();
        move || (0..n / LOCKERS).for_each(|_| *counter.lock().unwrap() += 1)
    };
    join_all((0..LOCKERS).map(|_| go!(locker())).collect());
    assert_eq!(*counter.lock().unwrap(), n / LOCKERS * LOCKERS);
}

fn mutex(n: usize) {
    let counter = Mutex::new(0);
    (0..n).for_each(|_| *black_box(&counter).lock().unwrap() += 1);
    assert_eq!(counter.into_inner().unwrap(), n);
}

fn rwlock_read(n: usize) {
    let one = RwLock::new(1);
    assert_eq!((0..n).map(|_| *black_box(&one).read().unwrap()).sum::<usize>(), n);
}

fn semaphore(n: usize) {
    let semaphore = Semphore::new(1);
    for _ in 0..n {
        black_box(&semaphore).wait();
        semaphore.post();
    }
    assert_eq!(semaphore.get_value(), 1);
}

fn cancel(n: usize) -> Report {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = dropped.clone();
    let report = versus::cancel(n, || {
        let dropped = dropped.clone();
        enter(move || cancel_batch(&dropped))
    });
    assert_eq!(counted.load(Relaxed), n / CANCELLED * CANCELLED);
    report
}

fn cancel_batch(dropped: &Arc<AtomicUsize>) -> Duration {
    let arrived = Arc::new(AtomicUsize::new(0));
    let (_tx, rx) = mpmc::channel::<()>();
    let spawn = |_| {
        let (arrived, rx, count) = (arrived.clone(), rx.clone(), versus::CountDrop(dropped.clone()));
        go!(move || {
            let _count = count;
            arrived.fetch_add(1, Relaxed);
            rx.recv().unwrap();
        })
    };
    let tasks: Vec<_> = (0..CANCELLED).map(spawn).collect();
    while arrived.load(Relaxed) < CANCELLED {
        coroutine::yield_now();
    }
    coroutine::sleep(Duration::from_millis(1));
    time(|| {
        for task in tasks {
            // SAFETY: the coroutine unwinds, and all that it holds can be dropped.
            unsafe { task.coroutine().cancel() };
            assert!(task.join().is_err());
        }
    })
}
