//! Receivers as futures and streams: every message comes once, also when futures are dropped or forgotten.
#![cfg(feature = "futures")]

#[path = "support/futures.rs"]
mod futures;
mod support;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fibra::channel::{self, RecvError, broadcast, oneshot, watch};
use fibra::{Builder, block_on};
use futures::{Calls, on_workers};
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt, select_all};
use support::{Drops, wait_until, within_patience};

fn poll<F: Future + Unpin>(future: &mut F, calls: &Arc<Calls>) -> Poll<F::Output> {
    let waker = Waker::from(calls.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn messages_come_in_order_through_every_kind_of_channel() {
    for capacity in [None, Some(0), Some(1), Some(8)] {
        on_workers(2, move || {
            let (tx, rx) = capacity.map_or_else(channel::unbounded, channel::bounded);
            let sender = fibra::spawn(move || (0..1000).for_each(|n| tx.send(n).unwrap()));
            block_on(async {
                for n in 0..500 {
                    assert_eq!(rx.recv_async().await, Ok(n));
                }
                let rest: Vec<_> = rx.stream().collect().await;
                assert!(rest.into_iter().eq(500..1000));
                assert_eq!(rx.recv_async().await, Err(RecvError));
            });
            sender.join().unwrap();
        });
    }
}

#[test]
fn a_foreign_executor_on_a_plain_thread_receives_too() {
    within_patience(|| {
        let (tx, rx) = channel::bounded(1);
        let sender = std::thread::spawn(move || (0..100).for_each(|n| tx.send(n).unwrap()));
        let sum: i32 =
            futures_lite::future::block_on(rx.into_stream().fold(0, |sum, n| async move { sum + n }));
        assert_eq!(sum, 4950);
        sender.join().unwrap();
    });
}

#[test]
fn a_message_wakes_a_future_that_waits_once() {
    on_workers(1, || {
        let (tx, rx) = channel::unbounded();
        let calls = Arc::new(Calls::default());
        let mut recv = rx.recv_async();
        for _ in 0..3 {
            assert!(poll(&mut recv, &calls).is_pending());
        }
        assert_eq!(calls.get(), 0);
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert_eq!(calls.get(), 1);
        assert_eq!(poll(&mut recv, &calls), Poll::Ready(Ok(1)));
        assert_eq!(poll(&mut recv, &calls), Poll::Ready(Ok(2)));
        assert!(poll(&mut recv, &calls).is_pending());
        drop(tx);
        assert_eq!(calls.get(), 2);
        assert_eq!(poll(&mut recv, &calls), Poll::Ready(Err(RecvError)));
        drop(recv);
        assert_eq!(Arc::strong_count(&calls), 1);
    });
}

#[test]
fn the_last_waker_is_called() {
    on_workers(1, || {
        let (tx, rx) = channel::bounded(1);
        let (first, second) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        let mut recv = rx.recv_async();
        assert!(poll(&mut recv, &first).is_pending());
        assert!(poll(&mut recv, &second).is_pending());
        assert_eq!(Arc::strong_count(&first), 1);
        tx.send(()).unwrap();
        assert_eq!((first.get(), second.get()), (0, 1));
    });
}

#[test]
fn a_dropped_future_takes_no_message_with_it() {
    for capacity in [0, 1] {
        on_workers(1, move || {
            let (tx, rx) = channel::bounded(capacity);
            let calls = Arc::new(Calls::default());
            let mut before = rx.recv_async();
            assert!(poll(&mut before, &calls).is_pending());
            drop(before);
            let mut woken = rx.recv_async();
            assert!(poll(&mut woken, &calls).is_pending());
            let sender = fibra::spawn(move || tx.send(7).unwrap());
            fibra::yield_now();
            assert_eq!(calls.get(), 1);
            drop(woken);
            assert_eq!(rx.recv(), Ok(7));
            sender.join().unwrap();
            assert_eq!(Arc::strong_count(&calls), 1);
        });
    }
}

#[test]
fn a_forgotten_future_takes_no_message_with_it() {
    on_workers(1, || {
        let drops = Drops::new();
        let (tx, rx) = channel::bounded(2);
        let calls = Arc::new(Calls::default());
        for _ in 0..3 {
            let mut recv = rx.recv_async();
            assert!(poll(&mut recv, &calls).is_pending());
            std::mem::forget(recv);
        }
        tx.send(drops.counted()).unwrap();
        assert_eq!(calls.get(), 3);
        drop(rx.recv().unwrap());
        // And once more, for the end of the channel.
        let mut recv = rx.recv_async();
        assert!(poll(&mut recv, &calls).is_pending());
        std::mem::forget(recv);
        drop(rx);
        assert!(tx.send(drops.counted()).is_err());
        drop(tx);
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn those_who_park_and_those_who_poll_share_the_messages() {
    on_workers(2, || {
        const MESSAGES: usize = 4000;
        for capacity in [0, 3, 5000] {
            let (tx, rx) = channel::bounded(capacity);
            let senders: Vec<_> = (0..2)
                .map(|half| {
                    let tx = tx.clone();
                    fibra::spawn(move || (half..MESSAGES).step_by(2).for_each(|n| tx.send(n).unwrap()))
                })
                .collect();
            drop(tx);
            let parking: Vec<_> = (0..2)
                .map(|_| {
                    fibra::spawn({
                        let rx = rx.clone();
                        move || rx.iter().collect::<Vec<_>>()
                    })
                })
                .collect();
            let polling = fibra::spawn(move || {
                let streams = (0..5).map(|_| rx.clone().into_stream());
                block_on(select_all(streams).collect::<Vec<_>>())
            });
            senders.into_iter().for_each(|task| task.join().unwrap());
            let mut all = polling.join().unwrap();
            parking.into_iter().for_each(|task| all.extend(task.join().unwrap()));
            all.sort_unstable();
            assert!(all.into_iter().eq(0..MESSAGES), "capacity {capacity}");
        }
    });
}

#[test]
fn futures_that_are_dropped_in_between_lose_nothing() {
    on_workers(2, || {
        const MESSAGES: usize = 5000;
        let (tx, rx) = channel::bounded(2);
        let (stop, stopped) = channel::bounded::<()>(0);
        let sender = fibra::spawn(move || (0..MESSAGES).for_each(|n| tx.send(n).unwrap()));
        let dropper = fibra::spawn({
            let rx = rx.clone();
            move || {
                let calls = Arc::new(Calls::default());
                let mut taken = Vec::new();
                while stopped.try_recv().is_err_and(|error| error.is_empty()) {
                    let mut recv = rx.recv_async();
                    if let Poll::Ready(Ok(n)) = poll(&mut recv, &calls) {
                        taken.push(n);
                    }
                    fibra::yield_now();
                }
                taken
            }
        });
        let mut all = block_on(rx.stream().collect::<Vec<_>>());
        drop(stop);
        all.extend(dropper.join().unwrap());
        sender.join().unwrap();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..MESSAGES));
    });
}

#[test]
fn a_select_sends_to_a_future_and_a_select_receives_beside_it() {
    on_workers(2, || {
        for capacity in [0, 1] {
            let (tx, rx) = channel::bounded(capacity);
            let (_unused, never) = channel::bounded::<()>(0);
            let sender = fibra::spawn(move || {
                for n in 0..200 {
                    channel::select! {
                        send(tx, n) -> sent => sent.unwrap(),
                        recv(never) -> _ => unreachable!(),
                    }
                }
            });
            let all: Vec<_> = block_on(rx.into_stream().collect());
            assert!(all.into_iter().eq(0..200));
            sender.join().unwrap();
        }
    });
}

#[test]
fn the_first_of_several_receivers_wins() {
    on_workers(1, || {
        let (_tx, silent) = channel::bounded::<()>(0);
        let (tx, rx) = channel::bounded(1);
        fibra::go!(tx.send(3).unwrap());
        block_on(async {
            match select(silent.recv_async(), rx.recv_async()).await {
                Either::Right((Ok(3), _)) => {}
                _ => unreachable!(),
            }
        });
    });
}

#[test]
fn the_clock_wakes_futures() {
    fn check() {
        let start = Instant::now();
        let pause = Duration::from_millis(5);
        let when = block_on(channel::at(start + pause).recv_async()).unwrap();
        assert!(when == start + pause && start.elapsed() >= pause);
        let ticks = block_on(channel::tick(pause).into_stream().take(3).count());
        assert!(ticks == 3 && start.elapsed() >= 4 * pause);
        let timed = block_on(async {
            let (_tx, rx) = channel::bounded::<()>(0);
            matches!(select(rx.recv_async(), channel::after(pause).recv_async()).await, Either::Right(_))
        });
        assert!(timed);
        let outcome = fibra::timeout(pause, || block_on(channel::never::<()>().recv_async()));
        assert!(outcome.is_err());
    }

    on_workers(1, check);
    within_patience(check);
    within_patience(|| {
        let pause = Duration::from_millis(5);
        assert!(futures_lite::future::block_on(channel::after(pause).recv_async()).is_ok());
    });
}

#[test]
fn a_clock_future_that_is_polled_again_or_dropped_leaves_no_task_behind() {
    on_workers(1, || {
        let runtime = Builder::new().workers(1).max_tasks(2).build().unwrap();
        runtime.run(|| {
            let long = channel::after(Duration::from_secs(100_000));
            let (first, second) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
            for _ in 0..100 {
                let mut recv = long.recv_async();
                // More than one task at a time would be refused.
                assert!(poll(&mut recv, &first).is_pending());
                assert!(poll(&mut recv, &second).is_pending());
                assert!(poll(&mut recv, &first).is_pending());
                drop(recv);
                wait_until("the task is gone", || {
                    fibra::try_spawn(|| ()).is_ok_and(|task| task.join().is_ok())
                });
            }
            assert_eq!((first.get(), second.get()), (0, 0));
            assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
        });
    });
}

#[test]
fn a_clock_future_outlives_the_runtime_that_it_was_polled_in() {
    within_patience(|| {
        let start = Instant::now();
        let receiver = channel::after(Duration::from_millis(30));
        let mut recv = Box::pin(receiver.into_stream());
        let calls = Arc::new(Calls::default());
        let inside = calls.clone();
        let mut recv = Builder::new()
            .workers(1)
            .run(move || {
                let waker = Waker::from(inside);
                assert!(recv.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
                recv
            })
            .unwrap();
        assert_eq!(calls.get(), 1, "the end of its task is told");
        assert!(block_on(recv.next()).is_some());
        assert!(start.elapsed() >= Duration::from_millis(30));
    });
}

#[test]
fn oneshot_receivers_are_awaited() {
    on_workers(2, || {
        let (pairs, waiting): (Vec<_>, Vec<_>) = (0..100).map(|_| oneshot::channel()).unzip();
        let sender = fibra::spawn(move || {
            for (n, tx) in pairs.into_iter().enumerate() {
                if n % 10 == 0 {
                    drop(tx);
                } else {
                    tx.send(n).unwrap();
                }
            }
        });
        let results = block_on(join_all(waiting.into_iter().map(IntoFuture::into_future)));
        for (n, result) in results.into_iter().enumerate() {
            assert_eq!(result, if n % 10 == 0 { Err(RecvError) } else { Ok(n) });
        }
        sender.join().unwrap();
        let (tx, rx) = oneshot::channel();
        tx.send(1).unwrap();
        assert_eq!(block_on(async { rx.await }), Ok(1));
    });
}

#[test]
fn watched_values_and_broadcasts_are_streams() {
    on_workers(1, || {
        let (tx, rx) = watch::channel(0);
        let (next, seen) = channel::bounded(0);
        let watcher = fibra::spawn(move || {
            block_on(async {
                let mut stream = pin!(rx.stream());
                let mut values = Vec::new();
                while let Some(value) = stream.next().await {
                    values.push(*value);
                    next.send(()).unwrap();
                }
                values
            })
        });
        for n in 1..=3 {
            tx.send(n).unwrap();
            seen.recv().unwrap();
        }
        drop(tx);
        assert_eq!(watcher.join().unwrap(), [1, 2, 3]);

        let (tx, rx) = broadcast::channel(2);
        let other = rx.resubscribe();
        (0..5).for_each(|n| assert_eq!(tx.send(n), Ok(2)));
        assert_eq!(block_on(other.recv_async()), Err(broadcast::RecvError::Lagged(3)));
        drop(tx);
        let items: Vec<_> = block_on(rx.into_stream().collect());
        assert_eq!(items, [Err(broadcast::RecvError::Lagged(3)), Ok(3), Ok(4)]);
    });
}

/// Drops what it has when it is called.
struct Dropper(Mutex<Option<Box<dyn Send>>>);

impl Wake for Dropper {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_may_drop_other_futures_that_are_being_woken() {
    on_workers(1, || {
        let (tx, rx) = channel::bounded(1);
        let dropper = Arc::new(Dropper(Mutex::new(None)));
        let waker = Waker::from(dropper.clone());
        let calls = Arc::new(Calls::default());
        // First in the queue; its waker drops the second, which is claimed by the same send.
        let mut first = rx.recv_async();
        assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let mut second = Box::new(rx.clone().into_stream().into_future());
        assert!(poll(&mut second, &calls).is_pending());
        *dropper.0.lock().unwrap() = Some(second);
        tx.send(1).unwrap();
        assert!(dropper.0.lock().unwrap().is_none());
        assert_eq!(poll(&mut first, &calls), Poll::Ready(Ok(1)));
        drop(first);
        assert_eq!(Arc::strong_count(&calls), 1);
    });
}

#[test]
fn a_hundred_thousand_futures_wait_on_one_channel() {
    on_workers(1, || {
        const COUNT: usize = 100_000;
        let (tx, rx) = channel::unbounded();
        let mut all: FuturesUnordered<_> = (0..COUNT).map(|_| rx.recv_async()).collect();
        block_on(async {
            // All of them are in the queue after this.
            assert!(futures_lite::future::poll_once(all.next()).await.is_none());
            (0..COUNT).for_each(|n| tx.send(n).unwrap());
            let mut sum = 0;
            while let Some(n) = all.next().await {
                sum += n.unwrap();
            }
            assert_eq!(sum, COUNT * (COUNT - 1) / 2);
        });
    });
}
