//! Bounded channels with a buffer: every promise of the facade, from tasks and from threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
};
use fibra::{Builder, Cancelled, spawn, yield_now};

/// With one worker, a `yield_now` lets every other task run until it parks: a handshake without sleeping.
fn on_one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn smoke() {
    let (tx, rx) = bounded(1);
    tx.send(7).unwrap();
    assert_eq!(rx.try_recv(), Ok(7));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.send(8).unwrap();
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(rx.recv(), Ok(8));
    assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
}

#[test]
fn handles_are_send_sync_and_unwind_safe() {
    fn check<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
    let (tx, rx) = bounded(1);
    check(&tx);
    check(&rx);
    tx.send(std::cell::Cell::new(1)).unwrap();
    assert_eq!(format!("{tx:?} {rx:?} {:?}", rx.iter()), "Sender { .. } Receiver { .. } Iter { .. }");
}

#[test]
fn same_channel() {
    let (tx, rx) = bounded::<()>(1);
    let (other_tx, other_rx) = bounded::<()>(1);
    assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
    assert!(!tx.same_channel(&other_tx) && !rx.same_channel(&other_rx));
}

#[test]
fn capacity() {
    for capacity in 1..40 {
        let (tx, rx) = bounded(capacity);
        assert_eq!((tx.capacity(), rx.capacity()), (Some(capacity), Some(capacity)));
        for round in 0..3 {
            (0..capacity).for_each(|i| tx.try_send(round * i).unwrap());
            assert!(tx.try_send(0).unwrap_err().is_full());
            (0..capacity).for_each(|i| assert_eq!(rx.try_recv(), Ok(round * i)));
        }
    }
}

#[test]
fn a_capacity_beyond_the_address_space_panics() {
    let result = std::panic::catch_unwind(|| drop(bounded::<u64>(usize::MAX)));
    assert!(result.is_err());
    let (tx, rx) = bounded::<()>(usize::MAX);
    tx.send(()).unwrap();
    assert_eq!((tx.capacity(), rx.len()), (Some(usize::MAX), 1));
}

#[test]
fn len_empty_full() {
    let (tx, rx) = bounded(2);
    let see = |len, empty, full| {
        assert_eq!((tx.len(), tx.is_empty(), tx.is_full()), (len, empty, full));
        assert_eq!((rx.len(), rx.is_empty(), rx.is_full()), (len, empty, full));
    };
    see(0, true, false);
    tx.send(()).unwrap();
    see(1, false, false);
    tx.send(()).unwrap();
    see(2, false, true);
    rx.recv().unwrap();
    see(1, false, false);
}

#[test]
fn a_sender_parked_on_a_full_buffer_keeps_its_place_in_the_order() {
    on_one_worker(|| {
        let (tx, rx) = bounded(2);
        let sender = spawn({
            let tx = tx.clone();
            move || (0..5).for_each(|i| tx.send(i).unwrap())
        });
        yield_now();
        assert_eq!(rx.len(), 2);
        assert_eq!(rx.recv(), Ok(0));
        // The gap went to the parked sender at once, so nobody can overtake it.
        assert_eq!(tx.try_send(99), Err(TrySendError::Full(99)));
        assert_eq!((1..5).map(|_| rx.recv().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        sender.join().unwrap();
    });
}

#[test]
fn fairness() {
    on_one_worker(|| {
        // Parked receivers are served first come, first served.
        let (tx, rx) = bounded(4);
        let (seen_tx, seen) = bounded(16);
        let receivers: Vec<_> = (0..4)
            .map(|id| {
                let (rx, seen) = (rx.clone(), seen_tx.clone());
                let task = spawn(move || seen.send((id, rx.recv().unwrap())).unwrap());
                yield_now();
                task
            })
            .collect();
        (0..4).for_each(|i| tx.send(i).unwrap());
        receivers.into_iter().for_each(|task| task.join().unwrap());
        let mut seen: Vec<_> = seen.try_iter().collect();
        seen.sort();
        assert_eq!(seen, [(0, 0), (1, 1), (2, 2), (3, 3)]);

        // And parked senders.
        (0..4).for_each(|i| tx.send(i).unwrap());
        let senders: Vec<_> = (4..8)
            .map(|i| {
                let tx = tx.clone();
                let task = spawn(move || tx.send(i).unwrap());
                yield_now();
                task
            })
            .collect();
        assert_eq!((0..8).map(|_| rx.recv().unwrap()).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        senders.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn close_lets_receivers_drain() {
    let (tx, rx) = bounded(3);
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    let other = tx.clone();
    drop(tx);
    other.send(3).unwrap();
    drop(other);
    assert_eq!(rx.clone().into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rx.recv(), Err(RecvError));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(rx.recv_timeout(Duration::from_secs(3600)), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn close_wakes_every_parked_receiver() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<()>(1);
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let rx = rx.clone();
                spawn(move || rx.recv())
            })
            .collect();
        let thread = std::thread::spawn(move || rx.recv());
        yield_now();
        drop(tx);
        waiting.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), Err(RecvError)));
        assert_eq!(thread.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn close_gives_parked_senders_their_messages_back() {
    on_one_worker(|| {
        let (tx, rx) = bounded(1);
        tx.send(0).unwrap();
        let waiting: Vec<_> = (1..10)
            .map(|i| {
                let tx = tx.clone();
                spawn(move || tx.send(i))
            })
            .collect();
        yield_now();
        drop(rx);
        let given_back = waiting.into_iter().map(|task| task.join().unwrap());
        assert_eq!(given_back.collect::<Vec<_>>(), (1..10).map(|i| Err(SendError(i))).collect::<Vec<_>>());
        assert_eq!(tx.try_send(11), Err(TrySendError::Disconnected(11)));
        assert_eq!(tx.len(), 0);
    });
}

#[test]
fn timeouts() {
    fibra::run(|| {
        let (tx, rx) = bounded(1);
        let start = Instant::now();
        let short = Duration::from_millis(5);
        assert_eq!(rx.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert_eq!(rx.recv_deadline(Instant::now() + short), Err(RecvTimeoutError::Timeout));
        assert_eq!(tx.send_timeout(1, short), Ok(()));
        assert_eq!(tx.send_timeout(2, short), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(tx.send_deadline(3, Instant::now() + short), Err(SendTimeoutError::Timeout(3)));
        assert!(start.elapsed() >= 4 * short);
        // A deadline that has passed does not stop what is possible at once.
        assert_eq!(rx.recv_deadline(start), Ok(1));
        assert_eq!(rx.recv_deadline(start), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn the_longest_timeout_is_none() {
    on_one_worker(|| {
        let (tx, rx) = bounded(1);
        let receiver = spawn(move || (rx.recv_timeout(Duration::MAX), rx.recv_timeout(Duration::MAX)));
        yield_now();
        tx.send_timeout(1, Duration::MAX).unwrap();
        drop(tx);
        assert_eq!(receiver.join().unwrap(), (Ok(1), Err(RecvTimeoutError::Disconnected)));
    });
}

#[test]
fn spsc() {
    const COUNT: usize = 100_000;
    for workers in [1, 2, 8] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let (tx, rx) = bounded(3);
            let sender = spawn(move || (0..COUNT).for_each(|i| tx.send(i).unwrap()));
            (0..COUNT).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
            assert_eq!(rx.recv(), Err(RecvError));
            sender.join().unwrap();
        });
    }
}

#[test]
fn mpmc() {
    const COUNT: usize = 25_000;
    const PAIRS: usize = 4;
    for workers in [1, 2, 8] {
        let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..COUNT).map(|_| AtomicUsize::new(0)).collect());
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let (tx, rx) = bounded(3);
            let tasks: Vec<_> = (0..PAIRS)
                .flat_map(|_| {
                    let (tx, rx, seen) = (tx.clone(), rx.clone(), seen.clone());
                    let count = move |i: usize| seen[i].fetch_add(1, Ordering::Relaxed);
                    [
                        spawn(move || (0..COUNT).for_each(|i| tx.send(i).unwrap())),
                        spawn(move || {
                            rx.iter().for_each(|i| {
                                count(i);
                            })
                        }),
                    ]
                })
                .collect();
            drop((tx, rx));
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == PAIRS));
    }
}

/// Counts how often a message of its kind is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn drops() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded(8);
    (0..6).for_each(|_| tx.try_send(Counted(dropped.clone())).ok().unwrap());
    drop(rx.recv().unwrap());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    (0..3).for_each(|_| tx.try_send(Counted(dropped.clone())).ok().unwrap());
    // The last receiver takes the eight that are left with it, although a sender lives on.
    drop(rx);
    assert_eq!(dropped.load(Ordering::SeqCst), 9);
    drop(tx.send(Counted(dropped.clone())));
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
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
    let (tx, rx) = bounded(4);
    // Wrapped around the buffer's end, and with two whose destructors panic: the second must not run during the unwinding.
    (0..3).for_each(|_| tx.send(Bad(dropped.clone(), false)).unwrap());
    (0..3).for_each(|_| drop(rx.recv()));
    (0..4).for_each(|i| tx.send(Bad(dropped.clone(), i == 1 || i == 2)).unwrap());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(rx)));
    assert!(result.is_err());
    assert_eq!(dropped.swap(4, Ordering::SeqCst), 5);
    let Err(SendError(message)) = tx.send(Bad(dropped.clone(), false)) else { panic!("no receiver is left") };
    drop(message);
    assert_eq!(dropped.load(Ordering::SeqCst), 5);
}

#[test]
fn a_destructor_may_use_the_channel_it_was_discarded_from() {
    struct Curious(fibra::channel::Sender<Curious>, Arc<AtomicUsize>);
    impl Drop for Curious {
        fn drop(&mut self) {
            assert_eq!(self.0.len(), 0);
            assert!(self.0.is_empty());
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded(2);
    tx.send(Curious(tx.clone(), dropped.clone())).unwrap();
    tx.send(Curious(tx.clone(), dropped.clone())).unwrap();
    drop(rx);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[test]
fn a_cancelled_sender_drops_its_message_once_and_sends_nothing() {
    on_one_worker(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = bounded(1);
        tx.send(Counted(dropped.clone())).ok().unwrap();
        let sender = spawn({
            let (tx, message) = (tx.clone(), Counted(dropped.clone()));
            move || drop(tx.send(message))
        });
        yield_now();
        sender.cancel();
        assert!(sender.join().unwrap_err().is::<Cancelled>());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        drop(rx.recv().unwrap());
        assert_eq!((dropped.load(Ordering::SeqCst), rx.len()), (2, 0));
    });
}

#[test]
fn a_cancelled_receiver_takes_no_message_with_it() {
    on_one_worker(|| {
        let (tx, rx) = bounded(1);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let rx = rx.clone();
                let task = spawn(move || rx.recv());
                yield_now();
                task
            })
            .collect();
        receivers[0].cancel();
        // The first in the queue is claimed by its canceller, so the message goes to the second.
        tx.send(5).unwrap();
        let mut results = receivers.into_iter().map(|task| task.join());
        assert!(results.next().unwrap().unwrap_err().is::<Cancelled>());
        assert_eq!(results.next().unwrap().unwrap(), Ok(5));
        assert_eq!(rx.len(), 0);
    });
}

#[test]
fn a_message_handed_over_before_the_cancellation_is_received() {
    on_one_worker(|| {
        let (tx, rx) = bounded(1);
        let (seen_tx, seen) = bounded(2);
        let receiver = spawn(move || {
            seen_tx.send(rx.recv().unwrap()).unwrap();
            // Cancelled here, at the next wait.
            let _ = rx.recv();
        });
        yield_now();
        tx.send(5).unwrap();
        receiver.cancel();
        assert!(receiver.join().unwrap_err().is::<Cancelled>());
        assert_eq!(seen.try_recv(), Ok(5));
    });
}

#[test]
fn zero_sized_and_aligned_messages() {
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);

    fn is_aligned(message: &Aligned) -> bool {
        std::ptr::from_ref(message).addr().is_multiple_of(64)
    }

    fibra::run(|| {
        let (tx, rx): (_, Receiver<()>) = bounded(2);
        let sender = spawn(move || (0..1000).for_each(|_| tx.send(()).unwrap()));
        assert_eq!(rx.iter().count(), 1000);
        sender.join().unwrap();

        let (tx, rx) = bounded(2);
        let sender = spawn(move || (0..1000).for_each(|i| tx.send(Aligned(i as u8)).unwrap()));
        for i in 0..1000 {
            let message = rx.recv().unwrap();
            assert!(is_aligned(&message));
            assert_eq!(message, Aligned(i as u8));
        }
        sender.join().unwrap();
    });
}

#[test]
fn messages_of_a_megabyte() {
    let (tx, rx) = bounded(1);
    let sender = std::thread::Builder::new()
        .stack_size(32 << 20)
        .spawn(move || (0..4u8).for_each(|i| tx.send([i; 1 << 20]).unwrap()))
        .unwrap();
    let receiver = std::thread::Builder::new()
        .stack_size(32 << 20)
        .spawn(move || rx.iter().map(|message| message[1 << 19]).collect::<Vec<_>>())
        .unwrap();
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), [0, 1, 2, 3]);
}
