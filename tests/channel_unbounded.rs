//! Unbounded channels: sending never waits, and what lies in them survives any growth.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{RecvError, SendError, TryRecvError, TrySendError, unbounded};
use fibra::{Builder, spawn, yield_now};

#[test]
fn smoke() {
    let (tx, rx) = unbounded();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.send(1).unwrap();
    tx.try_send(2).unwrap();
    tx.send_timeout(3, Duration::ZERO).unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn capacity_and_len_empty_full() {
    let (tx, rx) = unbounded();
    assert_eq!((tx.capacity(), rx.capacity()), (None, None));
    for i in 0..500 {
        assert_eq!((tx.len(), tx.is_empty(), tx.is_full()), (i, i == 0, false));
        tx.send(i).unwrap();
    }
    for i in (0..500).rev() {
        rx.recv().unwrap();
        assert_eq!((rx.len(), rx.is_empty(), rx.is_full()), (i, i == 0, false));
    }
}

#[test]
fn close() {
    let (tx, rx) = unbounded();
    (0..200).for_each(|i| tx.send(i).unwrap());
    drop(tx);
    assert_eq!(rx.iter().collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    assert_eq!(rx.recv(), Err(RecvError));

    let (tx, rx) = unbounded();
    drop(rx);
    assert_eq!(tx.send(1), Err(SendError(1)));
    assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
}

#[test]
fn a_message_goes_to_the_receiver_that_waits_longest() {
    let results = Builder::new().workers(1).run(|| {
        let (tx, rx) = unbounded();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let rx = rx.clone();
                let task = spawn(move || rx.recv());
                yield_now();
                task
            })
            .collect();
        (0..4).for_each(|i| tx.send(i).unwrap());
        assert!(tx.is_empty());
        receivers.into_iter().map(|task| task.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.unwrap(), [Ok(0), Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn spsc_and_order_over_a_million() {
    const COUNT: usize = 1_000_000;
    fibra::run(|| {
        let (tx, rx) = unbounded();
        let sender = spawn(move || (0..COUNT).for_each(|i| tx.send(i).unwrap()));
        for (i, message) in rx.iter().enumerate() {
            assert_eq!(i, message);
        }
        sender.join().unwrap();
    });
}

#[test]
fn mpmc() {
    const COUNT: usize = 20_000;
    let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..4 * COUNT).map(|_| AtomicUsize::new(0)).collect());
    for workers in [1, 2, 8] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            fibra::scope(|s| {
                let (tx, rx) = unbounded();
                for sender in 0..4 {
                    let (tx, rx, seen) = (tx.clone(), rx.clone(), seen.clone());
                    s.spawn(move || (0..COUNT).for_each(|i| tx.send(sender * COUNT + i).unwrap()));
                    s.spawn(move || {
                        // Messages of one sender come in its order, whoever receives them.
                        let mut last = [None; 4];
                        for message in rx {
                            let sender = message / COUNT;
                            assert!(last[sender] < Some(message));
                            last[sender] = Some(message);
                            seen[message].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        });
    }
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 3));
}

#[test]
fn drops() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = unbounded();
    (0..1000).for_each(|_| tx.send(Counted(dropped.clone())).ok().unwrap());
    (0..100).for_each(|_| drop(rx.recv().unwrap()));
    assert_eq!(dropped.load(Ordering::SeqCst), 100);
    drop(rx);
    assert_eq!(dropped.load(Ordering::SeqCst), 1000);
    drop(tx);
    assert_eq!(dropped.load(Ordering::SeqCst), 1000);
}

#[test]
fn panic_on_drop() {
    struct Bad(Arc<AtomicUsize>, bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            if self.1 {
                panic!("a message's destructor");
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    // In the first segment, in the middle, and in the last one: only the first of them may run.
    for first in [10, 70, 290] {
        let (tx, rx) = unbounded();
        let panics = |i| i >= first && [10, 70, 100, 290, 299].contains(&i);
        (0..300).for_each(|i| tx.send(Bad(dropped.clone(), panics(i))).ok().unwrap());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(rx))).is_err());
        assert_eq!(dropped.swap(0, Ordering::SeqCst), first + 1);
    }
}

#[test]
fn zero_sized_large_and_aligned_messages() {
    #[repr(align(64))]
    struct Aligned(u8);

    let (tx, rx) = unbounded();
    (0..1000).for_each(|_| tx.send(()).unwrap());
    assert_eq!(rx.try_iter().count(), 1000);

    let (tx, rx) = unbounded();
    (0..50u8).for_each(|i| tx.send([i; 5000]).unwrap());
    drop(tx);
    assert!(rx.iter().enumerate().all(|(i, message)| message == [i as u8; 5000]));

    let (tx, rx) = unbounded();
    (0..200u8).for_each(|i| tx.send(Aligned(i)).unwrap());
    for (i, message) in rx.try_iter().enumerate() {
        assert!(std::ptr::from_ref(&message).addr().is_multiple_of(64));
        assert_eq!(usize::from(message.0), i);
    }
}
