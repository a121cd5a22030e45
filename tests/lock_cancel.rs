//! Cancelling a task that waits for a lock: it leaves without it, and nothing is lost to the others.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
use fibra::{Builder, Cancelled, JoinHandle, spawn, thread, yield_now};
use support::{Drops, OnDrop, wait_until, within_patience};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

/// A task that has parked in its lock call, if it had to wait, when this returns.
fn spawn_parked<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let task = spawn(f);
    yield_now();
    task
}

fn is_cancelled<T>(task: JoinHandle<T>) -> bool {
    task.join().is_err_and(|payload| payload.is::<Cancelled>())
}

const LONG: Duration = Duration::from_secs(100_000);

struct Locks {
    mutex: Mutex<Vec<usize>>,
    rwlock: RwLock<Vec<usize>>,
}

/// A way to wait for one of the locks; writes the number down where it may.
type Take = fn(&Locks, usize);

const TAKES: [(&str, Take); 12] = [
    ("lock", |l, n| l.mutex.lock().push(n)),
    ("try_lock_for", |l, n| l.mutex.try_lock_for(LONG).unwrap().push(n)),
    ("try_lock_until", |l, n| l.mutex.try_lock_until(Instant::now() + LONG).unwrap().push(n)),
    ("write", |l, n| l.rwlock.write().push(n)),
    ("try_write_for", |l, n| l.rwlock.try_write_for(LONG).unwrap().push(n)),
    ("try_write_until", |l, n| l.rwlock.try_write_until(Instant::now() + LONG).unwrap().push(n)),
    ("read", |l, _| drop(l.rwlock.read())),
    ("try_read_for", |l, _| drop(l.rwlock.try_read_for(LONG).unwrap())),
    ("try_read_until", |l, _| drop(l.rwlock.try_read_until(Instant::now() + LONG).unwrap())),
    ("upgradable_read", |l, _| drop(l.rwlock.upgradable_read())),
    ("try_upgradable_read_for", |l, _| drop(l.rwlock.try_upgradable_read_for(LONG).unwrap())),
    ("try_upgradable_read_until", |l, _| {
        drop(l.rwlock.try_upgradable_read_until(Instant::now() + LONG).unwrap());
    }),
];

#[test]
fn every_wait_for_a_lock_unwinds_without_it_and_those_behind_get_their_turn() {
    on_one_worker(|| {
        for (name, take) in TAKES {
            // One of three waiters, each in turn.
            for victim in 0..3 {
                let locks =
                    Arc::new(Locks { mutex: Mutex::new(Vec::new()), rwlock: RwLock::new(Vec::new()) });
                let held = (locks.mutex.lock(), locks.rwlock.write());
                let drops = Drops::new();
                let mut tasks: Vec<_> = (0..3)
                    .map(|i| {
                        let (locks, counted) = (locks.clone(), drops.counted());
                        spawn_parked(move || {
                            let _counted = counted;
                            take(&locks, i);
                        })
                    })
                    .collect();
                let task = tasks.remove(victim);
                task.cancel();
                assert!(is_cancelled(task), "{name}: it waits for the lock, which is held");
                assert_eq!(drops.get(), 1, "{name}");
                drop(held);
                tasks.into_iter().for_each(|task| task.join().unwrap());
                assert_eq!(drops.get(), 3, "{name}");
                let left: Vec<_> = (0..3).filter(|&i| i != victim).collect();
                let Locks { mutex, rwlock } = Arc::into_inner(locks).expect("all tasks have ended");
                let written = [mutex.into_inner(), rwlock.into_inner()].concat();
                assert!(written.is_empty() || written == left, "{name}: {written:?}");
            }
        }
    });
}

#[test]
fn a_lock_that_was_handed_over_before_the_cancellation_is_taken_and_passed_on() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock();
        let waiters: Vec<_> = (0..2)
            .map(|i| {
                let lock = lock.clone();
                spawn_parked(move || {
                    let mut guard = lock.lock();
                    guard.push(i);
                    if i == 0 {
                        thread::park();
                    }
                })
            })
            .collect();
        MutexGuard::unlock_fair(guard);
        waiters[0].cancel();
        let mut waiters = waiters.into_iter();
        assert!(is_cancelled(waiters.next().unwrap()));
        waiters.next().unwrap().join().unwrap();
        assert_eq!(*lock.try_lock().expect("nobody holds it"), [0, 1]);
    });
}

#[test]
fn a_waiter_that_was_woken_and_beaten_and_cancelled_loses_no_wake() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock();
        let waiters: Vec<_> = (0..2)
            .map(|i| {
                let lock = lock.clone();
                spawn_parked(move || lock.lock().push(i))
            })
            .collect();
        // The first is woken, to look again, and finds the lock taken by us; then it is cancelled.
        drop(guard);
        let guard = lock.try_lock();
        waiters[0].cancel();
        yield_now();
        // Without a guard, this thread was held up for a millisecond and the lock was handed over.
        let beaten = guard.is_some();
        drop(guard);
        let mut waiters = waiters.into_iter();
        assert_eq!(is_cancelled(waiters.next().unwrap()), beaten);
        waiters.next().unwrap().join().unwrap();
        assert_eq!(*lock.try_lock().expect("nobody holds it"), if beaten { &[1][..] } else { &[0, 1] });
    });
}

#[test]
fn the_same_for_writers_and_readers() {
    on_one_worker(|| {
        for hand_over in [false, true] {
            let lock = Arc::new(RwLock::new(Vec::new()));
            let guard = lock.write();
            let task = |write: bool, i: usize| {
                let lock = lock.clone();
                spawn_parked(move || if write { lock.write().push(i) } else { drop(lock.read()) })
            };
            let (writer, reader, last) = (task(true, 0), task(false, 1), task(true, 2));
            if hand_over {
                RwLockWriteGuard::unlock_fair(guard);
            } else {
                drop(guard);
            }
            let guard = lock.try_read();
            writer.cancel();
            let cancelled = is_cancelled(writer);
            drop(guard);
            reader.join().unwrap();
            last.join().unwrap();
            let expected = if cancelled { vec![2] } else { vec![0, 2] };
            assert_eq!(*lock.try_write().expect("nobody holds it"), expected, "{hand_over}");
        }
    });
}

#[test]
fn a_cancelled_writer_lets_the_readers_go_on_that_it_held_back() {
    on_one_worker(|| {
        let lock = Arc::new(RwLock::new(0));
        let guard = lock.read();
        let task = |f: fn(&RwLock<i32>)| {
            let lock = lock.clone();
            spawn_parked(move || f(&lock))
        };
        let writer = task(|lock| *lock.write() += 1);
        let readers = [task(|lock| drop(lock.read())), task(|lock| drop(lock.upgradable_read()))];
        assert!(lock.try_read().is_none());
        writer.cancel();
        assert!(is_cancelled(writer));
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(lock.try_read().is_some());
        drop(guard);
        assert_eq!(*lock.try_write().unwrap(), 0);
    });
}

#[test]
fn the_waits_of_guards_end_with_the_lock_and_the_cancellation_comes_after_them() {
    /// Waits in a method of a guard, and gives up the lock at its end.
    type Wait = fn(&Locks);
    let waits: [(&str, Wait); 9] = [
        ("bump", |l| {
            let mut guard = l.mutex.lock();
            yield_now();
            MutexGuard::bump(&mut guard);
            guard.push(1);
        }),
        ("unlocked", |l| {
            let mut guard = l.mutex.lock();
            MutexGuard::unlocked(&mut guard, yield_now);
            guard.push(1);
        }),
        ("unlocked_fair", |l| {
            let mut guard = l.mutex.lock();
            MutexGuard::unlocked_fair(&mut guard, yield_now);
            guard.push(1);
        }),
        ("bump of a writer", |l| {
            let mut guard = l.rwlock.write();
            yield_now();
            RwLockWriteGuard::bump(&mut guard);
            guard.push(1);
        }),
        ("unlocked writer", |l| {
            let mut guard = l.rwlock.write();
            RwLockWriteGuard::unlocked(&mut guard, yield_now);
            guard.push(1);
        }),
        ("unlocked reader", |l| {
            let mut guard = l.rwlock.read();
            RwLockReadGuard::unlocked(&mut guard, yield_now);
            drop(guard);
            l.rwlock.write().push(1);
        }),
        ("unlocked upgradable reader", |l| {
            let mut guard = l.rwlock.upgradable_read();
            RwLockUpgradableReadGuard::unlocked(&mut guard, yield_now);
            RwLockUpgradableReadGuard::upgrade(guard).push(1);
        }),
        ("upgrade", |l| {
            let guard = l.rwlock.upgradable_read();
            yield_now();
            RwLockUpgradableReadGuard::upgrade(guard).push(1);
        }),
        ("with_upgraded", |l| {
            let mut guard = l.rwlock.upgradable_read();
            yield_now();
            guard.with_upgraded(|list| list.push(1));
        }),
    ];
    on_one_worker(move || {
        for (name, wait) in waits {
            let locks = Arc::new(Locks { mutex: Mutex::new(Vec::new()), rwlock: RwLock::new(Vec::new()) });
            let after = Arc::new(AtomicUsize::new(0));
            let task = {
                let (locks, after) = (locks.clone(), after.clone());
                spawn_parked(move || {
                    wait(&locks);
                    after.fetch_add(1, Ordering::Relaxed);
                    thread::park();
                })
            };
            // The task is outside of its lock or about to give it up for a while, and we get in between, where we can.
            let holder = {
                let locks = locks.clone();
                spawn_parked(move || {
                    let _mutex = locks.mutex.lock();
                    let _write = if name.contains("upgrade") { None } else { Some(locks.rwlock.write()) };
                    let _read = name.contains("upgrade").then(|| locks.rwlock.read());
                    (0..5).for_each(|_| yield_now());
                })
            };
            task.cancel();
            holder.join().unwrap();
            assert!(is_cancelled(task), "{name}");
            assert_eq!(after.load(Ordering::Relaxed), 1, "{name}: the cancellation came after the wait");
            let written = [
                locks.mutex.try_lock().expect("free").clone(),
                locks.rwlock.try_write().expect("free").clone(),
            ];
            assert_eq!(written.concat(), [1], "{name}");
        }
    });
}

#[test]
fn a_destructor_of_a_cancelled_task_may_wait_for_a_lock() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(0));
        let task = {
            let lock = lock.clone();
            spawn_parked(move || {
                let _tidy = OnDrop::new(|| *lock.lock() += 1);
                thread::park();
            })
        };
        let guard = lock.lock();
        task.cancel();
        yield_now();
        assert!(!task.is_finished());
        drop(guard);
        assert!(is_cancelled(task));
        assert_eq!(*lock.lock(), 1);
    });
}

#[test]
fn a_condition_variable_takes_its_mutex_again_although_others_are_cancelled_in_its_queue() {
    on_one_worker(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let waiter = {
            let pair = pair.clone();
            spawn_parked(move || {
                let mut guard = pair.0.lock();
                let _count = OnDrop::new(|| assert!(pair.0.is_locked()));
                pair.1.wait(&mut guard);
            })
        };
        let guard = pair.0.lock();
        let rival = {
            let pair = pair.clone();
            spawn_parked(move || *pair.0.lock() += 1)
        };
        waiter.cancel();
        yield_now();
        assert!(!waiter.is_finished(), "it waits for the mutex, shielded");
        rival.cancel();
        assert!(is_cancelled(rival));
        assert!(!waiter.is_finished());
        drop(guard);
        assert!(is_cancelled(waiter));
        assert_eq!(*pair.0.try_lock().expect("nobody holds it"), 0);
    });
}

/// Tasks and threads count under the locks while tasks that wait for them are cancelled all the time.
#[test]
fn stress_cancelled_waiters_lose_no_wake_and_no_lock() {
    const ROUNDS: usize = 300;
    for workers in [1, 2, 8] {
        let locks = Arc::new((Mutex::new(0usize), RwLock::new(0usize)));
        let counted = Arc::new(AtomicUsize::new(0));
        let count = {
            let (locks, counted) = (locks.clone(), counted.clone());
            move |i: usize| match i % 4 {
                0 => {
                    let mut guard = locks.0.lock();
                    *guard += 1;
                    counted.fetch_add(1, Ordering::Relaxed);
                    if i.is_multiple_of(8) {
                        MutexGuard::unlock_fair(guard);
                    }
                }
                1 => {
                    let mut guard = locks.1.write();
                    *guard += 1;
                    counted.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
                2 => {
                    let guard = locks.1.read();
                    yield_now();
                    drop(guard);
                }
                _ => {
                    let mut guard = RwLockUpgradableReadGuard::upgrade(locks.1.upgradable_read());
                    *guard += 1;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|id| {
                let count = count.clone();
                std::thread::spawn(move || (0..ROUNDS).for_each(|i| count(i + id)))
            })
            .collect();
        let locks = within_patience(move || {
            let run = Builder::new().workers(workers).run(|| {
                let steady: Vec<_> = (0..4)
                    .map(|id| {
                        let count = count.clone();
                        spawn(move || (0..ROUNDS).for_each(|i| count(i + id)))
                    })
                    .collect();
                for round in 0..ROUNDS {
                    let victims: Vec<_> = (0..4)
                        .map(|i| {
                            let count = count.clone();
                            spawn(move || (0..8).for_each(|j| count(i + j)))
                        })
                        .collect();
                    (0..round % 4).for_each(|_| yield_now());
                    victims.iter().for_each(JoinHandle::cancel);
                    for victim in victims {
                        assert!(victim.join().map_or_else(|payload| payload.is::<Cancelled>(), |()| true));
                    }
                }
                steady.into_iter().for_each(|task| task.join().unwrap());
            });
            run.unwrap();
            locks
        });
        wait_until("the threads end", || threads.iter().all(std::thread::JoinHandle::is_finished));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let sum = *locks.0.try_lock().expect("free") + *locks.1.try_write().expect("free");
        assert_eq!(sum, counted.load(Ordering::Relaxed));
    }
}
