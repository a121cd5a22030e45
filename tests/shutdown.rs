//! The end of a runtime: every task unwinds, spawns that come too late are cancelled, and what does not stop is named.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, channel, thread};
use support::{Drops, OnDrop, PATIENCE, count, in_child, message, stderr, wait_until, within_patience};

/// A way to wait.
type Wait = Box<dyn FnOnce() + Send>;

#[test]
fn the_end_of_a_runtime_unwinds_every_task_and_does_not_wait_for_its_timeout() {
    for workers in [1, 2, 8] {
        for tasks in [0, 1, 2, 3, 50] {
            let drops = Drops::new();
            let guards: Vec<_> = (0..tasks).map(|_| drops.counted()).collect();
            within_patience(move || {
                let builder = Builder::new().workers(workers).shutdown_timeout(100 * PATIENCE);
                let main = || {
                    for (i, guard) in guards.into_iter().enumerate() {
                        fibra::go!({
                            let _guard = guard;
                            match i % 4 {
                                0 => thread::park(),
                                1 => fibra::sleep(100 * PATIENCE),
                                2 => fibra::spawn(thread::park).join().unwrap(),
                                _ => assert!(channel::bounded::<()>(0).0.send(()).is_ok()),
                            }
                        });
                    }
                    fibra::yield_now();
                };
                builder.run(main).unwrap();
            });
            assert_eq!(drops.get(), tasks);
        }
    }
}

#[test]
fn spawns_of_destructors_while_the_runtime_ends_are_cancelled_at_once() {
    let drops = Drops::new();
    let started = Arc::new(AtomicUsize::new(0));
    let runtime = Builder::new().workers(2).build().unwrap();
    for _ in 0..20 {
        let (guards, started) = ([drops.counted(), drops.counted(), drops.counted()], started.clone());
        runtime.spawn(move || {
            let _guard = OnDrop::new(move || {
                let [a, b, c] = guards;
                assert!(fibra::spawn(move || drop(a)).join().unwrap_err().is::<Cancelled>());
                assert!(fibra::spawn_local(move || drop(b)).join().unwrap_err().is::<Cancelled>());
                assert!(fibra::try_spawn(move || drop(c)).is_err());
            });
            started.fetch_add(1, Ordering::SeqCst);
            thread::park();
        });
    }
    wait_until("all have started", || started.load(Ordering::SeqCst) == 20);
    within_patience(move || drop(runtime));
    assert_eq!(drops.get(), 60);
}

#[test]
fn spawns_from_outside_while_the_runtime_ends_run_or_are_cancelled_and_none_is_lost() {
    for round in 0..50 {
        let runtime = Builder::new().workers(1 + round % 3).build().unwrap();
        let drops = Drops::new();
        let total = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..2 {
                let handle = runtime.handle();
                let (drops, total) = (&drops, &total);
                s.spawn(move || {
                    let mut refused = 0;
                    while refused < 10 {
                        total.fetch_add(1, Ordering::SeqCst);
                        let guard = drops.counted();
                        match handle.spawn(move || drop(guard)).join() {
                            Ok(()) => {}
                            Err(payload) => {
                                assert!(payload.is::<Cancelled>());
                                refused += 1;
                            }
                        }
                    }
                });
            }
            wait_until("both spawn", || drops.get() > 20);
            drop(runtime);
        });
        assert_eq!(drops.get(), total.into_inner());
    }
}

/// Starts a task that never calls the runtime, on the other one of two workers than the caller's.
fn start_hog() {
    let here = std::thread::current().name().unwrap().ends_with("-0");
    let running = Arc::new(AtomicBool::new(false));
    let flag = running.clone();
    let hog = move || {
        flag.store(true, Ordering::SeqCst);
        loop {
            std::hint::spin_loop();
        }
    };
    thread::Builder::new().name("the hog".into()).worker(usize::from(here)).spawn(hog).unwrap();
    wait_until("the hog runs", || running.load(Ordering::SeqCst));
}

#[test]
fn a_task_that_never_parks_at_the_end_is_named_on_stderr_and_left() {
    let output = in_child("a_task_that_never_parks_at_the_end_is_named_on_stderr_and_left", &[], || {
        let builder = Builder::new().workers(2).shutdown_timeout(Duration::from_millis(500));
        let value = builder.run(|| {
            start_hog();
            7
        });
        assert_eq!(value.unwrap(), 7);
        eprintln!("run has returned");
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("'the hog'")).expect(&text);
    assert!(line.contains("did not stop within 500ms") && line.contains("without a runtime call"), "{text}");
    assert_eq!(count(&text, "'the hog'"), 1, "{text}");
    assert_eq!(count(&text, "run has returned"), 1, "{text}");
}

#[test]
fn parked_tasks_that_do_not_stop_are_named_with_what_they_wait_for() {
    let output = in_child("parked_tasks_that_do_not_stop_are_named_with_what_they_wait_for", &[], || {
        let builder = Builder::new().workers(1).shutdown_timeout(Duration::from_secs(1));
        let main = || {
            let (sender, receiver) = channel::bounded::<()>(0);
            let waits: Vec<(&str, Wait)> = vec![
                ("parks", Box::new(thread::park)),
                ("sleeps", Box::new(|| fibra::sleep(100 * PATIENCE))),
                ("receives", Box::new(move || assert!(receiver.recv().is_ok()))),
            ];
            let started = Arc::new(AtomicUsize::new(0));
            for (name, wait) in waits {
                let started = started.clone();
                let stubborn = move || {
                    let _guard = OnDrop::new(wait);
                    started.fetch_add(1, Ordering::SeqCst);
                    thread::park();
                };
                drop(thread::Builder::new().name(name.into()).spawn(stubborn).unwrap());
            }
            drop(thread::Builder::new().name("polite".into()).spawn(thread::park).unwrap());
            wait_until("all have started", || started.load(Ordering::SeqCst) == 3);
            sender
        };
        let _sender = builder.run(main).unwrap();
        eprintln!("run has returned");
        // A wake-up call to what is left is harmless, and so is the end of the process.
        assert_eq!(fibra::run(|| 7), 7);
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    for (name, reason) in [("parks", "park"), ("sleeps", "sleep"), ("receives", "channel receive")] {
        let line = text.lines().find(|line| line.contains(&format!("'{name}'"))).expect(&text);
        assert!(line.contains(&format!("waits for {reason}")) && line.contains("within 1s"), "{text}");
    }
    assert_eq!(count(&text, "did not stop"), 3, "{text}");
    assert_eq!(count(&text, "run has returned"), 1, "{text}");
}

#[test]
fn many_tasks_that_do_not_stop_are_counted_and_a_wake_of_a_leaked_one_is_harmless() {
    let name = "many_tasks_that_do_not_stop_are_counted_and_a_wake_of_a_leaked_one_is_harmless";
    let output = in_child(name, &[], || {
        let builder = Builder::new().workers(1).shutdown_timeout(Duration::from_secs(1));
        let main = || {
            let stubborn = || {
                let _guard = OnDrop::new(|| {
                    loop {
                        thread::park();
                    }
                });
                thread::park();
            };
            let tasks: Vec<_> = (0..20).map(|_| fibra::spawn(stubborn)).collect();
            // Each yield starts the oldest one at least, and with one worker it runs until it parks.
            (0..20).for_each(|_| fibra::yield_now());
            tasks
        };
        let tasks = builder.run(main).unwrap();
        for task in &tasks {
            task.thread().unpark();
            task.cancel();
            assert!(!task.is_finished());
        }
        drop(tasks);
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(count(&text, "did not stop"), 16, "{text}");
    assert!(text.contains("4 more tasks of worker 0"), "{text}");
}

#[test]
fn a_panic_of_main_and_a_timeout_of_the_end_both_come_out() {
    let output = in_child("a_panic_of_main_and_a_timeout_of_the_end_both_come_out", &[], || {
        let start = Instant::now();
        let builder = Builder::new().workers(2).shutdown_timeout(Duration::from_millis(500));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            builder.run(|| {
                start_hog();
                panic!("main is lost");
            })
        }));
        assert_eq!(message(&*payload.map(drop).unwrap_err()), "main is lost");
        assert!(start.elapsed() >= Duration::from_millis(500));
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(count(&text, "did not stop within 500ms"), 1, "{text}");
}
