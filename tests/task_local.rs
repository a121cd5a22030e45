//! `task_local!`: one value per task, its life, inheritance, and the same on plain threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::task_local::{AccessError, LocalKey};
use fibra::{Builder, Cancelled, spawn, task_local, yield_now};

mod support;
use support::{Counted, Drops};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    task_local! {
        static NUMBER: Cell<u32> = const { Cell::new(5) };
        static TEXT: RefCell<String> = RefCell::new("a".into());
        static PLAIN: [u8; 3] = [1, 2, 3]
    }
    let check = || {
        assert_eq!(NUMBER.get(), 5);
        NUMBER.set(6);
        assert_eq!((NUMBER.replace(7), NUMBER.take(), NUMBER.get()), (6, 7, 0));
        TEXT.with_borrow_mut(|text| text.push('b'));
        TEXT.with_borrow(|text| assert_eq!(text, "ab"));
        assert_eq!((TEXT.replace("c".into()), TEXT.take()), ("ab".into(), "c".into()));
        TEXT.set("d".into());
        assert_eq!(TEXT.try_with(|text| text.borrow().len()), Ok(1));
        assert_eq!(PLAIN.with(|plain| plain[2]), 3);
    };
    check();
    on_one_worker(check);
    std::thread::spawn(check).join().unwrap();
    assert_eq!(format!("{NUMBER:?}"), "LocalKey { .. }");
}

#[test]
fn each_task_has_its_own_value_across_parks_on_any_number_of_workers() {
    task_local! {
        static OWN: Cell<usize> = Cell::new(usize::MAX);
    }
    for workers in [1, 2, 8] {
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (0..100)
                    .map(|i| {
                        spawn(move || {
                            assert_eq!(OWN.get(), usize::MAX);
                            OWN.set(i);
                            (0..10).for_each(|_| {
                                yield_now();
                                assert_eq!(OWN.replace(i), i);
                            });
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
                assert_eq!(OWN.get(), usize::MAX);
            })
            .unwrap();
    }
}

#[test]
fn the_initialiser_runs_once_at_the_first_use_and_not_for_a_set() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    fn count() -> Cell<u32> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        Cell::new(1)
    }
    task_local! {
        static KEY: Cell<u32> = count();
    }
    on_one_worker(|| {
        let task = spawn(|| KEY.set(2));
        task.join().unwrap();
        assert_eq!(RUNS.load(Ordering::Relaxed), 0);
        assert_eq!(spawn(|| KEY.get() + KEY.get()).join().unwrap(), 2);
        assert_eq!(RUNS.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_reference_stays_valid_across_parks_and_new_keys() {
    task_local! {
        static FIRST: Vec<u32> = vec![1, 2, 3];
        static SECOND: Cell<u32> = Cell::new(1);
        static THIRD: Cell<u32> = Cell::new(1);
    }
    on_one_worker(|| {
        FIRST.with(|first| {
            yield_now();
            assert_eq!(SECOND.get() + THIRD.get(), 2);
            yield_now();
            assert_eq!(*first, [1, 2, 3]);
        });
    });
}

#[test]
fn an_initialiser_may_park_and_use_other_keys_and_even_its_own() {
    task_local! {
        static OUTER: u32 = {
            yield_now();
            INNER.with(|inner| inner + 1)
        };
        static INNER: u32 = 1;
        static OWN: u32 = {
            if !ENTERED.replace(true) { OWN.with(|own| own + 10) } else { 1 }
        };
        static ENTERED: Cell<bool> = Cell::new(false);
    }
    on_one_worker(|| {
        assert_eq!(OUTER.with(|outer| *outer), 2);
        // The inner one was there first and has been seen, so it stays.
        assert_eq!((OWN.with(|own| *own), OWN.with(|own| *own)), (1, 1));
    });
}

#[test]
fn values_are_dropped_once_at_the_end_before_join_returns_however_the_task_ends() {
    task_local! {
        static KEPT: RefCell<Vec<Counted>> = RefCell::default();
    }
    on_one_worker(|| {
        let drops = Drops::new();
        let run = |end: fn()| {
            let drops = drops.clone();
            let task = spawn(move || {
                KEPT.with_borrow_mut(|kept| kept.push(drops.counted()));
                end();
            });
            yield_now();
            task
        };
        run(|| ()).join().unwrap();
        assert_eq!(drops.get(), 1);
        run(|| std::panic::resume_unwind(Box::new("a panic"))).join().unwrap_err();
        assert_eq!(drops.get(), 2);
        let parked = run(fibra::thread::park);
        assert_eq!(drops.get(), 2);
        parked.cancel();
        assert!(parked.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.get(), 3);
        drop(run(|| ()));
        yield_now();
        assert_eq!(drops.get(), 4);
    });
}

/// Runs a closure when dropped.
struct AtDrop(Option<Box<dyn FnOnce()>>);

impl Drop for AtDrop {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

fn at_drop(f: impl FnOnce() + 'static) -> RefCell<Option<AtDrop>> {
    RefCell::new(Some(AtDrop(Some(Box::new(f)))))
}

#[test]
fn destructors_park_use_other_keys_and_are_refused_their_own() {
    static LOG: fibra::sync::Mutex<Vec<&str>> = fibra::sync::Mutex::new(Vec::new());
    static ERRORS: AtomicUsize = AtomicUsize::new(0);
    task_local! {
        static OWN: RefCell<Option<AtDrop>> = at_drop(|| {
            fibra::sleep(std::time::Duration::from_millis(1));
            ERRORS.fetch_add(usize::from(OWN.try_with(|_| ()).is_err()), Ordering::Relaxed);
            LATE.with(|_| LOG.lock().push("own"));
        });
        static LATE: RefCell<Option<AtDrop>> = at_drop(|| {
            yield_now();
            ERRORS.fetch_add(usize::from(OWN.try_with(|_| ()).is_err()), Ordering::Relaxed);
            LOG.lock().push("late");
        });
    }
    fn use_them(key: &'static LocalKey<RefCell<Option<AtDrop>>>) {
        key.with(|_| ());
    }
    on_one_worker(|| {
        spawn(|| use_them(&OWN)).join().unwrap();
        assert_eq!(*LOG.lock(), ["own", "late"]);
        // Cancellation is held back from destructors that park.
        let task = spawn(|| {
            use_them(&OWN);
            fibra::thread::park();
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(*LOG.lock(), ["own", "late", "own", "late"]);
    });
    std::thread::spawn(|| use_them(&OWN)).join().unwrap();
    assert_eq!(LOG.lock().len(), 6);
    assert_eq!(ERRORS.load(Ordering::Relaxed), 6);
    let error: AccessError = {
        static SEEN: fibra::sync::Mutex<Option<AccessError>> = fibra::sync::Mutex::new(None);
        task_local! {
            static KEY: RefCell<Option<AtDrop>> = at_drop(|| *SEEN.lock() = KEY.try_with(|_| ()).err());
        }
        on_one_worker(|| KEY.with(|_| ()));
        SEEN.lock().unwrap()
    };
    assert!(error.to_string().contains("its task or thread ends"));
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_others_from_running() {
    task_local! {
        static BAD: RefCell<Option<AtDrop>> = at_drop(|| std::panic::resume_unwind(Box::new("a panic")));
        static GOOD: RefCell<Vec<Counted>> = RefCell::default();
    }
    on_one_worker(|| {
        let drops = Drops::new();
        for bad_first in [true, false] {
            let drops = drops.clone();
            let task = spawn(move || {
                if bad_first {
                    BAD.with(|_| ());
                }
                GOOD.with_borrow_mut(|good| good.push(drops.counted()));
                BAD.with(|_| ());
                7
            });
            assert_eq!(task.join().unwrap(), 7);
        }
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn the_dropped_result_of_a_detached_task_may_use_task_locals() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    task_local! {
        static KEY: RefCell<Vec<Counted>> = RefCell::default();
    }
    struct Result(Drops);

    impl Drop for Result {
        fn drop(&mut self) {
            KEY.with_borrow_mut(|kept| kept.push(self.0.counted()));
            SEEN.fetch_add(1, Ordering::Relaxed);
        }
    }

    on_one_worker(|| {
        let drops = Drops::new();
        let task = spawn({
            let drops = drops.clone();
            move || {
                KEY.with_borrow_mut(|kept| kept.push(drops.counted()));
                Result(drops)
            }
        });
        drop(task);
        yield_now();
        assert_eq!((SEEN.load(Ordering::Relaxed), drops.get()), (1, 2));
    });
}

#[test]
fn inherited_values_are_clones_of_the_spawners_at_the_spawn() {
    task_local! {
        static inherit ID: Cell<u32> = Cell::new(1);
        static inherit SHARED: RefCell<Arc<AtomicUsize>> = RefCell::default();
        static PRIVATE: Cell<u32> = Cell::new(1);
    }
    on_one_worker(|| {
        assert_eq!(spawn(|| ID.get()).join().unwrap(), 1, "the spawner has none");
        ID.set(2);
        PRIVATE.set(2);
        let child = spawn(|| {
            assert_eq!((ID.get(), PRIVATE.get()), (2, 1));
            // The grandchild inherits also what its parent never looked at.
            spawn(|| SHARED.with_borrow(|shared| shared.fetch_add(1, Ordering::Relaxed))).join().unwrap();
            ID.set(3);
        });
        SHARED.with_borrow(|shared| assert_eq!(shared.load(Ordering::Relaxed), 0));
        child.join().unwrap();
        assert_eq!(ID.get(), 2);
        let child = spawn(|| {
            spawn(|| SHARED.with_borrow(|shared| shared.fetch_add(1, Ordering::Relaxed))).join().unwrap();
        });
        child.join().unwrap();
        SHARED.with_borrow(|shared| assert_eq!(shared.load(Ordering::Relaxed), 1));
        fibra::scope(|s| {
            s.spawn(|| assert_eq!(ID.get(), 2));
        });
        let wg = fibra::sync::WaitGroup::new();
        wg.go(|| assert_eq!(ID.get(), 2));
        wg.wait();
    });
    // From a plain thread, whose value it is.
    ID.set(9);
    on_one_worker(|| assert_eq!(ID.get(), 9));
    assert_eq!(fibra::spawn(|| ID.get()).join().unwrap(), 9);
}

#[test]
fn inherited_values_of_a_task_that_never_runs_are_dropped() {
    #[derive(Clone)]
    struct Value(#[allow(dead_code)] Arc<()>);

    task_local! {
        static inherit VALUE: RefCell<Option<Value>> = RefCell::default();
    }
    on_one_worker(|| {
        let count = Arc::new(());
        VALUE.set(Some(Value(count.clone())));
        let task = spawn(|| unreachable!("it is cancelled before it runs"));
        assert_eq!(Arc::strong_count(&count), 3);
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(Arc::strong_count(&count), 2);
        let runtime = Builder::new().workers(1).build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        assert!(handle.try_spawn(|| ()).is_err());
        assert_eq!(Arc::strong_count(&count), 2);
    });
}

#[test]
fn a_clone_that_panics_makes_the_spawn_panic_and_nothing_is_lost() {
    struct Value(Drops, #[allow(dead_code)] Counted);

    impl Clone for Value {
        fn clone(&self) -> Self {
            match self.0.get() {
                0 => std::panic::resume_unwind(Box::new("no clone")),
                _ => Self(self.0.clone(), self.0.counted()),
            }
        }
    }

    task_local! {
        static inherit BEFORE: Option<Value> = Some(Value::default_one());
        static inherit VALUE: RefCell<Option<Value>> = RefCell::default();
    }
    impl Value {
        fn default_one() -> Self {
            let drops = Drops::new();
            drop(drops.counted());
            let counted = drops.counted();
            Self(drops, counted)
        }
    }

    on_one_worker(|| {
        let before = BEFORE.with(|before| before.as_ref().unwrap().0.clone());
        let drops = Drops::new();
        VALUE.set(Some(Value(drops.clone(), drops.counted())));
        let spawned = std::panic::catch_unwind(|| drop(spawn(|| ())));
        assert!(spawned.is_err());
        assert_eq!((before.get(), drops.get()), (2, 0), "the clone that was made is gone");
        drop(drops.counted());
        spawn(|| ()).join().unwrap();
        assert_eq!((before.get(), drops.get()), (3, 2));
    });
}

#[test]
fn a_blocking_call_finds_what_is_send_of_its_tasks_values() {
    task_local! {
        static SENT: Cell<u32> = Cell::new(1);
        static MADE: RefCell<Vec<Counted>> = RefCell::default();
        static STAYS: Cell<Option<Rc<u32>>> = Cell::new(Some(Rc::new(1)));
        static inherit HANDED: Cell<u32> = Cell::new(1);
    }
    on_one_worker(|| {
        let drops = Drops::new();
        let task = spawn({
            let drops = drops.clone();
            move || {
                SENT.set(2);
                STAYS.set(None);
                HANDED.set(2);
                fibra::blocking(|| {
                    assert_eq!(SENT.replace(3), 2);
                    assert_eq!(STAYS.take().as_deref(), Some(&1), "this one is the pool thread's");
                    MADE.with_borrow_mut(|made| made.push(drops.counted()));
                    assert_eq!(spawn(|| HANDED.get()).join().unwrap(), 2);
                });
                assert_eq!(SENT.get(), 3);
                assert_eq!(MADE.with_borrow(Vec::len), 1);
                let panic = std::panic::catch_unwind(|| {
                    fibra::blocking(|| std::panic::resume_unwind(Box::new("a panic")));
                });
                assert!(panic.is_err());
            }
        });
        task.join().unwrap();
        assert_eq!(drops.get(), 1);
        // The pool's thread has forgotten the task.
        fibra::blocking(std::thread::yield_now);
        assert_eq!(spawn(|| fibra::blocking(|| SENT.get())).join().unwrap(), 1);
    });
}

#[test]
fn a_value_that_the_task_uses_meanwhile_is_not_shown_to_a_blocking_call() {
    task_local! {
        static SENT: Cell<u32> = Cell::new(1);
        static inherit HANDED: Cell<u32> = Cell::new(1);
    }
    on_one_worker(|| {
        // What is not `Sync` may rely on it that no two threads have a reference at once.
        let refused = |call: &dyn Fn()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
            assert!(support::message(&*panic).contains("end the call of `with`"));
        };
        SENT.with(|value| {
            refused(&|| fibra::blocking(|| SENT.set(2)));
            refused(&|| assert!(fibra::blocking(|| SENT.try_with(Cell::get)).is_ok()));
            // Another key is another matter, and so is the task's own use inside of a use.
            fibra::blocking(|| HANDED.set(HANDED.get() + 1));
            assert_eq!((value.get(), SENT.get()), (1, 1));
        });
        HANDED.with(|_| refused(&|| fibra::blocking(|| drop(spawn(|| ())))));
        // Each use ends, also by a panic, and there may be one inside of another in the call, too.
        assert_eq!(fibra::blocking(|| SENT.with(|value| value.get() + SENT.get())), 2);
        assert_eq!(fibra::blocking(|| spawn(|| HANDED.get()).join().unwrap()), 2);
    });
}

#[test]
fn stress_keys_are_numbered_once_by_tasks_and_threads_at_once() {
    task_local! {
        static A: Cell<usize> = Cell::new(0);
        static B: Cell<usize> = Cell::new(0);
        static inherit C: Cell<usize> = Cell::new(0);
    }
    let work = |i: usize| {
        move || {
            for n in 1..200 {
                [&A, &B, &C][(n + i) % 3].set(n);
                if n % 10 == 0 {
                    yield_now();
                }
                assert_eq!([&A, &B, &C][(n + i) % 3].get(), n);
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|i| std::thread::spawn(work(i))).collect();
    Builder::new()
        .workers(8)
        .run(|| {
            let tasks: Vec<_> = (0..100).map(|i| spawn(work(i))).collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        })
        .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
