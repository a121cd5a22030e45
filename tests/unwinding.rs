//! Destructors that park while their task unwinds, and the neighbours on the same worker, which do not notice.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fibra::{Builder, Cancelled, channel, thread};
use support::{Drops, OnDrop, message};

#[test]
fn a_panic_that_is_caught_in_a_destructor_while_a_cancelled_task_unwinds_stays_there() {
    Builder::new()
        .workers(1)
        .run(|| {
            let task = fibra::spawn(|| {
                let _guard = OnDrop::new(|| {
                    assert!(std::thread::panicking());
                    let inner = catch_unwind(|| {
                        let _nested = OnDrop::new(fibra::yield_now);
                        panic!("inside");
                    });
                    assert_eq!(message(&*inner.unwrap_err()), "inside");
                    let other = fibra::spawn(|| panic!("of another task")).join().unwrap_err();
                    assert_eq!(message(&*other), "of another task");
                    assert!(std::thread::panicking());
                });
                thread::park();
            });
            fibra::yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>());
            assert!(!std::thread::panicking());
        })
        .unwrap();
}

/// What a destructor may do that parks, by name.
fn parking_calls() -> Vec<(&'static str, fn())> {
    fn later<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> fibra::JoinHandle<T> {
        fibra::spawn_local(move || {
            (0..5).for_each(|_| fibra::yield_now());
            f()
        })
    }
    vec![
        ("yield", fibra::yield_now),
        ("sleep", || fibra::sleep(Duration::from_millis(1))),
        ("park_timeout", || thread::park_timeout(Duration::from_millis(1))),
        ("park", || {
            let me = thread::current();
            let waker = later(move || me.unpark());
            thread::park();
            waker.join().unwrap();
        }),
        ("join", || assert_eq!(later(|| 7).join().unwrap(), 7)),
        ("scope", || {
            let mut sum = 0;
            fibra::scope(|s| {
                s.spawn(|| {
                    fibra::yield_now();
                    sum = 7;
                });
            });
            assert_eq!(sum, 7);
        }),
        ("channel send", || {
            let (sender, receiver) = channel::bounded(0);
            let other = later(move || receiver.recv().unwrap());
            sender.send(7).unwrap();
            assert_eq!(other.join().unwrap(), 7);
        }),
        ("channel receive", || {
            let (sender, receiver) = channel::bounded(0);
            let other = later(move || sender.send(7).unwrap());
            assert_eq!(receiver.recv().unwrap(), 7);
            other.join().unwrap();
        }),
    ]
}

/// A neighbour on the same worker: looks after every turn whether it is taken for one who panics.
fn watch_until(over: &AtomicBool, looks: &AtomicUsize) {
    let lock = Mutex::new(0);
    while !over.load(Ordering::SeqCst) {
        assert!(!std::thread::panicking() && !thread::panicking(), "a neighbour unwinds, not this task");
        *lock.lock().expect("poisoned by somebody else's panic") += 1;
        looks.fetch_add(1, Ordering::SeqCst);
        fibra::yield_now();
    }
    assert!(!lock.is_poisoned());
}

/// Runs `call` in a destructor of a task that unwinds, by a cancellation or by a panic, beside neighbours.
fn park_in_destructor(call: fn(), cancelled: bool, nested: bool) {
    let over = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicUsize::new(0));
    let watcher = {
        let (over, looks) = (over.clone(), looks.clone());
        fibra::spawn_local(move || watch_until(&over, &looks))
    };
    let victim = fibra::spawn_local(move || {
        let _guard = OnDrop::new(move || {
            assert!(std::thread::panicking());
            let before = looks.load(Ordering::SeqCst);
            if nested {
                let inner = catch_unwind(AssertUnwindSafe(|| {
                    let _inner = OnDrop::new(call);
                    resume_unwind(Box::new("nested"));
                }));
                assert_eq!(message(&*inner.unwrap_err()), "nested");
            } else {
                call();
            }
            assert!(std::thread::panicking(), "this task still unwinds");
            let neighbour = fibra::spawn_local(|| {
                let _lock = OnDrop::new(|| assert!(std::thread::panicking()));
                thread::park();
            });
            (0..3).for_each(|_| fibra::yield_now());
            neighbour.cancel();
            assert!(neighbour.join().unwrap_err().is::<Cancelled>(), "neighbours can be cancelled");
            assert!(looks.load(Ordering::SeqCst) > before, "others ran meanwhile");
        });
        if cancelled {
            thread::park();
        }
        resume_unwind(Box::new("a panic of its own"));
    });
    fibra::yield_now();
    victim.cancel();
    let payload = victim.join().unwrap_err();
    assert_eq!(payload.is::<Cancelled>(), cancelled);
    over.store(true, Ordering::SeqCst);
    watcher.join().unwrap();
    assert!(!std::thread::panicking());
}

#[test]
fn a_destructor_may_park_while_its_task_unwinds_and_neighbours_do_not_notice() {
    for workers in [1, 2] {
        Builder::new()
            .workers(workers)
            .run(|| {
                for (name, call) in parking_calls() {
                    for (cancelled, nested) in [(true, false), (false, false), (true, true), (false, true)] {
                        println!("{name}, cancelled: {cancelled}, nested: {nested}");
                        park_in_destructor(call, cancelled, nested);
                    }
                }
            })
            .unwrap();
    }
}

#[test]
fn a_std_mutex_is_poisoned_by_its_own_panic_only() {
    Builder::new()
        .workers(1)
        .run(|| {
            let lock = Arc::new(Mutex::new(0));
            let task = {
                let lock = lock.clone();
                fibra::spawn(move || {
                    let _guard = lock.lock().unwrap();
                    resume_unwind(Box::new("while locked"));
                })
            };
            task.join().unwrap_err();
            assert!(lock.is_poisoned());
            lock.clear_poison();
            drop(lock.lock().unwrap());
            assert!(!lock.is_poisoned());
        })
        .unwrap();
}

#[test]
fn a_second_cancellation_waits_while_the_task_unwinds() {
    Builder::new()
        .workers(1)
        .run(|| {
            let (sender, receiver) = channel::unbounded();
            let task = fibra::spawn(move || {
                let _guard = OnDrop::new(move || {
                    for turn in 0..10 {
                        sender.send(turn).unwrap();
                        thread::park();
                    }
                });
                thread::park();
            });
            fibra::yield_now();
            for turn in 0..10 {
                task.cancel();
                assert_eq!(receiver.recv().unwrap(), turn);
                task.thread().unpark();
            }
            assert!(task.join().unwrap_err().is::<Cancelled>());
        })
        .unwrap();
}

#[test]
fn many_tasks_that_park_while_they_unwind_interleave_on_all_workers() {
    for workers in [1, 2, 4] {
        let drops = Drops::new();
        let guards: Vec<_> = (0..200).map(|_| drops.counted()).collect();
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = guards
                    .into_iter()
                    .enumerate()
                    .map(|(i, guard)| {
                        fibra::spawn(move || {
                            let _guard = OnDrop::new(move || {
                                for turn in 0..5 {
                                    assert!(std::thread::panicking());
                                    fibra::sleep(Duration::from_micros((i * 7 + turn * 13) as u64 % 50));
                                    fibra::yield_now();
                                }
                                drop(guard);
                            });
                            thread::park();
                        })
                    })
                    .collect();
                fibra::yield_now();
                tasks.iter().for_each(|task| task.cancel());
                tasks.into_iter().for_each(|task| assert!(task.join().is_err()));
                assert!(!std::thread::panicking());
            })
            .unwrap();
        assert_eq!(drops.get(), 200);
        assert!(!std::thread::panicking());
    }
}
