//! `scope`: std's promises, most of them asked of std's own `scope` in the same words.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::{Builder, Cancelled, channel};
use support::{Drops, OnDrop, in_child, message, stderr, within_patience};

/// From a plain OS thread, and from a task beside 0, 1 and 7 other workers.
fn everywhere(f: fn()) {
    within_patience(move || {
        f();
        for workers in [1, 2, 8] {
            Builder::new().workers(workers).run(f).unwrap();
        }
    });
}

/// The same test of `std::thread` and of `fibra::thread`.
macro_rules! as_in_std {
    ($($(#[$attribute:meta])* fn $name:ident() $body:block)*) => {
        mod std_s {
            #[allow(unused_imports)]
            use super::*;
            use std::thread;
            $(#[test] $(#[$attribute])* fn $name() $body)*
        }
        mod ours {
            #[allow(unused_imports)]
            use super::*;
            use fibra::thread;
            $(#[test] $(#[$attribute])* fn $name() { everywhere(|| $body) })*
        }
    };
}

as_in_std! {
    fn a_result_is_dropped_before_the_scope_ends_and_its_destructor_may_spawn() {
        struct Spawns<'scope, 'env>(&'scope thread::Scope<'scope, 'env>, &'env AtomicBool);
        impl Drop for Spawns<'_, '_> {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(1));
                let finished = self.1;
                self.0.spawn(move || {
                    thread::sleep(Duration::from_millis(1));
                    finished.store(true, Ordering::Relaxed);
                });
            }
        }
        let finished = &AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(move || Spawns(s, finished));
        });
        assert!(finished.load(Ordering::Relaxed));
    }

    fn a_parameter_is_borrowed_without_a_move() {
        fn touch(x: &u8) {
            thread::scope(|s| {
                s.spawn(|| {
                    let _ = x;
                });
            });
        }
        touch(&42);
    }

    fn the_example_of_the_documentation_runs() {
        let mut a = vec![1, 2, 3];
        let mut x = 0;
        thread::scope(|s| {
            s.spawn(|| assert_eq!(a, [1, 2, 3]));
            s.spawn(|| x += a[0] + a[2]);
        });
        a.push(4);
        assert_eq!(x, a.len());
    }

    fn what_the_closure_returns_comes_out_and_may_borrow_from_outside() {
        let text = String::from("one two");
        let word = thread::scope(|s| {
            let first = s.spawn(|| text.split(' ').next().unwrap());
            first.join().unwrap()
        });
        assert_eq!(word, "one");
    }

    fn a_value_of_the_environment_moves_into_a_task_and_back() {
        let values = vec![String::from("a")];
        let values = thread::scope(|s| {
            s.spawn(move || values.into_iter().chain([String::from("b")]).collect::<Vec<_>>()).join().unwrap()
        });
        assert_eq!(values, ["a", "b"]);
    }

    fn a_panic_that_nobody_joined_becomes_the_scope_s() {
        for dropped in [true, false] {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                thread::scope(|s| {
                    let task = s.spawn(|| resume_unwind(Box::new(1)));
                    if !dropped {
                        // The handle goes when the task has ended: its result, a panic, is dropped here.
                        while !task.is_finished() {
                            thread::yield_now();
                        }
                    }
                });
            }));
            let text = message(&*panic.unwrap_err()).replace("task", "thread");
            assert_eq!(text, "a scoped thread panicked");
        }
    }

    fn a_panic_that_was_joined_is_not_the_scope_s() {
        thread::scope(|s| {
            let end = s.spawn(|| resume_unwind(Box::new(7))).join();
            assert_eq!(*end.map(|never: ()| never).unwrap_err().downcast::<i32>().unwrap(), 7);
        });
    }

    fn the_closure_s_panic_goes_before_the_tasks_panics_and_waits_for_them() {
        let ended = AtomicUsize::new(0);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|s| {
                for i in 0..5 {
                    let ended = &ended;
                    s.spawn(move || {
                        thread::sleep(Duration::from_micros(500));
                        ended.fetch_add(1, Ordering::SeqCst);
                        if i == 3 {
                            resume_unwind(Box::new("of a task"));
                        }
                    });
                }
                resume_unwind(Box::new("of the closure"));
            })
        }));
        assert_eq!(message(&*panic.map(|never: ()| never).unwrap_err()), "of the closure");
        assert_eq!(ended.load(Ordering::SeqCst), 5);
    }

    fn tasks_spawn_into_the_scope_that_only_they_keep_open() {
        let total = AtomicUsize::new(0);
        thread::scope(|s| {
            fn again<'scope>(s: &'scope thread::Scope<'scope, '_>, total: &'scope AtomicUsize, depth: usize) {
                s.spawn(move || {
                    total.fetch_add(1, Ordering::Relaxed);
                    if depth > 0 {
                        again(s, total, depth - 1);
                        again(s, total, depth - 1);
                    }
                });
            }
            again(s, &total, 5);
        });
        assert_eq!(total.into_inner(), 63);
    }

    fn handles_tell_who_it_is_and_may_be_joined_in_another_task() {
        thread::scope(|s| {
            let named = thread::Builder::new().name("named".into()).spawn_scoped(s, || thread::current().id()).unwrap();
            let thread = named.thread().clone();
            assert_eq!(thread.name(), Some("named"));
            assert!(format!("{named:?}").starts_with("ScopedJoinHandle"));
            let id = s.spawn(move || named.join().unwrap()).join().unwrap();
            assert_eq!(id, thread.id());
            assert!(format!("{s:?}").starts_with("Scope"));
        });
    }

    fn values_that_are_send_but_not_sync_may_come_back() {
        fn is_sync<T: Sync>(_: &T) {}
        fn is_send<T: Send>(_: &T) {}
        thread::scope(|s| {
            is_sync(s);
            is_send(&s);
            let task = s.spawn(|| Cell::new(1));
            is_send(&task);
            is_sync(&task);
            assert_eq!(task.join().unwrap().get(), 1);
        });
    }

    fn closures_and_results_are_dropped_once_before_the_scope_ends() {
        let (closures, results) = (Drops::new(), Drops::new());
        thread::scope(|s| {
            let mut kept = Vec::new();
            for i in 0..30 {
                let (closure, result) = (closures.counted(), results.counted());
                let task = s.spawn(move || {
                    let _closure = closure;
                    result
                });
                match i % 3 {
                    0 => drop(task.join().unwrap()),
                    1 => drop(task),
                    _ => kept.push(task),
                }
            }
        });
        assert_eq!((closures.get(), results.get()), (30, 30));
    }
}

#[test]
fn a_scope_without_tasks_is_its_closure() {
    everywhere(|| assert_eq!(fibra::scope(|_| 7), 7));
}

#[test]
fn a_task_that_is_dropped_unrun_lets_go_of_what_it_borrows_before_the_scope_ends() {
    within_patience(|| {
        Builder::new().workers(1).run(|| {
            let seen = AtomicUsize::new(0);
            let text = String::from("borrowed");
            fibra::scope(|s| {
                for _ in 0..10 {
                    // Destructors of unrun closures may park, and look at what they borrow.
                    let look = OnDrop::new(|| {
                        fibra::sleep(Duration::from_micros(100));
                        seen.fetch_add(text.len(), Ordering::SeqCst);
                    });
                    s.spawn(move || {
                        let _look = look;
                        unreachable!("it was cancelled before");
                    })
                    .cancel();
                }
            });
            assert_eq!(seen.load(Ordering::SeqCst), 80);
        })
    })
    .unwrap();
}

#[test]
fn a_task_that_cannot_be_made_is_none_of_the_scope_s() {
    within_patience(|| {
        Builder::new().max_tasks(2).workers(1).build().unwrap().run(|| {
            let drops = Drops::new();
            fibra::scope(|s| {
                let parked = s.spawn(fibra::thread::park);
                let guard = drops.counted();
                let error = fibra::thread::Builder::new().spawn_scoped(s, move || drop(guard)).unwrap_err();
                assert_eq!((error.kind(), drops.get()), (std::io::ErrorKind::QuotaExceeded, 1));
                parked.thread().unpark();
            });
        });
    });
}

#[test]
fn a_cancelled_owner_waits_for_the_tasks_and_meets_the_cancellation_afterwards() {
    within_patience(|| {
        Builder::new().workers(2).run(|| {
            let (release, released) = channel::bounded::<()>(0);
            let (entered, enters) = channel::bounded(0);
            let ran = Arc::new(AtomicUsize::new(0));
            let seen = ran.clone();
            let owner = fibra::spawn(move || {
                fibra::scope(|s| {
                    for _ in 0..3 {
                        let (released, ran) = (&released, &ran);
                        s.spawn(move || {
                            released.recv().unwrap_err();
                            ran.fetch_add(1, Ordering::SeqCst);
                        });
                    }
                    entered.send(()).unwrap();
                });
                fibra::thread::park();
                unreachable!("the cancellation was waiting here");
            });
            enters.recv().unwrap();
            owner.cancel();
            (0..10).for_each(|_| fibra::yield_now());
            assert!(!owner.is_finished());
            drop(release);
            assert!(owner.join().unwrap_err().is::<Cancelled>());
            assert_eq!(seen.load(Ordering::SeqCst), 3);
        })
    })
    .unwrap();
}

#[test]
fn a_result_whose_destructor_panics_ends_the_process_as_in_std() {
    let output = in_child("a_result_whose_destructor_panics_ends_the_process_as_in_std", &[], || {
        fibra::run(|| {
            fibra::scope(|s| {
                s.spawn(|| OnDrop::new(|| panic!("in a destructor")));
            });
        });
    });
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(text.contains("the result of a scoped task panicked when it was dropped"), "{text}");
}

/// The frame of a scope is gone as soon as the last task has let go: small frames, one after the other in the same place.
#[test]
fn stress_the_last_task_touches_nothing_of_a_scope_that_has_ended() {
    within_patience(|| {
        for workers in [1, 2, 8] {
            let runtime = Builder::new().workers(workers).build().unwrap();
            runtime.run(|| {
                let total = AtomicUsize::new(0);
                for round in 0..3_000usize {
                    fibra::scope(|s| {
                        for _ in 0..round % 4 {
                            s.spawn(|| total.fetch_add(1, Ordering::Relaxed));
                        }
                    });
                    // What a late task would trample on.
                    let mut frame = [round; 32];
                    std::hint::black_box(&mut frame);
                    assert!(frame.iter().all(|n| *n == round));
                }
                assert_eq!(total.into_inner(), 3_000 / 4 * 6);
            });
            // And from plain threads, whose waits are of another kind.
            let total = AtomicUsize::new(0);
            for _ in 0..300 {
                fibra::scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| total.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
            assert_eq!(total.into_inner(), 900);
        }
    });
}

#[test]
fn a_hundred_thousand_tasks_in_one_scope() {
    everywhere(|| {
        let total = AtomicUsize::new(0);
        fibra::scope(|s| {
            for _ in 0..100_000 {
                s.spawn(|| total.fetch_add(1, Ordering::Relaxed));
            }
        });
        assert_eq!(total.into_inner(), 100_000);
    });
}
