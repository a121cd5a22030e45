//! The mutex: exclusion, fairness, timeouts, and what cancellation does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{MappedMutexGuard, Mutex, MutexGuard};
use fibra::{Builder, Cancelled, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    static LOCK: Mutex<i32> = Mutex::new(1);
    *LOCK.lock() += 1;
    let guard = LOCK.lock();
    assert!(LOCK.is_locked());
    assert!(LOCK.try_lock().is_none());
    drop(guard);
    assert_eq!(LOCK.try_lock().as_deref(), Some(&2));
    assert!(!LOCK.is_locked());
}

#[test]
fn map_and_into_inner() {
    let lock = Mutex::new((1, 2));
    let mut second: MappedMutexGuard<'_, i32> = MutexGuard::map(lock.lock(), |pair| &mut pair.1);
    *second = 5;
    assert!(lock.is_locked());
    drop(second);
    assert_eq!(lock.into_inner(), (1, 5));
}

#[test]
fn conversions_formatting_and_unsizing() {
    let lock: Mutex<i32> = 3.into();
    assert_eq!(format!("{lock:?}"), "Mutex { data: 3 }");
    let guard = lock.lock();
    assert_eq!(format!("{lock:?}"), "Mutex { data: <locked> }");
    drop(guard);
    let mut lock = Mutex::<Vec<i32>>::default();
    lock.get_mut().push(1);
    let lock: Arc<Mutex<dyn Send + Sync>> = Arc::new(lock);
    drop(lock.lock());
    let lock: Box<Mutex<[i32]>> = Box::new(Mutex::new([1, 2]));
    assert_eq!(lock.lock().len(), 2);
    // Sendable data makes the lock shareable, as in std.
    fn shareable<T: Send + Sync>(_: T) {}
    shareable(Mutex::new(std::cell::Cell::new(1)));
}

#[test]
fn a_guard_lives_across_a_park() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let mut guard = lock.lock();
        let other = spawn({
            let lock = lock.clone();
            move || lock.lock().push(2)
        });
        yield_now();
        assert!(!other.is_finished());
        guard.push(1);
        drop(guard);
        other.join().unwrap();
        assert_eq!(*lock.lock(), [1, 2]);
    });
}

#[test]
fn stress_tasks_and_threads_exclude_each_other() {
    const EACH: usize = 5_000;
    for workers in [1, 2, 8] {
        let lock = Arc::new(Mutex::new((0usize, 0usize)));
        let work = {
            let lock = lock.clone();
            move || {
                for i in 0..EACH {
                    let mut guard = lock.lock();
                    guard.0 += 1;
                    if i % 50 == 0 {
                        yield_now();
                    }
                    guard.1 += 1;
                    assert_eq!(guard.0, guard.1);
                    match i % 7 {
                        0 => MutexGuard::unlock_fair(guard),
                        1 => MutexGuard::bump(&mut guard),
                        _ => drop(guard),
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work.clone())).collect();
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let tasks: Vec<_> = (0..4).map(|_| spawn(work.clone())).collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*lock.lock(), (6 * EACH, 6 * EACH));
    }
}

#[test]
fn unlock_fair_hands_over_to_the_first_waiter() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock();
        let waiters: Vec<_> = (0..3)
            .map(|i| {
                let lock = lock.clone();
                let task = spawn(move || lock.lock().push(i));
                yield_now();
                task
            })
            .collect();
        MutexGuard::unlock_fair(guard);
        // It belongs to the first waiter, although that one has not run yet.
        assert!(lock.try_lock().is_none());
        waiters.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*lock.lock(), [0, 1, 2]);
    });
}

#[test]
fn fairness_a_waiter_of_a_millisecond_gets_the_lock_from_a_greedy_holder() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(0));
        let mut guard = lock.lock();
        let waiter = spawn({
            let lock = lock.clone();
            move || *lock.lock() += 1
        });
        yield_now();
        // It may be barged past while it is patient, and keeps its place.
        drop(guard);
        guard = match lock.try_lock() {
            Some(guard) => guard,
            // This thread was held up for a millisecond, so the lock has been handed over already.
            None => return waiter.join().unwrap(),
        };
        yield_now();
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
        drop(guard);
        assert!(lock.try_lock().is_none());
        waiter.join().unwrap();
        assert_eq!(*lock.lock(), 1);
    });
}

#[test]
fn timeouts() {
    fibra::run(|| {
        let lock = Arc::new(Mutex::new(0));
        let guard = lock.lock();
        let other = spawn({
            let lock = lock.clone();
            move || {
                let short = Duration::from_millis(3);
                assert!(lock.try_lock_for(short).is_none());
                assert!(lock.try_lock_until(Instant::now() + short).is_none());
                assert!(lock.try_lock_until(Instant::now()).is_none());
            }
        });
        other.join().unwrap();
        drop(guard);
        // A waiter that has left is not handed the lock.
        *lock.try_lock_for(Duration::MAX).unwrap() += 1;
        *lock.try_lock_until(Instant::now()).unwrap() += 1;
        assert_eq!(*lock.lock(), 2);
    });
}

#[test]
fn stress_timeouts_lose_no_wake() {
    for workers in [1, 2, 8] {
        let lock = Arc::new(Mutex::new(0usize));
        let taken = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let tasks: Vec<_> = (0..8)
                .map(|id| {
                    let (lock, taken) = (lock.clone(), taken.clone());
                    spawn(move || {
                        for i in 0..1_000 {
                            let guard = if (i + id) % 2 == 0 {
                                Some(lock.lock())
                            } else {
                                lock.try_lock_for(Duration::from_micros(i as u64 % 30))
                            };
                            let Some(mut guard) = guard else { continue };
                            *guard += 1;
                            taken.fetch_add(1, Ordering::Relaxed);
                            if i % 4 == 0 {
                                yield_now();
                            }
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
        assert_eq!(*lock.lock(), taken.load(Ordering::Relaxed));
    }
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    fibra::run(|| {
        let lock = Arc::new(Mutex::new(0));
        let holder = spawn({
            let lock = lock.clone();
            move || {
                let _guard = lock.lock();
                std::panic::resume_unwind(Box::new("a panic"));
            }
        });
        assert!(holder.join().is_err());
        assert_eq!(*lock.lock(), 0);
    });
}

#[test]
fn a_cancelled_holder_unlocks() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(0));
        let holder = spawn({
            let lock = lock.clone();
            move || {
                let _guard = lock.lock();
                fibra::thread::park();
            }
        });
        yield_now();
        assert!(lock.is_locked());
        holder.cancel();
        *lock.lock() += 1;
        assert!(holder.join().unwrap_err().is::<Cancelled>());
    });
}
