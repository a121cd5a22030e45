//! `Group` in a scope: tasks that borrow, and what forgetting such a group leaves safe.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::task::Group;
use fibra::{Builder, channel, thread};
use support::{Drops, OnDrop, message, within_patience};

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
fn tasks_borrow_from_outside_of_the_scope_to_read_and_to_write() {
    everywhere(|| {
        let words = ["one", "two", "three"].map(String::from);
        let mut lengths = [0; 3];
        let longest = fibra::scope(|s| {
            let group = Group::in_scope(s);
            for (word, length) in words.iter().zip(&mut lengths) {
                group.spawn(move || {
                    *length = word.len();
                    // The value may borrow as well.
                    word.as_str()
                });
            }
            group.values().into_iter().max_by_key(|word| word.len())
        });
        assert_eq!((longest, lengths), (Some("three"), [3, 3, 5]));
    });
}

#[test]
fn several_groups_share_a_scope_and_live_in_its_tasks() {
    everywhere(|| {
        let total = AtomicUsize::new(0);
        fibra::scope(|s| {
            for _ in 0..4 {
                let total = &total;
                let group = Group::in_scope(s);
                s.spawn(move || {
                    for i in 0..10 {
                        group.spawn(move || total.fetch_add(i, Ordering::Relaxed));
                    }
                    assert_eq!(group.values().len(), 10);
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 45);
    });
}

#[test]
fn a_group_may_outlive_the_closure_by_moving_into_its_own_task() {
    everywhere(|| {
        let drops = Drops::new();
        let text = String::from("borrowed");
        fibra::scope(|s| {
            let group = Arc::new(Group::in_scope(s));
            for _ in 0..5 {
                let (group, guard, text) = (Arc::clone(&group), drops.counted(), &text);
                Arc::clone(&group).spawn(move || {
                    let _guard = (guard, group);
                    fibra::yield_now();
                    text.len()
                });
            }
        });
        assert_eq!(drops.get(), 5);
    });
}

#[test]
fn a_drop_cancels_and_nothing_is_left_for_the_scope_to_wait_for() {
    everywhere(|| {
        let drops = Drops::new();
        fibra::scope(|s| {
            let group = Group::in_scope(s);
            let (sender, receiver) = channel::bounded(10);
            for _ in 0..10 {
                let (sender, drops) = (sender.clone(), &drops);
                group.spawn(move || {
                    let _guard = drops.counted();
                    sender.send(()).unwrap();
                    thread::park();
                });
            }
            (0..10).for_each(|_| receiver.recv().unwrap());
            drop(group);
            assert_eq!(drops.get(), 10);
            assert!(format!("{s:?}").contains("running: 0"), "{s:?}");
        });
    });
}

#[test]
fn the_scope_waits_for_the_tasks_of_a_forgotten_group() {
    everywhere(|| {
        let finished = AtomicUsize::new(0);
        let drops = Drops::new();
        fibra::scope(|s| {
            let group = Group::in_scope(s);
            for _ in 0..10 {
                group.spawn(|| {
                    (0..5).for_each(|_| fibra::yield_now());
                    finished.fetch_add(1, Ordering::SeqCst);
                    // A result that would look at what it borrows.
                    OnDrop::new(|| drop((drops.counted(), finished.load(Ordering::SeqCst))))
                });
            }
            std::mem::forget(group);
        });
        assert_eq!(finished.load(Ordering::SeqCst), 10);
        assert_eq!(drops.get(), 0, "results that nobody can take stay where they are");
    });
}

#[test]
fn panics_and_errors_are_the_group_s_and_not_the_scope_s() {
    everywhere(|| {
        let drops = Drops::new();
        fibra::scope(|s| {
            let group = Group::in_scope(s);
            for _ in 0..5 {
                group.spawn(|| {
                    let _guard = drops.counted();
                    thread::park();
                    Ok(())
                });
            }
            group.spawn(|| resume_unwind(Box::new("inside")));
            let panic = catch_unwind(AssertUnwindSafe(|| Group::<Result<(), ()>>::wait(group))).unwrap_err();
            assert_eq!(message(&*panic), "inside");
            // One that nobody asks about.
            let group = Group::in_scope(s);
            group.spawn(|| resume_unwind(Box::new("unseen")));
            drop(group);
        });
        assert!(drops.get() <= 5);
    });
}

#[test]
fn a_panic_in_the_scope_s_closure_ends_the_group_before_the_scope() {
    everywhere(|| {
        let data = [1, 2, 3];
        let drops = Drops::new();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            fibra::scope(|s| {
                let group = Group::in_scope(s);
                let (sender, receiver) = channel::bounded(3);
                for number in &data {
                    let (sender, drops) = (sender.clone(), &drops);
                    group.spawn(move || {
                        let _guard = drops.counted();
                        sender.send(()).unwrap();
                        thread::park();
                        number
                    });
                }
                (0..3).for_each(|_| receiver.recv().unwrap());
                resume_unwind(Box::new("of the closure"));
            })
        }));
        assert_eq!(message(&*panic.map(|never: ()| never).unwrap_err()), "of the closure");
        assert_eq!(drops.get(), 3);
    });
}
