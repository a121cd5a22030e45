//! `Semaphore`: permits are neither lost nor made, requests are met in order, and closing ends all waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{AcquireError, Semaphore, SemaphorePermit, TryAcquireError};
use fibra::{Builder, Cancelled, JoinHandle, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

/// A task that holds its permits, or waits for them, when this returns; it gives them back when it is unparked.
fn holder(semaphore: &Arc<Semaphore>, permits: u32) -> JoinHandle<Result<(), AcquireError>> {
    let semaphore = semaphore.clone();
    let task = spawn(move || {
        let _permit = semaphore.acquire_many(permits)?;
        fibra::thread::park();
        Ok(())
    });
    yield_now();
    task
}

const SHORT: Duration = Duration::from_millis(3);

#[test]
fn smoke() {
    static SEMAPHORE: Semaphore = Semaphore::new(3);
    let one = SEMAPHORE.acquire().unwrap();
    let two = SEMAPHORE.try_acquire_many(2).unwrap();
    assert_eq!((one.num_permits(), two.num_permits()), (1, 2));
    assert_eq!(SEMAPHORE.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(format!("{SEMAPHORE:?}"), "Semaphore { available_permits: 0, is_closed: false, .. }");
    drop(two);
    assert_eq!(SEMAPHORE.available_permits(), 2);
    assert!(SEMAPHORE.acquire_many(0).is_ok());
    drop(one);
    assert_eq!(SEMAPHORE.available_permits(), 3);
}

#[test]
fn permits_split_merge_and_are_forgotten() {
    let semaphore = Arc::new(Semaphore::new(5));
    let mut all = semaphore.acquire_many(5).unwrap();
    let two = all.split(2).unwrap();
    assert!(all.split(4).is_none());
    assert_eq!(all.num_permits(), 3);
    all.merge(two);
    assert_eq!(all.num_permits(), 5);
    all.forget();
    assert_eq!(semaphore.available_permits(), 0);
    semaphore.add_permits(3);
    let mut owned = semaphore.clone().try_acquire_many_owned(3).unwrap();
    let one = owned.split(1).unwrap();
    assert!(Arc::ptr_eq(one.semaphore(), &semaphore));
    owned.merge(one);
    drop(owned);
    assert_eq!(semaphore.forget_permits(2), 2);
    assert_eq!(semaphore.forget_permits(2), 1);
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn misuse_panics_and_changes_nothing() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    let add = std::panic::catch_unwind(|| semaphore.add_permits(1));
    assert!(add.unwrap_err().downcast_ref::<String>().unwrap().starts_with("Semaphore overflow"));
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert!(std::panic::catch_unwind(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)).is_err());
    let (a, b) = (Semaphore::new(1), Semaphore::new(1));
    let merge = std::panic::AssertUnwindSafe(|| a.acquire().unwrap().merge(b.acquire().unwrap()));
    assert!(std::panic::catch_unwind(merge).is_err());
    assert_eq!((a.available_permits(), b.available_permits()), (1, 1));
}

#[test]
fn requests_are_met_in_the_order_of_coming_and_a_big_one_is_not_starved() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(3));
        let holders: Vec<_> = (0..3).map(|_| holder(&semaphore, 1)).collect();
        let big = holder(&semaphore, 3);
        let small = holder(&semaphore, 1);
        for (i, holder) in holders.into_iter().enumerate() {
            holder.thread().unpark();
            holder.join().unwrap().unwrap();
            // What is given back waits for the big request, although others would take it.
            assert!(semaphore.try_acquire().is_err());
            assert_eq!(semaphore.available_permits(), if i < 2 { i + 1 } else { 0 });
        }
        yield_now();
        big.thread().unpark();
        big.join().unwrap().unwrap();
        yield_now();
        assert_eq!(semaphore.available_permits(), 2);
        small.thread().unpark();
        small.join().unwrap().unwrap();
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn one_release_serves_several_who_wait() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = [1, 2, 3, 1].map(|n| holder(&semaphore, n)).into();
        semaphore.add_permits(6);
        assert_eq!(semaphore.available_permits(), 0, "the first three have theirs");
        waiters.into_iter().for_each(|waiter| {
            waiter.thread().unpark();
            waiter.join().unwrap().unwrap();
        });
        assert_eq!(semaphore.available_permits(), 6);
    });
}

#[test]
fn a_cancelled_waiter_takes_nothing_and_lets_those_behind_it_go_on() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let big = holder(&semaphore, 2);
        let small = holder(&semaphore, 1);
        big.cancel();
        assert!(big.join().unwrap_err().is::<Cancelled>());
        small.thread().unpark();
        small.join().unwrap().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_ok());
    });
}

#[test]
fn a_waiter_that_was_served_before_it_was_cancelled_gives_its_permits_back() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiter = holder(&semaphore, 2);
        semaphore.add_permits(2);
        assert_eq!(semaphore.available_permits(), 0);
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_waiter_that_times_out_lets_those_behind_it_go_on() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let big = spawn({
            let semaphore = semaphore.clone();
            move || semaphore.try_acquire_many_for(2, SHORT).unwrap_err()
        });
        yield_now();
        let small = holder(&semaphore, 1);
        assert!(!small.is_finished());
        assert_eq!(big.join().unwrap(), TryAcquireError::NoPermits);
        small.thread().unpark();
        small.join().unwrap().unwrap();
        let late = semaphore.try_acquire_many_until(2, Instant::now());
        assert_eq!(late.unwrap_err(), TryAcquireError::NoPermits);
        assert!(semaphore.try_acquire_for(Duration::MAX).is_ok());
        assert!(semaphore.try_acquire_until(Instant::now()).is_ok());
    });
}

#[test]
fn close_ends_all_waits_and_permits_can_still_be_given_back() {
    on_one_worker(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire().unwrap();
        let waiters: Vec<_> = (0..3).map(|_| holder(&semaphore, 1)).collect();
        semaphore.close();
        assert!(semaphore.is_closed());
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().unwrap_err().to_string(), "the semaphore is closed");
        }
        drop(permit);
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.acquire().is_err());
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
        assert_eq!(semaphore.try_acquire_for(SHORT).unwrap_err(), TryAcquireError::Closed);
        assert_eq!(semaphore.clone().try_acquire_owned().unwrap_err(), TryAcquireError::Closed);
        assert!(semaphore.clone().acquire_owned().is_err());
    });
}

/// Never more permits are out than there are, and at the end all are back; some waits time out, some are cancelled.
#[test]
fn stress_no_permit_is_lost_or_made() {
    const PERMITS: usize = 5;
    for workers in [1, 2, 8] {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let out = Arc::new(AtomicUsize::new(0));
        let work = |id: usize| {
            let (semaphore, out) = (semaphore.clone(), out.clone());
            move || {
                for i in 0..1_000 {
                    let n = ((i + id) % PERMITS + 1) as u32;
                    let permit: Option<SemaphorePermit<'_>> = match (i + id) % 3 {
                        0 => semaphore.try_acquire_many_for(n, Duration::from_micros(i as u64 % 40)).ok(),
                        1 => semaphore.try_acquire_many(n).ok(),
                        _ => semaphore.acquire_many(n).ok(),
                    };
                    let Some(permit) = permit else { continue };
                    let before = out.fetch_add(permit.num_permits(), Ordering::SeqCst);
                    assert!(before + permit.num_permits() <= PERMITS);
                    if i % 10 == 0 {
                        yield_now();
                    }
                    out.fetch_sub(permit.num_permits(), Ordering::SeqCst);
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|id| std::thread::spawn(work(id))).collect();
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (2..6).map(|id| spawn(work(id))).collect();
                for i in 0..200 {
                    let doomed = spawn({
                        let semaphore = semaphore.clone();
                        move || drop(semaphore.acquire_many(PERMITS as u32))
                    });
                    (0..i % 3).for_each(|_| yield_now());
                    doomed.cancel();
                    let _ = doomed.join();
                }
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(semaphore.available_permits(), PERMITS);
        assert!(semaphore.try_acquire_many(PERMITS as u32).is_ok(), "nobody is left in the queue");
    }
}
