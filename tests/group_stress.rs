//! `Group` with many tasks, and with everything at once. Counts every destructor and every result.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::task::Group;
use fibra::{Builder, Cancelled, thread};
use support::{Drops, wait_until, within_patience};

const MANY: usize = 100_000;

fn with_workers(f: fn()) {
    within_patience(move || {
        for workers in [1, 2, 8] {
            Builder::new().workers(workers).run(f).unwrap();
        }
    });
}

#[test]
fn a_hundred_thousand_results_are_taken_in_any_order() {
    with_workers(|| {
        let group = Group::new();
        (0..MANY).for_each(|i| {
            group.spawn(move || i);
        });
        let mut seen = vec![false; MANY];
        for (index, value) in &group {
            assert_eq!(value.unwrap(), index);
            assert!(!std::mem::replace(&mut seen[index], true));
        }
        assert!(seen.into_iter().all(|seen| seen));
        let group = Group::new();
        (0..MANY).for_each(|i| {
            group.spawn(move || Ok::<_, ()>(i));
        });
        assert!(group.wait().unwrap().into_iter().eq(0..MANY));
    });
}

#[test]
fn a_hundred_thousand_race_and_all_but_one_are_cancelled() {
    with_workers(|| {
        let drops = Drops::new();
        let parked = Arc::new(AtomicUsize::new(0));
        let group = Group::new();
        for _ in 0..MANY {
            let (guard, parked) = (drops.counted(), parked.clone());
            group.spawn(move || {
                let _guard = guard;
                parked.fetch_add(1, Ordering::Relaxed);
                thread::park();
                Err::<usize, ()>(())
            });
        }
        wait_until("all are parked", || parked.load(Ordering::Relaxed) == MANY);
        group.spawn(|| Ok(7));
        assert_eq!(group.first_ok(), Ok(7));
        assert_eq!(drops.get(), MANY);
    });
}

#[test]
fn a_hundred_thousand_go_through_a_limit() {
    with_workers(|| {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let group = Group::new().limit(100);
        for _ in 0..MANY {
            let (running, most) = (running.clone(), most.clone());
            group.spawn(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                fibra::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        assert_eq!(group.values().len(), MANY);
        assert!(most.load(Ordering::SeqCst) <= 100);
    });
}

/// Tasks that end, fail, park and spawn; takers and a canceller that come at any time.
#[test]
fn stress_every_closure_and_every_result_is_dropped_once() {
    with_workers(|| {
        for round in 0..300 {
            let (closures, results) = (Drops::new(), Drops::new());
            let made = Arc::new(AtomicUsize::new(0));
            let mut group = Group::new();
            if round % 3 == 0 {
                group = group.limit(1 + round % 7);
            }
            if round % 4 == 0 {
                group = group.cancel_if(|result: &Result<_, usize>| result.is_err());
            }
            if round % 5 == 0 {
                group = group.independent();
            }
            let group = Arc::new(group);
            let canceller = (round % 2 == 0).then(|| {
                let group = group.clone();
                fibra::spawn(move || {
                    (0..round % 11).for_each(|_| fibra::yield_now());
                    group.cancel();
                })
            });
            let taker = {
                let group = group.clone();
                fibra::spawn(move || group.iter().take(round % 13).count())
            };
            for i in 0..40 {
                let (guard, value, made) = (closures.counted(), results.clone(), made.clone());
                group.spawn(move || {
                    let _guard = guard;
                    match (i * 7 + round) % 10 {
                        0 => return Err(i),
                        1..4 => fibra::yield_now(),
                        4 => fibra::sleep(std::time::Duration::from_micros(50)),
                        5 if round % 6 == 0 => std::panic::resume_unwind(Box::new(i)),
                        _ => {}
                    }
                    made.fetch_add(1, Ordering::SeqCst);
                    Ok(value.counted())
                });
            }
            let taken = taker.join().unwrap();
            if let Some(canceller) = canceller {
                canceller.join().unwrap();
            }
            let group = Arc::into_inner(group).unwrap();
            assert_eq!(group.len(), 40 - taken);
            if round % 8 < 4 {
                let left = group.join_all();
                assert_eq!(left.len(), 40 - taken);
                let cancelled =
                    left.iter().filter_map(|end| end.as_ref().err()).filter(|end| end.is::<Cancelled>());
                assert!(cancelled.count() <= 40);
            } else {
                drop(group);
            }
            assert_eq!(closures.get(), 40);
            assert_eq!(results.get(), made.load(Ordering::SeqCst));
        }
    });
}
