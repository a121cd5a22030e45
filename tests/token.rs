//! Cancellation tokens: trees of them, what runs under them, who listens.

#[path = "support/net.rs"]
mod net;
mod support;

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::cancel::{self, Cancelled, Token};
use fibra::channel::{self, RecvError};
use fibra::{select, thread, timeout};
use net::{LONG, SHORT, everywhere};
use support::{Drops, OnDrop, in_child, rss_kib, stderr, within_patience};

#[test]
fn a_parked_closure_ends_when_its_token_is_cancelled() {
    everywhere(|| {
        let (token, drops) = (Token::new(), Drops::new());
        let (parks, parked) = channel::bounded(0);
        let task = {
            let (token, counted) = (token.clone(), drops.counted());
            fibra::spawn(move || {
                let ended = token.run(|| {
                    let _counted = counted;
                    parks.send(()).unwrap();
                    thread::park();
                });
                // Only the closure was cancelled: the task goes on.
                thread::park_timeout(Duration::from_millis(1));
                ended
            })
        };
        parked.recv().unwrap();
        token.cancel();
        assert_eq!(task.join().unwrap(), Err(Cancelled));
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_plain_thread_is_ended_like_a_task() {
    within_patience(|| {
        let token = Token::new();
        let (parks, parked) = channel::bounded(0);
        let (_sender, receiver) = channel::bounded::<()>(0);
        let thread = std::thread::spawn({
            let token = token.clone();
            move || {
                token.run(|| {
                    parks.send(()).unwrap();
                    receiver.recv()
                })
            }
        });
        parked.recv().unwrap();
        token.cancel();
        assert_eq!(thread.join().unwrap(), Err(Cancelled));
    });
}

#[test]
fn a_closure_that_ends_by_itself_keeps_its_value() {
    everywhere(|| {
        let token = Token::new();
        assert_eq!(token.run(|| 7), Ok(7));
        let cancels_itself = token.run(|| {
            token.cancel();
            8
        });
        assert_eq!(cancels_itself, Ok(8), "it met no park any more");
        assert_eq!(token.run(|| unreachable!("cancelled before")), Err::<(), _>(Cancelled));
    });
}

#[test]
fn the_next_park_meets_a_cancellation_from_inside() {
    everywhere(|| {
        let token = Token::new();
        let mut swallowed = 0;
        let ended = token.run(|| {
            token.cancel();
            for _ in 0..3 {
                assert!(catch_unwind(thread::park).is_err());
                swallowed += 1;
            }
            thread::park();
        });
        assert_eq!((ended, swallowed), (Err(Cancelled), 3));
        thread::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn descendants_are_cancelled_and_ancestors_are_not() {
    let root = Token::new();
    let (left, right) = (root.child(), root.child());
    let leaf = left.child();
    left.cancel_with("left alone");
    let states = [&root, &left, &right, &leaf].map(Token::is_cancelled);
    assert_eq!(states, [false, true, false, true]);
    assert_eq!(leaf.reason().unwrap().to_string(), "left alone");
    assert!(root.reason().is_none());
    root.cancel();
    assert!(right.is_cancelled() && root.child().is_cancelled() && leaf.child().is_cancelled());
    assert!(root.child().reason().unwrap().is::<Cancelled>());
    assert_eq!(left.reason().unwrap().to_string(), "left alone", "the first reason stays");
}

#[test]
fn a_receiver_learns_of_it_before_and_after() {
    everywhere(|| {
        let token = Token::new();
        let early = token.child().cancelled();
        // Its token is gone, and with it whoever could cancel it.
        assert_eq!(early.recv(), Err(RecvError));

        let child = token.child();
        let (early, other) = (child.cancelled(), child.cancelled());
        assert!(early.try_recv().unwrap_err().is_empty());
        assert!(early.same_channel(&other));
        let waits = fibra::spawn(move || other.recv());
        token.cancel();
        assert_eq!(waits.join().unwrap(), Err(RecvError));
        assert_eq!(early.recv(), Err(RecvError));
        assert_eq!(child.cancelled().recv(), Err(RecvError));
        assert_eq!(token.child().cancelled().recv(), Err(RecvError));
    });
}

#[test]
fn select_chooses_between_work_and_cancellation() {
    everywhere(|| {
        let token = Token::new();
        let (sender, receiver) = channel::bounded(0);
        let works = fibra::spawn({
            let cancelled = token.cancelled();
            move || {
                let mut sum = 0;
                loop {
                    select! {
                        recv(receiver) -> n => sum += n.unwrap_or(0),
                        recv(cancelled) -> never => return (sum, never),
                    }
                }
            }
        });
        (1..=10).for_each(|n| sender.send(n).unwrap());
        token.cancel();
        assert_eq!(works.join().unwrap(), (55, Err(RecvError)));
    });
}

#[test]
fn a_shield_hides_the_tokens_outside_and_not_those_inside() {
    everywhere(|| {
        let (outside, inside) = (Token::new(), Token::new());
        let (sender, receiver) = channel::bounded(0);
        let (cancels_outside, cancels_inside) = (outside.clone(), inside.clone());
        let other = fibra::spawn(move || {
            sender.send(1).unwrap();
            cancels_outside.cancel();
            sender.send(2).unwrap();
            cancels_inside.cancel();
            // Nobody takes it.
            sender.send(3).is_err()
        });
        let mut got = 0;
        let ended = outside.run(|| {
            cancel::shield(|| {
                got = receiver.recv().unwrap();
                got += receiver.recv().unwrap();
                assert_eq!(inside.run(thread::park), Err(Cancelled));
                assert_eq!(timeout(Duration::from_millis(1), thread::park), Err(cancel::Elapsed));
                got += 10;
            });
            // The cancellation came, and its interrupt was spent, while the token was hidden.
            thread::park();
        });
        assert_eq!((ended, got), (Err(Cancelled), 13));
        drop(receiver);
        assert!(other.join().unwrap());
    });
}

#[test]
fn one_inner_token_ends_its_closure_alone() {
    everywhere(|| {
        let (outer, inner) = (Token::new(), Token::new());
        let ended = outer.run(|| {
            let ended = inner.run(|| {
                inner.cancel();
                thread::park();
            });
            thread::park_timeout(Duration::from_millis(1));
            ended
        });
        assert_eq!(ended, Ok(Err(Cancelled)));
        let both = outer.run(|| {
            let ended = outer.child().run(|| {
                outer.cancel();
                thread::park();
            });
            unreachable!("the outermost wins: {ended:?}")
        });
        assert_eq!(both, Err::<(), _>(Cancelled));
    });
}

#[test]
fn destructors_park_in_peace_after_a_cancellation() {
    everywhere(|| {
        let (sender, receiver) = channel::bounded(0);
        let other = fibra::spawn(move || receiver.recv().unwrap());
        let token = Token::new();
        let ended = token.run(|| {
            let _sends = OnDrop::new(|| sender.send(7).unwrap());
            token.cancel();
            thread::park();
        });
        assert_eq!(ended, Err(Cancelled));
        assert_eq!(other.join().unwrap(), 7);
    });
}

#[test]
fn one_token_ends_a_thousand_closures() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            fibra::Builder::new().workers(workers).build().unwrap().run(|| {
                let (token, drops) = (Token::new(), Drops::new());
                let started = Arc::new(AtomicUsize::new(0));
                let tasks: Vec<_> = (0..1_000)
                    .map(|_| {
                        let (token, counted, started) = (token.child(), drops.counted(), started.clone());
                        fibra::spawn(move || {
                            token.run(|| {
                                let _counted = counted;
                                started.fetch_add(1, Ordering::Relaxed);
                                thread::park();
                            })
                        })
                    })
                    .collect();
                support::wait_until("all run", || started.load(Ordering::Relaxed) == 1_000);
                token.cancel();
                for task in tasks {
                    assert_eq!(task.join().unwrap(), Err(Cancelled));
                }
                assert_eq!(drops.get(), 1_000);
            });
        });
    }
}

#[test]
fn a_message_that_races_with_a_cancellation_is_received_or_still_there() {
    for workers in [1, 2] {
        within_patience(move || {
            fibra::Builder::new().workers(workers).build().unwrap().run(|| {
                for round in 0..2_000 {
                    let token = Token::new();
                    let (sender, receiver) = channel::bounded(round % 2);
                    let sends = fibra::spawn(move || sender.try_send(7).is_ok());
                    let cancels = fibra::spawn({
                        let token = token.clone();
                        move || token.cancel()
                    });
                    let received = token.run(|| receiver.recv());
                    let sent = sends.join().unwrap();
                    cancels.join().unwrap();
                    let left = receiver.try_recv();
                    let arrived = received == Ok(Ok(7)) || left == Ok(7);
                    assert!(sent == arrived, "{sent} {received:?} {left:?}");
                    assert!(received != Ok(Ok(7)) || left != Ok(7), "it came twice");
                }
            });
        });
    }
}

#[test]
fn closures_begin_and_end_while_their_token_is_cancelled() {
    for workers in [1, 2] {
        within_patience(move || {
            fibra::Builder::new().workers(workers).build().unwrap().run(|| {
                for _ in 0..200 {
                    let token = Token::new();
                    let ended = Arc::new(AtomicUsize::new(0));
                    let tasks: Vec<_> = (0..4)
                        .map(|_| {
                            let (token, ended) = (token.clone(), ended.clone());
                            fibra::spawn(move || {
                                // Each entry of the list may be found by the canceller, or just be gone.
                                while token.run(fibra::yield_now).is_ok() {
                                    let child = token.child();
                                    let _ = child.run(|| timeout(Duration::from_nanos(100), thread::park));
                                }
                                ended.fetch_add(1, Ordering::Relaxed);
                            })
                        })
                        .collect();
                    fibra::yield_now();
                    token.cancel();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                    assert_eq!(ended.load(Ordering::Relaxed), 4);
                }
            });
        });
    }
}

#[test]
fn a_tree_that_grows_shrinks_and_is_cancelled_from_all_sides() {
    within_patience(|| {
        for _ in 0..50 {
            let root = Token::new();
            std::thread::scope(|s| {
                for seed in 0..4 {
                    let root = root.clone();
                    s.spawn(move || {
                        let mut tokens = vec![root.clone()];
                        for n in 0..300_usize {
                            let parent = &tokens[(n * 7 + seed) % tokens.len()];
                            let child = parent.child();
                            match (n + seed) % 5 {
                                0 => child.cancel(),
                                1 => drop(tokens.pop()),
                                _ => tokens.push(child),
                            }
                            if tokens.is_empty() {
                                tokens.push(root.clone());
                            }
                        }
                        if seed == 3 {
                            root.cancel();
                        }
                        tokens
                    });
                }
            });
            assert!(root.is_cancelled());
        }
    });
}

#[test]
fn a_long_chain_is_cancelled_and_dropped_without_recursion() {
    for cancel in [false, true] {
        let root = Token::new();
        let mut leaf = root.child();
        for _ in 0..200_000 {
            leaf = leaf.child();
        }
        if cancel {
            root.cancel();
            assert!(leaf.is_cancelled());
        }
        drop(root);
        drop(leaf);
    }
}

#[test]
fn a_parent_forgets_its_dropped_children() {
    // Memory is counted for the whole process, so it is one without other tests.
    let output = in_child("a_parent_forgets_its_dropped_children", &[], || {
        let root = Token::new();
        let before = rss_kib();
        for _ in 0..1_000_000 {
            drop(root.child());
        }
        assert!(rss_kib() < before + 16 * 1024);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn guards_cancel_unless_disarmed() {
    let token = Token::new();
    let disarmed = token.clone().drop_guard().disarm();
    assert!(disarmed == token && !token.is_cancelled());
    let caught = catch_unwind({
        let guard = token.clone().drop_guard();
        move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new(()));
        }
    });
    assert!(caught.is_err() && token.is_cancelled());
}

#[test]
fn a_cancelled_task_and_a_cancelled_token_at_once() {
    everywhere(|| {
        let token = Token::new();
        let (parks, parked) = channel::bounded(0);
        let task = fibra::spawn({
            let token = token.clone();
            move || {
                let _ = token.run(|| {
                    parks.send(()).unwrap();
                    thread::park();
                });
                // Whichever came first, the task's own cancellation is met here at the latest.
                thread::park_timeout(LONG);
            }
        });
        parked.recv().unwrap();
        token.cancel();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(timeout(SHORT, || ()), Ok(()));
    });
}
