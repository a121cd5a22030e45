//! Timeouts, deadlines and shields around blocking code.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::cancel::{self, Cancelled, Elapsed};
use fibra::sync::{Barrier, Condvar, Mutex, Notify, Semaphore, WaitGroup};
use fibra::{channel, thread, timeout};
use net::{LONG, SHORT, everywhere, tcp_pair};
use support::{Drops, OnDrop, within_patience};

/// A way to wait.
type Wait<'a> = Box<dyn FnMut() + 'a>;

/// A deadline that has passed: whatever parks unwinds at once.
fn past() -> Instant {
    Instant::now()
}

#[test]
fn every_wait_ends_at_the_deadline_and_destructors_run_once() {
    everywhere(|| {
        let (full, receiver) = channel::bounded(0);
        let (wg, notify, barrier) = (WaitGroup::new(), Notify::new(), Barrier::new(2));
        wg.add(1);
        let (no_permits, mutex, condvar) = (Semaphore::new(0), Mutex::new(()), Condvar::new());
        let (mut near, _far) = tcp_pair();
        let (mut pipe, _writer) = fibra::io::pipe().unwrap();
        let mut waits: Vec<(&str, Wait<'_>)> = vec![
            ("park", Box::new(thread::park)),
            ("park_timeout", Box::new(|| thread::park_timeout(LONG))),
            ("sleep", Box::new(|| thread::sleep(LONG))),
            ("sleep_until", Box::new(|| thread::sleep_until(Instant::now() + LONG))),
            ("join", Box::new(|| fibra::spawn(|| thread::park_timeout(SHORT * 20)).join().unwrap())),
            ("receive", Box::new(|| _ = receiver.recv())),
            ("receive for long", Box::new(|| _ = receiver.recv_timeout(LONG))),
            ("send", Box::new(|| _ = full.send(1))),
            ("select", Box::new(|| fibra::select! { recv(receiver) -> _ => (), send(full, 2) -> _ => () })),
            ("wait group", Box::new(|| wg.wait())),
            ("notify", Box::new(|| notify.notified().wait())),
            ("barrier", Box::new(|| _ = barrier.wait())),
            ("semaphore", Box::new(|| _ = no_permits.acquire())),
            ("condvar", Box::new(|| condvar.wait(&mut mutex.lock()))),
            ("socket", Box::new(|| _ = near.read(&mut [0]))),
            ("pipe", Box::new(|| _ = pipe.read(&mut [0]))),
        ];
        for (name, wait) in &mut waits {
            for how_long in [Duration::ZERO, Duration::from_millis(2)] {
                let drops = Drops::new();
                let ended = timeout(how_long, || {
                    let _counted = drops.counted();
                    loop {
                        wait();
                    }
                });
                assert_eq!(ended, Err::<(), _>(Elapsed), "{name}");
                assert_eq!(drops.get(), 1, "{name}");
            }
        }
        drop(waits);
        assert!(mutex.try_lock().is_some(), "the guard of the condition variable has unlocked");
        assert!(full.try_send(3).is_err(), "no receiver is left in the queue");
        assert!(receiver.try_recv().is_err(), "no sender is left in the queue");
    });
}

#[test]
fn what_is_ready_comes_back_though_the_time_is_over() {
    everywhere(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        assert_eq!(fibra::deadline(past(), || receiver.recv()), Ok(Ok(1)));
        assert_eq!(fibra::deadline(past(), || 2), Ok(2));
        thread::current().unpark();
        assert_eq!(fibra::deadline(past(), thread::park), Ok(()), "there was a token");
    });
}

#[test]
fn the_earlier_of_two_deadlines_ends_the_call() {
    everywhere(|| {
        let mut reached = false;
        let outer = timeout(SHORT, || {
            let inner = timeout(LONG, thread::park);
            reached = true;
            inner
        });
        assert_eq!(outer, Err(Elapsed), "the outer one is earlier");
        assert!(!reached, "and is not met in the inner one");

        let outer = timeout(LONG, || {
            let inner = timeout(SHORT, thread::park);
            thread::park_timeout(SHORT);
            inner
        });
        assert_eq!(outer, Ok(Err(Elapsed)), "the inner one is earlier, and ends nothing but itself");
    });
}

#[test]
fn of_several_that_are_over_the_outermost_wins() {
    everywhere(|| {
        let mut inner_returned = false;
        let outer = fibra::deadline(past(), || {
            let inner = fibra::deadline(past(), thread::park);
            inner_returned = true;
            inner
        });
        assert_eq!(outer, Err(Elapsed));
        assert!(!inner_returned);
    });
}

#[test]
fn a_wait_with_a_timeout_of_its_own_that_is_earlier_is_left_alone() {
    everywhere(|| {
        let (_sender, receiver) = channel::bounded::<()>(0);
        let timed_out = Err(channel::RecvTimeoutError::Timeout);
        assert_eq!(timeout(LONG, || receiver.recv_timeout(SHORT)), Ok(timed_out));
        assert_eq!(timeout(SHORT, || receiver.recv_timeout(LONG)), Err(Elapsed));
    });
}

#[test]
fn who_swallows_the_unwinding_meets_it_again_until_the_closure_is_left() {
    everywhere(|| {
        let swallowed = AtomicUsize::new(0);
        let ended = fibra::deadline(past(), || {
            for _ in 0..3 {
                assert!(catch_unwind(thread::park).is_err());
                swallowed.fetch_add(1, Ordering::Relaxed);
            }
            thread::park();
        });
        assert_eq!((ended, swallowed.into_inner()), (Err(Elapsed), 3));
        // It is over with the closure.
        thread::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn an_unwinding_that_is_thrown_on_outside_of_its_closure_is_nobody_elses() {
    everywhere(|| {
        let mut payload = None;
        assert_eq!(fibra::deadline(past(), || payload = catch_unwind(thread::park).err()), Ok(()));
        let payload = payload.unwrap();
        let caught =
            catch_unwind(AssertUnwindSafe(|| timeout(LONG, || timeout(LONG, || resume_unwind(payload)))));
        assert!(caught.is_err(), "neither of the two takes it for its own");
    });
}

#[test]
fn a_panic_passes_through_and_leaves_nothing_behind() {
    everywhere(|| {
        let caught = catch_unwind(|| timeout(LONG, || resume_unwind(Box::new("oh no"))));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"oh no"));
        thread::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn destructors_park_in_peace_while_the_time_is_over() {
    everywhere(|| {
        let (sender, receiver) = channel::bounded(0);
        let other = fibra::spawn(move || receiver.recv().unwrap());
        let ended = fibra::deadline(past(), || {
            let _sends = OnDrop::new(|| sender.send(7).unwrap());
            thread::park();
        });
        assert_eq!(ended, Err(Elapsed));
        assert_eq!(other.join().unwrap(), 7);
    });
}

#[test]
fn a_shield_holds_the_time_back_and_no_longer() {
    everywhere(|| {
        let mut shielded = false;
        let ended = fibra::deadline(past(), || {
            cancel::shield(|| {
                thread::park_timeout(Duration::from_millis(1));
                assert_eq!(cancel::check(), Ok(()));
                shielded = true;
            });
            assert_eq!(cancel::check(), Err(Cancelled));
            thread::park();
        });
        assert_eq!(ended, Err(Elapsed));
        assert!(shielded);
    });
}

#[test]
fn a_timeout_inside_a_shield_works() {
    everywhere(|| {
        let mut inner = Ok(());
        let outer = fibra::deadline(past(), || {
            cancel::shield(|| {
                inner = fibra::deadline(past(), thread::park);
                inner = inner.and(timeout(SHORT, thread::park));
            });
        });
        assert_eq!((outer, inner), (Ok(()), Err(Elapsed)));
    });
}

#[test]
fn a_panic_in_a_shield_restores_what_it_hid() {
    everywhere(|| {
        let ended = fibra::deadline(past(), || {
            assert!(catch_unwind(|| cancel::shield(|| resume_unwind(Box::new(())))).is_err());
            thread::park();
        });
        assert_eq!(ended, Err(Elapsed));
    });
}

#[test]
fn a_cancelled_task_passes_its_timeouts_on_the_way_out() {
    within_patience(|| {
        fibra::run(|| {
            let drops = Drops::new();
            let (inside, outside) = (drops.counted(), drops.counted());
            let (parks, parked) = channel::bounded(0);
            let task = fibra::spawn(move || {
                let _outside = outside;
                let _ = timeout(LONG, || {
                    let _inside = inside;
                    parks.send(()).unwrap();
                    thread::park();
                });
                unreachable!("the task is cancelled, and not only the call");
            });
            parked.recv().unwrap();
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>());
            assert_eq!(drops.get(), 2);
        });
    });
}

#[test]
fn a_loop_that_waits_for_no_time_can_be_ended() {
    everywhere(|| {
        let (_sender, receiver) = channel::bounded::<()>(0);
        let ended = timeout(SHORT, || {
            loop {
                thread::park_timeout(Duration::ZERO);
                let _ = receiver.recv_timeout(Duration::ZERO);
                fibra::yield_now();
            }
        });
        assert_eq!(ended, Err::<(), _>(Elapsed));
    });
    within_patience(|| {
        let task = fibra::spawn(|| {
            loop {
                thread::park_timeout(Duration::ZERO);
                fibra::yield_now();
            }
        });
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_blocking_call_that_has_begun_comes_to_its_end() {
    within_patience(|| {
        fibra::run(|| {
            let (go_on, goes_on) = std::sync::mpsc::channel();
            let finished = AtomicUsize::new(0);
            let ended = timeout(SHORT, || {
                fibra::blocking(|| {
                    // Until the time is over for sure.
                    std::thread::sleep(SHORT * 3);
                    go_on.send(()).unwrap();
                    finished.fetch_add(1, Ordering::Relaxed);
                });
            });
            assert_eq!(ended, Ok(()), "a call that ends late has ended");
            assert_eq!((goes_on.try_recv(), finished.into_inner()), (Ok(()), 1));
        });
    });
}

#[test]
fn a_scope_is_awaited_before_the_call_returns() {
    everywhere(|| {
        let finished = AtomicUsize::new(0);
        let ended = fibra::deadline(past(), || {
            fibra::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        thread::park_timeout(Duration::from_millis(3));
                        finished.fetch_add(1, Ordering::Relaxed);
                    });
                }
                thread::park();
            });
        });
        assert_eq!((ended, finished.into_inner()), (Err(Elapsed), 3));
    });
}

#[test]
fn a_message_that_races_with_the_deadline_is_received_or_still_there() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = channel::bounded(capacity);
            let rounds = 300;
            let sends = fibra::spawn(move || {
                for n in 0..rounds {
                    sender.send(n).unwrap();
                    fibra::yield_now();
                }
            });
            let mut expected = 0;
            while expected < rounds {
                let wait = Duration::from_nanos(u64::from(expected % 64_u32) * 200);
                if let Ok(n) = timeout(wait, || receiver.recv()) {
                    assert_eq!(n, Ok(expected), "none is lost, none comes twice");
                    expected += 1;
                }
            }
            sends.join().unwrap();
        }
    });
}

#[test]
fn a_loop_that_computes_can_ask() {
    everywhere(|| {
        let asked = AtomicUsize::new(0);
        let ended = timeout(Duration::from_millis(1), || {
            while cancel::check().is_ok() {
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(ended, Ok(()));
        assert_eq!(cancel::check(), Ok(()));
    });
    let task = within_patience(|| fibra::spawn(|| while cancel::check().is_ok() {}));
    task.cancel();
    // It has ended by itself, or the cancellation came before its start.
    let _ = task.join();
}

#[test]
fn many_tasks_with_deadlines_of_their_own() {
    within_patience(|| {
        fibra::Builder::new().workers(2).build().unwrap().run(|| {
            let drops = Drops::new();
            let receiver = Arc::new(channel::bounded::<()>(0));
            let tasks: Vec<_> = (0..2_000)
                .map(|n| {
                    let (receiver, counted) = (receiver.clone(), drops.counted());
                    fibra::spawn(move || {
                        let _counted = counted;
                        timeout(Duration::from_micros(n % 500), || receiver.1.recv())
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.join().unwrap(), Err(Elapsed));
            }
            assert_eq!(drops.get(), 2_000);
        });
    });
}

#[test]
fn an_error_of_either_kind_becomes_one_of_io() {
    let error = std::io::Error::from(Elapsed);
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (std::io::ErrorKind::TimedOut, "the deadline has passed")
    );
}
