//! Sleeping and timeouts: never early, in order, at once where nothing is left to wait for, and never lost in a race.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{Builder, channel, thread};
use support::within_patience;

const LONG: Duration = Duration::from_secs(100_000);

#[test]
fn sleepers_of_one_worker_wake_in_the_order_of_their_deadlines() {
    within_patience(|| {
        Builder::new()
            .workers(1)
            .run(|| {
                // The deadlines must lie ahead when the last one sleeps; a slow machine gets more time.
                let mut lead = Duration::from_millis(50);
                loop {
                    let base = Instant::now() + lead;
                    let (sender, receiver) = channel::unbounded();
                    for i in 0..1000_u32 {
                        // A fixed permutation: 617 has no common factor with 1000.
                        let (rank, sender) = (i * 617 % 1000, sender.clone());
                        fibra::spawn(move || {
                            thread::sleep_until(base + rank * Duration::from_micros(20));
                            assert!(Instant::now() >= base + rank * Duration::from_micros(20), "early");
                            sender.send(rank).unwrap();
                        });
                    }
                    drop(sender);
                    // With one worker all of them have gone to sleep after this.
                    fibra::sleep(Duration::from_nanos(1));
                    let in_time = Instant::now() < base;
                    let order: Vec<_> = receiver.iter().collect();
                    assert_eq!(order.len(), 1000);
                    if in_time {
                        assert!(order.is_sorted(), "{order:?}");
                        return;
                    }
                    lead *= 2;
                }
            })
            .unwrap();
    });
}

#[test]
fn a_hundred_thousand_sleepers_all_wake_and_none_too_early() {
    const SLEEPERS: u32 = 100_000;
    within_patience(|| {
        Builder::new()
            .workers(2)
            .run(|| {
                let (woken, early) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let tasks: Vec<_> = (0..SLEEPERS)
                    .map(|i| {
                        let (woken, early) = (woken.clone(), early.clone());
                        fibra::spawn(move || {
                            let nap = Duration::from_millis(1 + u64::from(i * 7919 % 1000));
                            let start = Instant::now();
                            fibra::sleep(nap);
                            early.fetch_add(usize::from(start.elapsed() < nap), Ordering::Relaxed);
                            woken.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
                assert_eq!(woken.load(Ordering::Relaxed), SLEEPERS as usize);
                assert_eq!(early.load(Ordering::Relaxed), 0);
            })
            .unwrap();
    });
}

#[test]
fn a_sleep_until_the_past_or_for_nothing_returns_at_once() {
    let check = || {
        let start = Instant::now();
        (0..1000).for_each(|_| thread::sleep_until(start));
        (0..1000).for_each(|_| fibra::sleep(Duration::ZERO));
        (0..1000).for_each(|_| thread::park_timeout(Duration::ZERO));
    };
    within_patience(move || fibra::run(check));
    within_patience(check);
}

#[test]
fn a_park_with_a_timeout_ends_by_the_token_or_the_timeout() {
    let check = || {
        let start = Instant::now();
        thread::park_timeout(Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5), "nobody unparked it");
        thread::current().unpark();
        thread::current().unpark();
        thread::park_timeout(LONG);
        let start = Instant::now();
        thread::park_timeout(Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5), "two tokens are one");
        let me = thread::current();
        let waker = fibra::spawn(move || me.unpark());
        thread::park_timeout(LONG);
        waker.join().unwrap();
    };
    within_patience(move || fibra::run(check));
    within_patience(check);
}

#[test]
fn a_token_that_comes_after_the_timeout_is_kept_for_the_next_park() {
    within_patience(|| {
        let main = || {
            thread::park_timeout(Duration::from_micros(1));
            thread::current().unpark();
            // An internal wait does not eat it.
            fibra::sleep(Duration::from_micros(1));
            fibra::spawn(|| ()).join().unwrap();
            let (sender, receiver) = channel::bounded(0);
            fibra::spawn(move || sender.send(7).unwrap());
            assert_eq!(receiver.recv(), Ok(7));
            thread::park();
        };
        Builder::new().workers(1).run(main).unwrap();
    });
}

#[test]
fn durations_that_end_beyond_the_clock_s_range_wait_for_ever() {
    within_patience(|| {
        Builder::new()
            .workers(2)
            .run(|| {
                let sleeps: Vec<fn()> = vec![
                    || fibra::sleep(Duration::MAX),
                    || fibra::sleep(Duration::from_secs(u64::MAX)),
                    || fibra::sleep(Duration::from_secs(10_000_000_000)),
                    || thread::sleep_until(Instant::now() + Duration::from_secs(10_000_000_000)),
                    || thread::park_timeout(Duration::MAX),
                ];
                let tasks: Vec<_> = sleeps.into_iter().map(fibra::spawn).collect();
                for _ in 0..3 {
                    fibra::sleep(Duration::from_millis(1));
                }
                for task in tasks {
                    assert!(!task.is_finished());
                    task.cancel();
                    assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
                }
                let parked = fibra::spawn(|| thread::park_timeout(Duration::MAX));
                fibra::yield_now();
                parked.thread().unpark();
                parked.join().unwrap();
            })
            .unwrap();
    });
}

#[test]
fn a_nearer_deadline_comes_first_although_the_worker_already_sleeps_for_a_farther_one() {
    within_patience(|| {
        let runtime = Builder::new().workers(1).build().unwrap();
        let far = runtime.spawn(|| fibra::sleep(LONG));
        let nearer = runtime.spawn(|| fibra::sleep(LONG / 2));
        for _ in 0..10 {
            runtime.spawn(|| fibra::sleep(Duration::from_millis(1))).join().unwrap();
        }
        assert!(!far.is_finished() && !nearer.is_finished());
    });
}

/// Each round an unparker and a timeout race; whoever loses, no token is lost and no wait ends twice.
#[test]
fn timeouts_and_unparks_race_without_a_loss() {
    const ROUNDS: usize = 3_000;
    for workers in [1, 2, 4] {
        within_patience(move || {
            let runtime = Builder::new().workers(workers).build().unwrap();
            let (sender, receiver) = channel::bounded(0);
            let task = runtime.spawn(move || {
                for round in 0..ROUNDS {
                    sender.send(thread::current()).unwrap();
                    thread::park_timeout(Duration::from_micros((round % 60) as u64));
                    // Whether the token came in time or not, this one ends by it or by the timeout after it.
                    thread::park_timeout(Duration::from_micros(50));
                    fibra::yield_now();
                }
                // What is left is one token at the most; two more parks, then a token of the last round.
                thread::park_timeout(Duration::from_micros(1));
                sender.send(thread::current()).unwrap();
                thread::park();
            });
            for _ in 0..=ROUNDS {
                receiver.recv().unwrap().unpark();
            }
            task.join().unwrap();
        });
    }
}

#[test]
fn an_os_thread_sleeps_and_parks_with_the_same_functions() {
    within_patience(|| {
        let start = Instant::now();
        fibra::sleep(Duration::from_millis(2));
        thread::sleep_until(start + Duration::from_millis(4));
        thread::park_timeout(Duration::from_millis(2));
        assert!(start.elapsed() >= Duration::from_millis(6));
    });
}
