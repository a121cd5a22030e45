//! `watch`: receivers see the latest value, and need not see the others.

mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use fibra::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError, never, select, unbounded, watch};
use fibra::{Builder, Cancelled, spawn, yield_now};
use support::{Drops, within_patience};

fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

#[test]
fn smoke() {
    let (tx, rx) = watch::channel(0);
    assert_eq!((*rx.borrow(), *tx.borrow(), rx.has_changed()), (0, 0, Ok(false)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    (1..=3).for_each(|i| tx.send(i).unwrap());
    assert_eq!((rx.has_changed(), *rx.borrow(), rx.has_changed()), (Ok(true), 3, Ok(true)));
    assert_eq!((*rx.recv().unwrap(), rx.has_changed()), (3, Ok(false)));
    tx.send(4).unwrap();
    assert_eq!((*rx.borrow_and_update(), rx.try_recv()), (4, Err(TryRecvError::Empty)));
    tx.send(5).unwrap();
    drop(tx);
    assert_eq!(rx.recv().as_deref(), Ok(&5));
    assert_eq!((rx.recv(), rx.has_changed(), *rx.borrow()), (Err(RecvError), Err(RecvError), 5));
}

#[test]
fn every_receiver_sees_the_latest_on_its_own() {
    let (tx, rx) = watch::channel("a");
    let copy = rx.clone();
    tx.send("b").unwrap();
    assert_eq!(*rx.recv().unwrap(), "b");
    let (behind, level, late) = (copy.clone(), rx.clone(), tx.subscribe());
    assert_eq!((copy.has_changed(), behind.has_changed()), (Ok(true), Ok(true)));
    assert_eq!((level.has_changed(), late.has_changed()), (Ok(false), Ok(false)));
    assert!(rx.same_channel(&late) && tx.same_channel(&tx.clone()));
    assert_eq!(tx.receiver_count(), 5);
    drop((rx, copy, behind, level, late));
    assert_eq!((tx.receiver_count(), tx.send("c")), (0, Err(SendError("c"))));
    assert_eq!((*tx.send_replace("d"), *tx.borrow()), ("b", "d"));
}

#[test]
fn a_change_wakes_all_who_wait() {
    on_one_worker(|| {
        let (tx, rx) = watch::channel(0);
        let waiting: Vec<_> = (0..5)
            .map(|i| {
                let rx = rx.clone();
                spawn(move || match i % 3 {
                    0 => *rx.recv().unwrap(),
                    1 => select! { recv(rx) -> value => *value.unwrap(), recv(never::<()>()) -> _ => 0 },
                    _ => *rx.wait_for(|&value| value == 7).unwrap(),
                })
            })
            .collect();
        yield_now();
        tx.send(7).unwrap();
        assert!(waiting.into_iter().all(|task| task.join().unwrap() == 7));
        let waiting = spawn(move || select! { recv(rx) -> _ => rx.recv() });
        yield_now();
        drop(tx);
        assert_eq!(waiting.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn send_modify_loses_no_change() {
    let (tx, rx) = watch::channel(0);
    std::thread::scope(|s| {
        for _ in 0..2 {
            let tx = tx.clone();
            s.spawn(move || (0..500).for_each(|_| tx.send_modify(|n| *n += 1)));
        }
    });
    fibra::scope(|s| {
        for _ in 0..4 {
            let tx = tx.clone();
            s.spawn(move || (0..500).for_each(|_| tx.send_modify(|n| *n += 1)));
        }
    });
    assert_eq!(*rx.borrow(), 3000);
    let failed = std::panic::catch_unwind(|| {
        tx.send_modify(|n| {
            *n = 0;
            panic!("half way");
        })
    });
    assert!(failed.is_err());
    assert_eq!(*rx.borrow(), 3000);
    tx.send_modify(|n| *n += 1);
    assert_eq!(*rx.borrow(), 3001);
}

#[test]
fn a_value_lives_as_long_as_somebody_reads_it() {
    let drops = Drops::new();
    let (tx, rx) = watch::channel(drops.counted());
    let read = rx.borrow();
    tx.send(drops.counted()).map_err(|_| "closed").unwrap();
    assert_eq!(drops.get(), 0);
    drop(read);
    assert_eq!(drops.get(), 1);
    drop((tx, rx));
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_destructor_may_use_the_channel() {
    struct Sends(Option<watch::Sender<Cell<u8>>>);
    // Not `Sync`: such a channel stays on its thread.
    let (tx, _rx) = watch::channel(Cell::new(1));
    drop(Sends(Some(tx)).0.take());
    struct Counts(watch::Receiver<u32>, Arc<std::sync::atomic::AtomicU32>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.1.fetch_add(*self.0.borrow(), std::sync::atomic::Ordering::SeqCst);
        }
    }
    let seen = Arc::default();
    let (other_tx, other_rx) = watch::channel(5);
    let (tx, rx) = watch::channel(Counts(other_rx.clone(), Arc::clone(&seen)));
    tx.send(Counts(other_rx, seen.clone())).map_err(|_| "closed").unwrap();
    drop((tx, rx, other_tx));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 10);
}

#[test]
fn a_replaced_values_destructor_may_send_in_its_turn() {
    #[derive(Clone)]
    struct Reports(Option<watch::Sender<Reports>>, u32);
    impl Drop for Reports {
        fn drop(&mut self) {
            if let Some(tx) = self.0.take() {
                tx.send_modify(|value| value.1 += 10);
            }
        }
    }
    type Replace = fn(&watch::Sender<Reports>);
    let ways: [Replace; 3] = [
        |tx| tx.send(Reports(None, 1)).map_err(|_| "closed").unwrap(),
        |tx| drop(tx.send_replace(Reports(None, 1))),
        |tx| tx.send_modify(|value| (value.0, value.1) = (None, 1)),
    ];
    for replace in ways {
        let value = within_patience(move || {
            let (tx, rx) = watch::channel(Reports(None, 0));
            drop(tx.send_replace(Reports(Some(tx.clone()), 0)));
            replace(&tx);
            rx.borrow().1
        });
        assert_eq!(value, 11);
    }
}

#[test]
fn a_cancelled_receiver_has_seen_nothing() {
    on_one_worker(|| {
        let (tx, rx) = watch::channel(0);
        let rx = Arc::new(rx);
        let waiting = spawn({
            let rx = rx.clone();
            move || rx.recv().map(|value| *value)
        });
        yield_now();
        waiting.cancel();
        tx.send(1).unwrap();
        assert!(waiting.join().unwrap_err().is::<Cancelled>());
        assert_eq!(rx.try_recv().as_deref(), Ok(&1));
    });
}

#[test]
fn stress_the_last_value_is_seen_and_values_never_go_back() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            Builder::new()
                .workers(workers)
                .run(|| {
                    let (tx, rx) = watch::channel(0);
                    let (_quiet, other) = unbounded::<()>();
                    let readers: Vec<_> = (0..6)
                        .map(|i| {
                            let (rx, other) = (rx.clone(), other.clone());
                            spawn(move || {
                                let mut last = 0;
                                loop {
                                    let value = if i % 2 == 0 {
                                        rx.recv()
                                    } else {
                                        select! { recv(rx) -> value => value, recv(other) -> _ => unreachable!() }
                                    };
                                    let Ok(value) = value else { return last };
                                    assert!(*value > last);
                                    last = *value;
                                }
                            })
                        })
                        .collect();
                    let writer = std::thread::spawn(move || (1..=5000).for_each(|i| tx.send(i).unwrap()));
                    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 5000));
                    writer.join().unwrap();
                })
                .unwrap();
        });
    }
}
