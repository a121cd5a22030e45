//! The blocking pool: calls borrow and come back, threads come and go, and a cancellation never touches a running call.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, Handle, Runtime, channel, thread};
use support::{
    Drops, OnDrop, PATIENCE, count, in_child, message, stderr, threads, wait_until, within_patience,
};

/// What calls wait at, as OS threads, until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar, AtomicUsize)>);

impl Gate {
    fn wait(&self) {
        let (open, opened, arrived) = &*self.0;
        arrived.fetch_add(1, Ordering::SeqCst);
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// How many have come to it.
    fn arrived(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }
}

/// A runtime whose pool keeps its threads.
fn runtime(workers: usize, limit: usize) -> Runtime {
    let builder = Builder::new().workers(workers).max_blocking_threads(limit);
    builder.blocking_keep_alive(100 * PATIENCE).build().unwrap()
}

fn block_threads(name: &str) -> usize {
    threads().iter().filter(|(thread, _)| thread.starts_with(name)).count()
}

#[test]
fn a_call_borrows_from_its_caller_and_returns_a_value() {
    within_patience(|| {
        fibra::run(|| {
            let mut text = String::from("lent");
            let worker = std::thread::current().id();
            let (length, elsewhere) = fibra::blocking(|| {
                text.push_str(" and given back");
                (text.len(), std::thread::current().id() != worker)
            });
            assert!(elsewhere);
            assert_eq!((length, text.as_str()), (19, "lent and given back"));
            // Neither closure nor result need be small.
            let large = [7u8; 20_000];
            let sum = fibra::blocking(|| [large.iter().map(|&b| u64::from(b)).sum::<u64>(); 1000]);
            assert_eq!(sum, [140_000; 1000]);
        })
    })
}

#[test]
fn a_panic_comes_back_with_its_payload_and_the_thread_goes_on() {
    within_patience(|| {
        let runtime = runtime(1, 1);
        runtime.run(|| {
            let drops = Drops::new();
            for i in 0..10 {
                let guard = drops.counted();
                let call = || {
                    fibra::blocking(|| {
                        let _guard = guard;
                        std::panic::panic_any(i)
                    })
                };
                let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
                assert_eq!(payload.downcast_ref::<i32>(), Some(&i));
                assert!(!thread::panicking());
            }
            assert_eq!(drops.get(), 10);
            assert_eq!(Handle::current().blocking_stats().threads, 1);
            assert_eq!(fibra::blocking(|| 7), 7);
        });
    })
}

#[test]
fn on_plain_threads_and_in_the_pool_a_call_is_made_at_once_on_the_same_thread() {
    let here = std::thread::current().id();
    assert_eq!(fibra::blocking(|| std::thread::current().id()), here);
    assert_eq!(fibra::try_blocking(|| std::thread::current().id()).unwrap(), here);
    within_patience(|| {
        let runtime = runtime(1, 1);
        runtime.run(|| {
            let (outer, inner) = fibra::blocking(|| {
                let outer = std::thread::current().id();
                (outer, fibra::blocking(|| fibra::blocking(|| std::thread::current().id())))
            });
            assert_eq!(outer, inner);
        });
    });
}

#[test]
fn there_is_no_thread_before_the_first_call_and_one_serves_calls_in_a_row() {
    within_patience(|| {
        let builder = Builder::new().workers(2).thread_name("first");
        builder
            .run(|| {
                let stats = || Handle::current().blocking_stats();
                assert_eq!((stats().threads, stats().limit), (0, 512));
                assert_eq!(block_threads("first-block"), 0);
                for _ in 0..1000 {
                    fibra::blocking(|| ());
                }
                let name = fibra::blocking(|| std::thread::current().name().map(str::to_owned));
                assert_eq!(name.as_deref(), Some("first-block-0"));
                assert_eq!(stats().threads, 1);
                assert_eq!(block_threads("first-block"), 1);
            })
            .unwrap();
    })
}

#[test]
fn the_pool_grows_to_its_limit_and_calls_beyond_it_queue() {
    within_patience(|| {
        let runtime = runtime(2, 3);
        runtime.run(|| {
            let handle = Handle::current();
            let stats = || handle.blocking_stats();
            let gate = Gate::default();
            let busy: Vec<_> = (1..=3)
                .map(|n| {
                    let arrive = gate.clone();
                    let task = fibra::spawn(move || fibra::blocking(|| arrive.wait()));
                    wait_until("it runs", || gate.arrived() == n);
                    assert_eq!((stats().threads, stats().idle, stats().queued), (n, 0, 0));
                    task
                })
                .collect();
            let runs = Arc::new(AtomicUsize::new(0));
            let queued: Vec<_> = (0..10)
                .map(|i| {
                    let runs = runs.clone();
                    let task = fibra::spawn(move || {
                        fibra::blocking(|| runs.fetch_add(1, Ordering::SeqCst));
                    });
                    wait_until("it queues", || stats().queued == i + 1);
                    task
                })
                .collect();
            assert_eq!((stats().threads, stats().idle, stats().limit), (3, 0, 3));
            assert_eq!(runs.load(Ordering::SeqCst), 0);
            gate.open();
            busy.into_iter().chain(queued).for_each(|task| task.join().unwrap());
            assert_eq!(runs.load(Ordering::SeqCst), 10);
            wait_until("all rest", || stats().idle == 3);
            assert_eq!((stats().threads, stats().queued), (3, 0));
        });
    })
}

#[test]
fn queued_calls_are_served_first_come_first_served() {
    within_patience(|| {
        let runtime = runtime(2, 1);
        runtime.run(|| {
            let gate = Gate::default();
            let order = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = (0..20)
                .map(|i| {
                    let (arrive, order) = (gate.clone(), order.clone());
                    let task = fibra::spawn(move || {
                        fibra::blocking(|| {
                            arrive.wait();
                            order.lock().unwrap().push(i);
                        });
                    });
                    wait_until("it runs or queues", || {
                        gate.arrived() == 1 && Handle::current().blocking_stats().queued == i
                    });
                    task
                })
                .collect();
            gate.open();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        });
    })
}

#[test]
fn idle_threads_end_after_a_while_and_new_ones_come() {
    within_patience(|| {
        let builder = Builder::new().workers(2).thread_name("short").max_blocking_threads(4);
        let runtime = builder.blocking_keep_alive(Duration::from_millis(5)).build().unwrap();
        runtime.run(|| {
            let stats = || Handle::current().blocking_stats();
            for _ in 0..5 {
                let gate = Gate::default();
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let gate = gate.clone();
                        fibra::spawn(move || fibra::blocking(|| gate.wait()))
                    })
                    .collect();
                wait_until("four run", || gate.arrived() == 4);
                assert_eq!(stats().threads, 4);
                gate.open();
                tasks.into_iter().for_each(|task| task.join().unwrap());
                wait_until("the pool is empty", || stats().threads == 0);
                assert_eq!(stats().idle, 0);
                wait_until("the threads are gone", || block_threads("short-block") == 0);
            }
        });
    })
}

#[test]
fn a_call_that_comes_as_the_last_thread_goes_is_not_lost() {
    within_patience(|| {
        let builder = Builder::new().workers(2).max_blocking_threads(1);
        for keep_alive in [Duration::ZERO, Duration::from_micros(30)] {
            let runtime = builder.clone().blocking_keep_alive(keep_alive).build().unwrap();
            let runs = AtomicUsize::new(0);
            runtime.run(|| {
                fibra::scope(|s| {
                    for _ in 0..4 {
                        s.spawn(|| {
                            for i in 0..200 {
                                fibra::blocking(|| runs.fetch_add(1, Ordering::SeqCst));
                                fibra::sleep(Duration::from_micros(i % 60));
                            }
                        });
                    }
                });
            });
            assert_eq!(runs.into_inner(), 800);
        }
    })
}

#[test]
fn a_cancelled_call_that_queues_is_dropped_unrun() {
    within_patience(|| {
        let runtime = runtime(1, 1);
        runtime.run(|| {
            let stats = || Handle::current().blocking_stats();
            let gate = Gate::default();
            let arrive = gate.clone();
            let busy = fibra::spawn(move || fibra::blocking(|| arrive.wait()));
            wait_until("the thread is busy", || gate.arrived() == 1);
            let drops = Drops::new();
            let runs = Arc::new(AtomicUsize::new(0));
            let mut tasks: Vec<_> = (0..9)
                .map(|_| {
                    let (guard, runs) = (drops.counted(), runs.clone());
                    fibra::spawn(move || {
                        fibra::blocking(move || {
                            let _guard = guard;
                            runs.fetch_add(1, Ordering::SeqCst);
                        });
                    })
                })
                .collect();
            wait_until("all queue", || stats().queued == 9);
            // From the front, the middle and the end.
            for at in [8, 4, 0] {
                let task = tasks.remove(at);
                task.cancel();
                assert!(task.join().unwrap_err().is::<Cancelled>());
            }
            assert_eq!((drops.get(), stats().queued), (3, 6));
            // One that is cancelled before it calls does not even queue.
            let guard = drops.counted();
            let late = fibra::spawn(move || fibra::blocking(move || drop(guard)));
            late.cancel();
            assert!(late.join().unwrap_err().is::<Cancelled>());
            assert_eq!((drops.get(), stats().queued, runs.load(Ordering::SeqCst)), (4, 6, 0));
            gate.open();
            busy.join().unwrap();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!((drops.get(), runs.load(Ordering::SeqCst)), (10, 6));
        });
    })
}

#[test]
fn a_cancellation_of_a_running_call_is_met_at_the_next_park() {
    within_patience(|| {
        let runtime = runtime(1, 4);
        runtime.run(|| {
            let gate = Gate::default();
            let returned = Arc::new(AtomicBool::new(false));
            let (arrive, flag) = (gate.clone(), returned.clone());
            let task = fibra::spawn(move || {
                let mut lent = 1;
                let value = fibra::blocking(|| {
                    arrive.wait();
                    lent += 1;
                    "a value"
                });
                assert_eq!((value, lent), ("a value", 2));
                flag.store(true, Ordering::SeqCst);
                thread::park();
                unreachable!("cancelled");
            });
            wait_until("it runs", || gate.arrived() == 1);
            task.cancel();
            fibra::sleep(Duration::from_millis(2));
            assert!(!task.is_finished() && !returned.load(Ordering::SeqCst));
            gate.open();
            assert!(task.join().unwrap_err().is::<Cancelled>());
            assert!(returned.load(Ordering::SeqCst));
        });
    })
}

#[test]
fn a_call_in_a_destructor_works_while_its_task_unwinds() {
    within_patience(|| {
        // With one worker the yield starts the task, which runs until it parks.
        let runtime = runtime(1, 2);
        runtime.run(|| {
            for cancelled in [true, false] {
                let ran = Arc::new(AtomicBool::new(false));
                let flag = ran.clone();
                let task = fibra::spawn(move || {
                    let _guard = OnDrop::new(|| fibra::blocking(|| flag.store(true, Ordering::SeqCst)));
                    if cancelled {
                        thread::park();
                    }
                    std::panic::resume_unwind(Box::new("thrown"));
                });
                fibra::yield_now();
                task.cancel();
                assert_eq!(task.join().unwrap_err().is::<Cancelled>(), cancelled);
                assert!(ran.load(Ordering::SeqCst) && !thread::panicking());
            }
        });
    })
}

#[test]
fn the_end_of_a_runtime_waits_for_running_calls_drops_queued_ones_and_joins_the_threads() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            let name = format!("ending{workers}");
            let builder = Builder::new().workers(workers).max_blocking_threads(2).thread_name(name.as_str());
            let runtime = builder.shutdown_timeout(100 * PATIENCE).build().unwrap();
            let (gate, drops, runs) = (Gate::default(), Drops::new(), Arc::new(AtomicUsize::new(0)));
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    let (gate, guard, runs) = (gate.clone(), drops.counted(), runs.clone());
                    runtime.spawn(move || {
                        fibra::blocking(move || {
                            let _guard = guard;
                            gate.wait();
                            runs.fetch_add(1, Ordering::SeqCst);
                        });
                    })
                })
                .collect();
            let handle = runtime.handle();
            let stats = || handle.blocking_stats();
            wait_until("two run, eight queue", || gate.arrived() == 2 && stats().queued == 8);
            std::thread::scope(|s| {
                let ender = s.spawn(move || drop(runtime));
                wait_until("the queue is dropped", || drops.get() == 8);
                assert!(!ender.is_finished());
                assert_eq!(runs.load(Ordering::SeqCst), 0);
                gate.open();
            });
            assert_eq!((drops.get(), runs.load(Ordering::SeqCst)), (10, 2));
            assert_eq!((stats().threads, stats().idle, stats().queued), (0, 0, 0));
            assert_eq!(tasks.into_iter().filter_map(|task| task.join().ok()).count(), 2);
            // Joined threads vanish from the listing a moment later.
            wait_until("all threads are gone", || block_threads(&name) == 0);
        });
    }
}

#[test]
fn a_call_that_outlasts_the_end_is_named_and_leaked_with_its_task() {
    let output = in_child("a_call_that_outlasts_the_end_is_named_and_leaked_with_its_task", &[], || {
        let gate = Gate::default();
        let arrive = gate.clone();
        let builder = Builder::new().workers(1).shutdown_timeout(Duration::from_millis(300));
        let runtime = builder.build().unwrap();
        let handle = runtime.handle();
        let stubborn = move || {
            let mut lent = [1u8; 1000];
            fibra::blocking(|| {
                arrive.wait();
                lent.fill(2);
            });
        };
        let builder = thread::Builder::new().name("stubborn".into());
        let task = runtime.run(|| builder.spawn(stubborn).unwrap());
        wait_until("it runs", || gate.arrived() == 1);
        drop(runtime);
        eprintln!("the drop has returned");
        gate.open();
        wait_until("the thread has ended", || handle.blocking_stats().threads == 0);
        assert!(!task.is_finished());
    });
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("'stubborn'")).expect(&text);
    assert!(line.contains("waits for a blocking call") && line.contains("leaked"), "{text}");
    assert_eq!(count(&text, "the drop has returned"), 1, "{text}");
}

#[test]
fn a_call_spawns_into_the_runtime_of_its_task() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).thread_name("mine").build().unwrap();
        runtime.run(|| {
            let (name, workers, scoped) = fibra::blocking(|| {
                let name = || std::thread::current().name().unwrap().to_owned();
                let scoped = fibra::scope(|s| s.spawn(name).join().unwrap());
                (fibra::spawn(name).join().unwrap(), Handle::current().workers(), scoped)
            });
            assert!(name.starts_with("mine-") && !name.contains("block"), "{name}");
            assert!(scoped.starts_with("mine-") && !scoped.contains("block"), "{scoped}");
            assert_eq!(workers, 2);
            let error = fibra::blocking(|| thread::Builder::new().spawn_local(|| ()).map(drop)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            // The other way round: a task waits for a call that waits for it.
            let (sender, receiver) = channel::bounded(0);
            fibra::scope(|s| {
                s.spawn(move || fibra::blocking(|| (0..100).for_each(|i| sender.send(i).unwrap())));
                assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
            });
        });
    })
}

#[test]
fn a_pool_full_of_blocked_calls_stops_neither_timers_nor_channels() {
    within_patience(|| {
        let runtime = runtime(1, 8);
        runtime.run(|| {
            let gate = Gate::default();
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let gate = gate.clone();
                    fibra::spawn(move || fibra::blocking(|| gate.wait()))
                })
                .collect();
            wait_until("the pool is full", || {
                gate.arrived() == 8 && Handle::current().blocking_stats().queued == 92
            });
            let (sender, receiver) = channel::bounded(0);
            let echo = fibra::spawn(move || receiver.iter().sum::<u64>());
            for i in 0..1000 {
                sender.send(i).unwrap();
            }
            drop(sender);
            assert_eq!(echo.join().unwrap(), 499_500);
            let start = Instant::now();
            for _ in 0..20 {
                fibra::sleep(Duration::from_millis(1));
            }
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert_eq!(gate.arrived(), 8);
            gate.open();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    })
}

#[test]
fn without_a_thread_a_call_is_an_error_and_with_one_it_queues() {
    let output = in_child("without_a_thread_a_call_is_an_error_and_with_one_it_queues", &[], || {
        let limit_memory = |bytes: Option<u64>| {
            let bytes = bytes.unwrap_or(libc::RLIM_INFINITY);
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: `limit` lives through the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        };
        // What the process has already, and room for the heap but for no thread's stack of 2 MiB.
        let runtime = Builder::new().workers(1).max_blocking_threads(4).build().unwrap();
        let failures = runtime.run(|| {
            let drops = Drops::new();
            let guard = drops.counted();
            // The task that will find a thread at work; it has its stack before there is no more.
            let gate = Gate::default();
            let used = support::status_kib("VmSize:") as u64 * 1024;
            limit_memory(Some(used + (1 << 20)));
            let refused = fibra::try_blocking(move || drop(guard));
            let panicked = catch_unwind(|| fibra::blocking(|| ()));
            limit_memory(None);
            let error = refused.unwrap_err();
            assert_eq!(drops.get(), 1);
            assert!(error.to_string().contains("a thread for a blocking call"), "{error}");
            let panicked = panicked.unwrap_err();
            assert!(message(&*panicked).contains("failed to make a blocking call"));
            let stats = Handle::current().blocking_stats();
            assert_eq!((stats.threads, stats.queued), (0, 0));
            let arrive = gate.clone();
            let busy = fibra::spawn(move || fibra::blocking(|| arrive.wait()));
            wait_until("one thread is busy", || gate.arrived() == 1);
            let open = gate.clone();
            let opener = fibra::spawn(move || {
                wait_until("the call queues", || Handle::current().blocking_stats().queued == 1);
                open.open();
            });
            fibra::yield_now();
            let used = support::status_kib("VmSize:") as u64 * 1024;
            limit_memory(Some(used + (1 << 20)));
            let value = fibra::try_blocking(|| 7);
            limit_memory(None);
            assert_eq!(value.unwrap(), 7);
            assert_eq!(Handle::current().blocking_stats().threads, 1);
            busy.join().unwrap();
            opener.join().unwrap();
            error.kind()
        });
        assert_eq!(failures, std::io::ErrorKind::WouldBlock);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_runtime_dropped_in_a_call_of_its_own_is_refused_with_advice() {
    within_patience(|| {
        let own = Builder::new().workers(1).build().unwrap();
        let handle = own.handle();
        let payload = handle.spawn(move || fibra::blocking(move || drop(own))).join().unwrap_err();
        assert!(message(&*payload).contains("blocking calls"), "{}", message(&*payload));
        // One of another runtime is welcome.
        let other = Builder::new().workers(1).build().unwrap();
        handle.spawn(move || fibra::blocking(move || drop(other))).join().unwrap();
    })
}

#[test]
fn settings_of_the_pool_are_checked() {
    let error = Builder::new().max_blocking_threads(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("max_blocking_threads = 0"), "{error}");
    let runtime = Builder::new().workers(1).max_blocking_threads(usize::MAX).build().unwrap();
    assert_eq!(runtime.run(|| fibra::blocking(|| 7)), 7);
}

#[test]
fn a_call_where_nothing_can_park_panics_with_advice() {
    fibra::run(|| {
        let call = || fibra::on_thread_stack(|| fibra::blocking(|| ()));
        let payload = catch_unwind(call).unwrap_err();
        assert!(message(&*payload).contains("on_thread_stack"));
        assert_eq!(Handle::current().blocking_stats().threads, 0);
    });
}

#[test]
fn stress_every_call_runs_once_or_is_dropped_unrun() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            let builder = Builder::new().workers(workers).max_blocking_threads(3);
            let runtime = builder.blocking_keep_alive(Duration::from_micros(100)).build().unwrap();
            let (drops, runs) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
            let tasks = 400;
            let cancelled = runtime.run(|| {
                let spawn = |i: usize| {
                    let (guard, runs) = (drops.counted(), runs.clone());
                    fibra::spawn(move || {
                        let mut lent = 0;
                        let value = fibra::blocking(|| {
                            let _guard = guard;
                            lent = i;
                            runs.fetch_add(1, Ordering::SeqCst);
                            if i.is_multiple_of(7) {
                                std::thread::sleep(Duration::from_micros(50));
                            }
                            i
                        });
                        assert_eq!((value, lent), (i, i));
                        i
                    })
                };
                let mut cancelled = 0;
                for batch in 0..5 {
                    let all: Vec<_> = (0..tasks).map(spawn).collect();
                    for (i, task) in all.iter().enumerate() {
                        if i % 3 == batch % 3 {
                            task.cancel();
                        }
                        if i % 50 == 0 {
                            fibra::yield_now();
                        }
                    }
                    for (i, task) in all.into_iter().enumerate() {
                        match task.join() {
                            Ok(value) => assert_eq!(value, i),
                            Err(payload) => {
                                assert!(payload.is::<Cancelled>());
                                cancelled += 1;
                            }
                        }
                    }
                }
                cancelled
            });
            drop(runtime);
            assert_eq!(drops.get(), 5 * tasks);
            assert!(runs.load(Ordering::SeqCst) >= 5 * tasks - cancelled);
        });
    }
}
