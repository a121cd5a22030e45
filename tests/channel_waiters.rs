//! A hundred thousand who wait for one channel: each is served once, and none is left behind.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::channel::{RecvError, SendError, bounded, never, select, unbounded};
use fibra::{Builder, JoinHandle, spawn, yield_now};
use support::within_patience;

const WAITERS: usize = 100_000;

/// Starts tasks of this worker, and returns when each has come to its wait.
fn waiting<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Vec<JoinHandle<T>> {
    let started = Arc::new(AtomicUsize::new(0));
    let start = |i| {
        let (started, task) = (started.clone(), task(i));
        spawn(move || {
            started.fetch_add(1, Ordering::Relaxed);
            task()
        })
    };
    let tasks = (0..count).map(start).collect();
    while started.load(Ordering::Relaxed) < count {
        yield_now();
    }
    tasks
}

fn on_one_worker(f: impl FnOnce() + Send + 'static) {
    within_patience(|| Builder::new().workers(1).run(f).unwrap());
}

#[test]
fn receivers_are_served_once_each_and_those_in_between_may_leave() {
    on_one_worker(|| {
        let (tx, rx) = unbounded::<usize>();
        let tasks = waiting(WAITERS + 1000, |_| {
            let rx = rx.clone();
            move || rx.recv()
        });
        // Some leave from the middle of the queue.
        let (gone, waiting): (Vec<_>, Vec<_>) =
            tasks.into_iter().enumerate().partition(|(i, _)| i % 101 == 50);
        gone.iter().for_each(|(_, task)| task.cancel());
        gone.into_iter().for_each(|(_, task)| assert!(task.join().is_err()));
        let count = waiting.len();
        (0..count - 10).for_each(|i| tx.send(i).unwrap());
        drop(tx);
        let got: Vec<_> = waiting.into_iter().map(|(_, task)| task.join().unwrap()).collect();
        let mut served: Vec<_> = got.iter().copied().flatten().collect();
        served.sort_unstable();
        assert!(served.into_iter().eq(0..count - 10));
        assert_eq!(got.iter().filter(|got| **got == Err(RecvError)).count(), 10);
        assert!(rx.is_empty());
    });
}

#[test]
fn senders_are_served_or_get_their_messages_back() {
    on_one_worker(|| {
        let (tx, rx) = bounded(0);
        let tasks = waiting(WAITERS, |i| {
            let tx = tx.clone();
            move || tx.send(i)
        });
        let mut received: Vec<_> = rx.iter().take(WAITERS - 10).collect();
        received.sort_unstable();
        assert!(received.windows(2).all(|pair| pair[0] < pair[1]), "none twice");
        drop(rx);
        let mut returned = vec![];
        for (i, task) in tasks.into_iter().enumerate() {
            match task.join().unwrap() {
                Ok(()) => assert!(received.binary_search(&i).is_ok()),
                Err(SendError(message)) => {
                    assert_eq!(message, i);
                    returned.push(i);
                }
            }
        }
        assert_eq!(returned.len(), 10);
    });
}

#[test]
fn selects_leave_the_channel_that_they_were_not_served_by() {
    on_one_worker(|| {
        let ((tx, rx), (other_tx, other)) = (unbounded::<usize>(), bounded::<usize>(0));
        let served = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let tasks = waiting(WAITERS, |_| {
            let (rx, other, served) = (rx.clone(), other.clone(), served.clone());
            move || {
                let arm = select! {
                    recv(rx) -> msg => { msg.unwrap(); 0 }
                    recv(other) -> msg => { msg.unwrap(); 1 }
                    recv(never::<()>()) -> _ => unreachable!(),
                };
                served[arm].fetch_add(1, Ordering::Relaxed);
            }
        });
        for i in 0..WAITERS / 2 {
            tx.send(i).unwrap();
            other_tx.send(i).unwrap();
        }
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let served = served.each_ref().map(|served| served.load(Ordering::Relaxed));
        assert_eq!(served, [WAITERS / 2; 2]);
        // Nobody stands in either queue any more.
        assert!(other_tx.try_send(0).is_err());
        tx.send(7).unwrap();
        assert_eq!(rx.try_recv(), Ok(7));
    });
}
