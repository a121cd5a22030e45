//! Channels of capacity 0: sender and receiver meet, and nothing is ever stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
};
use fibra::{Builder, Cancelled, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    let (tx, rx) = bounded(0);
    assert_eq!(tx.try_send(7), Err(TrySendError::Full(7)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    fibra::run(|| {
        let sender = spawn(move || tx.send(8));
        assert_eq!(rx.recv(), Ok(8));
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert_eq!(rx.recv(), Err(RecvError));
    });
}

#[test]
fn capacity_and_len_empty_full() {
    on_one_worker(|| {
        let (tx, rx) = bounded(0);
        let see = || {
            assert_eq!((tx.capacity(), rx.capacity()), (Some(0), Some(0)));
            assert_eq!((tx.len(), tx.is_empty(), tx.is_full()), (0, true, true));
            assert_eq!((rx.len(), rx.is_empty(), rx.is_full()), (0, true, true));
        };
        see();
        let sender = spawn({
            let tx = tx.clone();
            move || tx.send(1)
        });
        yield_now();
        // A sender that waits holds its message itself.
        see();
        assert_eq!(rx.recv(), Ok(1));
        sender.join().unwrap().unwrap();
        see();
    });
}

#[test]
fn send_returns_only_when_its_message_is_taken() {
    on_one_worker(|| {
        let (tx, rx) = bounded(0);
        let sender = spawn(move || tx.send(1));
        for _ in 0..10 {
            yield_now();
            assert!(!sender.is_finished());
        }
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

#[test]
fn try_send_meets_a_parked_receiver_and_try_recv_a_parked_sender() {
    on_one_worker(|| {
        let (tx, rx) = bounded(0);
        let receiver = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        yield_now();
        assert_eq!(tx.try_send(1), Ok(()));
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(receiver.join().unwrap(), Ok(1));

        let sender = std::thread::spawn(move || tx.send(3));
        assert_eq!(rx.recv(), Ok(3));
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn close_wakes_both_sides() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u8>(0);
        let receivers: Vec<_> = (0..5)
            .map(|_| {
                let rx = rx.clone();
                spawn(move || rx.recv())
            })
            .collect();
        yield_now();
        drop((tx, rx));
        receivers.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), Err(RecvError)));

        let (tx, rx) = bounded(0);
        let senders: Vec<_> = (0..5)
            .map(|i| {
                let tx = tx.clone();
                spawn(move || tx.send(i))
            })
            .collect();
        yield_now();
        drop((tx, rx));
        for (i, task) in senders.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), Err(SendError(i)));
        }
    });
}

#[test]
fn timeouts() {
    fibra::run(|| {
        let (tx, rx) = bounded(0);
        let short = Duration::from_millis(3);
        assert_eq!(rx.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert_eq!(tx.send_timeout(1, short), Err(SendTimeoutError::Timeout(1)));
        let receiver = spawn(move || rx.recv_timeout(Duration::MAX));
        assert_eq!(tx.send_timeout(2, Duration::MAX), Ok(()));
        assert_eq!(receiver.join().unwrap(), Ok(2));
        assert_eq!(tx.send_timeout(3, Duration::MAX), Err(SendTimeoutError::Disconnected(3)));
    });
}

#[test]
fn fairness() {
    on_one_worker(|| {
        let (tx, rx) = bounded(0);
        let senders: Vec<_> = (0..8)
            .map(|i| {
                let tx = tx.clone();
                let task = spawn(move || tx.send(i).unwrap());
                yield_now();
                task
            })
            .collect();
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        senders.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn ping_pong_between_tasks_and_threads() {
    for workers in [1, 2] {
        Builder::new()
            .workers(workers)
            .run(|| {
                let (ping_tx, ping_rx) = bounded(0);
                let (pong_tx, pong_rx) = bounded(0);
                let echo = move || ping_rx.iter().for_each(|i: usize| pong_tx.send(i + 1).unwrap());
                if workers == 1 {
                    drop(std::thread::spawn(echo))
                } else {
                    drop(spawn(echo))
                }
                for i in 0..2000 {
                    ping_tx.send(i).unwrap();
                    assert_eq!(pong_rx.recv(), Ok(i + 1));
                }
            })
            .unwrap();
    }
}

#[test]
fn mpmc() {
    const COUNT: usize = 10_000;
    for workers in [1, 2, 8] {
        let sum = AtomicUsize::new(0);
        let received = AtomicUsize::new(0);
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            fibra::scope(|s| {
                let (tx, rx) = bounded(0);
                for _ in 0..4 {
                    let (tx, rx, sum, received) = (tx.clone(), rx.clone(), &sum, &received);
                    s.spawn(move || (0..COUNT).for_each(|i| tx.send(i).unwrap()));
                    s.spawn(move || {
                        for i in rx {
                            sum.fetch_add(i, Ordering::Relaxed);
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        });
        assert_eq!(received.into_inner(), 4 * COUNT);
        assert_eq!(sum.into_inner(), 4 * (COUNT * (COUNT - 1) / 2));
    }
}

#[test]
fn drops_of_a_cancelled_sender() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    on_one_worker(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = bounded(0);
        let message = Counted(dropped.clone());
        let sender = spawn(move || tx.send(message).is_ok());
        yield_now();
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        sender.cancel();
        assert!(sender.join().unwrap_err().is::<Cancelled>());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert!(rx.recv().is_err());
    });
}
