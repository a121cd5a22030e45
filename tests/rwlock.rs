//! The readers-writer lock: who excludes whom, fairness, upgrades, timeouts, and what cancellation does to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard,
    RwLockWriteGuard,
};
use fibra::{Builder, Cancelled, JoinHandle, spawn, yield_now};

type Shared = Arc<RwLock<Vec<u32>>>;

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

/// A task that has parked in its lock call, if it had to wait, when this returns.
fn spawn_parked<T: Send + 'static>(
    lock: &Shared,
    f: impl FnOnce(&Shared) -> T + Send + 'static,
) -> JoinHandle<T> {
    let lock = lock.clone();
    let task = spawn(move || f(&lock));
    yield_now();
    task
}

const SHORT: Duration = Duration::from_millis(3);

#[test]
fn smoke() {
    static LOCK: RwLock<i32> = RwLock::new(1);
    *LOCK.write() += 1;
    let (a, b) = (LOCK.read(), LOCK.read());
    assert!(LOCK.is_locked() && !LOCK.is_locked_exclusive());
    assert!(LOCK.try_write().is_none());
    assert_eq!((*a, *b), (2, 2));
    drop((a, b));
    let guard = LOCK.write();
    assert!(LOCK.is_locked_exclusive());
    assert!(LOCK.try_read().is_none() && LOCK.try_upgradable_read().is_none());
    assert_eq!(format!("{LOCK:?}"), "RwLock { data: <locked> }");
    drop(guard);
    assert_eq!(format!("{LOCK:?}"), "RwLock { data: 2 }");
    assert!(!LOCK.is_locked());
}

#[test]
fn mapped_guards_and_into_inner() {
    let lock = RwLock::new((1, 2));
    let mut second: MappedRwLockWriteGuard<'_, i32> = RwLockWriteGuard::map(lock.write(), |pair| &mut pair.1);
    *second = 5;
    assert!(lock.is_locked_exclusive());
    drop(second);
    let first: MappedRwLockReadGuard<'_, i32> = RwLockReadGuard::map(lock.read(), |pair| &pair.0);
    assert_eq!(*first, 1);
    drop(first);
    assert_eq!(lock.into_inner(), (1, 5));
}

#[test]
fn conversions_and_unsizing() {
    let mut lock: RwLock<i32> = 3.into();
    *lock.get_mut() += 1;
    assert_eq!(lock.into_inner(), 4);
    let lock: Arc<RwLock<[i32]>> = Arc::new(RwLock::new([1, 2]));
    assert_eq!(lock.read().len(), 2);
    assert!(RwLock::<Vec<i32>>::default().read().is_empty());
}

#[test]
fn upgrade_and_downgrade_in_all_directions() {
    let lock = RwLock::new(0);
    let upgradable = lock.upgradable_read();
    assert!(lock.try_upgradable_read().is_none());
    let reader = lock.try_read().expect("readers go together with the upgradable one");
    let upgradable = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap_err();
    let upgradable = RwLockUpgradableReadGuard::try_upgrade_for(upgradable, SHORT).unwrap_err();
    drop(reader);
    let mut writer = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap();
    *writer += 1;
    let upgradable = RwLockWriteGuard::downgrade_to_upgradable(writer);
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    let mut writer = RwLockUpgradableReadGuard::upgrade(upgradable);
    *writer += 1;
    let reader = RwLockWriteGuard::downgrade(writer);
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(reader);
    let reader = RwLockUpgradableReadGuard::downgrade(lock.upgradable_read());
    assert!(lock.try_upgradable_read().is_some());
    drop(reader);
    assert_eq!(*lock.write(), 2);
}

#[test]
fn a_waiting_writer_holds_back_new_readers_and_gets_its_turn() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.read();
        let writer = spawn_parked(&lock, |lock| lock.write().push(1));
        assert!(lock.try_read().is_none());
        let reader = spawn_parked(&lock, |lock| lock.read().len());
        drop(guard);
        writer.join().unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn all_readers_up_to_the_next_writer_go_on_together() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.write();
        let inside = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let inside = inside.clone();
                spawn_parked(&lock, move |lock| {
                    let _guard = lock.read();
                    inside.fetch_add(1, Ordering::Relaxed);
                    while inside.load(Ordering::Relaxed) < 3 {
                        yield_now();
                    }
                })
            })
            .collect();
        let writer = spawn_parked(&lock, |lock| lock.write().push(1));
        let late = spawn_parked(&lock, |lock| lock.read().len());
        RwLockWriteGuard::unlock_fair(guard);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        writer.join().unwrap();
        assert_eq!(late.join().unwrap(), 1);
    });
}

#[test]
fn unlock_fair_hands_over_to_the_first_waiter() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.write();
        let waiters: Vec<_> = (0..3).map(|i| spawn_parked(&lock, move |lock| lock.write().push(i))).collect();
        RwLockWriteGuard::unlock_fair(guard);
        // It belongs to the first waiter, although that one has not run yet.
        assert!(lock.try_write().is_none() && lock.try_read().is_none());
        waiters.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*lock.read(), [0, 1, 2]);

        let guard = lock.read();
        let writer = spawn_parked(&lock, |lock| lock.write().clear());
        RwLockReadGuard::unlock_fair(guard);
        assert!(lock.is_locked_exclusive());
        writer.join().unwrap();
    });
}

#[test]
fn bump_lets_a_waiter_in_and_comes_back() {
    on_one_worker(|| {
        let lock = Shared::default();
        let mut guard = lock.write();
        RwLockWriteGuard::bump(&mut guard);
        let writer = spawn_parked(&lock, |lock| lock.write().push(1));
        RwLockWriteGuard::bump(&mut guard);
        assert_eq!(*guard, [1]);
        writer.join().unwrap();
    });
}

#[test]
fn fairness_a_waiter_of_a_millisecond_gets_the_lock_from_a_greedy_holder() {
    on_one_worker(|| {
        let lock = Shared::default();
        let mut guard = lock.write();
        let waiter = spawn_parked(&lock, |lock| lock.write().push(1));
        // It may be barged past while it is patient, and keeps its place.
        drop(guard);
        guard = match lock.try_write() {
            Some(guard) => guard,
            // This thread was held up for a millisecond, so the lock has been handed over already.
            None => return waiter.join().unwrap(),
        };
        yield_now();
        let since = Instant::now();
        while since.elapsed() < SHORT {
            std::hint::spin_loop();
        }
        drop(guard);
        assert!(lock.is_locked_exclusive());
        waiter.join().unwrap();
    });
}

#[test]
fn writers_are_not_starved_by_readers_that_overlap() {
    for workers in [1, 2, 8] {
        let lock = Shared::default();
        Builder::new()
            .workers(workers)
            .run(|| {
                let readers: Vec<_> = (0..4)
                    .map(|_| {
                        let lock = lock.clone();
                        spawn(move || {
                            loop {
                                let guard = lock.read();
                                if guard.len() == 20 {
                                    return;
                                }
                                // The others read meanwhile: without the rule there would never be a time without readers.
                                yield_now();
                            }
                        })
                    })
                    .collect();
                (0..20).for_each(|i| lock.write().push(i));
                readers.into_iter().for_each(|reader| reader.join().unwrap());
            })
            .unwrap();
    }
}

#[test]
fn an_upgrader_waits_for_the_readers_and_comes_before_all_who_queue() {
    on_one_worker(|| {
        let lock = Shared::default();
        let reader = lock.read();
        let upgradable = lock.upgradable_read();
        let writer = spawn_parked(&lock, |lock| lock.write().push(2));
        let other = spawn_parked(&lock, |lock| {
            RwLockUpgradableReadGuard::upgrade(lock.upgradable_read()).push(3);
        });
        drop(upgradable);
        let upgrader = spawn_parked(&lock, |lock| {
            // Newcomers queue behind the writer; this one came by the guard that was just dropped.
            lock.try_upgradable_read().is_none()
        });
        assert!(upgrader.join().unwrap());
        drop(reader);
        writer.join().unwrap();
        other.join().unwrap();
        assert_eq!(*lock.read(), [2, 3]);

        let reader = lock.read();
        let upgrader = spawn_parked(&lock, |lock| {
            let guard = lock.upgradable_read();
            assert_eq!(guard.len(), 2);
            RwLockUpgradableReadGuard::upgrade(guard).push(4);
        });
        let writer = spawn_parked(&lock, |lock| lock.write().push(5));
        assert!(lock.try_read().is_none());
        drop(reader);
        upgrader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(*lock.read(), [2, 3, 4, 5]);
    });
}

#[test]
fn an_upgrade_with_waiters_for_the_upgradable_hold_is_not_blocked_by_them() {
    on_one_worker(|| {
        let lock = Shared::default();
        let reader = lock.read();
        let upgrader = spawn_parked(&lock, |lock| {
            let guard = lock.upgradable_read();
            yield_now();
            yield_now();
            RwLockUpgradableReadGuard::upgrade(guard).push(1);
        });
        let rivals: Vec<_> = (2..5)
            .map(|i| {
                spawn_parked(&lock, move |lock| {
                    RwLockUpgradableReadGuard::upgrade(lock.upgradable_read()).push(i);
                })
            })
            .collect();
        (0..4).for_each(|_| yield_now());
        drop(reader);
        upgrader.join().unwrap();
        rivals.into_iter().for_each(|rival| rival.join().unwrap());
        assert_eq!(*lock.read(), [1, 2, 3, 4]);
    });
}

#[test]
fn readers_pass_those_who_wait_for_the_upgradable_hold() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.upgradable_read();
        let rival = spawn_parked(&lock, |lock| drop(lock.upgradable_read()));
        assert!(lock.try_read().is_some());
        drop(guard);
        rival.join().unwrap();
    });
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_go_on_that_it_held_back() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.read();
        let writer = spawn_parked(&lock, |lock| lock.try_write_for(SHORT).is_none());
        let reader = spawn_parked(&lock, |lock| lock.read().len());
        assert!(!reader.is_finished());
        assert!(writer.join().unwrap());
        // The guard is still held.
        assert_eq!(reader.join().unwrap(), 0);
        assert!(lock.try_read().is_some());
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn an_upgrader_that_gives_up_is_an_upgradable_reader_as_before() {
    on_one_worker(|| {
        let lock = Shared::default();
        let guard = lock.read();
        let upgrader = spawn_parked(&lock, |lock| {
            let upgradable = lock.upgradable_read();
            let upgradable = RwLockUpgradableReadGuard::try_upgrade_for(upgradable, SHORT).unwrap_err();
            yield_now();
            assert!(lock.try_upgradable_read().is_none());
            upgradable.len()
        });
        let reader = spawn_parked(&lock, |lock| lock.read().len());
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!(upgrader.join().unwrap(), 0);
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn timeouts() {
    let lock = RwLock::new(0);
    let guard = lock.write();
    let until = || Instant::now() + SHORT;
    std::thread::scope(|s| {
        s.spawn(|| {
            assert!(lock.try_read_for(SHORT).is_none() && lock.try_read_until(until()).is_none());
            assert!(lock.try_write_for(SHORT).is_none() && lock.try_write_until(until()).is_none());
            assert!(lock.try_upgradable_read_for(SHORT).is_none());
            assert!(lock.try_upgradable_read_until(Instant::now()).is_none());
        });
    });
    drop(guard);
    assert!(lock.try_read_for(Duration::MAX).is_some());
    assert!(lock.try_write_for(Duration::MAX).is_some());
    assert!(lock.try_upgradable_read_until(Instant::now()).is_some());
}

#[test]
fn a_cancelled_or_panicking_holder_unlocks() {
    on_one_worker(|| {
        let lock = Shared::default();
        for mode in 0..3 {
            let holder = spawn_parked(&lock, move |lock| {
                let _guards = match mode {
                    0 => (Some(lock.read()), None, None),
                    1 => (None, Some(lock.write()), None),
                    _ => (None, None, Some(lock.upgradable_read())),
                };
                fibra::thread::park();
            });
            assert!(lock.is_locked());
            holder.cancel();
            assert!(holder.join().unwrap_err().is::<Cancelled>());
            assert!(!lock.is_locked());
        }
        let holder = spawn_parked(&lock, |lock| {
            let _guard = lock.write();
            std::panic::resume_unwind(Box::new("a panic"));
        });
        assert!(holder.join().is_err());
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_refused_wait_leaves_the_lock_as_it_was() {
    on_one_worker(|| {
        let lock = Arc::new(RwLock::new(0));
        let guard = lock.read();
        let task = spawn({
            let lock = lock.clone();
            move || {
                let refused = |f: fn(&RwLock<i32>)| {
                    let call = AssertUnwindSafe(|| fibra::on_thread_stack(|| f(&lock)));
                    assert!(catch_unwind(call).is_err());
                };
                refused(|lock| drop(lock.write()));
                refused(|lock| drop(RwLockUpgradableReadGuard::upgrade(lock.upgradable_read())));
            }
        });
        task.join().unwrap();
        assert!(lock.try_upgradable_read().is_some());
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}

/// Everything at once, from tasks and threads: a writer is alone, readers see whole values, and at the end nothing is held
/// and nobody waits.
#[test]
fn stress_tasks_and_threads_in_all_modes() {
    const EACH: usize = 2_000;
    for workers in [1, 2, 8] {
        let lock = Arc::new(RwLock::new((0usize, 0usize)));
        let writes = Arc::new(AtomicUsize::new(0));
        let work = |id: usize| {
            let (lock, writes) = (lock.clone(), writes.clone());
            let write = move |guard: &mut (usize, usize)| {
                guard.0 += 1;
                if guard.0.is_multiple_of(40) {
                    yield_now();
                }
                guard.1 += 1;
                writes.fetch_add(1, Ordering::Relaxed);
            };
            move || {
                for i in 0..EACH {
                    let timeout = Duration::from_micros((i % 30) as u64);
                    match (i + id) % 11 {
                        0 => write(&mut lock.write()),
                        1 => {
                            let mut guard = lock.write();
                            write(&mut guard);
                            RwLockWriteGuard::unlock_fair(guard);
                        }
                        2 => lock.try_write_for(timeout).iter_mut().for_each(|guard| write(guard)),
                        3 => {
                            let guard = lock.upgradable_read();
                            let before = guard.0;
                            let mut guard = RwLockUpgradableReadGuard::upgrade(guard);
                            assert_eq!(guard.0, before, "a writer came in between");
                            write(&mut guard);
                        }
                        4 => {
                            let guard = lock.upgradable_read();
                            match RwLockUpgradableReadGuard::try_upgrade_for(guard, timeout) {
                                Ok(mut guard) => {
                                    write(&mut guard);
                                    let guard = RwLockWriteGuard::downgrade(guard);
                                    assert_eq!(guard.0, guard.1);
                                }
                                Err(guard) => assert_eq!(guard.0, guard.1),
                            }
                        }
                        5 => {
                            let mut guard = lock.write();
                            RwLockWriteGuard::bump(&mut guard);
                            write(&mut guard);
                            let guard = RwLockWriteGuard::downgrade_to_upgradable(guard);
                            assert_eq!(guard.0, guard.1);
                            RwLockUpgradableReadGuard::unlock_fair(guard);
                        }
                        6 => {
                            if let Some(guard) = lock.try_read_for(timeout) {
                                assert_eq!(guard.0, guard.1);
                            }
                        }
                        n => {
                            let guard = lock.read();
                            let before = guard.0;
                            if i % 50 == 0 {
                                yield_now();
                            }
                            assert_eq!((guard.0, guard.1), (before, before));
                            if n == 7 {
                                RwLockReadGuard::unlock_fair(guard);
                            }
                        }
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|id| std::thread::spawn(work(id))).collect();
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (2..6).map(|id| spawn(work(id))).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let writes = writes.load(Ordering::Relaxed);
        assert_eq!(*lock.try_write().expect("nothing is held"), (writes, writes));
    }
}
