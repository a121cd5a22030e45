//! `WaitGroup`: counting, waking, rounds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::WaitGroup;
use fibra::{Builder, Cancelled, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

fn message(result: std::thread::Result<()>) -> String {
    *result.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn smoke() {
    let wg = WaitGroup::new();
    wg.wait();
    wg.add(2);
    wg.done();
    assert_eq!(format!("{wg:?}"), "WaitGroup { count: 1, .. }");
    wg.done();
    wg.wait();
    WaitGroup::default().wait();
}

#[test]
fn clone_shares_and_counts_nothing() {
    let wg = WaitGroup::new();
    let other = wg.clone();
    drop(other.clone());
    wg.add(1);
    assert!(!other.wait_timeout(Duration::ZERO));
    other.done();
    wg.wait();
}

#[test]
fn a_negative_count_panics_and_changes_nothing() {
    let wg = WaitGroup::new();
    let text = message(catch_unwind(AssertUnwindSafe(|| wg.done())));
    assert!(text.starts_with("negative WaitGroup counter"), "{text}");
    wg.add(3);
    assert!(catch_unwind(AssertUnwindSafe(|| wg.add(-4))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| wg.add(isize::MIN))).is_err());
    wg.add(-3);
    wg.wait();
}

#[test]
fn an_overflow_panics_and_changes_nothing() {
    let wg = WaitGroup::new();
    wg.add(u32::MAX as isize);
    let text = message(catch_unwind(AssertUnwindSafe(|| wg.add(1))));
    assert!(text.contains("overflow"), "{text}");
    assert!(catch_unwind(AssertUnwindSafe(|| wg.add(isize::MAX))).is_err());
    wg.add(-(u32::MAX as isize));
    wg.wait();
}

#[test]
fn wait_returns_after_the_last_done_and_not_before() {
    on_one_worker(|| {
        let wg = WaitGroup::new();
        wg.add(2);
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let wg = wg.clone();
                spawn(move || wg.wait())
            })
            .collect();
        let thread = std::thread::spawn({
            let wg = wg.clone();
            move || wg.wait()
        });
        yield_now();
        wg.done();
        yield_now();
        assert!(waiters.iter().all(|task| !task.is_finished()));
        assert!(!thread.is_finished());
        wg.done();
        waiters.into_iter().for_each(|task| task.join().unwrap());
        thread.join().unwrap();
    });
}

#[test]
fn go_counts_panics_and_ordinary_ends_alike() {
    let ran = Arc::new(AtomicUsize::new(0));
    fibra::run(|| {
        let wg = WaitGroup::new();
        for i in 0..100 {
            let ran = ran.clone();
            wg.go(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                if i % 10 == 0 {
                    std::panic::resume_unwind(Box::new("a panic"));
                }
            });
        }
        wg.wait();
        assert_eq!(ran.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn go_is_done_after_the_closure_is_dropped() {
    struct SetOnDrop(Arc<AtomicUsize>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            yield_now();
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    fibra::run(|| {
        let wg = WaitGroup::new();
        for _ in 0..10 {
            let captured = SetOnDrop(dropped.clone());
            wg.go(move || {
                let _ = &captured;
            });
        }
        wg.wait();
        assert_eq!(dropped.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn go_from_a_plain_thread_uses_the_global_runtime() {
    let ran = Arc::new(AtomicUsize::new(0));
    let wg = WaitGroup::new();
    for _ in 0..50 {
        let ran = ran.clone();
        wg.go(move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }
    wg.wait();
    assert_eq!(ran.load(Ordering::SeqCst), 50);
}

#[test]
fn guard_is_done_when_dropped() {
    fibra::run(|| {
        let wg = WaitGroup::new();
        let guards = [wg.guard(), wg.guard()];
        let task = spawn(move || {
            let _guards = guards;
            std::panic::resume_unwind(Box::new("a panic"));
        });
        wg.wait();
        assert!(task.join().is_err());
    });
}

#[test]
fn wait_timeout() {
    fibra::run(|| {
        let wg = WaitGroup::new();
        let guard = wg.guard();
        let start = Instant::now();
        assert!(!wg.wait_timeout(Duration::from_millis(5)));
        assert!(start.elapsed() >= Duration::from_millis(5));
        let waiter = spawn({
            let wg = wg.clone();
            move || wg.wait_timeout(Duration::MAX)
        });
        yield_now();
        drop(guard);
        assert!(waiter.join().unwrap());
        assert!(wg.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn a_cancelled_waiter_leaves_the_count_alone() {
    on_one_worker(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let waiter = spawn({
            let wg = wg.clone();
            move || wg.wait()
        });
        yield_now();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
        assert!(!wg.wait_timeout(Duration::ZERO));
        wg.done();
        wg.wait();
    });
}

#[test]
fn stress_rounds_follow_each_other_at_once() {
    for workers in [1, 2, 8] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let wg = WaitGroup::new();
            for round in 1..3_000 {
                let finished = Arc::new(AtomicUsize::new(0));
                for _ in 0..3 {
                    let finished = finished.clone();
                    wg.go(move || {
                        finished.fetch_add(1, Ordering::Relaxed);
                    });
                }
                if round % 3 == 0 {
                    wg.wait_timeout(Duration::from_micros(round % 20));
                }
                wg.wait();
                // A release meant for an earlier round would let us see less.
                assert_eq!(finished.load(Ordering::Relaxed), 3);
            }
        });
    }
}

#[test]
fn stress_waiters_and_workers_on_both_kinds_of_threads() {
    fibra::run(|| {
        for _ in 0..200 {
            let wg = WaitGroup::new();
            let finished = Arc::new(AtomicUsize::new(0));
            wg.add(6);
            let work = {
                let (wg, finished) = (wg.clone(), finished.clone());
                move || {
                    finished.fetch_add(1, Ordering::Relaxed);
                    wg.done();
                }
            };
            let wait = {
                let (wg, finished) = (wg.clone(), finished.clone());
                move || {
                    wg.wait();
                    assert_eq!(finished.load(Ordering::Relaxed), 6);
                }
            };
            let waiting = std::thread::spawn(wait.clone());
            let tasks: Vec<_> =
                (0..5).map(|_| spawn(work.clone())).chain((0..3).map(|_| spawn(wait.clone()))).collect();
            std::thread::spawn(work).join().unwrap();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            waiting.join().unwrap();
        }
    });
}
