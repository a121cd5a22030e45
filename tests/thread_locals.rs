//! Thread-locals before and after a park: a started task stays on its OS thread, so they are what they were.
//!
//! Also to be run with `--profile lto`: an optimiser that sees the whole program keeps the address of a thread-local
//! across a call that parks, which is right only if the task has not moved.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::{Builder, channel, sync::Mutex, thread};
use support::{OnDrop, within_patience};

static THREADS: AtomicUsize = AtomicUsize::new(1);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Says when its thread has ended.
struct Lazy(Rc<RefCell<Vec<usize>>>);

impl Drop for Lazy {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    /// How often tasks of this thread passed by.
    static PASSES: Cell<usize> = const { Cell::new(0) };
    /// Which thread this is, from 1.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
    /// Made at first use, dropped at the thread's end.
    static VISITORS: Lazy = Lazy(Rc::default());
}

fn number() -> usize {
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(THREADS.fetch_add(1, Ordering::SeqCst));
        }
        number.get()
    })
}

/// One way to park, chosen by `turn`.
fn park(turn: usize, lock: &Mutex<usize>) {
    match turn % 7 {
        0 => fibra::yield_now(),
        1 => fibra::sleep(Duration::from_micros((turn % 50) as u64)),
        2 => thread::park_timeout(Duration::from_micros(1)),
        3 => assert_eq!(fibra::spawn(move || turn).join().unwrap(), turn),
        4 => {
            let (sender, receiver) = channel::bounded(0);
            fibra::spawn(move || sender.send(turn).unwrap());
            assert_eq!(receiver.recv().unwrap(), turn);
        }
        5 => {
            let mut guard = lock.lock();
            *guard += 1;
            fibra::yield_now();
        }
        _ => {
            let me = thread::current();
            let waker = fibra::spawn(move || me.unpark());
            thread::park();
            waker.join().unwrap();
        }
    }
}

/// Uses thread-locals in every way before and after parks; returns how often it passed.
fn visit(task: usize, lock: &Mutex<usize>) -> usize {
    const TURNS: usize = 20;
    let home = number();
    let id = std::thread::current().id();
    let address = PASSES.with(|passes| std::ptr::from_ref(passes).addr());
    let visitors = VISITORS.with(|lazy| Rc::clone(&lazy.0));
    for turn in 0..TURNS {
        PASSES.set(PASSES.get() + 1);
        visitors.borrow_mut().push(task);
        park(task + turn, lock);
        assert_eq!(NUMBER.get(), home, "the task has changed threads");
        assert_eq!(number(), home);
        assert_eq!(std::thread::current().id(), id);
        assert_eq!(PASSES.with(|passes| std::ptr::from_ref(passes).addr()), address);
        assert!(VISITORS.with(|lazy| Rc::ptr_eq(&lazy.0, &visitors)));
        // Across a park inside of `with`, too: the reference is lent by one thread.
        PASSES.with(|passes| {
            let before = std::ptr::from_ref(passes).addr();
            park(task + turn + 1, lock);
            passes.set(passes.get() + 1);
            assert_eq!((before, NUMBER.get()), (address, home));
        });
    }
    2 * TURNS
}

#[test]
fn thread_locals_before_and_after_parks_are_those_of_the_same_thread() {
    for workers in [1, 2, 4] {
        within_patience(move || {
            let tasks = 300;
            let before = ENDED.load(Ordering::SeqCst);
            let runtime = Builder::new().workers(workers).build().unwrap();
            let lock = Arc::new(Mutex::new(0));
            let handles: Vec<_> = (0..tasks)
                .map(|task| {
                    let lock = lock.clone();
                    runtime.spawn(move || visit(task, &lock))
                })
                .collect();
            let passes: usize = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
            // Every worker says how often it was passed by: none was lost, and none went to another's variable.
            let seen: usize = (0..workers)
                .map(|worker| {
                    let ask = || (PASSES.get(), VISITORS.with(|lazy| lazy.0.borrow().len()));
                    let (passes, visits) = runtime
                        .run(|| thread::Builder::new().worker(worker).spawn(ask).unwrap().join().unwrap());
                    assert_eq!(passes, 2 * visits);
                    passes
                })
                .sum();
            assert_eq!((passes, seen), (tasks * 40, tasks * 40));
            drop(runtime);
            assert_eq!(ENDED.load(Ordering::SeqCst) - before, workers, "each worker's destructor ran once");
        });
    }
}

#[test]
fn what_is_not_send_may_live_across_parks() {
    within_patience(|| {
        fibra::run(|| {
            let tasks: Vec<_> = (0..100)
                .map(|i| {
                    fibra::spawn(move || {
                        let shared = Rc::new(Cell::new(i));
                        let parts: Vec<_> = (0..10)
                            .map(|_| {
                                let shared = Rc::clone(&shared);
                                fibra::spawn_local(move || {
                                    fibra::yield_now();
                                    shared.set(shared.get() + 1);
                                    shared
                                })
                            })
                            .collect();
                        for part in parts {
                            assert!(Rc::ptr_eq(&part.join().unwrap(), &shared));
                        }
                        shared.get() - i
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 10));
        });
    });
}

#[test]
fn destructors_of_a_cancelled_task_run_on_its_thread() {
    within_patience(|| {
        let runtime = Builder::new().workers(4).build().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let (ran, started) = (ran.clone(), started.clone());
            runtime.spawn(move || {
                let home = number();
                let _guard = OnDrop::new(move || {
                    assert_eq!(number(), home);
                    fibra::yield_now();
                    assert_eq!(number(), home);
                    ran.fetch_add(1, Ordering::SeqCst);
                });
                started.fetch_add(1, Ordering::SeqCst);
                thread::park();
            });
        }
        support::wait_until("all have started", || started.load(Ordering::SeqCst) == 100);
        drop(runtime);
        assert_eq!(ran.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn tasks_have_identities_of_their_own_and_share_the_thread_s() {
    Builder::new()
        .workers(1)
        .run(|| {
            let mut ids = vec![thread::current().id()];
            let os = std::thread::current().id();
            for _ in 0..100 {
                let task = fibra::spawn(|| (thread::current().id(), std::thread::current().id()));
                let outside = task.thread().id();
                let (inside, home) = task.join().unwrap();
                assert_eq!((outside, home), (inside, os));
                ids.push(inside);
            }
            let distinct: std::collections::HashSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len());
        })
        .unwrap();
}
