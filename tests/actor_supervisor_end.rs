//! Supervisors: how they end, whoever ends them and whatever they are doing; and that nothing outlives them.

#[path = "support/supervised.rs"]
mod supervised;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::actor::{
    self, Address, CallError, ChildError, ChildSpec, DynamicSupervisor, Exit, ExitReason, Mailbox, Pid,
    Restart, Shutdown, StartError, Strategy, Supervisor, SupervisorRef,
};
use fibra::cancel;
use fibra::channel::{self, Receiver, Sender};
use supervised::{Events, LONG, Order, PATIENT, crash, crash_child, pid, silence_expected_panics};
use support::{Drops, PATIENCE, in_child, stderr, wait_until, within_patience};

fn ab(events: &Events) -> SupervisorRef {
    let supervisor = Supervisor::new(Strategy::OneForOne).intensity(100, LONG);
    let supervisor = supervisor.child(events.worker("a")).child(events.worker("b")).start().unwrap();
    events.expect_exactly(&["start a", "start b"]);
    supervisor
}

/// A child of which each start, once it has spawned its actor, says so and waits for leave.
fn gated(events: &Events) -> (ChildSpec<Address<Order>>, Receiver<()>, Sender<()>) {
    let (reached, reaches) = channel::unbounded();
    let (leave, leaves) = channel::unbounded();
    let events = events.clone();
    let start = move || {
        let child = events.spawn("gated");
        reached.send(()).unwrap();
        leaves.recv().unwrap();
        child
    };
    (ChildSpec::new("gated", start).shutdown(PATIENT), reaches, leave)
}

#[test]
fn anybody_can_stop_it_and_all_learn_why_it_has_ended() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = ab(&events);
        let stoppers: Vec<_> = (0..4)
            .map(|_| {
                let supervisor = supervisor.clone();
                std::thread::spawn(move || supervisor.stop())
            })
            .collect();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let supervisor = supervisor.clone();
                fibra::spawn(move || supervisor.stop())
            })
            .collect();
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        stoppers.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), ExitReason::Shutdown));
        tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), ExitReason::Shutdown));
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        events.expect_exactly(&["end b", "end a"]);
    });
}

#[test]
fn a_child_can_stop_its_supervisor() {
    within_patience(|| {
        let (handles, next) = channel::unbounded::<SupervisorRef>();
        let child = ChildSpec::new("a", move || {
            let next = next.clone();
            actor::spawn_body(move |mailbox: &Mailbox<()>| {
                let _address = mailbox.address();
                next.recv().unwrap().stop();
                ExitReason::failed("it is ended while it waits")
            })
        });
        let supervisor = Supervisor::new(Strategy::OneForOne).child(child).start().unwrap();
        let child: Pid = supervisor.child("a").unwrap();
        handles.send(supervisor.clone()).unwrap();
        assert_eq!(supervisor.pid().wait(), ExitReason::Shutdown);
        assert_eq!(child.exit_reason(), Some(ExitReason::Shutdown));
    });
}

#[test]
fn an_exit_signal_ends_it_in_order_unless_it_is_normal() {
    within_patience(|| {
        for reason in
            [ExitReason::Shutdown, ExitReason::failed("no more"), ExitReason::Timeout("late".into())]
        {
            let events = Events::new();
            let supervisor = ab(&events);
            supervisor.pid().exit(ExitReason::Normal);
            assert_eq!(supervisor.count().unwrap().running, 2);
            supervisor.pid().exit(reason.clone());
            assert_eq!(supervisor.pid().wait(), reason);
            events.expect_exactly(&["end b", "end a"]);
        }
    });
}

#[test]
fn an_exit_signal_from_a_child_is_not_taken_for_its_end() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = ab(&events);
        let asking = {
            let supervisor = supervisor.pid();
            ChildSpec::new("asking", move || {
                let supervisor = supervisor.clone();
                // Two signals: the second one is that of its own end.
                actor::spawn(
                    |_| (),
                    move |(), reason| {
                        supervisor.exit(reason);
                        Err(ExitReason::Normal)
                    },
                )
            })
        };
        let asking = supervisor.start_child(asking.restart(Restart::Temporary)).unwrap();
        asking.send(ExitReason::failed("no more")).unwrap();
        assert_eq!(supervisor.pid().wait(), ExitReason::failed("no more"));
        events.expect_exactly(&["end b", "end a"]);
    });
}

#[test]
fn who_starts_it_with_a_link_ends_it_with_himself() {
    within_patience(|| {
        for reason in [ExitReason::Normal, ExitReason::failed("no more")] {
            let events = Events::new();
            let (result, started) = channel::oneshot::channel();
            let (leave, leaves) = channel::oneshot::channel();
            let parent = {
                let (events, reason) = (events.clone(), reason.clone());
                actor::spawn_body(move |_: &Mailbox<()>| {
                    let supervisor = Supervisor::new(Strategy::OneForOne).link();
                    let supervisor = supervisor.child(events.worker("a")).start().unwrap();
                    result.send(supervisor).unwrap();
                    leaves.recv().unwrap();
                    reason
                })
            };
            let supervisor = started.recv().unwrap();
            leave.send(()).unwrap();
            assert_eq!(parent.pid().wait(), reason);
            assert_eq!(supervisor.pid().wait(), reason);
            events.expect_exactly(&["start a", "end a"]);
        }
    });
}

#[test]
fn a_killed_supervisor_leaves_no_orphan() {
    within_patience(|| {
        let drops = Drops::new();
        let worker = |id: String| {
            let drops = drops.clone();
            ChildSpec::new(id, move || {
                let counted = drops.counted();
                actor::spawn_body(move |mailbox: &Mailbox<()>| {
                    // It would end by itself when its supervisor's handle is gone.
                    let _all = (counted, mailbox.address());
                    mailbox.recv()
                })
            })
        };
        let branch = |name: &'static str| {
            let specs: Vec<_> = (0..5).map(|i| worker(format!("{name} {i}"))).collect();
            let mut branch =
                Some(specs.into_iter().fold(Supervisor::new(Strategy::OneForOne), Supervisor::child));
            ChildSpec::new(name, move || branch.take().unwrap().start())
        };
        let root = Supervisor::new(Strategy::OneForAll)
            .child(worker("a".into()))
            .child(branch("left"))
            .child(branch("right"))
            .start()
            .unwrap();
        let pids: Vec<_> = root.children().unwrap().into_iter().map(|child| child.pid.unwrap()).collect();
        root.pid().kill();
        assert_eq!(root.pid().wait(), ExitReason::Killed);
        pids.iter().for_each(|pid| assert_eq!(pid.wait(), ExitReason::Killed));
        wait_until("all have ended", || drops.get() == 11);
        assert_eq!(root.stop(), ExitReason::Killed);
    });
}

#[test]
fn a_runtime_that_ends_leaves_no_orphan() {
    within_patience(|| {
        let drops = Drops::new();
        let told = Arc::new(AtomicUsize::new(0));
        let worker = {
            let (drops, told) = (drops.clone(), told.clone());
            move |id: usize, begun: &Sender<()>| {
                let (drops, told, begun) = (drops.clone(), told.clone(), begun.clone());
                let start = move || {
                    let (counted, told, begun) = (drops.counted(), told.clone(), begun.clone());
                    actor::spawn_body(move |mailbox: &Mailbox<Exit>| {
                        let _counted = counted;
                        mailbox.trap_exits(|exit| exit);
                        begun.send(()).unwrap();
                        // The end of the runtime does not end it, but its supervisor does.
                        let exit = cancel::shield(|| mailbox.recv_timeout(LONG));
                        told.fetch_add(usize::from(exit.is_ok()), Ordering::SeqCst);
                    })
                };
                ChildSpec::new(id.to_string(), start).shutdown(PATIENT)
            }
        };
        let runtime = fibra::Builder::new().workers(2).build().unwrap();
        runtime.run(move || {
            let (begun, begins) = channel::unbounded();
            let supervisor = Supervisor::new(Strategy::OneForOne);
            (0..10).fold(supervisor, |all, i| all.child(worker(i, &begun))).start().unwrap();
            let dynamic = actor::DynamicSupervisor::new().start().unwrap();
            (0..10).for_each(|i| drop(dynamic.start_child(worker(i, &begun)).unwrap()));
            (0..20).for_each(|_| begins.recv().unwrap());
        });
        drop(runtime);
        assert_eq!((drops.get(), told.load(Ordering::SeqCst)), (20, 20));
    });
}

#[test]
fn a_stop_in_the_middle_of_a_restart_starts_nothing_more() {
    within_patience(|| {
        let events = Events::new();
        let (gated, reaches, leave) = gated(&events);
        let supervisor = Supervisor::new(Strategy::OneForAll)
            .child(events.worker("a"))
            .child(gated)
            .child(events.worker("c"));
        leave.send(()).unwrap();
        let supervisor = supervisor.start().unwrap();
        reaches.recv().unwrap();
        crash_child(&supervisor, "a");
        // It has ended all, has started "a", and is in the start of "gated".
        reaches.recv_timeout(PATIENCE).unwrap();
        let stopper = {
            let supervisor = supervisor.clone();
            std::thread::spawn(move || supervisor.stop())
        };
        supervisor.pid().exit(ExitReason::Shutdown);
        leave.send(()).unwrap();
        assert_eq!(stopper.join().unwrap(), ExitReason::Shutdown);
        events.expect_exactly(&[
            "start a",
            "start gated",
            "start c",
            "end a",
            "end c",
            "end gated",
            "start a",
            "start gated",
            "end gated",
            "end a",
        ]);
    });
}

#[test]
fn a_start_that_hangs_is_interrupted_by_a_stop() {
    within_patience(|| {
        let events = Events::new();
        // Nested, so that the start that hangs is three levels below the stop.
        let (gated, reaches, leave) = gated(&events);
        leave.send(()).unwrap();
        let mut branch = Some(Supervisor::new(Strategy::OneForOne).child(gated));
        let branch = ChildSpec::new("branch", move || branch.take().unwrap().start());
        let root = Supervisor::new(Strategy::OneForOne).child(branch).start().unwrap();
        let branch: SupervisorRef = root.child("branch").unwrap();
        reaches.recv().unwrap();
        crash_child(&branch, "gated");
        reaches.recv_timeout(PATIENCE).unwrap();
        assert_eq!(root.stop(), ExitReason::Shutdown);
        assert_eq!(branch.pid().exit_reason(), Some(ExitReason::Shutdown));
        events.expect_exactly(&["start gated", "end gated", "start gated", "end gated"]);
        drop(leave);
    });
}

#[test]
fn a_kill_ends_the_starts_below_that_hang() {
    within_patience(|| {
        // The first start hangs, in that of the branch; or a later one, in the branch alone.
        for restart in [false, true] {
            let events = Events::new();
            let (gated, reaches, leave) = gated(&events);
            let mut branch =
                Some(Supervisor::new(Strategy::OneForOne).child(events.worker("a")).child(gated));
            let branch = ChildSpec::new("branch", move || branch.take().unwrap().start());
            let root = Supervisor::new(Strategy::OneForOne).start().unwrap();
            let starter = fibra::spawn({
                let root = root.clone();
                move || root.start_child(branch)
            });
            reaches.recv_timeout(PATIENCE).unwrap();
            if restart {
                leave.send(()).unwrap();
                let branch = starter.join().unwrap().unwrap();
                crash_child(&branch, "gated");
                reaches.recv_timeout(PATIENCE).unwrap();
                root.pid().kill();
                // Its parent's reason is its own.
                assert_eq!(branch.pid().wait(), ExitReason::Killed);
                events.expect(&["start a", "start gated", "end gated"]);
            } else {
                root.pid().kill();
                let error = starter.join().unwrap().unwrap_err();
                let ChildError::Call(CallError::Exited { reason, .. }) = error else { panic!("{error:?}") };
                assert_eq!(reason, ExitReason::Killed);
                events.expect(&["start a"]);
            }
            events.expect(&["start gated", "end gated", "end a"]);
            assert_eq!(root.stop(), ExitReason::Killed);
            drop(leave);
        }
    });
}

#[test]
fn a_start_that_is_given_up_ends_what_has_been_started() {
    within_patience(|| {
        let events = Events::new();
        let (gated, _reaches, _leave) = gated(&events);
        let supervisor = Supervisor::new(Strategy::OneForOne).child(events.worker("a")).child(gated);
        assert!(fibra::timeout(Duration::from_millis(100), || supervisor.start()).is_err());
        events.expect(&["start a", "start gated", "end gated", "end a"]);
    });
}

#[test]
fn a_supervisor_that_restarts_without_end_can_be_stopped_and_killed() {
    within_patience(|| {
        for kill in [false, true] {
            let mut first = true;
            let tries = Arc::new(AtomicUsize::new(0));
            let start = {
                let tries = tries.clone();
                move || {
                    tries.fetch_add(1, Ordering::SeqCst);
                    match std::mem::take(&mut first) {
                        true => Ok(actor::spawn(|_| (), |(), order| supervised::obey(order))),
                        false => Err(StartError::Init(ExitReason::failed("as always"))),
                    }
                }
            };
            let events = Events::new();
            let supervisor = Supervisor::new(Strategy::OneForOne)
                .intensity(usize::MAX, Duration::ZERO)
                .child(ChildSpec::new("a", start))
                .child(events.worker("b"))
                .start()
                .unwrap();
            crash_child(&supervisor, "a");
            wait_until("it is tried again", || tries.load(Ordering::SeqCst) > 1000);
            // The other child is served meanwhile.
            crash_child(&supervisor, "b");
            events.expect(&["start b", "end b", "start b"]);
            assert_eq!(pid(&supervisor, "a"), None);
            if kill {
                supervisor.pid().kill();
                assert_eq!(supervisor.pid().wait(), ExitReason::Killed);
            } else {
                assert_eq!(supervisor.stop(), ExitReason::Shutdown);
            }
            events.expect(&["end b"]);
        }
    });
}

#[test]
fn a_child_that_does_not_end_in_time_is_killed() {
    within_patience(|| {
        for shutdown in [Shutdown::Brutal, Shutdown::Timeout(Duration::from_millis(10))] {
            let events = Events::new();
            let (seen, exits) = channel::unbounded();
            let (traps, trapping) = channel::unbounded();
            let stubborn = {
                let events = events.clone();
                ChildSpec::new("stubborn", move || {
                    let (end, seen, traps) = (events.say_at_end("end stubborn"), seen.clone(), traps.clone());
                    actor::spawn_body(move |mailbox: &Mailbox<Exit>| {
                        let _end = end;
                        mailbox.trap_exits(|exit| exit);
                        traps.send(()).unwrap();
                        mailbox.iter().for_each(|exit| seen.send(exit).unwrap());
                    })
                })
            };
            let supervisor = ab(&events);
            let child = supervisor.start_child(stubborn.shutdown(shutdown)).unwrap();
            trapping.recv_timeout(PATIENCE).unwrap();
            supervisor.stop();
            assert_eq!(child.pid().exit_reason(), Some(ExitReason::Killed));
            let exits: Vec<_> = exits.try_iter().collect();
            assert_eq!(exits.len(), usize::from(shutdown != Shutdown::Brutal));
            assert!(exits.iter().all(|exit| exit.from == Some(supervisor.pid())));
            events.expect_exactly(&["end stubborn", "end b", "end a"]);
        }
    });
}

/// What makes a message of the signal is the child's code, on the supervisor's stack.
#[test]
fn a_child_that_panics_over_its_exit_signal_does_not_concern_the_supervisor() {
    silence_expected_panics();
    within_patience(|| {
        let events = Events::new();
        let (traps, trapping) = channel::unbounded();
        let supervisor = ab(&events);
        let allergic = ChildSpec::new("allergic", move || {
            let traps = traps.clone();
            actor::spawn_body(move |mailbox: &Mailbox<()>| {
                mailbox.trap_exits(|_| panic!("expected: no message"));
                traps.send(()).unwrap();
                mailbox.recv()
            })
        });
        let child =
            supervisor.start_child(allergic.shutdown(Shutdown::Timeout(Duration::from_millis(5)))).unwrap();
        trapping.recv_timeout(PATIENCE).unwrap();
        child.pid().exit(ExitReason::failed("nor does it concern anybody else who asks it to end"));
        supervisor.terminate_child("allergic").unwrap();
        assert_eq!(child.pid().exit_reason(), Some(ExitReason::Killed));
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        events.expect_exactly(&["end b", "end a"]);
    });
}

#[test]
fn many_children_that_never_end_take_the_time_of_one() {
    const CHILDREN: u32 = 60;
    let output = in_child("many_children_that_never_end_take_the_time_of_one", &[], || {
        fibra::run(|| {
            let (free, freed) = channel::bounded::<()>(0);
            let (begun, begins) = channel::unbounded();
            let supervisor = DynamicSupervisor::new().start().unwrap();
            for _ in 0..CHILDREN {
                let (freed, begun) = (freed.clone(), begun.clone());
                let start = move || {
                    let (freed, begun) = (freed.clone(), begun.clone());
                    actor::spawn_body(move |_: &Mailbox<()>| {
                        cancel::shield(|| {
                            begun.send(()).unwrap();
                            assert!(freed.recv().is_err());
                        });
                    })
                };
                supervisor.start_child(ChildSpec::new("shielded", start).shutdown(Shutdown::Brutal)).unwrap();
            }
            (0..CHILDREN).for_each(|_| begins.recv().unwrap());
            let start = Instant::now();
            assert_eq!(supervisor.stop(), ExitReason::Shutdown);
            // Each is left alone a second after its kill, and all have been killed at once.
            let took = start.elapsed();
            assert!(
                took >= Duration::from_secs(1) && took < Duration::from_secs(1) * CHILDREN / 2,
                "{took:?}"
            );
            drop(free);
        });
    });
    let stderr = stderr(&output);
    assert!(output.status.success(), "{stderr}");
    let reports = stderr.lines().filter(|line| line.contains("did not stop within 1s"));
    assert_eq!(reports.count(), CHILDREN as usize, "{stderr}");
}

#[test]
fn a_child_that_never_returns_is_reported_and_left_alone() {
    let output = in_child("a_child_that_never_returns_is_reported_and_left_alone", &[], || {
        let done = Arc::new(AtomicBool::new(false));
        let runtime = fibra::Builder::new().workers(3).build().unwrap();
        runtime.run({
            let done = done.clone();
            move || {
                let (begun, begins) = channel::bounded(1);
                let computes = {
                    let (done, begun) = (done.clone(), begun.clone());
                    move || {
                        let (done, begun) = (done.clone(), begun.clone());
                        actor::Builder::new().name("mill".into()).spawn_body(move |_: &Mailbox<()>| {
                            begun.send(()).unwrap();
                            // It is no park; without it, those that live on this worker would be held up too.
                            while !done.load(Ordering::Acquire) {
                                fibra::yield_now();
                            }
                        })
                    }
                };
                let shielded = {
                    let done = done.clone();
                    move || {
                        let (done, begun) = (done.clone(), begun.clone());
                        actor::spawn_body(move |_: &Mailbox<()>| {
                            cancel::shield(|| {
                                begun.send(()).unwrap();
                                wait_until("the end", || done.load(Ordering::Acquire));
                            });
                        })
                    }
                };
                let events = Events::new();
                let supervisor = Supervisor::new(Strategy::OneForOne)
                    .child(events.worker("a"))
                    .child(ChildSpec::new("computes", computes).shutdown(Shutdown::Brutal))
                    .child(
                        ChildSpec::new("shielded", shielded)
                            .shutdown(Shutdown::Timeout(Duration::from_millis(5))),
                    )
                    .start()
                    .unwrap();
                (0..2).for_each(|_| begins.recv().unwrap());
                let children: Vec<Pid> =
                    ["computes", "shielded"].map(|id| supervisor.child(id).unwrap()).into();
                assert_eq!(supervisor.stop(), ExitReason::Shutdown);
                assert!(children.iter().all(Pid::is_alive));
                events.expect_exactly(&["start a", "end a"]);
                done.store(true, Ordering::Release);
                children.iter().for_each(|child| drop(child.wait()));
            }
        });
    });
    let stderr = stderr(&output);
    assert!(output.status.success(), "{stderr}");
    let reports: Vec<_> = stderr.lines().filter(|line| line.contains("did not stop within 1s")).collect();
    assert_eq!(reports.len(), 2, "{stderr}");
    assert!(reports[0].contains("the child 'shielded' of actor"), "{stderr}");
    assert!(reports[1].contains("'mill', the child 'computes' of actor"), "{stderr}");
}

#[test]
fn a_request_in_a_start_function_of_the_supervisor_itself_is_an_error() {
    silence_expected_panics();
    within_patience(|| {
        let (handles, next) = channel::unbounded::<SupervisorRef>();
        let (answer, answers) = channel::unbounded();
        let asks = ChildSpec::new("asks", move || {
            let supervisor = next.recv().unwrap();
            answer.send(supervisor.children().unwrap_err()).unwrap();
            let stops = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| supervisor.stop()));
            assert!(stops.is_ok(), "expected: it can't wait for itself");
            actor::spawn(|_| (), |(), ()| ())
        });
        let supervisor = Supervisor::new(Strategy::OneForOne).start().unwrap();
        handles.send(supervisor.clone()).unwrap();
        let error = supervisor.start_child(asks).unwrap_err();
        assert!(matches!(error, ChildError::Start(StartError::Init(ExitReason::Panic(_)))), "{error:?}");
        assert!(matches!(answers.recv().unwrap(), CallError::CallsItself { .. }));
        supervisor.stop();
    });
}

#[test]
fn a_stop_answers_all_who_wait_for_something() {
    within_patience(|| {
        let events = Events::new();
        let (gated, reaches, leave) = gated(&events);
        let supervisor = ab(&events);
        let starter = fibra::spawn({
            let supervisor = supervisor.clone();
            move || supervisor.start_child(gated)
        });
        reaches.recv_timeout(PATIENCE).unwrap();
        // All of them come while the supervisor is in the start function; the stop is the last one.
        let askers: Vec<_> = (0..20)
            .map(|i| {
                let (supervisor, events) = (supervisor.clone(), events.clone());
                fibra::spawn(move || match i % 5 {
                    0 => supervisor.children().map(drop).map_err(ChildError::from),
                    1 => supervisor
                        .start_child(ChildSpec::new(i.to_string(), move || events.spawn("x")))
                        .map(drop),
                    2 => supervisor.restart_child("a").map(drop),
                    3 => supervisor.terminate_child("nobody"),
                    _ => {
                        supervisor.child::<Pid>("b");
                        Ok(())
                    }
                })
            })
            .collect();
        (0..5).for_each(|_| fibra::yield_now());
        supervisor.pid().exit(ExitReason::Shutdown);
        leave.send(()).unwrap();
        assert!(starter.join().unwrap().is_ok());
        askers.into_iter().for_each(|asker| drop(asker.join().unwrap()));
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
    });
}

#[test]
fn a_supervisor_goes_on_without_its_handles() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = ab(&events);
        let (pid, child) = (supervisor.pid(), supervisor.child::<Address<Order>>("a").unwrap());
        drop(supervisor);
        child.send(crash()).unwrap();
        drop(child);
        events.expect(&["end a", "start a"]);
        assert!(pid.is_alive());
        pid.exit(ExitReason::Shutdown);
        pid.wait();
        events.expect_exactly(&["end b", "end a"]);
    });
}
