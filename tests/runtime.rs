//! Runtimes: start and end, several at once and nested, handles that outlive them, and what does not stop in time.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, Handle, channel, thread};
use support::{Drops, OnDrop, PATIENCE, count, in_child, message, stderr, wait_until, within_patience};

/// A way to wait.
type Wait = Box<dyn FnOnce() + Send>;

#[test]
fn run_borrows_from_its_caller_and_returns_the_value() {
    let words = ["a".to_owned(), "b".to_owned()];
    let mut seen = 0;
    let joined = fibra::run(|| {
        seen += words.len();
        words.concat()
    });
    assert_eq!((joined.as_str(), seen), ("ab", 2));
    let runtime = Builder::new().workers(2).build().unwrap();
    for i in 0..100 {
        assert_eq!(runtime.run(|| i + words.len()), i + 2);
    }
}

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
fn several_runtimes_live_at_once_and_talk_to_each_other() {
    let (sender, receiver) = channel::bounded(0);
    let runtimes: Vec<_> = (0..4).map(|_| Builder::new().workers(2).build().unwrap()).collect();
    let tasks: Vec<_> = runtimes
        .iter()
        .enumerate()
        .map(|(r, runtime)| {
            let sender = sender.clone();
            runtime.spawn(move || {
                let parts: Vec<_> = (0..25)
                    .map(|i| {
                        let sender = sender.clone();
                        fibra::spawn(move || sender.send(r * 25 + i).unwrap())
                    })
                    .collect();
                parts.into_iter().for_each(|part| part.join().unwrap());
                Handle::current().workers()
            })
        })
        .collect();
    drop(sender);
    let other = Builder::new().workers(1).build().unwrap();
    assert_eq!(other.run(|| receiver.iter().sum::<usize>()), (0..100).sum());
    tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 2));
}

#[test]
fn a_runtime_may_be_built_run_and_dropped_inside_a_task_of_another() {
    within_patience(|| {
        let outer = Builder::new().workers(1).build().unwrap();
        let others_ran = AtomicUsize::new(0);
        let value = outer.run(|| {
            fibra::scope(|s| {
                s.spawn(|| {
                    for _ in 0..10 {
                        others_ran.fetch_add(1, Ordering::SeqCst);
                        fibra::yield_now();
                    }
                });
                let inner = Builder::new().workers(2).build().unwrap();
                let here = inner.run(|| {
                    assert_eq!(Handle::current().workers(), 2);
                    let deepest = Builder::new().workers(1).run(|| Handle::current().workers()).unwrap();
                    fibra::spawn(thread::park);
                    10 * fibra::spawn(move || deepest).join().unwrap()
                });
                assert_eq!(Handle::current().workers(), 1);
                let there = inner.spawn(|| 5).join().unwrap();
                drop(inner);
                here + there
            })
        });
        assert_eq!((value, others_ran.into_inner()), (15, 10));
    });
}

#[test]
fn a_runtime_may_run_another_main_task_inside_one_of_its_own() {
    let runtime = Arc::new(Builder::new().workers(1).build().unwrap());
    let inner = runtime.clone();
    assert_eq!(runtime.run(move || inner.run(|| 7)), 7);
}

#[test]
fn dropping_a_runtime_inside_its_own_task_panics_with_advice_and_it_lives_on() {
    let runtime = Builder::new().workers(2).build().unwrap();
    let handle = runtime.handle();
    let payload = handle.spawn(move || drop(runtime)).join().unwrap_err();
    let text = message(&*payload);
    assert!(text.contains("inside one of its own tasks") && text.contains("`Handle`"), "{text}");
    assert_eq!(handle.spawn(|| 7).join().unwrap(), 7);
}

#[test]
fn a_handle_that_outlives_its_runtime_refuses_tasks_and_drops_their_closures() {
    let runtime = Builder::new().workers(2).build().unwrap();
    let handle = runtime.handle();
    let finished = runtime.spawn(|| "kept");
    wait_until("it has ended", || finished.is_finished());
    let parked = runtime.spawn(thread::park);
    let target = parked.thread().clone();
    drop(runtime);
    let drops = Drops::new();
    let check = |handle: &Handle| {
        let guard = drops.counted();
        let error = handle.try_spawn(move || drop(guard)).unwrap_err();
        assert!(error.to_string().contains("shutting down"), "{error}");
        let guard = drops.counted();
        let task = handle.spawn(move || drop(guard));
        assert!(task.is_finished());
        task.cancel();
        task.thread().unpark();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    };
    check(&handle);
    fibra::run(|| check(&handle));
    assert_eq!(drops.get(), 4);
    // What is left of the tasks is harmless.
    target.unpark();
    parked.cancel();
    assert!(parked.join().unwrap_err().is::<Cancelled>());
    assert_eq!(finished.join().unwrap(), "kept");
    assert_eq!(handle.workers(), 2);
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

#[test]
fn main_runs_on_a_stack_of_8_mib() {
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n; 1024]);
        if n == 0 { 0 } else { deep(n - 1) + frame[n % 1024] / n }
    }
    assert_eq!(fibra::run(|| deep(500)), 500);
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
        let builder = Builder::new().workers(2).shutdown_timeout(Duration::from_millis(50));
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
    assert!(line.contains("did not stop within 50ms") && line.contains("without a runtime call"), "{text}");
    assert_eq!(count(&text, "'the hog'"), 1, "{text}");
    assert_eq!(count(&text, "run has returned"), 1, "{text}");
}

#[test]
fn parked_tasks_that_do_not_stop_are_named_with_what_they_wait_for() {
    let output = in_child("parked_tasks_that_do_not_stop_are_named_with_what_they_wait_for", &[], || {
        let builder = Builder::new().workers(1).shutdown_timeout(Duration::from_millis(200));
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
        assert!(line.contains(&format!("waits for {reason}")) && line.contains("200ms"), "{text}");
    }
    assert_eq!(count(&text, "did not stop"), 3, "{text}");
    assert_eq!(count(&text, "run has returned"), 1, "{text}");
}

#[test]
fn many_tasks_that_do_not_stop_are_counted_and_a_wake_of_a_leaked_one_is_harmless() {
    let name = "many_tasks_that_do_not_stop_are_counted_and_a_wake_of_a_leaked_one_is_harmless";
    let output = in_child(name, &[], || {
        let builder = Builder::new().workers(1).shutdown_timeout(Duration::from_millis(200));
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
fn the_global_runtime_has_the_settings_of_build_global_and_is_built_once() {
    let output =
        in_child("the_global_runtime_has_the_settings_of_build_global_and_is_built_once", &[], || {
            // A failure leaves the way free.
            assert_eq!(
                Builder::new().workers(0).build_global().unwrap_err().kind(),
                std::io::ErrorKind::InvalidInput
            );
            Builder::new().workers(3).thread_name("global").build_global().unwrap();
            let name = || std::thread::current().name().unwrap().to_owned();
            assert!(fibra::spawn(name).join().unwrap().starts_with("global-"));
            assert_eq!(Handle::current().workers(), 3);
            let error = Builder::new().build_global().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("build_global"), "{error}");
            // In a task of another runtime `spawn` stays there.
            let inside =
                Builder::new().workers(1).thread_name("own").run(|| fibra::spawn(name).join().unwrap());
            assert_eq!(inside.unwrap(), "own-0");
        });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn the_first_spawn_on_a_plain_thread_starts_the_global_runtime() {
    let output = in_child("the_first_spawn_on_a_plain_thread_starts_the_global_runtime", &[], || {
        let spawners: Vec<_> =
            (0..8).map(|i| std::thread::spawn(move || fibra::spawn(move || i).join().unwrap())).collect();
        let sum: i32 = spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum();
        assert_eq!(sum, 28);
        let watchers = support::threads().iter().filter(|(name, _)| name == "fibra-watch").count();
        assert_eq!(watchers, 1, "eight threads started one runtime");
        let error = Builder::new().workers(1).build_global().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_panic_of_main_and_a_timeout_of_the_end_both_come_out() {
    let output = in_child("a_panic_of_main_and_a_timeout_of_the_end_both_come_out", &[], || {
        let start = Instant::now();
        let builder = Builder::new().workers(2).shutdown_timeout(Duration::from_millis(20));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            builder.run(|| {
                start_hog();
                panic!("main is lost");
            })
        }));
        assert_eq!(message(&*payload.map(drop).unwrap_err()), "main is lost");
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(count(&text, "did not stop within 20ms"), 1, "{text}");
}
