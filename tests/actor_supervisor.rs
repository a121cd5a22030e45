//! Supervisors: which children are started again, and what their handles answer.

#[path = "support/supervised.rs"]
mod supervised;
mod support;

use std::ops::ControlFlow;
use std::time::Duration;

use fibra::actor::{
    self, Address, CallError, ChildError, ChildSpec, ExitReason, Restart, StartError, Strategy, Supervisor,
    SupervisorRef,
};
use fibra::channel;
use supervised::{Events, LONG, Order, PATIENT, crash, crash_child, end_child, pid, silence_expected_panics};
use support::{Drops, PATIENCE, within_patience};

/// One with the children a, b, c.
fn abc(events: &Events, strategy: Strategy) -> SupervisorRef {
    let supervisor = Supervisor::new(strategy).intensity(100, LONG);
    let supervisor = ["a", "b", "c"].iter().fold(supervisor, |all, id| all.child(events.worker(id)));
    let supervisor = supervisor.start().unwrap();
    events.expect_exactly(&["start a", "start b", "start c"]);
    supervisor
}

#[test]
fn children_start_in_order_and_end_in_reverse() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        let infos = supervisor.children().unwrap();
        assert_eq!(infos.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(infos.iter().all(|info| info.pid.as_ref().unwrap().is_alive() && info.restarts == 0));
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        events.expect_exactly(&["end c", "end b", "end a"]);
        assert!(
            infos.iter().all(|info| info.pid.as_ref().unwrap().exit_reason() == Some(ExitReason::Shutdown))
        );
    });
}

#[test]
fn one_for_one_restarts_the_crashed_child_alone() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        let before = pid(&supervisor, "b").unwrap();
        crash_child(&supervisor, "b");
        events.expect(&["end b", "start b"]);
        let after: Address<Order> = supervisor.child("b").unwrap();
        assert_ne!(after.pid(), before);
        assert_eq!(after.call(Order::Ask).unwrap(), after.pid().id());
        let restarts: Vec<_> = supervisor.children().unwrap().iter().map(|child| child.restarts).collect();
        assert_eq!(restarts, [0, 1, 0]);
        supervisor.stop();
        events.expect_exactly(&["end c", "end b", "end a"]);
    });
}

#[test]
fn one_for_all_restarts_all_in_order() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForAll);
        crash_child(&supervisor, "b");
        events.expect(&["end b", "end c", "end a", "start a", "start b", "start c"]);
        assert_eq!(supervisor.count().unwrap().restarts, 3);
        supervisor.stop();
        events.expect_exactly(&["end c", "end b", "end a"]);
    });
}

#[test]
fn rest_for_one_restarts_those_behind_the_crashed_child() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::RestForOne);
        let first = pid(&supervisor, "a");
        crash_child(&supervisor, "b");
        events.expect(&["end b", "end c", "start b", "start c"]);
        assert!(supervisor.child::<actor::Pid>("c").is_some());
        assert_eq!(pid(&supervisor, "a"), first);
        crash_child(&supervisor, "c");
        events.expect(&["end c", "start c"]);
        crash_child(&supervisor, "a");
        events.expect(&["end a", "end c", "end b", "start a", "start b", "start c"]);
        supervisor.stop();
        events.expect_exactly(&["end c", "end b", "end a"]);
    });
}

#[test]
fn the_kind_of_child_and_the_reason_decide_whether_it_is_restarted() {
    silence_expected_panics();
    type Make = fn() -> Order;
    let orders: [(&str, Make); 5] = [
        ("normal", || Order::Exit(ExitReason::Normal)),
        ("shutdown", || Order::Exit(ExitReason::Shutdown)),
        ("failed", crash),
        ("panicked", || Order::Panic("expected: a restart")),
        ("killed", || Order::Exit(ExitReason::Killed)),
    ];
    let kinds = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    for ((name, order), kind) in orders.into_iter().flat_map(|order| kinds.map(|kind| (order, kind))) {
        let again = match kind {
            Restart::Permanent => true,
            Restart::Transient => !["normal", "shutdown"].contains(&name),
            Restart::Temporary => false,
        };
        within_patience(move || {
            let events = Events::new();
            let supervisor = Supervisor::new(Strategy::OneForOne).child(events.worker("a").restart(kind));
            let supervisor = supervisor.start().unwrap();
            events.expect(&["start a"]);
            let before = pid(&supervisor, "a").unwrap();
            end_child(&supervisor, "a", order());
            // A kill from outside is the same.
            before.kill();
            let after = supervisor.child::<actor::Pid>("a");
            assert_eq!(after.is_some(), again, "{kind:?} {name}");
            assert_ne!(after, Some(before));
            let infos = supervisor.children().unwrap();
            assert_eq!(infos.len(), usize::from(kind != Restart::Temporary), "{kind:?} {name}");
            assert_eq!(infos.iter().map(|info| info.restarts).sum::<u64>(), u64::from(again));
            supervisor.stop();
            events.expect_exactly(if again { &["end a", "start a", "end a"] } else { &["end a"] });
        });
    }
}

#[test]
fn a_kill_from_outside_is_a_crash() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        pid(&supervisor, "a").unwrap().kill();
        events.expect(&["end a", "start a"]);
        supervisor.stop();
    });
}

#[test]
fn a_restart_of_all_forgets_the_temporary_and_brings_back_the_stopped() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForAll)
            .child(events.worker("a"))
            .child(events.worker("temporary").restart(Restart::Temporary))
            .child(events.worker("transient").restart(Restart::Transient))
            .start()
            .unwrap();
        events.expect(&["start a", "start temporary", "start transient"]);
        end_child(&supervisor, "transient", Order::Exit(ExitReason::Normal));
        assert_eq!(supervisor.child::<actor::Pid>("transient"), None);
        crash_child(&supervisor, "a");
        events.expect(&["end transient", "end a", "end temporary", "start a", "start transient"]);
        supervisor.stop();
        events.expect_exactly(&["end transient", "end a"]);
    });
}

#[test]
fn a_start_that_fails_ends_what_was_started_in_reverse() {
    silence_expected_panics();
    within_patience(|| {
        type Start = fn() -> Result<Address<()>, StartError>;
        let failing: [(Start, &str); 4] = [
            (|| Err(StartError::Init(ExitReason::failed("no disk"))), "failed: no disk"),
            (|| panic!("expected: no disk"), "panicked: expected: no disk"),
            (|| actor::exit(ExitReason::Shutdown), "shutdown"),
            (|| Err(StartError::Spawn(std::io::ErrorKind::OutOfMemory.into())), "out of memory"),
        ];
        for (start, why) in failing {
            let events = Events::new();
            let started = Supervisor::new(Strategy::OneForOne)
                .child(events.worker("a"))
                .child(events.worker("b"))
                .child(ChildSpec::new("c", start))
                .child(events.worker("d"))
                .start();
            events.expect_exactly(&["start a", "start b", "end b", "end a"]);
            let error = started.unwrap_err();
            assert_eq!(matches!(error, StartError::Spawn(_)), why == "out of memory");
            assert!(error.to_string().ends_with(&format!("child 'c' failed to start: {why}")), "{error}");
        }
    });
}

#[test]
fn two_children_of_one_name_are_refused() {
    within_patience(|| {
        let events = Events::new();
        let twice = Supervisor::new(Strategy::OneForOne).child(events.worker("a")).child(events.worker("a"));
        let error = twice.start().unwrap_err().to_string();
        assert!(error.ends_with("two children are called 'a'"), "{error}");
        events.expect_exactly(&[]);
    });
}

#[test]
fn a_restart_that_fails_is_tried_again_and_counts() {
    within_patience(|| {
        let events = Events::new();
        let (outcomes, next) = channel::unbounded::<bool>();
        let fickle = {
            let events = events.clone();
            move || {
                if next.recv().unwrap() {
                    return Ok(events.spawn("fickle"));
                }
                events.say("failed");
                Err(StartError::Init(ExitReason::failed("no luck")))
            }
        };
        let fickle = ChildSpec::new("fickle", fickle).shutdown(PATIENT);
        let supervisor =
            Supervisor::new(Strategy::OneForOne).intensity(3, LONG).child(events.worker("a")).child(fickle);
        outcomes.send(true).unwrap();
        let supervisor = supervisor.start().unwrap();
        events.expect(&["start a", "start fickle"]);
        [false, false, true].iter().for_each(|&outcome| outcomes.send(outcome).unwrap());
        crash_child(&supervisor, "fickle");
        events.expect(&["end fickle", "failed", "failed", "start fickle"]);
        assert_eq!(supervisor.count().unwrap().restarts, 1);
        crash_child(&supervisor, "fickle");
        events.expect(&["end fickle", "end a"]);
        let reason = supervisor.pid().wait();
        assert_eq!(
            reason,
            ExitReason::failed(
                "restarted more than 3 times within 3600s: child 'fickle' ended: failed: crashed"
            )
        );
        assert_eq!(supervisor.stop(), reason);
    });
}

#[test]
fn a_start_that_always_fails_ends_the_supervisor() {
    within_patience(|| {
        let events = Events::new();
        let mut first = true;
        let broken = {
            let events = events.clone();
            move || match std::mem::take(&mut first) {
                true => Ok(events.spawn("broken")),
                false => Err(StartError::Init(ExitReason::failed("broken"))),
            }
        };
        let supervisor = Supervisor::new(Strategy::RestForOne)
            .intensity(2, Duration::from_secs(9))
            .child(events.worker("a"))
            .child(ChildSpec::new("broken", broken))
            .child(events.worker("c"))
            .start()
            .unwrap();
        crash_child(&supervisor, "broken");
        assert_eq!(
            supervisor.pid().wait().to_string(),
            "failed: restarted more than 2 times within 9s: child 'broken' failed to start: failed: broken"
        );
        events.expect_exactly(&["start a", "start broken", "start c", "end broken", "end c", "end a"]);
    });
}

#[test]
fn beyond_the_intensity_the_supervisor_above_restarts_the_branch() {
    within_patience(|| {
        let events = Events::new();
        let branch = {
            let events = events.clone();
            move || {
                events.say("start branch");
                let branch = Supervisor::new(Strategy::OneForOne).name("branch").intensity(1, LONG);
                branch.child(events.worker("x")).child(events.worker("y")).start()
            }
        };
        let root = Supervisor::new(Strategy::RestForOne)
            .child(ChildSpec::new("branch", branch))
            .child(events.worker("z"))
            .start()
            .unwrap();
        events.expect(&["start branch", "start x", "start y", "start z"]);
        let branch: SupervisorRef = root.child("branch").unwrap();
        crash_child(&branch, "x");
        events.expect(&["end x", "start x"]);
        crash_child(&branch, "x");
        events.expect(&["end x", "end y", "end z", "start branch", "start x", "start y", "start z"]);
        assert!(matches!(branch.pid().exit_reason(), Some(ExitReason::Failed(why)) if why.contains("'x'")));
        assert!(branch.children().is_err());
        let infos = root.children().unwrap();
        assert!(infos[0].is_supervisor && infos[0].restarts == 1);
        root.stop();
        events.expect_exactly(&["end z", "end y", "end x"]);
    });
}

#[test]
fn a_handle_is_of_the_child_that_runs() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        // Nobody else has its address, and so the supervisor keeps it going.
        let a: Address<Order> = supervisor.child("a").unwrap();
        assert_eq!(supervisor.child::<Address<Order>>("a"), Some(a.clone()));
        assert_eq!(supervisor.child::<actor::Pid>("a"), Some(a.pid()));
        assert!(supervisor.child::<Address<()>>("a").is_none());
        assert!(supervisor.child::<SupervisorRef>("a").is_none());
        assert!(supervisor.child::<actor::Pid>("nobody").is_none());
        // The new one is found as soon as the old one has ended.
        for _ in 0..50 {
            let before: Address<Order> = supervisor.child("a").unwrap();
            before.send(crash()).unwrap();
            before.pid().wait();
            let after: Address<Order> = supervisor.child("a").unwrap();
            assert_eq!(after.call(Order::Ask).unwrap(), after.pid().id());
        }
        supervisor.stop();
        assert!(supervisor.child::<actor::Pid>("a").is_none());
    });
}

#[test]
fn children_can_be_added_ended_restarted_and_deleted() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForOne).start().unwrap();
        let a = supervisor.start_child(events.worker("a")).unwrap();
        assert!(a.pid().is_alive());
        assert!(matches!(supervisor.start_child(events.worker("a")), Err(ChildError::AlreadyPresent { .. })));
        assert!(matches!(supervisor.restart_child("a"), Err(ChildError::Running { .. })));
        assert!(matches!(supervisor.delete_child("a"), Err(ChildError::Running { .. })));
        supervisor.terminate_child("a").unwrap();
        assert_eq!(a.pid().exit_reason(), Some(ExitReason::Shutdown));
        assert!(matches!(supervisor.start_child(events.worker("a")), Err(ChildError::AlreadyPresent { .. })));
        assert_eq!(pid(&supervisor, "a"), None);
        supervisor.terminate_child("a").unwrap();
        let again = supervisor.restart_child("a").unwrap();
        assert_eq!(supervisor.child::<actor::Pid>("a"), Some(again));
        supervisor.terminate_child("a").unwrap();
        supervisor.delete_child("a").unwrap();
        assert!(matches!(supervisor.delete_child("a"), Err(ChildError::NotFound { .. })));
        assert!(matches!(supervisor.restart_child("a"), Err(ChildError::NotFound { .. })));
        assert!(matches!(supervisor.terminate_child("a"), Err(ChildError::NotFound { .. })));
        assert_eq!(supervisor.count().unwrap().specs, 0);
        assert_eq!(supervisor.count().unwrap().restarts, 1);
        events.expect_exactly(&["start a", "end a", "start a", "end a"]);

        let failing =
            ChildSpec::new("b", || Err::<Address<()>, _>(StartError::Init(ExitReason::failed("no"))));
        match supervisor.start_child(failing) {
            Err(ChildError::Start(StartError::Init(reason))) => assert_eq!(reason, ExitReason::failed("no")),
            other => panic!("{other:?}"),
        }
        assert_eq!(supervisor.count().unwrap().specs, 0);
        supervisor.start_child(events.worker("temporary").restart(Restart::Temporary)).unwrap();
        supervisor.terminate_child("temporary").unwrap();
        assert_eq!(supervisor.count().unwrap().specs, 0);
        supervisor.stop();
    });
}

#[test]
fn a_child_is_added_behind_the_others() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::RestForOne);
        supervisor.start_child(events.worker("d")).unwrap();
        crash_child(&supervisor, "c");
        events.expect(&["start d", "end c", "end d", "start c", "start d"]);
        supervisor.stop();
        events.expect_exactly(&["end d", "end c", "end b", "end a"]);
    });
}

#[test]
fn calls_to_a_supervisor_that_has_ended_are_errors() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        supervisor.stop();
        let is_exited = |error| matches!(error, CallError::Exited { reason: ExitReason::Shutdown, .. });
        assert!(is_exited(supervisor.children().unwrap_err()));
        assert!(is_exited(supervisor.count().unwrap_err()));
        assert!(supervisor.child::<actor::Pid>("a").is_none());
        let errors = [
            supervisor.start_child(events.worker("d")).unwrap_err(),
            supervisor.terminate_child("a").unwrap_err(),
            supervisor.restart_child("a").unwrap_err(),
            supervisor.delete_child("a").unwrap_err(),
        ];
        for error in errors {
            let ChildError::Call(error) = error else { panic!("{error:?}") };
            assert!(is_exited(error));
        }
    });
}

#[test]
fn a_name_is_registered_again_by_the_restarted_child() {
    within_patience(|| {
        let events = Events::new();
        let named = {
            let events = events.clone();
            move || {
                let address = events.spawn("named");
                // Fails while the last one has it.
                actor::register("named by a supervised child", &address).unwrap();
                address
            }
        };
        let find = || actor::whereis::<Address<Order>>("named by a supervised child");
        for strategy in [Strategy::OneForOne, Strategy::OneForAll] {
            let supervisor = Supervisor::new(strategy)
                .intensity(20, LONG)
                .child(events.worker("a"))
                .child(ChildSpec::new("named", named.clone()).shutdown(PATIENT))
                .start()
                .unwrap();
            for i in 0..10 {
                let before = find().unwrap();
                crash_child(
                    &supervisor,
                    if i % 2 == 0 || strategy == Strategy::OneForOne { "named" } else { "a" },
                );
                before.pid().wait();
                let after: Address<Order> = supervisor.child("named").unwrap();
                assert_eq!(find(), Some(after.clone()));
                assert_ne!(after, before);
            }
            supervisor.stop();
            assert!(find().is_none());
        }
    });
}

#[test]
fn all_that_a_failing_start_has_spawned_ends() {
    silence_expected_panics();
    within_patience(|| {
        let drops = Drops::new();
        let failures: [fn(); 3] =
            [|| panic!("expected: too late"), || actor::exit(ExitReason::failed("too late")), || ()];
        for fail in failures {
            let spawned = drops.get();
            let drops = drops.clone();
            let (begun, begins) = channel::unbounded();
            let start = {
                let drops = drops.clone();
                move || {
                    for _ in 0..3 {
                        let (counted, begun) = (drops.counted(), begun.clone());
                        actor::spawn_body(move |mailbox: &actor::Mailbox<()>| {
                            let _counted = counted;
                            let _address = mailbox.address();
                            begun.send(()).unwrap();
                            let _ = mailbox.recv();
                        });
                    }
                    (0..3).for_each(|_| begins.recv().unwrap());
                    fail();
                    Err::<Address<()>, _>(StartError::Init(ExitReason::failed("too late")))
                }
            };
            let started = Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("a", start)).start();
            assert!(started.is_err());
            assert_eq!(drops.get(), spawned + 3);
        }
    });
}

#[test]
fn what_else_a_start_has_spawned_ends_with_the_child() {
    within_patience(|| {
        let events = Events::new();
        let start = {
            let events = events.clone();
            move || {
                let (first, second) = (events.spawn("first"), events.spawn("second"));
                let child = events.spawn("child");
                // The helpers live for as long as somebody has their addresses.
                std::mem::forget((first, second));
                child
            }
        };
        let supervisor = Supervisor::new(Strategy::OneForOne);
        let supervisor = supervisor.child(ChildSpec::new("a", start).shutdown(PATIENT)).start().unwrap();
        events.expect(&["start first", "start second", "start child"]);
        crash_child(&supervisor, "a");
        events.expect(&[
            "end child",
            "end second",
            "end first",
            "start first",
            "start second",
            "start child",
        ]);
        supervisor.stop();
        events.expect_exactly(&["end child", "end second", "end first"]);
    });
}

#[test]
fn a_helper_that_ends_is_no_child_that_ends() {
    within_patience(|| {
        let events = Events::new();
        let (helpers, next) = channel::unbounded();
        let start = {
            let events = events.clone();
            move || {
                helpers.send(events.spawn("helper")).unwrap();
                events.spawn("child")
            }
        };
        let supervisor = Supervisor::new(Strategy::OneForOne);
        let supervisor = supervisor.child(ChildSpec::new("a", start).shutdown(PATIENT)).start().unwrap();
        let helper = next.recv_timeout(PATIENCE).unwrap();
        helper.send(crash()).unwrap();
        helper.pid().wait();
        assert_eq!(supervisor.count().unwrap().restarts, 0);
        supervisor.stop();
        events.expect_exactly(&["start helper", "start child", "end helper", "end child"]);
    });
}

#[test]
fn an_actor_that_was_there_before_can_be_a_child() {
    within_patience(|| {
        let events = Events::new();
        let (actors, next) = channel::unbounded();
        actors.send(events.spawn("first")).unwrap();
        let adopt = ChildSpec::new("adopted", move || next.recv().unwrap()).shutdown(PATIENT);
        let supervisor =
            Supervisor::new(Strategy::OneForOne).intensity(5, LONG).child(adopt).start().unwrap();
        // One that has ended already, and one that is a child already, can't.
        let ended = events.spawn("ended");
        ended.pid().kill();
        ended.pid().wait();
        let first: Address<Order> = supervisor.child("adopted").unwrap();
        let same = ChildSpec::new("same", {
            let first = first.clone();
            move || first.clone()
        });
        assert!(matches!(supervisor.start_child(same), Err(ChildError::Start(_))));
        assert!(first.pid().is_alive());
        actors.send(ended).unwrap();
        actors.send(events.spawn("second")).unwrap();
        crash_child(&supervisor, "adopted");
        let second: Address<Order> = supervisor.child("adopted").unwrap();
        assert!(second.call(Order::Ask).is_ok());
        supervisor.stop();
        events.expect_exactly(&[
            "start first",
            "start ended",
            "end ended",
            "start second",
            "end first",
            "end second",
        ]);
    });
}

#[test]
fn destructors_that_panic_do_not_concern_the_supervisor() {
    silence_expected_panics();
    within_patience(|| {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("expected: a destructor");
            }
        }
        let bomb = || {
            // One in the start function, one in the state. (In an actor that unwinds it would abort the process.)
            let in_start = Bomb;
            let start = move || {
                let _ = &in_start;
                actor::spawn(|_| Bomb, |_: &mut Bomb, ()| ControlFlow::Break(()))
            };
            ChildSpec::new("bomb", start).restart(Restart::Temporary)
        };
        let events = Events::new();
        let supervisor = abc(&events, Strategy::OneForOne);
        let bomb = supervisor.start_child(bomb()).unwrap();
        bomb.send(()).unwrap();
        assert_eq!(bomb.pid().wait(), ExitReason::Panic("expected: a destructor".into()));
        assert!(supervisor.child::<actor::Pid>("bomb").is_none());
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        events.expect_exactly(&["end c", "end b", "end a"]);
    });
}
