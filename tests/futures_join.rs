//! `JoinHandle` as a future: the result comes once, and the last waker is the one that is called.
#![cfg(feature = "futures")]

#[path = "support/futures.rs"]
mod futures;
mod support;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use fibra::{Cancelled, JoinHandle, block_on, thread};
use futures::{Calls, on_workers};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use support::{Counted, Drops, message, wait_until, within_patience};

fn poll<T>(handle: &mut JoinHandle<T>, calls: &Arc<Calls>) -> Poll<thread::Result<T>> {
    let waker = Waker::from(calls.clone());
    Pin::new(handle).poll(&mut Context::from_waker(&waker))
}

#[test]
fn the_output_is_what_join_returns() {
    on_workers(2, || {
        assert_eq!(block_on(fibra::spawn(|| 42)).unwrap(), 42);
        let payload = block_on(fibra::spawn(|| panic!("oh no"))).unwrap_err();
        assert_eq!(message(&*payload), "oh no");
        let task = fibra::spawn(thread::park);
        task.cancel();
        assert!(block_on(task).unwrap_err().is::<Cancelled>());
    });
    // On plain threads, and in a foreign executor.
    within_patience(|| {
        assert_eq!(block_on(fibra::spawn(|| 42)).unwrap(), 42);
        assert_eq!(futures_lite::future::block_on(fibra::spawn(|| 43)).unwrap(), 43);
    });
}

#[test]
fn the_last_waker_is_called_once_and_no_other() {
    on_workers(1, || {
        let wakers: Vec<_> = (0..5).map(|_| Arc::new(Calls::default())).collect();
        let mut task = fibra::spawn(|| 7);
        for calls in &wakers {
            assert!(poll(&mut task, calls).is_pending());
        }
        fibra::yield_now();
        assert!(task.is_finished());
        let calls: Vec<_> = wakers.iter().map(|calls| calls.get()).collect();
        assert_eq!(calls, [0, 0, 0, 0, 1]);
        assert!(wakers.iter().all(|calls| Arc::strong_count(calls) == 1), "no waker is kept");
        assert!(matches!(poll(&mut task, &wakers[0]), Poll::Ready(Ok(7))));
    });
}

#[test]
fn polled_or_joined_after_its_end_it_panics_and_drops_nothing_twice() {
    on_workers(1, || {
        let drops = Drops::new();
        let counted = drops.counted();
        let calls = Arc::new(Calls::default());
        let mut task = fibra::spawn(move || counted);
        fibra::yield_now();
        assert!(poll(&mut task, &calls).is_ready());
        assert_eq!(drops.get(), 1);
        assert!(task.is_finished());
        let again = catch_unwind(AssertUnwindSafe(|| poll(&mut task, &calls).is_ready()));
        assert!(message(&*again.unwrap_err()).contains("after it had given the result"));
        let joined = catch_unwind(AssertUnwindSafe(|| task.join().is_ok()));
        assert!(message(&*joined.unwrap_err()).contains("had been taken"));
        assert_eq!((drops.get(), calls.get()), (1, 0));
    });
}

#[test]
fn a_handle_that_was_polled_can_be_joined_or_dropped() {
    on_workers(1, || {
        let calls = Arc::new(Calls::default());
        let drops = Drops::new();
        for joined in [true, false] {
            let counted = drops.counted();
            let mut task = fibra::spawn(move || counted);
            assert!(poll(&mut task, &calls).is_pending());
            if joined {
                drop(task.join().unwrap());
            } else {
                drop(task);
                fibra::yield_now();
            }
        }
        assert_eq!((drops.get(), calls.get()), (2, 0));
        assert_eq!(Arc::strong_count(&calls), 1);
    });
}

#[test]
fn a_forgotten_handle_leaves_its_waker_to_be_called() {
    on_workers(1, || {
        let calls = Arc::new(Calls::default());
        let mut task = fibra::spawn(|| ());
        assert!(poll(&mut task, &calls).is_pending());
        std::mem::forget(task);
        fibra::yield_now();
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn a_waker_that_panics_ends_nothing() {
    struct Bad;

    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad waker");
        }
    }

    on_workers(1, || {
        let mut task = fibra::spawn(|| 5);
        let waker = Waker::from(Arc::new(Bad));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        fibra::yield_now();
        assert_eq!(task.join().unwrap(), 5);
    });
}

#[test]
fn a_waker_may_drop_the_handle_that_it_is_called_for() {
    struct Dropper(std::sync::Mutex<Option<JoinHandle<Counted>>>);

    impl Wake for Dropper {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }

    on_workers(1, || {
        let drops = Drops::new();
        let counted = drops.counted();
        let mut task = fibra::spawn(move || counted);
        let dropper = Arc::new(Dropper(std::sync::Mutex::new(None)));
        let waker = Waker::from(dropper.clone());
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        *dropper.0.lock().unwrap() = Some(task);
        fibra::yield_now();
        assert_eq!(drops.get(), 1);
        assert!(dropper.0.lock().unwrap().is_none());
    });
}

#[test]
fn many_handles_are_joined_in_order_and_as_they_end() {
    on_workers(2, || {
        let tasks = (0..1000_u64).map(|n| fibra::spawn(move || n));
        let results = block_on(join_all(tasks));
        assert!(results.into_iter().map(Result::unwrap).eq(0..1000));

        let mut tasks: FuturesUnordered<_> = (0..1000_u64)
            .map(|n| {
                fibra::spawn(move || {
                    if n % 3 == 0 {
                        fibra::yield_now();
                    }
                    n
                })
            })
            .collect();
        let sum = block_on(async {
            let mut sum = 0;
            while let Some(result) = tasks.next().await {
                sum += result.unwrap();
            }
            sum
        });
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn polls_drops_and_joins_race_with_the_end_of_the_task() {
    on_workers(2, || {
        let drops = Drops::new();
        let (calls, mut pending) = (Arc::new(Calls::default()), 0);
        const ROUNDS: usize = 20_000;
        for round in 0..ROUNDS {
            let counted = drops.counted();
            // On the other worker, so that it ends while we poll.
            let spin = round % 64;
            let mut task = thread::Builder::new()
                .worker(1)
                .spawn(move || {
                    (0..spin).for_each(|_| std::hint::spin_loop());
                    counted
                })
                .unwrap();
            let first = poll(&mut task, &calls);
            let second = match first {
                Poll::Pending => poll(&mut task, &calls),
                ready => ready,
            };
            match (second, round % 3) {
                (Poll::Ready(result), _) => drop(result.unwrap()),
                (Poll::Pending, 0) => drop(task.join().unwrap()),
                (Poll::Pending, 1) => drop(block_on(task).unwrap()),
                (Poll::Pending, _) => {
                    pending += 1;
                    drop(task);
                }
            }
        }
        wait_until("all results are dropped", || drops.get() == ROUNDS);
        wait_until("no waker is kept", || Arc::strong_count(&calls) == 1);
        assert!(pending <= ROUNDS);
    });
}

#[test]
fn a_handle_may_move_between_threads_while_it_is_polled() {
    on_workers(2, || {
        let (sender, receiver) = fibra::channel::bounded::<()>(0);
        let mut task = fibra::spawn(move || receiver.recv());
        let calls = Arc::new(Calls::default());
        assert!(poll(&mut task, &calls).is_pending());
        let waiter = std::thread::spawn(move || block_on(poll_fn(|cx| Pin::new(&mut task).poll(cx))));
        sender.send(()).unwrap();
        fibra::blocking(|| waiter.join()).unwrap().unwrap().unwrap();
        assert_eq!(Arc::strong_count(&calls), 1);
    });
}

/// A waker whose destructor panics once.
struct DropsBadly(AtomicBool);

impl Wake for DropsBadly {
    fn wake(self: Arc<Self>) {}
}

impl Drop for DropsBadly {
    fn drop(&mut self) {
        if self.0.swap(false, Ordering::SeqCst) {
            panic!("a waker that drops badly");
        }
    }
}

#[test]
fn a_handle_whose_waker_drops_badly_still_detaches_its_task() {
    on_workers(2, || {
        let drops = Drops::default();
        let counted = drops.counted();
        let mut handle = fibra::spawn(move || {
            thread::park();
            counted
        });
        let task = handle.thread().clone();
        let waker = Waker::from(Arc::new(DropsBadly(true.into())));
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(handle);
        task.unpark();
        wait_until("the value is dropped", || drops.get() == 1);
    });
}
