//! A crowd at one object, a hog that hardly lets go, and waiters of one generation after the other.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::sync::{Condvar, Mutex, RwLock, Semaphore};
use fibra::{Builder, JoinHandle, channel, sleep, spawn};
use support::{wait_until, within_patience};

const CROWD: usize = 100_000;

/// A crowd that waits with `wait` for what `hold` holds meanwhile; every third is cancelled. The others must get it.
fn crowd<R: 'static>(hold: fn() -> R, wait: fn()) {
    within_patience(move || {
        let run = Builder::new().workers(1).run(move || {
            let [came, served] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
            let held = hold();
            let waiters: Vec<_> = (0..CROWD)
                .map(|_| {
                    let (came, served) = (came.clone(), served.clone());
                    spawn(move || {
                        came.fetch_add(1, Ordering::Relaxed);
                        wait();
                        served.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            // There is one worker, so who has come also waits when another one runs.
            wait_until("the whole crowd has come", || came.load(Ordering::Relaxed) == CROWD);
            let cancelled = waiters.iter().step_by(3).inspect(|waiter| waiter.cancel()).count();
            drop(held);
            let failed = waiters.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
            assert_eq!(failed, cancelled);
            assert_eq!(served.load(Ordering::Relaxed), CROWD - cancelled);
        });
        run.unwrap();
    });
}

#[test]
fn a_hundred_thousand_wait_for_one_mutex() {
    static LOCK: Mutex<usize> = Mutex::new(0);
    crowd(|| LOCK.lock(), || *LOCK.lock() += 1);
    assert!(LOCK.try_lock().is_some());
}

#[test]
fn a_hundred_thousand_readers_wait_for_one_writer() {
    static LOCK: RwLock<usize> = RwLock::new(0);
    crowd(|| LOCK.write(), || drop(LOCK.read()));
    assert!(LOCK.try_write().is_some());
}

#[test]
fn a_hundred_thousand_wait_for_one_permit() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    crowd(|| SEMAPHORE.acquire(), || drop(SEMAPHORE.acquire()));
    assert_eq!(SEMAPHORE.available_permits(), 1);
}

/// Go's `TestMutexFairness`: one task holds the lock all the time but for moments, and another wants it now and then.
#[test]
fn a_hog_of_the_lock_starves_nobody() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            let run = Builder::new().workers(workers).run(|| {
                let locks = Arc::new((Mutex::new(0), RwLock::new(0)));
                let stop = Arc::new(AtomicBool::new(false));
                let hog = |hold: fn(&(Mutex<i32>, RwLock<i32>))| {
                    let (locks, stop) = (locks.clone(), stop.clone());
                    spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            hold(&locks);
                        }
                    })
                };
                let moment = Duration::from_micros(100);
                let hogs = [
                    hog(|locks| {
                        let _guard = locks.0.lock();
                        sleep(Duration::from_micros(100));
                    }),
                    hog(|locks| {
                        let _guard = locks.1.write();
                        sleep(Duration::from_micros(100));
                    }),
                    hog(|locks| {
                        let _guard = locks.1.read();
                        sleep(Duration::from_micros(100));
                    }),
                ];
                for _ in 0..10 {
                    sleep(moment);
                    *locks.0.lock() += 1;
                    sleep(moment);
                    *locks.1.write() += 1;
                    drop(locks.1.read());
                }
                stop.store(true, Ordering::Relaxed);
                hogs.into_iter().for_each(|hog| hog.join().unwrap());
                assert_eq!((*locks.0.lock(), *locks.1.read()), (10, 10));
            });
            run.unwrap();
        });
    }
}

/// Go's `TestCondSignalGenerations`: one who comes later does not get the notification of one who came before.
#[test]
fn a_notification_goes_to_the_generation_that_waits() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            let run = Builder::new().workers(workers).run(|| {
                let pair = Arc::new((Mutex::new(()), Condvar::new()));
                let (running, is_running) = channel::bounded(1);
                let (awake, is_awake) = channel::bounded(1);
                for i in 0..100 {
                    let (shared, running, awake) = (pair.clone(), running.clone(), awake.clone());
                    let waiter = move || {
                        let (lock, condvar) = &*shared;
                        let mut guard = lock.lock();
                        running.send(()).unwrap();
                        condvar.wait(&mut guard);
                        awake.send(i).unwrap();
                    };
                    // Tasks and threads take turns.
                    if i % 2 == 0 {
                        drop(spawn(waiter))
                    } else {
                        drop(std::thread::spawn(waiter))
                    }
                    if i > 0 {
                        assert_eq!(is_awake.recv(), Ok(i - 1));
                    }
                    is_running.recv().unwrap();
                    let _guard = pair.0.lock();
                    assert!(pair.1.notify_one());
                }
                assert_eq!(is_awake.recv(), Ok(99));
            });
            run.unwrap();
        });
    }
}
