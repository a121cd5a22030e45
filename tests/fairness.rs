//! Nobody starves: not the inbox, not unstarted tasks, not timers, not the tasks of another worker; and load is spread.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{Builder, channel, sync::Mutex, thread};
use support::{PATIENCE, within_patience};

/// Beside tasks that `keep_busy` the only worker until told to stop, everything else still comes to its turn.
fn nobody_starves_beside(keep_busy: fn(Arc<AtomicBool>) -> Vec<fibra::JoinHandle<()>>) {
    within_patience(move || {
        let runtime = Builder::new().workers(1).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let busy = runtime.spawn({
            let over = over.clone();
            move || keep_busy(over)
        });
        let busy = busy.join().unwrap();
        for _ in 0..20 {
            // The injector.
            let parked = runtime.spawn(|| {
                thread::park();
                // Unstarted tasks, from a task.
                let tasks: Vec<_> = (0..10).map(|i| fibra::spawn(move || i)).collect();
                let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
                // Timers.
                fibra::sleep(Duration::from_micros(100));
                // The ready queue.
                fibra::yield_now();
                // The deque, placed by hand and not.
                fibra::spawn_local(move || sum).join().unwrap()
            });
            // The inbox.
            parked.thread().unpark();
            assert_eq!(parked.join().unwrap(), 45);
        }
        assert!(busy.iter().all(|task| !task.is_finished()));
        over.store(true, Ordering::SeqCst);
        busy.iter().for_each(|task| task.thread().unpark());
        busy.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn two_tasks_that_yield_to_each_other_for_ever_starve_nobody() {
    nobody_starves_beside(|over| {
        let yields = |over: Arc<AtomicBool>| {
            fibra::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    fibra::yield_now();
                }
            })
        };
        vec![yields(over.clone()), yields(over)]
    });
}

#[test]
fn two_tasks_that_unpark_each_other_for_ever_starve_nobody() {
    nobody_starves_beside(|over| {
        let (sender, receiver) = channel::bounded::<thread::Thread>(1);
        let plays = |over: Arc<AtomicBool>, receiver: channel::Receiver<thread::Thread>| {
            fibra::spawn(move || {
                let other = receiver.recv().unwrap();
                while !over.load(Ordering::SeqCst) {
                    other.unpark();
                    thread::park();
                }
                other.unpark();
            })
        };
        let first = plays(over.clone(), receiver);
        let (back, receiver) = channel::bounded(1);
        let second = plays(over, receiver);
        sender.send(second.thread().clone()).unwrap();
        back.send(first.thread().clone()).unwrap();
        vec![first, second]
    });
}

#[test]
fn two_tasks_that_play_ping_pong_over_channels_starve_nobody() {
    nobody_starves_beside(|over| {
        let (ping, pinged) = channel::bounded(0);
        let (pong, ponged) = channel::bounded(0);
        let first = fibra::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                ping.send(()).unwrap();
                ponged.recv().unwrap();
            }
        });
        let second = fibra::spawn(move || {
            let answered = pinged.iter().take_while(|()| pong.send(()).is_ok()).count();
            assert!(answered > 0);
        });
        vec![first, second]
    });
}

/// A task that spawns a task that spawns a task …, each of which ends at once.
#[test]
fn an_endless_chain_of_spawns_starves_nobody() {
    fn link(over: Arc<AtomicBool>, ended: channel::Sender<()>) {
        if over.load(Ordering::SeqCst) {
            drop(ended);
        } else {
            fibra::spawn(move || link(over, ended));
        }
    }
    nobody_starves_beside(|over| {
        let (ended, end) = channel::unbounded::<()>();
        link(over, ended);
        vec![fibra::spawn(move || assert!(end.recv().is_err()))]
    });
}

#[test]
fn a_million_spawns_by_one_task_do_not_starve_another_workers_tasks() {
    within_patience(|| {
        Builder::new()
            .workers(2)
            .run(|| {
                const SPAWNS: usize = 1_000_000;
                let ran = Arc::new(AtomicUsize::new(0));
                let turns = Arc::new(AtomicUsize::new(0));
                let over = Arc::new(AtomicBool::new(false));
                let other = {
                    let (turns, over) = (turns.clone(), over.clone());
                    let ticker = move || {
                        while !over.load(Ordering::SeqCst) {
                            turns.fetch_add(1, Ordering::SeqCst);
                            fibra::yield_now();
                        }
                    };
                    thread::Builder::new().worker(1).spawn(ticker).unwrap()
                };
                let spawner = {
                    let (ran, turns) = (ran.clone(), turns.clone());
                    let spawner = move || {
                        let before = turns.load(Ordering::SeqCst);
                        for _ in 0..SPAWNS {
                            let ran = ran.clone();
                            fibra::spawn(move || {
                                ran.fetch_add(1, Ordering::Relaxed);
                            });
                        }
                        turns.load(Ordering::SeqCst) - before
                    };
                    thread::Builder::new().worker(0).spawn(spawner).unwrap()
                };
                let meanwhile = spawner.join().unwrap();
                println!("the other worker's task had {meanwhile} turns meanwhile");
                assert!(meanwhile >= 20, "only {meanwhile} turns");
                support::wait_until("all have run", || ran.load(Ordering::Relaxed) == SPAWNS);
                over.store(true, Ordering::SeqCst);
                other.join().unwrap();
            })
            .unwrap();
    });
}

/// A runtime call.
type Call = Box<dyn FnMut() + Send>;

/// One worker, a task that calls the runtime again and again without parking: it gives way to others.
#[test]
fn a_hog_that_calls_the_runtime_lets_others_run() {
    let (sender, receiver) = channel::unbounded();
    let lock = Arc::new(Mutex::new(0));
    let (_other, empty) = channel::bounded::<i32>(1);
    let (full, _never) = channel::bounded(0);
    let unfinished = fibra::spawn(thread::park);
    let held = Mutex::new(());
    std::mem::forget(held.lock());
    let calls: Vec<(&str, Call)> = vec![
        ("yield", Box::new(fibra::yield_now)),
        ("lock", Box::new(move || *lock.lock() += 1)),
        ("send and receive", {
            Box::new(move || {
                sender.send(1).unwrap();
                receiver.recv().unwrap();
            })
        }),
        ("poll a channel", Box::new(move || assert!(empty.try_recv().is_err()))),
        ("poll a full channel", Box::new(move || assert!(full.try_send(1).is_err()))),
        ("poll a task", Box::new(move || assert!(!unfinished.is_finished()))),
        ("poll a lock", Box::new(move || assert!(held.try_lock().is_none()))),
        ("sleep for nothing", Box::new(|| fibra::sleep(Duration::ZERO))),
        ("sleep until the past", {
            let past = Instant::now();
            Box::new(move || thread::sleep_until(past))
        }),
        ("park with a token", {
            Box::new(|| {
                thread::current().unpark();
                thread::park();
            })
        }),
    ];
    let mut stuck = Vec::new();
    for (name, mut call) in calls {
        let gave_way = within_patience(move || {
            let main = move || {
                let others = Arc::new(AtomicUsize::new(0));
                let count = others.clone();
                let neighbour = fibra::spawn_local(move || {
                    thread::park();
                    count.fetch_add(1, Ordering::SeqCst);
                });
                fibra::yield_now();
                let start = Instant::now();
                neighbour.thread().unpark();
                while others.load(Ordering::SeqCst) == 0 && start.elapsed() < PATIENCE / 12 {
                    call();
                }
                others.load(Ordering::SeqCst) == 1
            };
            Builder::new().workers(1).run(main).unwrap()
        });
        if !gave_way {
            stuck.push(name);
        }
    }
    assert!(stuck.is_empty(), "these calls never give way: {stuck:?}");
}

/// The greatest share of the live tasks on one worker, and how many live.
fn greatest_share(homes: &[std::thread::ThreadId]) -> f64 {
    let mut counts = HashMap::new();
    homes.iter().for_each(|home| *counts.entry(*home).or_insert(0_usize) += 1);
    *counts.values().max().unwrap() as f64 / homes.len() as f64
}

/// Spawns `count` tasks one at a time; each says where it started, and every `nth` stays, parked. Of those it returns
/// the homes and the handles.
fn trickle(
    count: usize,
    nth: usize,
    spawn: impl Fn(Box<dyn FnOnce() + Send>) -> fibra::JoinHandle<()>,
) -> (Vec<std::thread::ThreadId>, Vec<fibra::JoinHandle<()>>) {
    let (mut homes, mut tasks) = (Vec::new(), Vec::new());
    let (sender, receiver) = channel::bounded(1);
    for i in 0..count {
        let (stays, sender) = (i % nth == 0, sender.clone());
        let task = spawn(Box::new(move || {
            let home = std::thread::current().id();
            sender.send(home).unwrap();
            if stays {
                thread::park();
                assert_eq!(std::thread::current().id(), home);
            }
        }));
        let home = receiver.recv().unwrap();
        if stays {
            homes.push(home);
            tasks.push(task);
        } else {
            task.join().unwrap();
        }
    }
    (homes, tasks)
}

fn check_spread((homes, tasks): (Vec<std::thread::ThreadId>, Vec<fibra::JoinHandle<()>>)) {
    let share = greatest_share(&homes);
    println!("{} live tasks, the fuller one of two workers has {share:.3}", homes.len());
    assert!(share <= 0.6, "one worker has {share:.3} of them");
    tasks.iter().for_each(|task| task.thread().unpark());
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn a_trickle_of_tasks_leaves_no_worker_of_two_with_over_60_percent_of_the_live_ones() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).build().unwrap();
        // Each finished before the next, then each parked; then a mixture: no trace of the finished ones may remain.
        for (count, nth) in [(10_000, usize::MAX), (10_000, 1), (20_000, 4), (10_000, 1)] {
            runtime.run(|| {
                let spread = trickle(count, nth, fibra::spawn);
                if nth == usize::MAX {
                    spread.1.into_iter().for_each(|task| task.thread().unpark());
                } else {
                    check_spread(spread);
                }
            });
        }
    });
}

#[test]
fn a_trickle_from_an_os_thread_is_spread_as_well() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).build().unwrap();
        for (count, nth) in [(10_000, 1), (20_000, 4)] {
            check_spread(trickle(count, nth, |f| runtime.spawn(f)));
        }
    });
}

#[test]
fn a_burst_of_tasks_that_stay_is_spread_as_well() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).build().unwrap();
        for _ in 0..3 {
            runtime.run(|| {
                let (sender, receiver) = channel::unbounded();
                let tasks: Vec<_> = (0..10_000)
                    .map(|_| {
                        let sender = sender.clone();
                        fibra::spawn(move || {
                            sender.send(std::thread::current().id()).unwrap();
                            thread::park();
                        })
                    })
                    .collect();
                check_spread((receiver.iter().take(10_000).collect(), tasks));
            });
        }
    });
}
