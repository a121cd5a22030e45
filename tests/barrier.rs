//! `Barrier`: nobody passes alone, one leads, rounds follow each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::sync::Barrier;
use fibra::{Builder, Cancelled, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().is_leader());
        assert_eq!(format!("{:?}", barrier.wait()), "BarrierWaitResult { is_leader: true }");
    }
}

#[test]
fn nobody_passes_before_the_last_has_come() {
    on_one_worker(|| {
        let barrier = Arc::new(Barrier::new(3));
        let come = || {
            let barrier = barrier.clone();
            let task = spawn(move || barrier.wait().is_leader());
            yield_now();
            task
        };
        let (a, b) = (come(), come());
        yield_now();
        assert!(!a.is_finished() && !b.is_finished());
        assert!(barrier.wait().is_leader());
        assert!(!a.join().unwrap() && !b.join().unwrap());
    });
}

#[test]
fn a_cancelled_waiter_no_longer_counts() {
    on_one_worker(|| {
        let barrier = Arc::new(Barrier::new(2));
        let come = || {
            let barrier = barrier.clone();
            let task = spawn(move || barrier.wait().is_leader());
            yield_now();
            task
        };
        let doomed = come();
        doomed.cancel();
        assert!(doomed.join().unwrap_err().is::<Cancelled>());
        let waiter = come();
        assert!(!waiter.is_finished());
        assert!(barrier.wait().is_leader());
        waiter.join().unwrap();
    });
}

#[test]
fn a_waiter_that_is_cancelled_after_the_last_has_come_passes() {
    on_one_worker(|| {
        let barrier = Arc::new(Barrier::new(2));
        let waiter = spawn({
            let barrier = barrier.clone();
            move || barrier.wait().is_leader()
        });
        yield_now();
        assert!(barrier.wait().is_leader());
        waiter.cancel();
        assert!(!waiter.join().unwrap());
        let waiter = spawn({
            let barrier = barrier.clone();
            move || barrier.wait().is_leader()
        });
        yield_now();
        assert!(barrier.wait().is_leader());
        waiter.join().unwrap();
    });
}

#[test]
fn stress_rounds_of_tasks_and_threads_have_one_leader_each() {
    const ROUNDS: usize = 500;
    const TASKS: usize = 4;
    for workers in [1, 2, 8] {
        let barrier = Arc::new(Barrier::new(TASKS + 2));
        let (arrived, leaders) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (barrier, arrived, leaders) = (barrier.clone(), arrived.clone(), leaders.clone());
            move || {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    leaders.fetch_add(usize::from(barrier.wait().is_leader()), Ordering::SeqCst);
                    assert!(arrived.load(Ordering::SeqCst) >= round * (TASKS + 2));
                    barrier.wait();
                    assert_eq!(leaders.load(Ordering::SeqCst) / round, 1);
                    barrier.wait();
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work())).collect();
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (0..TASKS).map(|_| spawn(work())).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(leaders.load(Ordering::SeqCst), ROUNDS);
    }
}
