//! `Notify`: one permit, one waiter, all waiters; nothing is lost to those who leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::Notify;
use fibra::{Builder, Cancelled, JoinHandle, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

/// A task that waits when this returns.
fn waiter(notify: &Arc<Notify>) -> JoinHandle<()> {
    let notify = notify.clone();
    let task = spawn(move || notify.notified().wait());
    yield_now();
    task
}

const SHORT: Duration = Duration::from_millis(3);

#[test]
fn smoke() {
    static NOTIFY: Notify = Notify::new();
    NOTIFY.notify_one();
    NOTIFY.notified().wait();
    assert!(!NOTIFY.notified().wait_timeout(SHORT));
    assert!(!NOTIFY.notified().wait_deadline(Instant::now()));
    assert_eq!(format!("{NOTIFY:?}"), "Notify { .. }");
}

#[test]
fn notify_one_leaves_one_permit_however_often_it_is_called() {
    let notify = Notify::new();
    (0..3).for_each(|_| notify.notify_one());
    assert!(notify.notified().wait_timeout(SHORT));
    assert!(!notify.notified().wait_timeout(SHORT));
}

#[test]
fn notify_one_wakes_the_first_that_waits() {
    on_one_worker(|| {
        let notify = Arc::new(Notify::new());
        let tasks: Vec<_> = (0..3).map(|_| waiter(&notify)).collect();
        for i in 0..3 {
            notify.notify_one();
            yield_now();
            assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), i + 1);
            assert!(tasks[i].is_finished());
        }
        assert!(!notify.notified().wait_timeout(Duration::ZERO));
    });
}

#[test]
fn notify_waiters_wakes_all_that_wait_and_leaves_nothing() {
    on_one_worker(|| {
        let notify = Arc::new(Notify::new());
        let tasks: Vec<_> = (0..10).map(|_| waiter(&notify)).collect();
        notify.notify_waiters();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(!notify.notified().wait_timeout(SHORT));
    });
}

#[test]
fn notify_waiters_reaches_those_who_have_prepared_and_not_those_who_come_later() {
    let notify = Notify::new();
    let before = notify.notified();
    notify.notify_waiters();
    assert!(!notify.notified().wait_timeout(Duration::ZERO));
    assert!(before.wait_timeout(Duration::ZERO));
    // A permit is not spent on one that was reached by the other way.
    let before = notify.notified();
    notify.notify_waiters();
    notify.notify_one();
    before.wait();
    assert!(notify.notified().wait_timeout(Duration::ZERO));
}

#[test]
fn a_notification_passes_a_cancelled_waiter_and_reaches_the_next() {
    on_one_worker(|| {
        let notify = Arc::new(Notify::new());
        let (first, second) = (waiter(&notify), waiter(&notify));
        first.cancel();
        notify.notify_one();
        assert!(first.join().unwrap_err().is::<Cancelled>());
        second.join().unwrap();

        let only = waiter(&notify);
        only.cancel();
        notify.notify_one();
        assert!(only.join().unwrap_err().is::<Cancelled>());
        assert!(notify.notified().wait_timeout(Duration::ZERO), "nobody got it, so it became the permit");
    });
}

/// As many waits end as there were notifications that did not meet a permit: a token goes round, and some waits time out.
#[test]
fn stress_no_notification_is_lost() {
    const ROUNDS: usize = 2_000;
    for workers in [1, 2, 8] {
        let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let turns = Arc::new(AtomicUsize::new(0));
        let play = |mine: &Arc<Notify>, other: &Arc<Notify>| {
            let (mine, other, turns) = (mine.clone(), other.clone(), turns.clone());
            move || {
                for i in 0..ROUNDS {
                    while !mine.notified().wait_timeout(Duration::from_micros(i as u64 % 50)) {}
                    turns.fetch_add(1, Ordering::Relaxed);
                    other.notify_one();
                }
            }
        };
        let thread = std::thread::spawn(play(&ping, &pong));
        Builder::new()
            .workers(workers)
            .run(|| {
                let task = spawn(play(&pong, &ping));
                ping.notify_one();
                task.join().unwrap();
            })
            .unwrap();
        thread.join().unwrap();
        assert_eq!(turns.load(Ordering::Relaxed), 2 * ROUNDS);
    }
}

/// Every notified waiter and every permit counts once, while others are cancelled.
#[test]
fn stress_cancelled_waiters_take_nothing_along() {
    for workers in [1, 2, 8] {
        Builder::new()
            .workers(workers)
            .run(|| {
                let notify = Arc::new(Notify::new());
                let woken = Arc::new(AtomicUsize::new(0));
                for round in 0..300 {
                    let before = woken.load(Ordering::SeqCst);
                    let tasks: Vec<_> = (0..4)
                        .map(|_| {
                            let (notify, woken) = (notify.clone(), woken.clone());
                            spawn(move || {
                                notify.notified().wait();
                                woken.fetch_add(1, Ordering::SeqCst);
                            })
                        })
                        .collect();
                    (0..round % 4).for_each(|_| yield_now());
                    tasks[round % 4].cancel();
                    notify.notify_one();
                    tasks.iter().for_each(|task| task.cancel());
                    tasks.into_iter().for_each(|task| drop(task.join()));
                    let permit = usize::from(notify.notified().wait_timeout(Duration::ZERO));
                    assert_eq!(woken.load(Ordering::SeqCst) - before + permit, 1);
                }
            })
            .unwrap();
    }
}
