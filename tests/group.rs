//! `Group`: spawning, limits, and the ways to take results. Cancelling is in `group_cancel`, borrowing in `group_scope`.

mod support;

use std::cell::RefCell;
use std::error::Error;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fibra::task::{Group, TrySpawnError};
use fibra::{Builder, channel, thread};
use support::{Counted, Drops, OnDrop, message, wait_until, within_patience};

/// From a plain OS thread, and from a task beside 0, 1 and 7 other workers.
fn everywhere(f: fn()) {
    within_patience(move || {
        f();
        for workers in [1, 2, 8] {
            Builder::new().workers(workers).run(f).unwrap();
        }
    });
}

#[test]
fn smoke() {
    everywhere(|| {
        let group = Group::new();
        assert!(group.is_empty());
        let indices: Vec<_> = (0..100).map(|i| group.spawn(move || i * i)).collect();
        assert!(indices.into_iter().eq(0..100));
        assert_eq!(group.len(), 100);
        assert!(group.values().into_iter().eq((0..100).map(|i| i * i)));
        assert!(Group::<i32>::default().values().is_empty());
        assert!(Group::<i32>::new().join_all().is_empty());
        assert!(Group::<i32>::new().next().is_none());
        assert_eq!(Group::<Result<i32, i32>>::new().wait(), Ok(vec![]));
    });
}

#[test]
fn results_come_in_the_order_in_which_tasks_end_and_each_once() {
    everywhere(|| {
        let group = Group::new();
        let doors: Vec<_> = (0..10)
            .map(|i| {
                let (sender, receiver) = channel::bounded::<()>(1);
                group.spawn(move || {
                    receiver.recv().unwrap();
                    i
                });
                sender
            })
            .collect();
        assert!(group.try_next().is_none());
        let order = [3, 9, 0, 1, 8, 2, 7, 4, 6, 5];
        for i in order {
            doors[i].send(()).unwrap();
            let (index, value) = group.next().unwrap();
            assert_eq!((index, value.unwrap()), (i, i));
        }
        assert!(group.next().is_none() && group.try_next().is_none() && group.is_empty());
    });
}

#[test]
fn all_at_once_come_in_the_order_of_spawning_without_those_taken() {
    everywhere(|| {
        let spawn = |group: &Group<'static, usize>| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..20).map(|_| channel::bounded::<()>(1)).unzip();
            for (i, receiver) in receivers.into_iter().enumerate() {
                group.spawn(move || {
                    receiver.recv().unwrap();
                    i
                });
            }
            senders[7].send(()).unwrap();
            assert_eq!(group.next().unwrap().0, 7);
            senders.into_iter().rev().for_each(|sender| sender.send(()).unwrap_or(()));
        };
        let expected = || (0..20).filter(|i| *i != 7);
        let group = Group::new();
        spawn(&group);
        assert!(group.values().into_iter().eq(expected()));
        let group = Group::new();
        spawn(&group);
        assert!(group.join_all().into_iter().map(Result::unwrap).eq(expected()));
    });
}

#[test]
fn a_group_goes_on_after_it_was_empty_and_counts_on() {
    everywhere(|| {
        let group = Group::new();
        for round in 0..10 {
            assert_eq!(group.spawn(move || round), round);
            assert_eq!(group.next().map(|(i, value)| (i, value.unwrap())), Some((round, round)));
            assert!(group.next().is_none());
        }
    });
}

#[test]
fn no_more_tasks_than_the_limit_run_at_once_and_as_many_do() {
    everywhere(|| {
        for limit in [1, 3, 7] {
            let running = Arc::new(AtomicUsize::new(0));
            let most = Arc::new(AtomicUsize::new(0));
            let group = Group::new().limit(limit);
            for _ in 0..100 {
                let (running, most) = (running.clone(), most.clone());
                group.spawn(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // What the closure owns counts as long as it does.
                    let _leave = OnDrop::new(|| {
                        fibra::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    });
                    (0..3).for_each(|_| fibra::yield_now());
                });
            }
            assert_eq!(group.values().len(), 100);
            assert!(most.load(Ordering::SeqCst) <= limit);
            // All of them at once, held there by a handshake.
            let group = Group::new().limit(limit);
            let (entered, count) = channel::bounded(limit);
            let (leave, door) = channel::bounded::<()>(0);
            for _ in 0..limit {
                let (entered, door) = (entered.clone(), door.clone());
                group.spawn(move || {
                    entered.send(()).unwrap();
                    door.recv().unwrap_err();
                });
            }
            (0..limit).for_each(|_| count.recv().unwrap());
            assert!(matches!(group.try_spawn(|| ()), Err(TrySpawnError::AtLimit(_))));
            drop(leave);
            assert_eq!(group.values().len(), limit);
        }
    });
}

#[test]
fn spawn_parks_at_the_limit_until_a_place_is_free() {
    within_patience(|| {
        Builder::new().workers(1).run(|| {
            let group = Arc::new(Group::new().limit(2));
            let (leave, door) = channel::bounded::<()>(0);
            for _ in 0..2 {
                let door = door.clone();
                group.spawn(move || door.recv().unwrap());
            }
            let spawned = Arc::new(AtomicBool::new(false));
            let third = {
                let (group, spawned) = (group.clone(), spawned.clone());
                fibra::spawn(move || {
                    group.spawn(|| ());
                    spawned.store(true, Ordering::SeqCst);
                })
            };
            (0..10).for_each(|_| fibra::yield_now());
            assert!(!spawned.load(Ordering::SeqCst));
            leave.send(()).unwrap();
            third.join().unwrap();
            leave.send(()).unwrap();
            assert_eq!(group.iter().count(), 3);
        })
    })
    .unwrap();
}

#[test]
fn try_spawn_gives_the_closure_back_at_the_limit() {
    everywhere(|| {
        let group = Group::new().limit(1);
        let (leave, door) = channel::bounded::<()>(0);
        let text = String::from("kept");
        let job = |door: channel::Receiver<()>, text: String| {
            move || {
                door.recv().unwrap();
                text
            }
        };
        assert_eq!(group.try_spawn(job(door.clone(), String::new())).unwrap(), 0);
        let error = group.try_spawn(job(door, text)).unwrap_err();
        assert!(error.source().is_none());
        assert_eq!(format!("{error:?}"), "AtLimit(..)");
        assert_eq!(error.to_string(), "the group runs as many tasks as its limit allows");
        let TrySpawnError::AtLimit(job) = error else { panic!("{error}") };
        leave.send(()).unwrap();
        assert_eq!(group.next().unwrap().1.unwrap(), "");
        group.spawn(job);
        leave.send(()).unwrap();
        assert_eq!(group.values(), ["kept"]);
    });
}

#[test]
fn a_task_that_cannot_be_made_leaves_no_trace() {
    within_patience(|| {
        let drops = Drops::new();
        let counted = drops.clone();
        let runtime = Builder::new().workers(2).max_tasks(2).build().unwrap();
        runtime.run(move || {
            let group = Group::new().limit(2);
            let (leave, door) = channel::bounded::<()>(0);
            group.spawn(move || door.recv().unwrap());
            for _ in 0..10 {
                let captured = counted.counted();
                let error = group.try_spawn(move || drop(captured)).unwrap_err();
                let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
                assert_eq!(source.kind(), ErrorKind::QuotaExceeded);
                assert!(error.to_string().starts_with("failed to spawn a task: "), "{error}");
                assert!(format!("{error:?}").starts_with("Failed("), "{error:?}");
            }
            assert_eq!(counted.get(), 10);
            let panic = catch_unwind(AssertUnwindSafe(|| group.spawn(|| ()))).unwrap_err();
            assert!(message(&*panic).starts_with("failed to spawn a task: "));
            assert_eq!(group.len(), 1);
            leave.send(()).unwrap();
            assert_eq!(group.next().unwrap().0, 0);
            // Nobody waits for what was not spawned.
            assert!(group.next().is_none());
            wait_until("there is room again", || group.try_spawn(|| ()).is_ok());
            assert_eq!(group.values().len(), 1);
        });
    });
}

#[test]
fn settings_come_before_the_first_task_and_make_sense() {
    let panic = catch_unwind(|| drop(Group::<()>::new().limit(0))).unwrap_err();
    assert_eq!(message(&*panic), "a group with a limit of 0 could never run a task");
    type Setting = fn(Group<'static, bool>) -> Group<'static, bool>;
    let settings: [Setting; 3] = [|g| g.limit(1), |g| g.independent(), |g| g.cancel_if(|end| *end)];
    for setting in settings {
        drop(setting(setting(Group::new())));
        let group = Group::new();
        group.spawn(|| true);
        assert!(group.next().unwrap().1.unwrap());
        let panic = catch_unwind(AssertUnwindSafe(|| drop(setting(group)))).unwrap_err();
        assert_eq!(message(&*panic), "a group is configured before its first task is spawned");
    }
    assert_eq!(Group::new().limit(usize::MAX).spawn(|| ()), 0);
}

#[test]
fn tasks_spawn_into_their_own_group_while_its_results_are_taken() {
    everywhere(|| {
        fn tree(group: &Arc<Group<'static, u32>>, depth: u32) {
            let again = Arc::clone(group);
            group.spawn(move || {
                if depth > 0 {
                    (0..2).for_each(|_| tree(&again, depth - 1));
                }
                depth
            });
        }
        let group = Arc::new(Group::new());
        tree(&group, 9);
        assert_eq!(group.iter().count(), 1023);
        let group = Arc::into_inner(group).expect("the tasks' handles are gone with their results");
        assert!(group.is_empty());
    });
}

#[test]
fn mpmc_several_take_results_and_all_learn_of_the_end() {
    everywhere(|| {
        let group = Arc::new(Group::new());
        for i in 0..1000 {
            group.spawn(move || i);
        }
        let takers: Vec<_> = (0..8)
            .map(|i| {
                let group = group.clone();
                let take = move || group.iter().map(|(_, value)| value.unwrap()).collect::<Vec<i32>>();
                if i % 2 == 0 {
                    let task = fibra::spawn(take);
                    Box::new(|| task.join().unwrap()) as Box<dyn FnOnce() -> Vec<i32>>
                } else {
                    let thread = std::thread::spawn(take);
                    Box::new(|| fibra::blocking(move || thread.join().unwrap()))
                }
            })
            .collect();
        let mut all: Vec<_> = takers.into_iter().flat_map(|join| join()).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
    });
}

#[test]
fn drops_a_result_is_gone_when_it_was_taken_and_the_rest_with_the_group() {
    everywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        for _ in 0..10 {
            let value = drops.counted();
            group.spawn(move || value);
        }
        for taken in 1..=4 {
            drop(group.next().unwrap());
            assert_eq!(drops.get(), taken);
        }
        wait_until("all have ended", || format!("{group:?}").contains("running: 0"));
        assert_eq!(drops.get(), 4);
        drop(group);
        assert_eq!(drops.get(), 10);
    });
}

struct PanicOnDrop {
    _counted: Counted,
    loud: bool,
}

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if self.loud {
            resume_unwind(Box::new("from a result's destructor"));
        }
    }
}

#[test]
fn panic_on_drop_of_results_does_not_keep_the_others_from_being_dropped() {
    everywhere(|| {
        let drops = Drops::new();
        let make = |loud: fn(usize) -> bool| {
            let group = Group::new();
            for i in 0..10 {
                let _counted = drops.counted();
                group.spawn(move || PanicOnDrop { _counted, loud: loud(i) });
            }
            wait_until("all have ended", || format!("{group:?}").contains("finished: 10"));
            group
        };
        let group = make(|i| i % 3 == 0);
        let panic = catch_unwind(AssertUnwindSafe(|| drop(group))).unwrap_err();
        assert_eq!((message(&*panic), drops.get()), ("from a result's destructor", 10));
        // While another panic unwinds, that one goes on.
        let group = make(|_| true);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _group = group;
            resume_unwind(Box::new("first"));
        }));
        assert_eq!((message(&*panic.unwrap_err()), drops.get()), ("first", 20));
        // Also where the payload of a task's panic has such a destructor.
        let group = Group::new().independent();
        for _ in 0..2 {
            let _counted = drops.counted();
            group.spawn(move || resume_unwind(Box::new(PanicOnDrop { _counted, loud: true })));
        }
        let panic = catch_unwind(AssertUnwindSafe(|| {
            assert_eq!(group.next().map(|(_, end)| std::mem::forget(end.unwrap_err())), Some(()));
            wait_until("both have ended", || format!("{group:?}").contains("finished: 1"));
            drop::<Group<'_, ()>>(group)
        }));
        assert_eq!((message(&*panic.unwrap_err()), drops.get()), ("from a result's destructor", 21));
    });
}

#[test]
fn results_of_every_size_arrive_whole() {
    #[repr(align(64))]
    struct Aligned(u8);
    everywhere(|| {
        let group = Group::new();
        for i in 0..10u8 {
            group.spawn(move || [i; 200_000]);
        }
        let sizes =
            group.values().into_iter().map(|bytes| bytes.iter().map(|b| usize::from(*b)).sum::<usize>());
        assert!(sizes.eq((0..10).map(|i| i * 200_000)));
        let group = Group::new();
        for i in 0..10 {
            group.spawn(move || Aligned(i));
        }
        assert!(
            group
                .values()
                .iter()
                .enumerate()
                .all(|(i, a)| usize::from(a.0) == i && std::ptr::from_ref(a).is_aligned())
        );
        let group = Group::new();
        for _ in 0..10 {
            group.spawn(|| ());
        }
        assert_eq!(group.values().len(), 10);
    });
}

#[test]
fn a_panic_of_one_task_is_handed_out_with_its_index() {
    everywhere(|| {
        let group = Group::new().independent();
        for i in 0..10 {
            group.spawn(move || if i == 5 { resume_unwind(Box::new(i)) } else { i });
        }
        let ends: Vec<_> = group.iter().collect();
        assert_eq!(ends.len(), 10);
        for (index, end) in ends {
            match end {
                Ok(value) => assert!(value == index && index != 5),
                Err(payload) => assert_eq!((*payload.downcast::<usize>().unwrap(), index), (5, 5)),
            }
        }
    });
}

#[test]
fn a_group_may_move_between_tasks_and_threads() {
    within_patience(|| {
        let group = Group::new();
        group.spawn(|| 1);
        let group = fibra::spawn(move || {
            group.spawn(|| 2);
            group
        })
        .join()
        .unwrap();
        let values = thread::blocking(move || {
            group.spawn(|| 3);
            group.values()
        });
        assert_eq!(values, [1, 2, 3]);
    });
}

#[test]
fn a_task_that_lets_go_of_its_group_in_a_task_local_does_not_wait_for_itself() {
    fibra::task_local! {
        static KEPT: RefCell<Option<Arc<Group<'static, Counted>>>> = RefCell::new(None);
    }
    within_patience(|| {
        for workers in [1, 2, 8] {
            Builder::new()
                .workers(workers)
                .run(|| {
                    let drops = Drops::default();
                    let group = Arc::new(Group::new());
                    let (give, take) = channel::bounded(1);
                    let value = drops.counted();
                    group.spawn(move || {
                        KEPT.with(|kept| *kept.borrow_mut() = take.recv().ok());
                        value
                    });
                    give.send(group).unwrap();
                    wait_until("the value is dropped", || drops.get() == 1);
                })
                .unwrap();
        }
    });
}
