//! `Once`, `OnceLock` and `LazyLock`: once, visible to all, and open again after a failure.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::sync::{LazyLock, Once, OnceLock};
use fibra::{Builder, Cancelled, spawn, yield_now};

mod support;
use support::{Drops, message};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    static ONCE: Once = Once::new();
    let mut runs = 0;
    assert_eq!(format!("{ONCE:?}"), "Once { is_completed: false, .. }");
    (0..3).for_each(|_| ONCE.call_once(|| runs += 1));
    ONCE.call_once_force(|_| runs += 1);
    ONCE.wait();
    assert!(ONCE.is_completed() && runs == 1);

    static CELL: OnceLock<String> = OnceLock::new();
    assert_eq!(CELL.get(), None);
    assert_eq!(format!("{CELL:?}"), "OnceLock(<uninit>)");
    CELL.set("first".into()).unwrap();
    assert_eq!(CELL.set("second".into()), Err("second".to_owned()));
    assert_eq!(CELL.get_or_init(|| unreachable!()), CELL.wait());
    assert_eq!(format!("{CELL:?}"), r#"OnceLock("first")"#);

    static LAZY: LazyLock<u32> = LazyLock::new(|| 3);
    assert_eq!(format!("{LAZY:?}"), "LazyLock(<uninit>)");
    assert_eq!((*LAZY, LazyLock::force(&LAZY)), (3, &3));
    assert_eq!(format!("{LAZY:?}"), "LazyLock(3)");
    assert_eq!(*LazyLock::<u32>::default(), 0);
}

#[test]
fn drops_take_and_clones_of_a_cell() {
    let drops = Drops::new();
    drop(OnceLock::<support::Counted>::new());
    drop(OnceLock::from(drops.counted()));
    assert_eq!(drops.get(), 1);
    let mut cell = OnceLock::from(drops.counted());
    drop(cell.take());
    assert_eq!(drops.get(), 2);
    assert!(cell.get_mut().is_none() && cell.set(drops.counted()).is_ok() && cell.get_mut().is_some());
    drop(cell.into_inner());
    assert_eq!(drops.get(), 3);
    let cell = OnceLock::from(5);
    assert_eq!((cell.clone(), OnceLock::new().clone()), (cell, OnceLock::<i32>::new()));
}

#[test]
fn an_initialiser_may_park_and_the_others_wait_for_it() {
    on_one_worker(|| {
        let cell = Arc::new(OnceLock::new());
        let first = spawn({
            let cell = cell.clone();
            move || {
                *cell.get_or_init(|| {
                    fibra::thread::park();
                    1
                })
            }
        });
        yield_now();
        let others: Vec<_> = (0..3)
            .map(|i| {
                let cell = cell.clone();
                let task =
                    spawn(move || if i == 0 { *cell.wait() } else { *cell.get_or_init(|| unreachable!()) });
                yield_now();
                task
            })
            .collect();
        let thread = std::thread::spawn({
            let cell = cell.clone();
            move || *cell.wait()
        });
        assert!(cell.get().is_none() && others.iter().all(|other| !other.is_finished()));
        first.thread().unpark();
        assert_eq!(first.join().unwrap(), 1);
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 1));
        assert_eq!(thread.join().unwrap(), 1);
    });
}

#[test]
fn a_panicking_initialiser_lets_the_next_one_try() {
    let once = Once::new();
    let attempt = || once.call_once(|| resume_unwind(Box::new("a panic")));
    assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
    assert!(!once.is_completed());
    let mut poisoned = None;
    once.call_once_force(|state| poisoned = Some(state.is_poisoned()));
    assert!(once.is_completed() && poisoned == Some(true));
    Once::new().call_once_force(|state| assert!(!state.is_poisoned()));

    let runs = AtomicUsize::new(0);
    let lazy = LazyLock::new(|| match runs.fetch_add(1, Ordering::Relaxed) {
        0 => resume_unwind(Box::new("a panic")),
        n => n,
    });
    assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
    assert_eq!((*lazy, *lazy), (1, 1));
}

#[test]
fn a_cancelled_initialiser_lets_the_first_of_those_who_wait_try() {
    on_one_worker(|| {
        let cell = Arc::new(OnceLock::new());
        let spawn_init = |i: u32| {
            let cell = cell.clone();
            let task = spawn(move || {
                *cell.get_or_init(|| {
                    fibra::thread::park();
                    i
                })
            });
            yield_now();
            task
        };
        let onlooker = spawn({
            let cell = cell.clone();
            move || *cell.wait()
        });
        yield_now();
        let tasks: Vec<_> = (0..4).map(spawn_init).collect();
        tasks[1].cancel(); // waits
        tasks[0].cancel(); // runs
        yield_now();
        yield_now();
        assert!(cell.get().is_none());
        tasks.iter().for_each(|task| task.thread().unpark());
        let results: Vec<_> = tasks.into_iter().map(|task| task.join()).collect();
        assert!(results[..2].iter().all(|result| result.as_ref().unwrap_err().is::<Cancelled>()));
        assert!(results[2..].iter().all(|result| *result.as_ref().unwrap() == 2));
        assert_eq!(onlooker.join().unwrap(), 2);
    });
}

#[test]
fn an_error_leaves_the_cell_empty() {
    let cell = OnceLock::new();
    assert_eq!(cell.get_or_try_init(|| Err("no")), Err("no"));
    assert_eq!(cell.get_or_try_init(|| Ok::<_, &str>(1)), Ok(&1));
    assert_eq!(cell.get_or_try_init(|| Err("no")), Ok(&1));
}

#[test]
fn a_re_entrant_initialiser_panics_instead_of_waiting_for_itself() {
    fn check() {
        static LAZY: LazyLock<u32> = LazyLock::new(|| *LAZY + 1);
        let (once, cell) = (Once::new(), OnceLock::new());
        let attempts: [&dyn Fn(); 4] = [
            &|| once.call_once(|| once.call_once(|| ())),
            &|| once.call_once(|| once.wait()),
            &|| assert_eq!(cell.get_or_init(|| cell.get_or_init(|| 1) + 1), &2),
            &|| assert_eq!(*LAZY, 2),
        ];
        for attempt in attempts {
            let payload = catch_unwind(AssertUnwindSafe(attempt)).unwrap_err();
            assert!(message(&*payload).contains("it would wait for itself"), "{}", message(&*payload));
        }
        assert_eq!(cell.get_or_init(|| 5), &5);
    }
    check();
    on_one_worker(check);
}

#[test]
fn an_initialiser_may_use_other_cells_and_be_used_by_other_tasks() {
    static A: LazyLock<u32> = LazyLock::new(|| 1 + *B);
    static B: LazyLock<u32> = LazyLock::new(|| {
        fibra::sleep(std::time::Duration::from_millis(1));
        1
    });
    Builder::new()
        .workers(2)
        .run(|| {
            let tasks: Vec<_> = (0..8).map(|i| spawn(move || if i % 2 == 0 { *A } else { *B + 1 })).collect();
            tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 2));
        })
        .unwrap();
}

/// Initialisers panic, are cancelled, or succeed; of each cell one succeeds, and everybody sees its value.
#[test]
fn stress_one_initialiser_succeeds_per_cell() {
    for workers in [1, 2, 8] {
        for round in 0..100 {
            let cell = Arc::new(OnceLock::<usize>::new());
            let made = Arc::new(AtomicUsize::new(0));
            let work = |id: usize| {
                let (cell, made) = (cell.clone(), made.clone());
                move || {
                    let value = cell.get_or_init(|| {
                        yield_now();
                        if (id + round).is_multiple_of(3) {
                            resume_unwind(Box::new("a panic"));
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        id
                    });
                    assert_eq!(cell.get(), Some(value));
                }
            };
            let thread = std::thread::spawn(work(1));
            Builder::new()
                .workers(workers)
                .run(|| {
                    let tasks: Vec<_> = (2..8).map(|id| spawn(work(id))).collect();
                    tasks[round % 6].cancel();
                    yield_now();
                    tasks[(round + 3) % 6].cancel();
                    tasks.into_iter().for_each(|task| drop(task.join()));
                })
                .unwrap();
            let _ = thread.join();
            assert!(made.load(Ordering::SeqCst) <= 1);
            assert_eq!(cell.get().is_some(), made.load(Ordering::SeqCst) == 1);
            cell.get_or_init(|| 0);
        }
    }
}
