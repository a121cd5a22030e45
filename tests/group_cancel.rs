//! `Group`: what a failure, a cancellation and the group's end do to its tasks, with every destructor counted.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::task::Group;
use fibra::{Builder, Cancelled, channel, thread};
use support::{Drops, OnDrop, message, wait_until, within_patience};

/// From a plain OS thread, and from a task beside 0, 1 and 7 other workers.
fn everywhere(f: fn()) {
    within_patience(move || {
        f();
        for workers in [1, 2, 8] {
            Builder::new().workers(workers).run(f).unwrap();
        }
    });
}

/// Spawns `n` tasks that park for good, and waits until they are there. Each owns one of `drops`.
fn park_in<T: Send + 'static>(group: &Group<'static, T>, n: usize, drops: &Drops) {
    let (sender, receiver) = channel::bounded(n);
    for _ in 0..n {
        let (guard, sender) = (drops.counted(), sender.clone());
        group.spawn(move || {
            let _guard = guard;
            sender.send(()).unwrap();
            loop {
                thread::park();
            }
        });
    }
    (0..n).for_each(|_| receiver.recv().unwrap());
}

#[test]
fn the_first_err_cancels_the_others_and_comes_back_when_all_have_ended() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        park_in(&group, 20, &drops);
        group.spawn(|| Ok(1));
        group.spawn(|| Err("first"));
        park_in(&group, 20, &drops);
        assert!(!group.is_cancelled(), "an Err is a value like any other until somebody waits for all");
        assert_eq!(group.wait(), Err("first"));
        assert_eq!(drops.get(), 40);
    });
}

#[test]
fn an_err_that_comes_while_all_are_waited_for_cancels_the_others() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        park_in(&group, 20, &drops);
        let (sender, receiver) = channel::bounded(0);
        let guard = drops.counted();
        group.spawn(move || {
            let _guard = guard;
            receiver.recv().unwrap()
        });
        let failure = thread::spawn(move || {
            fibra::sleep(Duration::from_millis(1));
            sender.send(Err(7)).unwrap();
        });
        assert_eq!(group.wait(), Err::<Vec<()>, _>(7));
        assert_eq!(drops.get(), 21);
        failure.join().unwrap();
    });
}

#[test]
fn errors_that_the_cancelled_return_do_not_replace_the_first() {
    everywhere(|| {
        for round in 0..50 {
            let group = Group::new().cancel_if(Result::is_err);
            for i in 0..10 {
                group.spawn(move || {
                    let caught = catch_unwind(thread::park);
                    assert!(caught.is_err());
                    Err(i)
                });
            }
            group.spawn(|| Err(100));
            if round % 2 == 0 {
                wait_until("somebody has failed", || group.is_cancelled());
            }
            assert_eq!(group.wait(), Err::<Vec<()>, _>(100));
        }
    });
}

#[test]
fn the_first_panic_cancels_the_others_and_is_resumed_when_all_have_ended() {
    everywhere(|| {
        type Wait = fn(Group<'static, Result<(), ()>>);
        let waits: [Wait; 3] = [|g| drop(g.wait()), |g| drop(g.values()), |g| drop(g.first_ok())];
        for wait in waits {
            let drops = Drops::new();
            let group = Group::new();
            park_in(&group, 20, &drops);
            group.spawn(|| resume_unwind(Box::new("oh no")));
            let panic = catch_unwind(AssertUnwindSafe(|| wait(group))).unwrap_err();
            assert_eq!((message(&*panic), drops.get()), ("oh no", 20));
        }
        let drops = Drops::new();
        let group = Group::<()>::new();
        park_in(&group, 20, &drops);
        group.spawn(|| resume_unwind(Box::new("oh no")));
        let mut ends: Vec<_> = group.join_all().into_iter().map(Result::unwrap_err).collect();
        assert_eq!(message(&*ends.pop().unwrap()), "oh no");
        assert!(ends.len() == 20 && ends.iter().all(|end| end.is::<Cancelled>()));
        assert_eq!(drops.get(), 20);
    });
}

#[test]
fn in_an_independent_group_nobody_is_cancelled() {
    everywhere(|| {
        let make = || {
            let group = Group::new().independent();
            let (sender, receiver) = channel::bounded::<()>(0);
            let finished = Arc::new(AtomicUsize::new(0));
            for _ in 0..10 {
                let (receiver, finished) = (receiver.clone(), finished.clone());
                group.spawn(move || {
                    receiver.recv().unwrap_err();
                    finished.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
            }
            group.spawn(|| Err("error"));
            assert_eq!(group.next().unwrap().1.unwrap(), Err("error"));
            group.spawn(|| Err("error"));
            group.spawn(|| resume_unwind(Box::new("panic")));
            // The others go on when the failures have had their time.
            fibra::spawn(move || {
                fibra::sleep(Duration::from_millis(1));
                drop(sender);
            });
            (group, finished)
        };
        let (group, finished) = make();
        let panic = catch_unwind(AssertUnwindSafe(|| group.wait()));
        match panic {
            Ok(result) => assert_eq!(result, Err("error")),
            Err(payload) => assert_eq!(message(&*payload), "panic"),
        }
        assert_eq!(finished.load(Ordering::SeqCst), 10);
        let (group, finished) = make();
        assert_eq!(group.first_ok(), Ok(()));
        assert_eq!(finished.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn cancel_if_acts_at_once_though_the_spawner_waits_for_a_place() {
    everywhere(|| {
        let drops = Drops::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let group = Group::new().limit(4).cancel_if(Result::is_err);
        park_in(&group, 3, &drops);
        group.spawn(|| Err("no such host"));
        // There is room for these only since the first four are gone.
        for _ in 0..20 {
            let (guard, ran) = (drops.counted(), ran.clone());
            group.spawn(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                drop(guard);
                thread::park();
                Ok(())
            });
        }
        assert!(group.is_cancelled());
        assert_eq!(group.wait(), Err("no such host"));
        assert_eq!(drops.get(), 23);
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_panic_of_the_predicate_is_the_task_s() {
    everywhere(|| {
        let group = Group::new().cancel_if(|_| resume_unwind(Box::new("of the predicate")));
        let drops = Drops::new();
        park_in(&group, 3, &drops);
        group.spawn(|| ());
        let panic = catch_unwind(AssertUnwindSafe(|| group.values())).unwrap_err();
        assert_eq!((message(&*panic), drops.get()), ("of the predicate", 3));
    });
}

#[test]
fn cancel_by_hand_ends_all_and_the_finished_keep_their_values() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        for i in 0..3 {
            group.spawn(move || i);
        }
        wait_until("they have ended", || format!("{group:?}").contains("finished: 3"));
        park_in(&group, 20, &drops);
        group.cancel();
        group.cancel();
        assert!(group.is_cancelled());
        // What comes later does not run at all.
        let guard = drops.counted();
        let late = group.spawn(move || {
            let _guard = guard;
            unreachable!("the group has been cancelled")
        });
        assert_eq!((late, group.values()), (23, vec![0, 1, 2]));
        assert_eq!(drops.get(), 21);
    });
}

#[test]
fn tasks_that_have_not_started_never_do_once_the_group_is_cancelled() {
    within_patience(|| {
        Builder::new().workers(1).run(|| {
            let drops = Drops::new();
            let group = Group::<()>::new();
            for _ in 0..100 {
                let guard = drops.counted();
                group.spawn(move || {
                    let _guard = guard;
                    unreachable!("this worker is busy until the group is cancelled");
                });
            }
            group.cancel();
            assert_eq!(drops.get(), 0, "destructors run in the tasks");
            assert!(group.iter().all(|(_, end)| end.unwrap_err().is::<Cancelled>()));
            assert_eq!(drops.get(), 100);
        })
    })
    .unwrap();
}

#[test]
fn a_drop_cancels_and_waits_until_destructors_that_park_have_run() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::<()>::new();
        let (sender, receiver) = channel::bounded(20);
        for _ in 0..20 {
            let (guard, sender) = (drops.counted(), sender.clone());
            group.spawn(move || {
                let _slow = OnDrop::new(move || {
                    fibra::sleep(Duration::from_millis(1));
                    drop(guard);
                });
                sender.send(()).unwrap();
                thread::park();
            });
        }
        (0..20).for_each(|_| receiver.recv().unwrap());
        drop(group);
        assert_eq!(drops.get(), 20);
    });
}

#[test]
fn task_locals_are_gone_when_a_task_is_waited_for() {
    struct Slow(Option<support::Counted>);
    impl Drop for Slow {
        fn drop(&mut self) {
            fibra::sleep(Duration::from_millis(1));
            self.0.take();
        }
    }
    fibra::task_local! {
        static LOCAL: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        for _ in 0..10 {
            let counted = drops.counted();
            group.spawn(move || LOCAL.with_borrow_mut(|local| *local = Some(Slow(Some(counted)))));
        }
        assert_eq!(group.values().len(), 10);
        assert_eq!(drops.get(), 10);
    });
}

#[test]
fn a_cancelled_waiter_takes_the_tasks_along_before_it_unwinds_on() {
    within_patience(|| {
        type Wait = fn(Group<'static, Result<(), ()>>);
        let waits: [Wait; 6] = [
            |g| drop(g.wait()),
            |g| drop(g.values()),
            |g| drop(g.join_all()),
            |g| drop(g.first_ok()),
            |g| drop(g.next()),
            |_g| thread::park(),
        ];
        for workers in [1, 2, 8] {
            let runtime = Builder::new().workers(workers).build().unwrap();
            runtime.run(|| {
                for wait in waits {
                    let drops = Drops::new();
                    let seen = Arc::new(AtomicUsize::new(0));
                    let (sender, receiver) = channel::bounded(0);
                    let waiter = {
                        let (drops, seen) = (drops.clone(), seen.clone());
                        fibra::spawn(move || {
                            let count = drops.clone();
                            let _after = OnDrop::new(move || seen.store(count.get(), Ordering::SeqCst));
                            let group = Group::new();
                            park_in(&group, 10, &drops);
                            sender.send(()).unwrap();
                            wait(group);
                        })
                    };
                    receiver.recv().unwrap();
                    waiter.cancel();
                    assert!(waiter.join().unwrap_err().is::<Cancelled>());
                    assert_eq!(seen.load(Ordering::SeqCst), 10, "they ended before the unwinding went on");
                }
            });
        }
    });
}

#[test]
fn a_timeout_around_a_wait_ends_the_group_and_one_around_next_does_not() {
    everywhere(|| {
        type Wait = fn(Group<'static, Result<(), ()>>);
        let waits: [Wait; 4] =
            [|g| drop(g.wait()), |g| drop(g.values()), |g| drop(g.join_all()), |g| drop(g.first_ok())];
        for wait in waits {
            let drops = Drops::new();
            let group = Group::new();
            park_in(&group, 10, &drops);
            assert!(fibra::timeout(Duration::from_millis(1), || wait(group)).is_err());
            assert_eq!(drops.get(), 10);
        }
        let drops = Drops::new();
        let group = Group::new().limit(11);
        let (sender, receiver) = channel::bounded(0);
        park_in(&group, 10, &drops);
        group.spawn(move || receiver.recv().unwrap());
        let moment = Duration::from_millis(1);
        assert!(fibra::timeout(moment, || group.next()).is_err());
        let guard = drops.counted();
        assert!(fibra::timeout(moment, || group.spawn(move || drop(guard))).is_err());
        assert_eq!((drops.get(), group.len(), group.is_cancelled()), (1, 11, false));
        sender.send(()).unwrap();
        assert_eq!(group.next().map(|(index, end)| (index, end.unwrap())), Some((10, ())));
        // A token that is cancelled already: no result is lost, and the drop is not cut short.
        let token = fibra::cancel::Token::new();
        token.cancel();
        assert!(token.run(|| group.next()).is_err());
        assert!(fibra::timeout(Duration::ZERO, || drop(group)).is_ok());
        assert_eq!(drops.get(), 11);
    });
}

#[test]
fn tasks_may_time_out_inside_without_the_group_s_knowing() {
    everywhere(|| {
        let group = Group::new();
        for _ in 0..10 {
            group.spawn(|| fibra::timeout(Duration::from_micros(100), thread::park).is_err());
        }
        assert!(!group.is_cancelled());
        assert_eq!(group.values(), [true; 10]);
    });
}

#[test]
fn a_cancelled_next_takes_no_result_with_it() {
    within_patience(|| {
        for workers in [1, 2, 8] {
            let runtime = Builder::new().workers(workers).build().unwrap();
            runtime.run(|| {
                for round in 0..500 {
                    let group = Arc::new(Group::new());
                    let taker = {
                        let group = group.clone();
                        fibra::spawn(move || group.next().map(|(_, value)| value.unwrap()))
                    };
                    let (sender, receiver) = channel::bounded(1);
                    group.spawn(move || receiver.recv().unwrap());
                    (0..round % 5).for_each(|_| fibra::yield_now());
                    sender.send(round).unwrap();
                    taker.cancel();
                    let taken = match taker.join() {
                        Ok(taken) => taken,
                        Err(payload) => {
                            assert!(payload.is::<Cancelled>());
                            None
                        }
                    };
                    let value = taken.or_else(|| group.next().map(|(_, value)| value.unwrap()));
                    assert_eq!(value, Some(round));
                }
            });
        }
    });
}

#[test]
fn a_cancelled_spawner_that_waits_for_a_place_drops_its_closure() {
    within_patience(|| {
        Builder::new().workers(1).run(|| {
            let drops = Drops::new();
            let group = Arc::new(Group::new().limit(1));
            let (leave, door) = channel::bounded::<()>(0);
            group.spawn(move || door.recv().unwrap());
            let spawner = {
                let (group, guard) = (group.clone(), drops.counted());
                fibra::spawn(move || group.spawn(move || drop(guard)))
            };
            (0..5).for_each(|_| fibra::yield_now());
            spawner.cancel();
            assert!(spawner.join().unwrap_err().is::<Cancelled>());
            assert_eq!((drops.get(), group.len()), (1, 1));
            leave.send(()).unwrap();
            assert_eq!(group.iter().count(), 1);
            // The place is not lost.
            group.spawn(|| ());
            assert_eq!(group.iter().count(), 1);
        })
    })
    .unwrap();
}

#[test]
fn nested_groups_fall_together() {
    everywhere(|| {
        #[derive(Clone, Default)]
        struct Counts {
            made: Arc<AtomicUsize>,
            drops: Drops,
        }
        fn nest(depth: usize, counts: &Counts) {
            let group = Group::new();
            for _ in 0..3 {
                counts.made.fetch_add(1, Ordering::SeqCst);
                let guard = counts.drops.counted();
                group.spawn(move || {
                    let _guard = guard;
                    thread::park();
                });
            }
            if depth > 0 {
                for _ in 0..2 {
                    let counts = counts.clone();
                    group.spawn(move || nest(depth - 1, &counts));
                }
            }
            group.values();
        }
        // 31 groups of three; in some rounds the end finds them half built.
        for round in 0..20 {
            let counts = Counts::default();
            let outer = Group::new();
            let inner = counts.clone();
            outer.spawn(move || nest(4, &inner));
            if round % 2 == 0 {
                wait_until("all are there", || counts.made.load(Ordering::SeqCst) == 93);
            }
            outer.spawn(|| resume_unwind(Box::new("falls")));
            let panic = catch_unwind(AssertUnwindSafe(|| outer.values())).unwrap_err();
            assert_eq!(message(&*panic), "falls");
            assert_eq!(
                counts.drops.get(),
                counts.made.load(Ordering::SeqCst),
                "nothing outlives the outermost"
            );
        }
    });
}

#[test]
fn an_error_in_an_inner_group_is_the_inner_group_s() {
    everywhere(|| {
        let outer = Group::new();
        for i in 0..10 {
            outer.spawn(move || {
                let drops = Drops::new();
                let inner = Group::<Result<(), i32>>::new();
                park_in(&inner, 5, &drops);
                inner.spawn(move || if i % 2 == 0 { Err(i) } else { resume_unwind(Box::new(i)) });
                let caught = catch_unwind(AssertUnwindSafe(|| inner.wait()));
                assert_eq!(drops.get(), 5);
                match caught {
                    Ok(result) => result.unwrap_err(),
                    Err(payload) => *payload.downcast::<i32>().unwrap(),
                }
            });
        }
        assert!(outer.values().into_iter().eq(0..10));
    });
}

#[test]
fn a_panic_that_unwinds_past_a_group_ends_it_first() {
    everywhere(|| {
        let drops = Drops::new();
        let seen = Arc::new(AtomicUsize::new(0));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _after = OnDrop::new(|| seen.store(drops.get(), Ordering::SeqCst));
            let group = Group::<()>::new();
            park_in(&group, 10, &drops);
            resume_unwind(Box::new("past it"));
        }));
        assert_eq!(message(&*panic.unwrap_err()), "past it");
        assert_eq!(seen.load(Ordering::SeqCst), 10);
        assert!(!std::thread::panicking());
    });
}

#[test]
fn the_end_of_a_runtime_ends_its_groups() {
    within_patience(|| {
        for workers in [1, 2, 8] {
            let drops = Drops::new();
            let runtime = Builder::new().workers(workers).build().unwrap();
            let (sender, receiver) = channel::bounded(0);
            let count = drops.clone();
            runtime.spawn(move || {
                let group = Group::<()>::new();
                park_in(&group, 10, &count);
                sender.send(()).unwrap();
                group.values();
            });
            receiver.recv().unwrap();
            // A group on a plain thread whose tasks are this runtime's: it learns that they did not come to their end.
            let group = runtime.run(|| {
                let group = Group::<()>::new();
                park_in(&group, 10, &drops);
                group
            });
            drop(runtime);
            assert_eq!(drops.get(), 20);
            let panic = catch_unwind(AssertUnwindSafe(|| group.values())).unwrap_err();
            assert_eq!(message(&*panic), "a task of the group was cancelled by the end of its runtime");
        }
    });
}

#[test]
fn a_task_that_is_spawned_in_a_runtime_that_ends_is_cancelled() {
    within_patience(|| {
        let ends = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new().workers(1).build().unwrap();
        let (sender, receiver) = channel::bounded(0);
        let seen = ends.clone();
        runtime.spawn(move || {
            let _at_the_end = OnDrop::new(move || {
                let group = Group::new();
                group.spawn(|| unreachable!("the runtime takes no new tasks"));
                let end: thread::Result<()> = group.next().unwrap().1;
                seen.fetch_add(usize::from(end.unwrap_err().is::<Cancelled>()), Ordering::SeqCst);
            });
            sender.send(()).unwrap();
            thread::park();
        });
        receiver.recv().unwrap();
        drop(runtime);
        assert_eq!(ends.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn the_tasks_of_a_forgotten_group_go_on() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        let (sender, receiver) = channel::bounded::<()>(0);
        for _ in 0..10 {
            let (guard, receiver) = (drops.counted(), receiver.clone());
            group.spawn(move || {
                let _guard = guard;
                receiver.recv().unwrap_err();
            });
        }
        std::mem::forget(group);
        drop(sender);
        wait_until("they have come to their end", || drops.get() == 10);
    });
}

#[test]
fn a_group_that_is_dropped_in_its_own_task_waits_for_the_others() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Arc::new(Group::new());
        park_in(&group, 10, &drops);
        let (sender, receiver) = channel::bounded(1);
        let (last, own, count) = (group.clone(), drops.counted(), drops.clone());
        let (go, gone) = channel::bounded::<()>(1);
        group.spawn(move || {
            gone.recv().unwrap();
            drop(Arc::into_inner(last).expect("the last handle"));
            sender.send(count.get()).unwrap();
            drop(own);
        });
        drop(group);
        go.send(()).unwrap();
        assert_eq!(receiver.recv(), Ok(10));
        wait_until("its own result is dropped", || drops.get() == 11);
    });
}

#[test]
fn the_first_ok_wins_and_the_others_are_cancelled() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        park_in(&group, 20, &drops);
        group.spawn(|| Err("slow"));
        group.spawn(|| Ok("fast"));
        assert_eq!(group.first_ok(), Ok("fast"));
        assert_eq!(drops.get(), 20);
        // While it waits.
        let group = Group::new();
        park_in(&group, 20, &drops);
        let (sender, receiver) = channel::bounded(0);
        group.spawn(move || receiver.recv().unwrap());
        let winner = fibra::spawn(move || {
            fibra::sleep(Duration::from_millis(1));
            sender.send(Ok::<_, ()>(2)).unwrap();
        });
        assert_eq!(group.first_ok(), Ok(2));
        winner.join().unwrap();
        assert_eq!(drops.get(), 40);
        // While others are still being spawned.
        let group = Group::new().cancel_if(Result::is_ok);
        group.spawn(|| Ok::<_, ()>(1));
        wait_until("there is a winner", || group.is_cancelled());
        group.spawn(|| unreachable!("the race is over"));
        assert_eq!(group.first_ok(), Ok(1));
    });
}

#[test]
fn a_race_without_a_winner_tells_all_errors_or_resumes_a_panic() {
    everywhere(|| {
        let group = Group::<Result<(), usize>>::new();
        for i in 0..10 {
            group.spawn(move || Err(i));
        }
        let mut errors = group.first_ok().unwrap_err();
        errors.sort_unstable();
        assert!(errors.into_iter().eq(0..10));
        assert_eq!(Group::<Result<(), ()>>::new().first_ok(), Err(vec![]));
        let group = Group::<Result<(), usize>>::new().independent();
        group.spawn(|| Err(1));
        group.spawn(|| resume_unwind(Box::new("nobody won")));
        let panic = catch_unwind(AssertUnwindSafe(|| group.first_ok())).unwrap_err();
        assert_eq!(message(&*panic), "nobody won");
    });
}

#[test]
fn a_panic_behind_the_winner_does_not_take_the_victory_away() {
    everywhere(|| {
        let group = Group::new();
        let (sender, receiver) = channel::bounded(0);
        group.spawn(move || {
            let _loud = OnDrop::new(|| assert!(std::thread::panicking()));
            sender.send(()).unwrap();
            let caught = catch_unwind(thread::park);
            assert!(caught.is_err());
            resume_unwind(Box::new("a sore loser"))
        });
        receiver.recv().unwrap();
        group.spawn(|| Ok::<_, ()>("the winner"));
        assert_eq!(group.first_ok(), Ok("the winner"));
    });
}
