//! `Condvar`: who is notified, exact counts, and what becomes of the mutex.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{Condvar, Mutex};
use fibra::{Builder, Cancelled, JoinHandle, spawn, yield_now};

mod support;
use support::wait_until;

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

type Pair = Arc<(Mutex<Vec<usize>>, Condvar)>;

const SHORT: Duration = Duration::from_millis(3);

/// A task that waits when this returns, and then adds its number.
fn waiter(pair: &Pair, number: usize) -> JoinHandle<()> {
    let pair = pair.clone();
    let task = spawn(move || {
        let mut guard = pair.0.lock();
        pair.1.wait(&mut guard);
        guard.push(number);
    });
    yield_now();
    task
}

#[test]
fn smoke() {
    static CONDVAR: Condvar = Condvar::new();
    assert!(!CONDVAR.notify_one());
    assert_eq!(CONDVAR.notify_all(), 0);
    assert!(format!("{CONDVAR:?}").starts_with("Condvar"));
}

#[test]
fn notify_one_wakes_the_first_and_says_so() {
    on_one_worker(|| {
        let pair = Pair::default();
        let tasks: Vec<_> = (0..3).map(|i| waiter(&pair, i)).collect();
        for woken in 1..=3 {
            assert!(pair.1.notify_one());
            yield_now();
            assert_eq!(*pair.0.lock(), (0..woken).collect::<Vec<_>>());
        }
        assert!(!pair.1.notify_one());
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn notify_all_wakes_everybody_and_counts_them() {
    on_one_worker(|| {
        let pair = Pair::default();
        let tasks: Vec<_> = (0..100).map(|i| waiter(&pair, i)).collect();
        let guard = pair.0.lock();
        assert_eq!(pair.1.notify_all(), 100);
        assert_eq!(pair.1.notify_all(), 0);
        drop(guard);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        // They are woken in order, but run as their worker sees fit.
        pair.0.lock().sort();
        assert_eq!(*pair.0.lock(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn one_who_comes_after_the_notification_is_not_woken_by_it() {
    on_one_worker(|| {
        let pair = Pair::default();
        let first = waiter(&pair, 1);
        assert_eq!(pair.1.notify_all(), 1);
        let second = waiter(&pair, 2);
        first.join().unwrap();
        assert!(!second.is_finished());
        assert!(pair.1.notify_one());
        second.join().unwrap();
    });
}

#[test]
fn timeouts() {
    on_one_worker(|| {
        let pair = Pair::default();
        let mut guard = pair.0.lock();
        let start = Instant::now();
        assert!(pair.1.wait_for(&mut guard, SHORT).timed_out());
        assert!(start.elapsed() >= SHORT);
        assert!(pair.1.wait_until(&mut guard, Instant::now() + SHORT).timed_out());
        assert!(pair.1.wait_while_for(&mut guard, |_| true, SHORT).timed_out());
        assert!(!pair.1.wait_while_until(&mut guard, |_| false, Instant::now()).timed_out());
        assert!(pair.0.is_locked());
        assert!(!pair.1.notify_one(), "nobody is left in the queue");
        let notifier = spawn({
            let pair = pair.clone();
            move || {
                let _guard = pair.0.lock();
                assert!(pair.1.notify_one());
            }
        });
        assert!(!pair.1.wait_for(&mut guard, Duration::MAX).timed_out());
        drop(guard);
        notifier.join().unwrap();
    });
}

#[test]
fn a_loop_of_waits_whose_time_is_over_lets_the_others_have_the_mutex() {
    on_one_worker(|| {
        let pair = Pair::default();
        let other = spawn({
            let pair = pair.clone();
            move || pair.0.lock().push(1)
        });
        let mut guard = pair.0.lock();
        yield_now();
        while guard.is_empty() {
            assert!(pair.1.wait_for(&mut guard, Duration::ZERO).timed_out());
        }
        drop(guard);
        other.join().unwrap();
    });
}

#[test]
fn a_cancelled_wait_takes_the_mutex_again_before_it_unwinds() {
    /// Looks at the mutex while the task unwinds.
    struct Check<'a>(&'a Pair, Arc<AtomicUsize>);

    impl Drop for Check<'_> {
        fn drop(&mut self) {
            assert!(std::thread::panicking() && self.0.0.is_locked());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    on_one_worker(|| {
        let pair = Pair::default();
        let checks = Arc::new(AtomicUsize::new(0));
        let task = spawn({
            let (pair, checks) = (pair.clone(), checks.clone());
            move || {
                let mut guard = pair.0.lock();
                let _check = Check(&pair, checks);
                pair.1.wait(&mut guard);
            }
        });
        yield_now();
        let guard = pair.0.lock();
        task.cancel();
        (0..3).for_each(|_| yield_now());
        // It needs the mutex that we hold, although it is cancelled.
        assert!(!task.is_finished());
        drop(guard);
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(checks.load(Ordering::Relaxed), 1);
        assert!(pair.0.try_lock().is_some());
    });
}

#[test]
fn a_wait_of_a_cancelled_task_keeps_the_mutex_and_unwinds() {
    on_one_worker(|| {
        let pair = Pair::default();
        let task = spawn({
            let pair = pair.clone();
            move || {
                yield_now();
                let mut guard = pair.0.lock();
                pair.1.wait(&mut guard);
            }
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert!(pair.0.try_lock().is_some() && !pair.1.notify_one());
    });
}

#[test]
fn a_notification_passes_a_cancelled_waiter_and_reaches_the_next() {
    on_one_worker(|| {
        let pair = Pair::default();
        let first = waiter(&pair, 1);
        let second = waiter(&pair, 2);
        first.cancel();
        // The first has not run yet, and its node may still be there.
        assert!(pair.1.notify_one());
        assert!(first.join().unwrap_err().is::<Cancelled>());
        second.join().unwrap();
        assert_eq!(*pair.0.lock(), [2]);
    });
}

#[test]
fn a_waiter_that_was_notified_before_it_was_cancelled_returns() {
    on_one_worker(|| {
        let pair = Pair::default();
        let task = waiter(&pair, 1);
        assert!(pair.1.notify_one());
        task.cancel();
        task.join().unwrap();
        assert_eq!(*pair.0.lock(), [1]);
    });
}

#[test]
fn a_refused_wait_leaves_the_mutex_locked() {
    on_one_worker(|| {
        let pair = Pair::default();
        let mut guard = pair.0.lock();
        let wait = std::panic::AssertUnwindSafe(|| {
            let pair = &pair;
            fibra::on_thread_stack(move || {
                let other = Mutex::new(());
                pair.1.wait(&mut other.lock());
            });
        });
        assert!(std::panic::catch_unwind(wait).is_err());
        assert!(pair.0.is_locked());
        guard.push(1);
        drop(guard);
        assert!(!pair.1.notify_one());
    });
}

#[test]
fn a_hundred_thousand_waiters_are_woken_by_one_call() {
    const WAITERS: usize = 100_000;
    on_one_worker(|| {
        let pair = Pair::default();
        let waiting = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..WAITERS)
            .map(|i| {
                let (pair, waiting) = (pair.clone(), waiting.clone());
                spawn(move || {
                    let mut guard = pair.0.lock();
                    waiting.fetch_add(1, Ordering::Relaxed);
                    pair.1.wait(&mut guard);
                    guard.push(i);
                })
            })
            .collect();
        wait_until("all wait", || waiting.load(Ordering::Relaxed) == WAITERS);
        assert_eq!(pair.1.notify_all(), WAITERS);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(pair.0.lock().len(), WAITERS);
    });
}

/// A bounded queue of two condition variables, with tasks and threads at both ends; some waits time out.
#[test]
fn stress_a_bounded_queue_loses_nothing() {
    struct Queue {
        items: Mutex<VecDeque<usize>>,
        not_empty: Condvar,
        not_full: Condvar,
    }

    const EACH: usize = 3_000;
    for workers in [1, 2, 8] {
        let queue =
            Arc::new(Queue { items: Mutex::default(), not_empty: Condvar::new(), not_full: Condvar::new() });
        let sum = Arc::new(AtomicUsize::new(0));
        let produce = || {
            let queue = queue.clone();
            move || {
                for i in 0..EACH {
                    let mut items = queue.items.lock();
                    queue.not_full.wait_while(&mut items, |items| items.len() >= 3);
                    items.push_back(i);
                    drop(items);
                    queue.not_empty.notify_one();
                }
            }
        };
        let consume = || {
            let (queue, sum) = (queue.clone(), sum.clone());
            move || {
                for i in 0..EACH {
                    let mut items = queue.items.lock();
                    while items.is_empty() {
                        if i % 3 == 0 {
                            queue.not_empty.wait_for(&mut items, Duration::from_micros(20));
                        } else {
                            queue.not_empty.wait(&mut items);
                        }
                    }
                    sum.fetch_add(items.pop_front().unwrap(), Ordering::Relaxed);
                    drop(items);
                    queue.not_full.notify_one();
                }
            }
        };
        let threads = [std::thread::spawn(produce()), std::thread::spawn(consume())];
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (0..3).flat_map(|_| [spawn(produce()), spawn(consume())]).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(sum.load(Ordering::Relaxed), 4 * (0..EACH).sum::<usize>());
        assert!(queue.items.lock().is_empty());
    }
}

/// Waiters are cancelled at random while others are notified: each notification that was acknowledged was got by one.
#[test]
fn stress_no_notification_is_lost_to_a_cancelled_waiter() {
    for workers in [1, 2, 8] {
        Builder::new()
            .workers(workers)
            .run(|| {
                let state = Arc::new((Mutex::new(()), Condvar::new(), AtomicUsize::new(0)));
                let mut notified = 0;
                for round in 0..300 {
                    let tasks: Vec<_> = (0..4)
                        .map(|_| {
                            let state = state.clone();
                            spawn(move || {
                                let mut guard = state.0.lock();
                                state.1.wait(&mut guard);
                                state.2.fetch_add(1, Ordering::SeqCst);
                            })
                        })
                        .collect();
                    (0..round % 4).for_each(|_| yield_now());
                    tasks[round % 4].cancel();
                    notified += usize::from(state.1.notify_one());
                    tasks[(round + 1) % 4].cancel();
                    notified += usize::from(state.1.notify_one());
                    tasks.iter().for_each(|task| task.cancel());
                    tasks.into_iter().for_each(|task| drop(task.join()));
                    assert_eq!(state.2.load(Ordering::SeqCst), notified);
                    assert!(!state.1.notify_one());
                }
            })
            .unwrap();
    }
}
