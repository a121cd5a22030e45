//! `broadcast`: every message to every receiver, and an account of those that a slow one has lost.

mod support;

use std::time::Duration;

use fibra::channel::broadcast::{self, RecvError, RecvTimeoutError, TryRecvError};
use fibra::channel::{SendError, never, select};
use fibra::{Builder, Cancelled, spawn, yield_now};
use support::{Counted, Drops, message, within_patience};

fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

#[test]
fn smoke() {
    let (tx, rx) = broadcast::channel(4);
    let other = tx.subscribe();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    assert_eq!((tx.send(1), tx.send(2)), (Ok(2), Ok(2)));
    assert_eq!((rx.len(), other.len(), tx.len()), (2, 2, 2));
    assert_eq!((rx.recv(), rx.recv(), rx.try_recv()), (Ok(1), Ok(2), Err(TryRecvError::Empty)));
    assert_eq!((tx.len(), other.recv(), tx.len()), (2, Ok(1), 1));
    // From now on only.
    let late = rx.resubscribe();
    tx.send(3).unwrap();
    assert_eq!((late.recv(), rx.recv(), other.recv(), other.recv()), (Ok(3), Ok(3), Ok(2), Ok(3)));
    assert!(tx.is_empty() && late.is_empty() && late.same_channel(&other) && tx.same_channel(&tx.clone()));
    tx.send(4).unwrap();
    drop(tx);
    assert_eq!(
        (late.recv(), late.recv(), late.try_recv()),
        (Ok(4), Err(RecvError::Closed), Err(TryRecvError::Closed))
    );
}

#[test]
fn a_slow_receiver_learns_how_many_it_lost() {
    let (tx, slow) = broadcast::channel(3);
    let quick = tx.subscribe();
    for i in 0..10 {
        tx.send(i).unwrap();
        assert_eq!(quick.recv(), Ok(i));
    }
    assert_eq!((tx.len(), slow.len()), (3, 10));
    assert_eq!(slow.recv(), Err(RecvError::Lagged(7)));
    assert_eq!([slow.recv(), slow.recv(), slow.recv()], [Ok(7), Ok(8), Ok(9)]);
    (10..20).for_each(|i| assert!(tx.send(i).is_ok()));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(7)));
    (20..22).for_each(|i| assert!(tx.send(i).is_ok()));
    select! { recv(slow) -> msg => assert_eq!(msg, Err(RecvError::Lagged(2))) }
    assert_eq!(slow.recv_timeout(Duration::ZERO), Ok(19));
}

#[test]
fn without_receivers_the_message_comes_back() {
    let (tx, rx) = broadcast::channel(1);
    drop(rx);
    assert_eq!((tx.receiver_count(), tx.send("lost")), (0, Err(SendError("lost"))));
    let rx = tx.subscribe();
    assert_eq!((tx.send("heard"), rx.recv()), (Ok(1), Ok("heard")));
}

#[test]
fn a_message_wakes_all_who_wait() {
    on_one_worker(|| {
        let (tx, rx) = broadcast::channel(1);
        let waiting: Vec<_> = (0..4)
            .map(|i| {
                let rx = rx.resubscribe();
                spawn(move || {
                    if i % 2 == 0 {
                        rx.recv()
                    } else {
                        select! { recv(rx) -> msg => msg, recv(never::<()>()) -> _ => Ok(0) }
                    }
                })
            })
            .collect();
        yield_now();
        assert_eq!(tx.send(7), Ok(5));
        assert!(waiting.into_iter().all(|task| task.join().unwrap() == Ok(7)));
        assert_eq!(rx.recv(), Ok(7));
        let waiting = spawn(move || rx.recv());
        yield_now();
        drop(tx);
        assert_eq!(waiting.join().unwrap(), Err(RecvError::Closed));
    });
}

/// A message whose copies count as well.
struct Copied(Drops, #[expect(dead_code, reason = "counts when it is dropped")] Counted);

impl Clone for Copied {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Copied {
    fn new(drops: &Drops) -> Self {
        Self(drops.clone(), drops.counted())
    }
}

#[test]
fn messages_go_when_the_last_receiver_has_them_or_has_gone() {
    let drops = Drops::new();
    let send = |tx: &broadcast::Sender<Copied>| assert!(tx.send(Copied::new(&drops)).is_ok());
    let (tx, first) = broadcast::channel(8);
    let second = tx.subscribe();
    send(&tx);
    // One copy; the last receiver gets the message itself.
    drop(first.recv());
    assert_eq!((drops.get(), tx.len()), (1, 1));
    drop(second.recv());
    assert_eq!((drops.get(), tx.len()), (2, 0));
    (0..5).for_each(|_| send(&tx));
    drop(first.recv());
    assert_eq!((drops.get(), tx.len()), (3, 5));
    drop(second);
    // `second` had had none: the one that `first` has had goes now.
    assert_eq!((drops.get(), tx.len()), (4, 4));
    drop(first);
    assert_eq!((drops.get(), tx.len()), (8, 0));
    let _unread = tx.subscribe();
    (0..20).for_each(|_| send(&tx));
    assert_eq!((drops.get(), tx.len()), (20, 8));
}

#[test]
fn a_destructor_may_use_the_channel_it_was_dropped_from() {
    #[derive(Clone)]
    struct Talks(Option<broadcast::Sender<Talks>>);
    impl Drop for Talks {
        fn drop(&mut self) {
            if let Some(tx) = self.0.take() {
                let _ = tx.send(Talks(None));
                assert!(tx.len() <= 1);
            }
        }
    }
    let (tx, rx) = broadcast::channel(1);
    for _ in 0..3 {
        tx.send(Talks(Some(tx.clone()))).map_err(|_| "closed").unwrap();
    }
    drop(rx);
}

#[test]
fn panic_on_drop() {
    struct Bad(#[expect(dead_code, reason = "counts when it is dropped")] Counted, bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(!self.1, "a message's destructor");
        }
    }
    let drops = Drops::new();
    let (tx, rx) = broadcast::channel(8);
    (0..8).for_each(|i| assert!(tx.send(Bad(drops.counted(), i == 2)).is_ok()));
    let dropped = std::panic::catch_unwind(|| drop(rx));
    assert_eq!(message(&*dropped.unwrap_err()), "a message's destructor");
    // Nobody is left who would have dropped the rest.
    assert_eq!((drops.get(), tx.len(), tx.receiver_count()), (8, 0, 0));
}

#[test]
fn a_panicking_clone_costs_its_receiver_that_message_alone() {
    struct Bad(u32);
    impl Clone for Bad {
        fn clone(&self) -> Self {
            assert_ne!(self.0, 1, "a message's clone");
            Self(self.0)
        }
    }
    let (tx, rx) = broadcast::channel(8);
    let other = tx.subscribe();
    (0..3).for_each(|i| assert!(tx.send(Bad(i)).is_ok()));
    let received = |rx: &broadcast::Receiver<Bad>| rx.try_recv().map(|message| message.0);
    assert_eq!(received(&rx), Ok(0));
    assert!(std::panic::catch_unwind(|| received(&rx)).is_err());
    assert_eq!((received(&rx), received(&rx)), (Ok(2), Err(TryRecvError::Empty)));
    // The last to come gets the messages themselves.
    assert_eq!([(); 3].map(|()| received(&other)), [Ok(0), Ok(1), Ok(2)]);
    assert!(tx.is_empty());
}

#[test]
fn a_channel_without_room_is_refused() {
    let panicked = std::panic::catch_unwind(|| broadcast::channel::<u8>(0));
    assert!(message(&*panicked.unwrap_err()).contains("at least one message"));
}

#[test]
fn a_cancelled_receiver_has_had_nothing() {
    on_one_worker(|| {
        let (tx, rx) = broadcast::channel(2);
        let rx = std::sync::Arc::new(rx);
        let waiting = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        yield_now();
        waiting.cancel();
        tx.send(1).unwrap();
        assert!(waiting.join().unwrap_err().is::<Cancelled>());
        assert_eq!(rx.try_recv(), Ok(1));
    });
}

#[test]
fn errors() {
    let errors: [Box<dyn std::error::Error>; 3] =
        [Box::new(RecvError::Lagged(3)), Box::new(TryRecvError::Empty), Box::new(RecvTimeoutError::Timeout)];
    let texts = errors.map(|error| error.to_string());
    assert!(texts[0].contains("lost 3 messages"), "{texts:?}");
}

#[test]
fn stress_received_and_lost_add_up() {
    const EACH: u64 = 3_000;
    for workers in [1, 2, 8] {
        within_patience(move || {
            Builder::new()
                .workers(workers)
                .run(|| {
                    let (tx, rx) = broadcast::channel(16);
                    let readers: Vec<_> = (0..5)
                        .map(|i| {
                            let rx = rx.resubscribe();
                            spawn(move || {
                                let mut account = 0;
                                loop {
                                    let msg = if i % 2 == 0 {
                                        rx.recv()
                                    } else {
                                        select! { recv(rx) -> msg => msg }
                                    };
                                    match msg {
                                        Ok(_) => account += 1,
                                        Err(RecvError::Lagged(lost)) => account += lost,
                                        Err(RecvError::Closed) => return account,
                                    }
                                }
                            })
                        })
                        .collect();
                    drop(rx);
                    let thread = std::thread::spawn({
                        let tx = tx.clone();
                        move || (0..EACH).for_each(|i| assert!(tx.send(i).is_ok()))
                    });
                    let comers = spawn({
                        let tx = tx.clone();
                        move || (0..200).for_each(|_| drop((tx.subscribe(), yield_now())))
                    });
                    (0..EACH).for_each(|i| {
                        tx.send(i).unwrap();
                        if i % 7 == 0 {
                            yield_now();
                        }
                    });
                    thread.join().unwrap();
                    comers.join().unwrap();
                    let left = tx.subscribe();
                    drop(tx);
                    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 2 * EACH));
                    assert_eq!(left.try_recv(), Err(TryRecvError::Closed));
                })
                .unwrap();
        });
    }
}
