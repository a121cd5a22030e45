//! Cancellation: where it is delivered, how often, and what it leaves behind.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{Mutex, WaitGroup};
use fibra::{Builder, Cancelled, channel, thread};
use support::{Drops, OnDrop, wait_until, within_patience};

/// A way to wait.
type Wait = Box<dyn FnOnce() + Send>;

/// With one worker, a `yield_now` lets the task that was spawned before it start and run until it parks: a handshake
/// without sleeping.
fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

#[test]
fn every_wait_can_be_cancelled_and_runs_the_destructors_once() {
    on_one_worker(|| {
        let (sender, receiver) = channel::bounded::<i32>(0);
        let wg = WaitGroup::new();
        wg.add(1);
        let long = Duration::from_secs(100_000);
        let (s, r, w) = (sender.clone(), receiver.clone(), wg.clone());
        let waits: Vec<(&str, Wait)> = vec![
            ("park", Box::new(thread::park)),
            ("park_timeout", Box::new(move || thread::park_timeout(long))),
            ("sleep", Box::new(move || fibra::sleep(long))),
            ("sleep_until", Box::new(move || thread::sleep_until(Instant::now() + long))),
            ("sleep for ever", Box::new(|| fibra::sleep(Duration::MAX))),
            ("join", Box::new(|| fibra::spawn(thread::park).join().unwrap())),
            ("receive", Box::new(move || assert_eq!(r.recv(), Ok(1)))),
            ("wait group", Box::new(move || w.wait())),
        ];
        for (name, wait) in waits {
            let drops = Drops::new();
            let guard = drops.counted();
            let task = fibra::spawn(move || {
                let _guard = guard;
                wait();
                unreachable!("the wait has no other end");
            });
            fibra::yield_now();
            assert!(!task.is_finished(), "{name}");
            task.cancel();
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>(), "{name}");
            assert_eq!(drops.get(), 1, "{name}");
        }
        drop(receiver);
        // The other side has found no trace of the cancelled receiver.
        assert!(s.try_send(1).unwrap_err().is_disconnected());
        wg.done();
        wg.wait();
    });
}

#[test]
fn a_cancelled_sender_drops_its_message_and_leaves_the_queue() {
    on_one_worker(|| {
        let drops = Drops::new();
        let (sender, receiver) = channel::bounded(0);
        let message = drops.counted();
        let other = sender.clone();
        let task = fibra::spawn(move || other.send(message).unwrap());
        fibra::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), 1);
        assert!(receiver.try_recv().is_err());
        drop(sender);
    });
}

#[test]
fn a_task_that_is_cancelled_before_its_start_drops_its_closure_and_never_runs() {
    on_one_worker(|| {
        let drops = Drops::new();
        let guard = drops.counted();
        let task = fibra::spawn(move || {
            let _guard = guard;
            unreachable!("it was cancelled before");
        });
        task.cancel();
        assert_eq!(drops.get(), 0, "cancelling does not run destructors on the canceller");
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_running_task_meets_the_cancellation_at_its_next_park_and_a_yield_is_none() {
    on_one_worker(|| {
        let turns = Arc::new(AtomicUsize::new(0));
        let ready = Arc::new(AtomicBool::new(false));
        let task = {
            let (turns, ready) = (turns.clone(), ready.clone());
            fibra::spawn(move || {
                while !ready.load(Ordering::SeqCst) {
                    turns.fetch_add(1, Ordering::SeqCst);
                    fibra::yield_now();
                }
                thread::park();
                unreachable!("the cancellation was waiting here");
            })
        };
        fibra::yield_now();
        task.cancel();
        let before = turns.load(Ordering::SeqCst);
        (0..10).for_each(|_| fibra::yield_now());
        assert!(turns.load(Ordering::SeqCst) >= before + 9);
        ready.store(true, Ordering::SeqCst);
        assert!(task.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_task_that_ends_before_it_parks_again_keeps_its_result() {
    on_one_worker(|| {
        let go = Arc::new(AtomicBool::new(false));
        let seen = go.clone();
        let task = fibra::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                fibra::yield_now();
            }
            7
        });
        fibra::yield_now();
        task.cancel();
        go.store(true, Ordering::SeqCst);
        assert_eq!(task.join().unwrap(), 7);
        let done = fibra::spawn(|| 8);
        wait_until("it has ended", || done.is_finished());
        done.cancel();
        assert_eq!(done.join().unwrap(), 8);
    });
}

#[test]
fn catch_unwind_that_swallows_a_cancellation_meets_it_again_at_the_next_park() {
    on_one_worker(|| {
        let swallowed = Arc::new(AtomicUsize::new(0));
        let count = swallowed.clone();
        let stubborn = fibra::spawn(move || {
            for _ in 0..5 {
                catch_unwind(thread::park).unwrap_err();
                assert!(!std::thread::panicking());
                count.fetch_add(1, Ordering::SeqCst);
                fibra::yield_now();
            }
            catch_unwind(|| fibra::sleep(Duration::from_secs(100_000))).unwrap_err();
            "the end"
        });
        fibra::yield_now();
        stubborn.cancel();
        assert_eq!(stubborn.join().unwrap(), "the end");
        assert_eq!(swallowed.load(Ordering::SeqCst), 5);
        let resigned = fibra::spawn(|| {
            catch_unwind(thread::park).unwrap_err();
            thread::park();
        });
        fibra::yield_now();
        resigned.cancel();
        assert!(resigned.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_cancelled_joiner_leaves_the_other_task_running() {
    on_one_worker(|| {
        let done = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = channel::bounded(1);
        let joiner = {
            let done = done.clone();
            fibra::spawn(move || {
                let child = fibra::spawn(move || {
                    thread::park();
                    done.store(true, Ordering::SeqCst);
                });
                sender.send(child.thread().clone()).unwrap();
                child.join().unwrap();
            })
        };
        let child = receiver.recv().unwrap();
        (0..3).for_each(|_| fibra::yield_now());
        joiner.cancel();
        assert!(joiner.join().unwrap_err().is::<Cancelled>());
        assert!(!done.load(Ordering::SeqCst));
        child.unpark();
        wait_until("the child ends", || done.load(Ordering::SeqCst));
    });
}

#[test]
fn a_task_that_waits_for_a_mutex_is_cancelled_without_it() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(0));
        let held = lock.lock();
        let task = {
            let lock = lock.clone();
            fibra::spawn(move || {
                *lock.lock() += 1;
            })
        };
        fibra::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        drop(held);
        assert_eq!(*lock.lock(), 0);
    });
}

#[test]
fn the_end_of_a_scope_waits_for_its_tasks_before_a_cancellation_goes_on() {
    on_one_worker(|| {
        let (release, released) = channel::bounded::<()>(1);
        let task = fibra::spawn(move || {
            let mut ran = false;
            let caught = catch_unwind(AssertUnwindSafe(|| {
                fibra::scope(|s| {
                    s.spawn(|| {
                        released.recv().unwrap();
                        ran = true;
                    });
                    thread::park();
                });
            }));
            assert!(caught.is_err());
            assert!(ran, "the scoped task borrows from here");
            thread::park();
        });
        (0..3).for_each(|_| fibra::yield_now());
        task.cancel();
        (0..3).for_each(|_| fibra::yield_now());
        assert!(!task.is_finished());
        release.send(()).unwrap();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_scoped_task_can_be_cancelled_and_that_is_no_panic_of_the_scope() {
    on_one_worker(|| {
        fibra::scope(|s| {
            let parked = s.spawn(thread::park);
            let unstarted = s.spawn(|| unreachable!("it was cancelled before"));
            unstarted.cancel();
            parked.cancel();
            assert!(parked.join().unwrap_err().is::<Cancelled>());
            assert!(unstarted.join().unwrap_err().is::<Cancelled>());
            s.spawn(thread::park).cancel();
        });
    });
}

#[test]
fn unpark_timeout_and_cancellation_race_and_each_wait_ends_once() {
    for workers in [1, 2, 4] {
        let drops = Drops::new();
        let counted = drops.clone();
        within_patience(move || {
            let runtime = Builder::new().workers(workers).build().unwrap();
            for round in 0..2_000 {
                let guard = counted.counted();
                let task = runtime.spawn(move || {
                    let _guard = guard;
                    thread::park_timeout(Duration::from_micros(round % 40));
                    fibra::sleep(Duration::from_micros(round % 30));
                    7
                });
                let target = task.thread().clone();
                let waker = runtime.spawn(move || target.unpark());
                if round % 3 != 0 {
                    (0..round % 50).for_each(|_| std::hint::spin_loop());
                    task.cancel();
                }
                match task.join() {
                    Ok(value) => assert_eq!(value, 7),
                    Err(payload) => assert!(payload.is::<Cancelled>() && round % 3 != 0),
                }
                waker.join().unwrap();
            }
        });
        assert_eq!(drops.get(), 2_000);
    }
}

#[test]
fn what_a_destructor_joins_or_guards_is_done_before_the_canceller_s_join_returns() {
    on_one_worker(|| {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let task = {
            let log = log.clone();
            fibra::spawn(move || {
                let outer = log.clone();
                let _outer = OnDrop::new(move || outer.lock().unwrap().push("outer"));
                let inner = log.clone();
                let _inner = OnDrop::new(move || {
                    fibra::sleep(Duration::from_millis(1));
                    inner.lock().unwrap().push("inner");
                });
                thread::park();
            })
        };
        fibra::yield_now();
        task.cancel();
        task.join().unwrap_err();
        assert_eq!(*log.lock().unwrap(), ["inner", "outer"]);
    });
}
