//! `pool::map` and `par_map`: what comes back, and who computes it.

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fibra::pool::{ParMap, map};
use fibra::sync::Barrier;
use fibra::{Builder, channel, thread};
use support::{wait_until, within_patience};

fn on_workers<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(move || Builder::new().workers(workers).run(f).unwrap())
}

#[test]
fn results_are_in_the_order_of_the_items_and_each_item_is_passed_once() {
    fn check(count: usize) {
        let calls: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let results = map(0..count, |n| {
            calls[n].fetch_add(1, Ordering::Relaxed);
            n.to_string()
        });
        assert_eq!(results.len(), count);
        assert!(results.iter().enumerate().all(|(n, result)| *result == n.to_string()), "{count} items");
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{count} items");
    }

    for workers in [1, 2, 8] {
        on_workers(workers, || [0, 1, 2, 3, 7, 100, 10_000].into_iter().for_each(check));
    }
    within_patience(|| [0, 1, 2, 3, 7, 100, 10_000].into_iter().for_each(check));
}

#[test]
fn more_items_than_pieces_of_work_are_all_computed() {
    on_workers(2, || {
        let count = (1 << 17) + 3;
        let results = map(0..count, |n: u32| n.wrapping_mul(3));
        assert_eq!(results.len(), count as usize);
        assert!(results.into_iter().eq((0..count).map(|n| n.wrapping_mul(3))));
    });
}

#[test]
fn input_and_closure_may_borrow() {
    on_workers(2, || {
        let words = vec![String::from("a"), String::from("bc")];
        let suffix = String::from("!");
        let longer: Vec<String> = words.iter().par_map(|word| format!("{word}{suffix}"));
        assert_eq!(longer, ["a!", "bc!"]);
        let lent: Vec<&str> = map(&words, |word| word.as_str());
        assert_eq!(lent, ["a", "bc"]);
    });
}

#[test]
fn items_and_results_of_any_size_pass() {
    on_workers(2, || {
        assert_eq!(map([(); 1000], |()| ()).len(), 1000);
        let large = map(0..100_u8, |n| [n; 10_000]);
        assert!(large.iter().enumerate().all(|(n, result)| result.iter().all(|b| usize::from(*b) == n)));
        let sums = map(large, |bytes| bytes.iter().map(|b| u64::from(*b)).sum::<u64>());
        assert!(sums.iter().enumerate().all(|(n, sum)| *sum == n as u64 * 10_000));
    });
}

#[test]
fn the_iterator_is_pulled_by_the_caller_alone_and_before_the_first_call() {
    on_workers(2, || {
        let pulled = Rc::new(Cell::new(0));
        let all_pulled = AtomicBool::new(false);
        let home = std::thread::current().id();
        let items = (0..100).inspect(|n| {
            assert_eq!(std::thread::current().id(), home);
            pulled.set(pulled.get() + 1);
            fibra::yield_now();
            if *n == 99 {
                all_pulled.store(true, Ordering::Relaxed);
            }
        });
        items.par_map(|_| assert!(all_pulled.load(Ordering::Relaxed)));
        assert_eq!(pulled.get(), 100);
    });
}

#[test]
fn a_sleeping_worker_is_woken_to_take_part() {
    for workers in [2, 3, 8] {
        // Each item waits for all the others to have begun, so each worker must take one.
        on_workers(workers, move || {
            for _ in 0..20 {
                let barrier = Barrier::new(workers);
                let threads = map(0..workers, |_| {
                    barrier.wait();
                    std::thread::current().id()
                });
                assert_eq!(threads.into_iter().collect::<HashSet<_>>().len(), workers);
            }
        });
    }
}

#[test]
fn a_plain_thread_takes_part_beside_the_global_runtime() {
    within_patience(|| {
        let here = std::thread::current().id();
        let workers = fibra::Handle::current().workers();
        let barrier = Barrier::new(workers + 1);
        let threads = map(0..=workers, |_| {
            barrier.wait();
            std::thread::current().id()
        });
        assert!(threads.contains(&here));
        assert_eq!(threads.into_iter().collect::<HashSet<_>>().len(), workers + 1);
    });
}

#[test]
fn a_blocking_call_uses_the_workers_of_its_runtime() {
    on_workers(2, || {
        let threads = fibra::blocking(|| {
            let barrier = Barrier::new(3);
            map(0..3, |_| {
                barrier.wait();
                std::thread::current().id()
            })
        });
        let here = std::thread::current().id();
        assert!(threads.contains(&here));
        assert_eq!(threads.into_iter().collect::<HashSet<_>>().len(), 3);
    });
}

#[test]
fn one_long_item_holds_up_no_other() {
    for long in [0, 500, 999] {
        on_workers(2, move || {
            let (done, all_others) = channel::unbounded();
            map(0..1000, |n| {
                if n == long {
                    // Ends when all others have ended, so nobody else's work may lie behind this.
                    (0..999).for_each(|_| all_others.recv().unwrap());
                } else {
                    done.send(()).unwrap();
                }
            });
        });
    }
}

#[test]
fn a_worker_that_is_busy_with_other_things_is_not_waited_for() {
    on_workers(2, || {
        let (begun, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let here = std::thread::current().id();
        let hog = {
            let (begun, done) = (begun.clone(), done.clone());
            // On whichever worker is not ours; it never calls the runtime.
            let spin = move || {
                if std::thread::current().id() == here {
                    return false;
                }
                begun.store(true, Ordering::Release);
                while !done.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                true
            };
            let spin = Arc::new(spin);
            [0, 1].map(|worker| {
                let spin = spin.clone();
                thread::Builder::new().worker(worker).spawn(move || spin()).unwrap()
            })
        };
        wait_until("the hog runs", || begun.load(Ordering::Acquire));
        let sum: u64 = (0..100).par_map(|n: u64| n).into_iter().sum();
        assert_eq!(sum, 4950);
        done.store(true, Ordering::Release);
        let hogs = hog.map(|task| task.join().unwrap());
        assert_eq!(hogs.into_iter().filter(|hogged| *hogged).count(), 1);
    });
}

#[test]
fn maps_nest() {
    fn nested(depth: u32) -> u64 {
        if depth == 0 { 1 } else { map(0..4, |_| nested(depth - 1)).into_iter().sum() }
    }

    for workers in [1, 2, 8] {
        on_workers(workers, || assert_eq!(nested(5), 1024));
    }
    within_patience(|| assert_eq!(nested(4), 256));
}

#[test]
fn many_maps_at_once_all_end() {
    on_workers(2, || {
        let tasks: Vec<_> = (0..100_u64)
            .map(|seed| fibra::spawn(move || map(0..100, |n: u64| seed * n).into_iter().sum::<u64>()))
            .collect();
        for (seed, task) in (0..).zip(tasks) {
            assert_eq!(task.join().unwrap(), seed * 4950);
        }
    });
}

#[test]
fn items_may_park() {
    on_workers(2, || {
        let (sender, receiver) = channel::bounded(0);
        let echo = fibra::spawn(move || receiver.iter().sum::<u64>());
        map(0..200, |n: u64| {
            fibra::yield_now();
            sender.send(n).unwrap();
        });
        drop(sender);
        assert_eq!(echo.join().unwrap(), 19_900);
    });
}

#[test]
fn other_tasks_run_between_items() {
    on_workers(1, || {
        let ran = Arc::new(AtomicBool::new(false));
        let other = {
            let ran = ran.clone();
            fibra::spawn(move || ran.store(true, Ordering::Relaxed))
        };
        // Never parks: only the asking between items lets the other task run. Ends early once it has.
        map(0..usize::MAX >> 44, |_| {
            if !ran.load(Ordering::Relaxed) {
                let start = std::time::Instant::now();
                while start.elapsed().as_micros() < 500 {}
            }
        });
        assert!(ran.load(Ordering::Relaxed));
        other.join().unwrap();
    });
}

#[test]
fn without_room_for_helpers_the_caller_computes_alone() {
    within_patience(|| {
        let runtime = Builder::new().workers(4).max_tasks(1).build().unwrap();
        runtime.run(|| {
            let here = std::thread::current().id();
            assert!(map(0..100, |_| std::thread::current().id()).into_iter().all(|thread| thread == here));
        });
    });
}

#[test]
fn helpers_leave_nothing_behind() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).max_tasks(2).build().unwrap();
        runtime.run(|| {
            for _ in 0..1000 {
                assert_eq!(map([1, 2], |n| n * 2), [2, 4]);
            }
            // The last helper may still be about to find out that it has come too late.
            wait_until("the helper's place is free", || fibra::try_spawn(|| ()).is_ok());
        });
    });
}

#[test]
fn inherited_task_locals_are_seen_by_all_items() {
    fibra::task_local! {
        static inherit LEVEL: Cell<u32> = Cell::new(0);
    }

    on_workers(2, || {
        LEVEL.set(7);
        let barrier = Barrier::new(2);
        let levels = map(0..2, |_| {
            barrier.wait();
            LEVEL.get()
        });
        assert_eq!(levels, [7, 7]);
    });
}

#[test]
fn on_the_threads_stack_it_is_refused_before_anything_is_called() {
    on_workers(2, || {
        let called = AtomicBool::new(false);
        let outcome = std::panic::catch_unwind(|| {
            fibra::on_thread_stack(|| map(0..10, |_| called.store(true, Ordering::Relaxed)).len())
        });
        assert!(support::message(&*outcome.unwrap_err()).contains("on_thread_stack"));
        assert!(!called.load(Ordering::Relaxed));
    });
}
