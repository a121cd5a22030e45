//! The orderly end: who learns of the request, the work that is counted, and the second signal.

mod support;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{RecvError, TryRecvError};
use fibra::signal::{Shutdown, Signal, signal};
use fibra::{Builder, Cancelled};
use support::{PATIENCE, count, in_child, stderr, wait_until, within_patience};

/// Without signals, so that tests in one process don't meet.
fn quiet() -> Shutdown {
    Shutdown::on([]).unwrap()
}

#[test]
fn a_request_reaches_tasks_of_all_runtimes_plain_threads_receivers_and_latecomers() {
    let shutdown = quiet();
    let reached = Arc::new(AtomicUsize::new(0));
    let runtimes: Vec<_> = [1, 2, 4].map(|workers| Builder::new().workers(workers).build().unwrap()).into();
    let mut tasks = Vec::new();
    for runtime in &runtimes {
        for i in 0..30 {
            let (shutdown, reached) = (shutdown.clone(), reached.clone());
            tasks.push(runtime.spawn(move || {
                match i % 3 {
                    0 => shutdown.wait(),
                    1 => assert!(shutdown.wait_timeout(PATIENCE)),
                    _ => assert_eq!(shutdown.receiver().recv(), Err(RecvError)),
                }
                assert!(shutdown.is_requested());
                reached.fetch_add(1, Ordering::SeqCst);
            }));
        }
    }
    let thread = std::thread::spawn({
        let shutdown = shutdown.clone();
        move || shutdown.wait()
    });
    assert!(!shutdown.is_requested());
    assert!(!shutdown.wait_timeout(Duration::from_millis(1)));
    assert_eq!(shutdown.receiver().try_recv(), Err(TryRecvError::Empty));
    assert_eq!(reached.load(Ordering::SeqCst), 0);

    shutdown.clone().request();
    shutdown.request();
    within_patience(move || {
        tasks.into_iter().for_each(|task| task.join().unwrap());
        thread.join().unwrap();
    });
    assert_eq!(reached.load(Ordering::SeqCst), 90);
    shutdown.wait();
    assert!(shutdown.wait_timeout(Duration::ZERO));
    assert_eq!(shutdown.receiver().try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(shutdown.signal(), None);
}

#[test]
fn each_of_its_signals_requests_the_end_and_is_told() {
    let kinds = [0, 1].map(|n| Signal::real_time(n).unwrap());
    for kind in kinds {
        let shutdown = Shutdown::on(kinds).unwrap();
        let another = Shutdown::on(kinds).unwrap();
        assert_eq!((shutdown.is_requested(), shutdown.signal()), (false, None));
        kind.raise().unwrap();
        shutdown.wait();
        another.wait();
        assert_eq!((shutdown.signal(), another.signal()), (Some(kind), Some(kind)));
        shutdown.request();
        assert_eq!(shutdown.signal(), Some(kind));
    }
    let error = Shutdown::on([kinds[0], Signal::SIGKILL]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn it_is_requested_while_every_worker_is_busy() {
    let kind = Signal::real_time(2).unwrap();
    let shutdown = Shutdown::on([kind]).unwrap();
    let runtime = Builder::new().workers(2).build().unwrap();
    let hogs: Vec<_> = (0..2)
        .map(|_| {
            let shutdown = shutdown.clone();
            runtime.spawn(move || {
                while !shutdown.is_requested() {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    kind.raise().unwrap();
    within_patience(move || hogs.into_iter().for_each(|hog| hog.join().unwrap()));
}

#[test]
fn drain_waits_for_all_work_also_for_that_which_panics_or_never_starts() {
    let shutdown = quiet();
    let ended = Arc::new(AtomicUsize::new(0));
    let runtime = Builder::new().workers(2).build().unwrap();
    let quick = {
        let (shutdown, ended) = (shutdown.clone(), ended.clone());
        move || {
            for i in 0..100 {
                let ended = ended.clone();
                let at_the_end = support::OnDrop::new(move || {
                    ended.fetch_add(1, Ordering::SeqCst);
                });
                shutdown.go(move || {
                    let _at_the_end = at_the_end;
                    fibra::yield_now();
                    if i % 10 == 0 {
                        std::panic::resume_unwind(Box::new("on purpose"));
                    }
                });
            }
            shutdown.drain(PATIENCE)
        }
    };
    assert_eq!(runtime.run(quick), Ok(()));
    assert_eq!((ended.load(Ordering::SeqCst), shutdown.alive()), (100, 0));

    // A runtime that ends takes its tasks along, started or not.
    let parked = shutdown.clone();
    runtime.run(move || (0..50).for_each(|_| parked.go(fibra::thread::park)));
    assert_eq!(shutdown.alive(), 50);
    let error = shutdown.drain(Duration::from_millis(1)).unwrap_err();
    assert_eq!((error.count(), error.to_string().as_str()), (50, "50 pieces of work are still running"));
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::TimedOut);
    within_patience(move || drop(runtime));
    assert_eq!(shutdown.drain(PATIENCE), Ok(()));
}

#[test]
fn a_guard_counts_from_its_making_to_its_drop_before_and_after_the_request() {
    let shutdown = quiet();
    assert_eq!(shutdown.drain(Duration::ZERO), Ok(()));
    let before = shutdown.guard();
    shutdown.request();
    let after = shutdown.guard();
    assert_eq!(shutdown.alive(), 2);
    assert_eq!(shutdown.drain(Duration::ZERO).unwrap_err().count(), 2);
    drop(before);
    assert_eq!(shutdown.drain(Duration::from_millis(1)).unwrap_err().count(), 1);
    let clone = shutdown.clone();
    let waiting = fibra::spawn(move || clone.drain(PATIENCE));
    fibra::spawn(move || drop(after));
    assert_eq!(within_patience(move || waiting.join().unwrap()), Ok(()));
}

#[test]
fn a_cancelled_waiter_changes_nothing() {
    let shutdown = quiet();
    let _guard = shutdown.guard();
    let runtime = Builder::new().workers(1).build().unwrap();
    for wait in [|s: Shutdown| s.wait(), |s: Shutdown| s.drain(PATIENCE).unwrap()] {
        let clone = shutdown.clone();
        let task = runtime.spawn(move || wait(clone));
        runtime.run(fibra::yield_now);
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    }
    assert_eq!((shutdown.is_requested(), shutdown.alive()), (false, 1));
}

#[test]
fn the_same_signal_again_ends_the_process_and_another_does_not() {
    let name = "the_same_signal_again_ends_the_process_and_another_does_not";
    let output = in_child(name, &[], || {
        let shutdown = Shutdown::new().unwrap();
        let _stuck = shutdown.guard();
        Signal::SIGTERM.raise().unwrap();
        shutdown.wait();
        Signal::SIGINT.raise().unwrap();
        eprintln!("requested by {}", shutdown.signal().unwrap());
        // The first ones still mean the request. Nothing but a signal ends this loop.
        wait_until("the signal ends the process", || {
            Signal::SIGTERM.raise().unwrap();
            false
        });
    });
    assert_eq!(output.status.signal(), Some(libc::SIGTERM), "{output:?}");
    assert_eq!(count(&stderr(&output), "requested by SIGTERM"), 1, "{output:?}");
}

#[test]
fn a_signal_that_arrives_twice_at_once_is_one_request() {
    let output = in_child("a_signal_that_arrives_twice_at_once_is_one_request", &[], || {
        let shutdown = Shutdown::new().unwrap();
        // Handed out one by one: another receiver holds the second back until the first has been taken.
        let witness = signal(Signal::SIGINT).unwrap();
        for _ in 0..2 {
            Signal::SIGINT.raise().unwrap();
            assert_eq!(witness.recv(), Ok(Signal::SIGINT));
        }
        drop(witness);
        shutdown.wait();
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn another_receiver_keeps_the_second_signal_from_ending_the_process() {
    let output = in_child("another_receiver_keeps_the_second_signal_from_ending_the_process", &[], || {
        let shutdown = Shutdown::new().unwrap();
        let receiver = signal(Signal::SIGINT).unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            Signal::SIGINT.raise().unwrap();
            assert_eq!(receiver.recv(), Ok(Signal::SIGINT));
            std::thread::sleep(Duration::from_millis(10));
        }
        shutdown.wait();
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn without_any_clone_the_signals_do_what_they_did_before() {
    let output = in_child("without_any_clone_the_signals_do_what_they_did_before", &[], || {
        let shutdown = Shutdown::new().unwrap();
        drop(shutdown.clone());
        Signal::SIGINT.raise().unwrap();
        shutdown.wait();
        eprintln!("requested");
        drop(shutdown);
        Signal::SIGTERM.raise().unwrap();
        std::thread::park_timeout(PATIENCE);
    });
    assert_eq!(output.status.signal(), Some(libc::SIGTERM), "{output:?}");
    assert_eq!(count(&stderr(&output), "requested"), 1, "{output:?}");
}
