//! `pool::map` when something goes wrong: panics, cancellation, the end of the runtime. What has begun ends, what has not
//! begun never does, and everything is dropped once.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fibra::pool::map;
use fibra::sync::Barrier;
use fibra::{Builder, Cancelled, channel, thread};
use support::{Counted, Drops, OnDrop, message, wait_until, within_patience};

fn on_workers<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(move || Builder::new().workers(workers).run(f).unwrap())
}

/// Items that count their drops.
fn counted(drops: &Drops, count: usize) -> Vec<(usize, Counted)> {
    (0..count).map(|n| (n, drops.counted())).collect()
}

#[test]
fn a_panic_comes_back_and_everything_is_dropped_once() {
    for workers in [1, 2, 8] {
        for bad in [0, 1, 57, 99] {
            on_workers(workers, move || {
                let (items, results) = (Drops::new(), Drops::new());
                let made = AtomicUsize::new(0);
                let input = counted(&items, 100);
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    map(input, |(n, _item)| {
                        assert_ne!(n, bad, "item {n} is bad");
                        made.fetch_add(1, Ordering::Relaxed);
                        results.counted()
                    })
                    .len()
                }));
                let text = message(&*outcome.unwrap_err()).to_owned();
                assert!(text.contains(&format!("item {bad} is bad")), "{text}");
                assert_eq!(items.get(), 100);
                assert_eq!(results.get(), made.load(Ordering::Relaxed));
            });
        }
    }
}

#[test]
fn after_a_panic_nothing_more_is_begun_and_what_has_begun_ends() {
    on_workers(2, || {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let barrier = Barrier::new(2);
        let (panicked, seen) = channel::bounded::<()>(0);
        let panicked = std::sync::Mutex::new(Some(panicked));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            map(0..1000, |_| {
                if begun.fetch_add(1, Ordering::SeqCst) < 2 && barrier.wait().is_leader() {
                    // Dropped by the unwinding: the other item goes on after the panic.
                    let _panicked = panicked.lock().unwrap().take();
                    panic!("the first");
                }
                assert!(seen.recv().is_err());
                // Parks once more, in a call that has begun.
                fibra::sleep(std::time::Duration::from_millis(1));
                ended.fetch_add(1, Ordering::SeqCst);
            })
        }));
        assert_eq!(message(&*outcome.unwrap_err()), "the first");
        // The other one may have begun some before it could know of the panic.
        let begun = begun.load(Ordering::SeqCst);
        assert!(begun < 1000, "all items were begun");
        assert_eq!(ended.load(Ordering::SeqCst), begun - 1);
    });
}

#[test]
fn of_several_panics_one_comes_back_and_the_others_are_dropped() {
    on_workers(2, || {
        let drops = Drops::new();
        let barrier = Barrier::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            map(0..2, |_| {
                barrier.wait();
                std::panic::resume_unwind(Box::new(drops.counted()));
            })
            .len()
        }));
        let payload = outcome.unwrap_err();
        assert!(payload.is::<Counted>());
        assert_eq!(drops.get(), 1);
        drop(payload);
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn a_panic_of_the_iterator_comes_before_any_call() {
    on_workers(2, || {
        let drops = Drops::new();
        let called = AtomicBool::new(false);
        let items = (0..10).map(|n| {
            assert!(n < 5, "no more");
            drops.counted()
        });
        let outcome =
            catch_unwind(AssertUnwindSafe(|| map(items, |_| called.store(true, Ordering::Relaxed))));
        assert!(outcome.is_err() && !called.load(Ordering::Relaxed));
        assert_eq!(drops.get(), 5);
    });
}

#[test]
fn a_panic_in_a_nested_map_passes_through_both() {
    on_workers(2, || {
        let outcome = catch_unwind(|| map(0..4, |n| map(0..4, |m| assert_ne!((n, m), (2, 3))).len()));
        assert!(outcome.is_err());
    });
}

/// Whoever is parked when the map is cancelled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Parked {
    Both,
    CallerInItsItem,
    CallerWaiting,
}

#[test]
fn a_cancelled_map_ends_its_helpers_and_drops_everything_once() {
    for parked in [Parked::Both, Parked::CallerInItsItem, Parked::CallerWaiting] {
        on_workers(2, move || {
            let (items, results, unwound) = (Drops::new(), Drops::new(), Drops::new());
            let made = Arc::new(AtomicUsize::new(0));
            let ready = Arc::new(AtomicUsize::new(0));
            let input = counted(&items, 100);
            let task = {
                let (results, unwound, made, ready) =
                    (results.clone(), unwound.clone(), made.clone(), ready.clone());
                fibra::spawn(move || {
                    let caller = std::thread::current().id();
                    let barrier = Barrier::new(2);
                    let count = AtomicUsize::new(0);
                    map(input, |(_, _item)| {
                        if count.fetch_add(1, Ordering::SeqCst) >= 2 {
                            made.fetch_add(1, Ordering::SeqCst);
                            return results.counted();
                        }
                        // The first item of each of the two.
                        barrier.wait();
                        let _unwound = unwound.counted();
                        let is_caller = std::thread::current().id() == caller;
                        ready.fetch_add(1, Ordering::SeqCst);
                        match (parked, is_caller) {
                            (Parked::CallerInItsItem, false) | (Parked::CallerWaiting, true) => {}
                            _ => loop {
                                thread::park();
                            },
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        results.counted()
                    })
                    .len()
                })
            };
            let expected = if parked == Parked::Both { 0 } else { 99 };
            wait_until("who is to park has", || {
                ready.load(Ordering::SeqCst) == 2 && made.load(Ordering::SeqCst) == expected
            });
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>(), "{parked:?}");
            assert_eq!(items.get(), 100, "{parked:?}");
            assert_eq!(unwound.get(), 2, "{parked:?}");
            assert_eq!(results.get(), made.load(Ordering::SeqCst), "{parked:?}");
        });
    }
}

#[test]
fn a_map_that_never_parks_is_cancelled_between_two_items() {
    on_workers(2, || {
        let calls = Arc::new(AtomicUsize::new(0));
        let task = {
            let calls = calls.clone();
            // A thousand years, if it were not cancelled.
            fibra::spawn(move || {
                map(0..10_000_000, |_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_micros(100));
                })
                .len()
            })
        };
        wait_until("it computes", || calls.load(Ordering::Relaxed) > 10);
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_cancelled_caller_waits_until_its_helpers_have_unwound() {
    on_workers(2, || {
        let gone = Arc::new(AtomicUsize::new(0));
        let ready = Arc::new(AtomicUsize::new(0));
        let task = {
            let (gone, ready) = (gone.clone(), ready.clone());
            fibra::spawn(move || {
                let barrier = Barrier::new(2);
                let lent = AtomicUsize::new(0);
                map(0..2, |_| {
                    barrier.wait();
                    // A destructor that takes its time, and uses what is borrowed.
                    let _slow = OnDrop::new(|| {
                        (0..100).for_each(|_| fibra::yield_now());
                        fibra::sleep(std::time::Duration::from_millis(2));
                        lent.fetch_add(1, Ordering::SeqCst);
                        gone.fetch_add(1, Ordering::SeqCst);
                    });
                    ready.fetch_add(1, Ordering::SeqCst);
                    loop {
                        thread::park();
                    }
                })
                .len()
            })
        };
        wait_until("both have begun", || ready.load(Ordering::SeqCst) == 2);
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_cancelled_map_inside_of_a_map_unwinds_both() {
    on_workers(2, || {
        let drops = Drops::new();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = {
            let (drops, ready) = (drops.clone(), ready.clone());
            fibra::spawn(move || {
                map(0..2, |_| {
                    map(0..2, |_| {
                        let _guard = drops.counted();
                        ready.fetch_add(1, Ordering::SeqCst);
                        loop {
                            thread::park();
                        }
                    })
                    .len()
                })
                .len()
            })
        };
        // Inner helpers may come late, since all workers are taken; the members of the outer map have begun theirs.
        wait_until("both outer items have begun", || ready.load(Ordering::SeqCst) >= 2);
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), ready.load(Ordering::SeqCst));
    });
}

#[test]
fn the_end_of_the_runtime_ends_a_map() {
    let (items, unwound) = (Drops::new(), Drops::new());
    let input = counted(&items, 50);
    let inside = unwound.clone();
    on_workers(2, move || {
        let ready = Arc::new(AtomicUsize::new(0));
        let seen = ready.clone();
        drop(fibra::spawn(move || {
            map(input, |_item| {
                let _guard = inside.counted();
                ready.fetch_add(1, Ordering::SeqCst);
                loop {
                    thread::park();
                }
            })
            .len()
        }));
        wait_until("both members have begun", || seen.load(Ordering::SeqCst) == 2);
    });
    assert_eq!((items.get(), unwound.get()), (50, 2));
}

#[test]
fn the_end_of_the_runtime_ends_a_map_of_a_blocking_call() {
    let items = Drops::new();
    let input = counted(&items, 50);
    on_workers(2, move || {
        let ready = Arc::new(AtomicUsize::new(0));
        let seen = ready.clone();
        drop(fibra::spawn(move || {
            fibra::blocking(move || {
                let here = std::thread::current().id();
                map(input, |_item| {
                    ready.fetch_add(1, Ordering::SeqCst);
                    // The helpers' items end with the runtime, the caller's by themselves.
                    if std::thread::current().id() != here {
                        loop {
                            thread::park();
                        }
                    }
                })
                .len()
            })
        }));
        wait_until("it has begun", || seen.load(Ordering::SeqCst) > 0);
    });
    assert_eq!(items.get(), 50);
}

#[test]
fn a_destructor_may_map_while_it_unwinds() {
    on_workers(2, || {
        let sum = Arc::new(AtomicUsize::new(0));
        let total = sum.clone();
        let task = fibra::spawn(move || {
            let _at_the_end =
                OnDrop::new(move || total.store(map(0..100, |n| n).into_iter().sum(), Ordering::SeqCst));
            loop {
                thread::park();
            }
        });
        fibra::yield_now();
        task.cancel();
        let _ = task.join();
        // It may have been cancelled before it began, and then has made no guard.
        assert!([0, 4950].contains(&sum.load(Ordering::SeqCst)));
    });
}

#[test]
fn rounds_of_panics_and_cancellations_lose_nothing() {
    for round in 0..200_usize {
        on_workers(1 + round % 3, move || {
            let (items, results) = (Drops::new(), Drops::new());
            let made = Arc::new(AtomicUsize::new(0));
            let input = counted(&items, 64);
            let task = {
                let (results, made) = (results.clone(), made.clone());
                fibra::spawn(move || {
                    map(input, |(n, _item)| {
                        if n == (round * 7) % 96 {
                            std::panic::resume_unwind(Box::new(n));
                        }
                        if n % 3 == 0 {
                            fibra::yield_now();
                        }
                        if n % 5 == 0 {
                            fibra::sleep(std::time::Duration::from_micros(50));
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        results.counted()
                    })
                })
            };
            (0..round % 50).for_each(|_| fibra::yield_now());
            if round % 2 == 0 {
                task.cancel();
            }
            if let Ok(results) = task.join() {
                assert_eq!(results.len(), 64);
            }
            assert_eq!(items.get(), 64);
            assert_eq!(results.get(), made.load(Ordering::SeqCst));
        });
    }
}

#[test]
fn a_timeout_ends_a_map_and_its_helpers() {
    for parked in [false, true] {
        on_workers(2, move || {
            let items = Drops::new();
            let (begun, unwound) = (Drops::new(), Drops::new());
            let input = counted(&items, 1_000_000);
            let outcome = fibra::timeout(std::time::Duration::from_millis(20), || {
                map(input, |_item| {
                    drop(begun.counted());
                    let _unwound = unwound.counted();
                    if parked {
                        thread::park();
                    }
                    std::thread::sleep(std::time::Duration::from_micros(100));
                })
                .len()
            });
            assert!(outcome.is_err());
            assert_eq!(items.get(), 1_000_000);
            assert_eq!(begun.get(), unwound.get());
            // Nothing is left over from it.
            assert_eq!(map(0..100, |n| n).len(), 100);
        });
    }
}

#[test]
fn a_shielded_map_loses_nothing_to_a_cancellation() {
    on_workers(2, || {
        let ready = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = channel::unbounded();
        let sum = Arc::new(AtomicUsize::new(0));
        let task = {
            let (ready, sum) = (ready.clone(), sum.clone());
            fibra::spawn(move || {
                fibra::cancel::shield(|| {
                    let results = map(0..100, |n: usize| {
                        ready.fetch_add(1, Ordering::SeqCst);
                        receiver.recv().unwrap();
                        n
                    });
                    sum.store(results.into_iter().sum(), Ordering::SeqCst);
                });
            })
        };
        wait_until("it has begun", || ready.load(Ordering::SeqCst) > 0);
        task.cancel();
        (0..100).for_each(|_| sender.send(()).unwrap());
        let _ = task.join();
        assert_eq!(sum.load(Ordering::SeqCst), 4950);
    });
}
