//! `block_on`: no wake is lost, none is taken from others, and the future is dropped once.
#![cfg(feature = "futures")]

#[path = "support/futures.rs"]
mod futures;
mod support;

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use fibra::{Cancelled, block_on, thread};
use futures::on_workers;
use futures_channel::{mpsc, oneshot};
use futures_util::{SinkExt, StreamExt};
use support::{Drops, message, wait_until, within_patience};

/// Runs `f` in a task of one worker, of two, and on a plain thread.
fn everywhere(f: impl Fn() + Send + Sync + Copy + 'static) {
    on_workers(1, f);
    on_workers(2, f);
    within_patience(f);
}

/// Pending until it is polled with the flag set; leaves its waker.
struct Gate {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
    polls: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { open: AtomicBool::new(false), waker: Mutex::default(), polls: AtomicUsize::new(0) })
    }

    fn passed(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let gate = self.clone();
        poll_fn(move |cx| {
            gate.polls.fetch_add(1, Ordering::SeqCst);
            *gate.waker.lock().unwrap() = Some(cx.waker().clone());
            if gate.open.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn waker(&self) -> Waker {
        wait_until("it has been polled", || self.waker.lock().unwrap().is_some());
        self.waker.lock().unwrap().clone().unwrap()
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_future_that_is_ready_does_not_park() {
    everywhere(|| {
        assert_eq!(block_on(ready(7)), 7);
        assert_eq!(block_on(async { async { 1 }.await + async { 2 }.await }), 3);
    });
}

#[test]
fn a_wake_from_a_task_or_a_thread_ends_the_wait() {
    everywhere(|| {
        for from_thread in [false, true] {
            let gate = Gate::new();
            let opener = {
                let gate = gate.clone();
                move || {
                    let waker = gate.waker();
                    gate.open();
                    waker.wake();
                }
            };
            if from_thread {
                std::thread::spawn(opener);
            } else {
                drop(fibra::spawn(opener));
            }
            block_on(gate.passed());
        }
    });
}

#[test]
fn a_wake_during_the_poll_is_not_lost() {
    everywhere(|| {
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            let other = cx.waker().clone();
            other.wake();
            if polls < 1000 { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert_eq!(polls, 1000);
    });
}

#[test]
fn a_wake_between_poll_and_park_is_not_lost() {
    on_workers(2, || {
        let (wakers, inbox) = std::sync::mpsc::channel::<(Waker, Arc<AtomicBool>)>();
        let waker_thread = std::thread::spawn(move || {
            for (waker, done) in inbox {
                done.store(true, Ordering::SeqCst);
                waker.wake();
            }
        });
        for _ in 0..20_000 {
            let done = Arc::new(AtomicBool::new(false));
            let mut sent = false;
            block_on(poll_fn(|cx| {
                if !sent {
                    sent = true;
                    wakers.send((cx.waker().clone(), done.clone())).unwrap();
                }
                if done.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            }));
        }
        drop(wakers);
        waker_thread.join().unwrap();
    });
}

#[test]
fn a_wake_without_need_is_harmless() {
    on_workers(2, || {
        let gate = Gate::new();
        let opener = {
            let gate = gate.clone();
            fibra::spawn(move || {
                let waker = gate.waker();
                for polls in 1..=50 {
                    wait_until("it has been polled again", || gate.polls.load(Ordering::SeqCst) >= polls);
                    waker.wake_by_ref();
                }
                gate.open();
                waker.wake();
            })
        };
        block_on(gate.passed());
        opener.join().unwrap();
    });
}

#[test]
fn a_waker_may_outlive_the_call() {
    everywhere(|| {
        let gate = Gate::new();
        gate.open();
        block_on(gate.passed());
        let waker = gate.waker();
        assert_eq!(Arc::strong_count(&gate), 1);
        waker.wake_by_ref();
        // It wakes no later call, and no other wait of this task.
        let other = Gate::new();
        let opener = {
            let (other, waker) = (other.clone(), waker.clone());
            fibra::spawn(move || {
                let own = other.waker();
                for _ in 0..100 {
                    waker.wake_by_ref();
                    fibra::yield_now();
                }
                assert_eq!(other.polls.load(Ordering::SeqCst), 1);
                other.open();
                own.wake();
            })
        };
        block_on(other.passed());
        opener.join().unwrap();
    });
}

#[test]
fn calls_nest_and_do_not_mix_up_their_wakers() {
    everywhere(|| {
        let (outer, inner) = (Gate::new(), Gate::new());
        let opener = {
            let (outer, inner) = (outer.clone(), inner.clone());
            fibra::spawn(move || {
                // The outer one is woken while the inner one waits, and must not forget it.
                let (outer_waker, inner_waker) = (outer.waker(), inner.waker());
                outer.open();
                outer_waker.wake();
                fibra::yield_now();
                inner.open();
                inner_waker.wake();
            })
        };
        let inside = inner.clone();
        let mut passed = Box::pin(outer.passed());
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            let answer = passed.as_mut().poll(cx);
            if polls == 1 {
                assert!(answer.is_pending());
                block_on(inside.passed());
            }
            answer
        }));
        opener.join().unwrap();
    });
}

#[test]
fn the_token_of_park_is_neither_taken_nor_left() {
    everywhere(|| {
        let me = thread::current();
        me.unpark();
        let gate = Gate::new();
        let opener = {
            let (gate, me) = (gate.clone(), me.clone());
            fibra::spawn(move || {
                let waker = gate.waker();
                (0..10).for_each(|_| {
                    me.unpark();
                    fibra::yield_now();
                });
                assert_eq!(gate.polls.load(Ordering::SeqCst), 1, "an unpark is not a wake");
                gate.open();
                waker.wake();
            })
        };
        block_on(gate.passed());
        opener.join().unwrap();
        thread::park(); // takes the token
        let start = Instant::now();
        thread::park_timeout(Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5), "there was a second one");
    });
}

#[test]
fn a_future_may_park() {
    on_workers(1, || {
        let (tx, rx) = fibra::channel::bounded(0);
        fibra::go!(tx.send(5).unwrap());
        assert_eq!(block_on(async move { rx.recv().unwrap() + ready(1).await }), 6);
    });
}

#[test]
fn a_future_that_wakes_itself_gives_others_a_turn() {
    on_workers(1, || {
        let done = Arc::new(AtomicBool::new(false));
        let other = {
            let done = done.clone();
            fibra::spawn(move || done.store(true, Ordering::SeqCst))
        };
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if done.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert!(polls < 100, "{polls} polls before the other task had a turn");
        other.join().unwrap();
    });
}

#[test]
fn a_cancelled_task_drops_the_future_once() {
    for busy in [false, true] {
        on_workers(1, move || {
            let drops = Drops::new();
            let counted = drops.counted();
            let task = fibra::spawn(move || {
                block_on(async move {
                    let _counted = counted;
                    if busy {
                        // Never parks.
                        poll_fn(|cx| {
                            cx.waker().wake_by_ref();
                            Poll::<()>::Pending
                        })
                        .await;
                    }
                    pending::<()>().await;
                })
            });
            fibra::yield_now();
            fibra::yield_now();
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>());
            assert_eq!(drops.get(), 1);
        });
    }
}

#[test]
fn a_timeout_drops_the_future() {
    everywhere(|| {
        let drops = Drops::new();
        let counted = drops.counted();
        let outcome = fibra::timeout(Duration::from_millis(5), || {
            block_on(async move {
                let _counted = counted;
                pending::<()>().await
            })
        });
        assert!(outcome.is_err());
        assert_eq!(drops.get(), 1);
        assert_eq!(block_on(ready(1)), 1);
    });
}

#[test]
fn a_panic_of_the_future_passes_through() {
    everywhere(|| {
        let drops = Drops::new();
        let counted = drops.counted();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            block_on(async move {
                let _counted = counted;
                panic!("in the future");
            })
        }));
        assert_eq!(message(&*outcome.unwrap_err()), "in the future");
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn where_nothing_can_park_the_wait_is_refused() {
    on_workers(1, || {
        let outcome = catch_unwind(|| fibra::on_thread_stack(|| block_on(pending::<()>())));
        assert!(message(&*outcome.unwrap_err()).contains("on_thread_stack"));
        assert_eq!(fibra::on_thread_stack(|| block_on(ready(1))), 1);
    });
}

#[test]
fn futures_of_crates_without_a_runtime_work() {
    everywhere(|| {
        let (mut to_worker, mut requests) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(2);
        let worker = fibra::spawn(move || {
            block_on(async move {
                let mut served = 0;
                while let Some((n, answer)) = requests.next().await {
                    answer.send(n * n).unwrap();
                    served += 1;
                }
                served
            })
        });
        let sum = block_on(async move {
            let mut sum = 0;
            for n in 1..=100 {
                let (answer, result) = oneshot::channel();
                to_worker.send((n, answer)).await.unwrap();
                sum += result.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 338_350);
        assert_eq!(worker.join().unwrap(), 100);

        let winner = block_on(futures_lite::future::or(async { 1 }, pending()));
        assert_eq!(winner, 1);
        block_on(futures_lite::future::yield_now());
        let mutex = futures_util::lock::Mutex::new(1);
        let both = block_on(async { futures_util::join!(async { *mutex.lock().await }, async { 2 }) });
        assert_eq!(both, (1, 2));
    });
}

#[test]
fn many_tasks_pass_a_ball_around() {
    on_workers(2, || {
        const TASKS: usize = 100;
        let (mut senders, receivers): (Vec<_>, Vec<_>) =
            (0..TASKS).map(|_| mpsc::channel::<usize>(0)).unzip();
        senders.rotate_left(1);
        let mut first = senders[TASKS - 1].clone();
        let tasks: Vec<_> = senders
            .into_iter()
            .zip(receivers)
            .map(|(mut next, mut inbox)| {
                fibra::spawn(move || {
                    block_on(async move {
                        let mut seen = 0;
                        while let Some(left) = inbox.next().await {
                            seen += 1;
                            if left == 0 {
                                break;
                            }
                            next.send(left - 1).await.unwrap();
                            if left < TASKS {
                                break;
                            }
                        }
                        seen
                    })
                })
            })
            .collect();
        block_on(first.send(TASKS * 20)).unwrap();
        drop(first);
        let seen: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(seen, TASKS * 20 + 1);
    });
}
