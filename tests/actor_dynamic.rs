//! Dynamic supervisors: children that come and go, by their actors.

#[path = "support/supervised.rs"]
mod supervised;
mod support;

use std::sync::Arc;
use std::time::Duration;

use fibra::actor::{
    self, Address, ChildError, ChildSpec, DynamicRef, DynamicSupervisor, Exit, ExitReason, Mailbox, Pid,
    Restart, StartError, Strategy, Supervisor,
};
use fibra::channel;
use fibra::sync::Barrier;
use supervised::{Events, LONG, Order, PATIENT, crash};
use support::{Drops, PATIENCE, wait_until, within_patience};

/// A child that counts its drops.
fn counted(drops: &Drops) -> ChildSpec<Address<Order>> {
    let drops = drops.clone();
    let start = move || {
        let counted = drops.counted();
        actor::spawn(|_| counted, |_, order| supervised::obey(order))
    };
    ChildSpec::new("counted", start).shutdown(PATIENT)
}

fn pids(supervisor: &DynamicRef) -> Vec<Pid> {
    supervisor.children().unwrap().into_iter().filter_map(|child| child.pid).collect()
}

#[test]
fn children_are_known_by_their_actors() {
    within_patience(|| {
        let drops = Drops::new();
        let supervisor = DynamicSupervisor::new().start().unwrap();
        let children: Vec<_> = (0..10).map(|_| supervisor.start_child(counted(&drops)).unwrap()).collect();
        assert_eq!(pids(&supervisor), children.iter().map(Address::pid).collect::<Vec<_>>());
        supervisor.terminate_child(&children[3]).unwrap();
        assert_eq!(children[3].pid().exit_reason(), Some(ExitReason::Shutdown));
        assert!(matches!(supervisor.terminate_child(&children[3]), Err(ChildError::NotFound { .. })));
        supervisor.terminate_child(&children[4].pid()).unwrap();
        let stranger = actor::spawn(|_| (), |(), ()| ());
        assert!(matches!(supervisor.terminate_child(&stranger), Err(ChildError::NotFound { .. })));
        assert!(stranger.pid().is_alive());
        let counts = supervisor.count().unwrap();
        assert_eq!((counts.specs, counts.running, counts.restarts), (8, 8, 0));
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        assert_eq!(drops.get(), 10);
        assert!(matches!(supervisor.start_child(counted(&drops)), Err(ChildError::Call(_))));
    });
}

#[test]
fn a_child_that_is_not_restarted_is_forgotten() {
    within_patience(|| {
        let kinds = [
            (Restart::Permanent, [true, true]),
            (Restart::Transient, [false, true]),
            (Restart::Temporary, [false, false]),
        ];
        for (kind, again) in kinds {
            for (order, again) in [|| Order::Exit(ExitReason::Normal), crash].into_iter().zip(again) {
                let events = Events::new();
                let supervisor = DynamicSupervisor::new().start().unwrap();
                let child = supervisor.start_child(events.worker("a").restart(kind)).unwrap();
                child.send(order()).unwrap();
                events.expect(&["start a", "end a"]);
                if again {
                    events.expect(&["start a"]);
                } else {
                    wait_until("it is forgotten", || supervisor.count().unwrap().specs == 0);
                }
                let infos = supervisor.children().unwrap();
                assert_eq!(infos.len(), usize::from(again));
                assert!(infos.iter().all(|info| info.restarts == 1 && info.pid != Some(child.pid())));
                supervisor.stop();
            }
        }
    });
}

#[test]
fn there_are_no_more_children_than_allowed() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = DynamicSupervisor::new().max_children(2).start().unwrap();
        let spec = || events.worker("a").restart(Restart::Temporary);
        let first = supervisor.start_child(spec()).unwrap();
        supervisor.start_child(spec()).unwrap();
        let error = supervisor.start_child(spec()).unwrap_err();
        assert!(matches!(error, ChildError::MaxChildren { max: 2, .. }));
        assert_eq!(error.to_string(), "the supervisor has 2 children, and may not have more");
        supervisor.terminate_child(&first).unwrap();
        supervisor.start_child(spec()).unwrap();
        assert!(supervisor.start_child(spec()).is_err());
        supervisor.stop();
    });
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    within_patience(|| {
        let drops = Drops::new();
        let supervisor = DynamicSupervisor::new().start().unwrap();
        let start = {
            let drops = drops.clone();
            move || {
                let counted = drops.counted();
                actor::spawn(move |_| counted, |_, ()| ());
                Err::<Address<()>, _>(StartError::Init(ExitReason::failed("no")))
            }
        };
        assert!(matches!(supervisor.start_child(ChildSpec::new("a", start)), Err(ChildError::Start(_))));
        assert_eq!((drops.get(), supervisor.count().unwrap().specs), (1, 0));
        supervisor.stop();
    });
}

#[test]
fn beyond_the_intensity_it_ends_and_its_supervisor_sees_it() {
    within_patience(|| {
        let (handles, next) = channel::unbounded();
        let start = move || {
            let pool = DynamicSupervisor::new().name("pool").intensity(2, LONG).start()?;
            handles.send(pool.clone()).unwrap();
            Ok::<_, StartError>(pool)
        };
        let root = Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("pool", start)).start().unwrap();
        let pool = next.recv().unwrap();
        let drops = Drops::new();
        let children: Vec<_> = (0..4).map(|_| pool.start_child(counted(&drops)).unwrap()).collect();
        for (i, child) in children[..3].iter().enumerate() {
            wait_until("it is restarted", || pool.count().unwrap().restarts == i as u64);
            child.send(crash()).unwrap();
        }
        let why = "failed: restarted more than 2 times within 3600s: child 'counted' ended: failed: crashed";
        assert_eq!(pool.pid().wait().to_string(), why);
        // Four, and two that had been started again.
        assert_eq!(drops.get(), 6);
        let pool = next.recv_timeout(PATIENCE).unwrap();
        assert_eq!(pool.count().unwrap().specs, 0);
        assert_eq!(root.children().unwrap()[0].restarts, 1);
        root.stop();
        assert!(!pool.pid().is_alive());
    });
}

#[test]
fn all_children_are_told_to_end_before_one_is_awaited() {
    within_patience(|| {
        let together = Arc::new(Barrier::new(20));
        let (traps, trapping) = channel::unbounded();
        let supervisor = DynamicSupervisor::new().start().unwrap();
        for _ in 0..20 {
            let (traps, together) = (traps.clone(), together.clone());
            let start = move || {
                let (traps, together) = (traps.clone(), together.clone());
                actor::spawn_body(move |mailbox: &Mailbox<Exit>| {
                    mailbox.trap_exits(|exit| exit);
                    traps.send(()).unwrap();
                    let exit = mailbox.recv().unwrap();
                    // One that was told to end alone would wait here for ever.
                    together.wait();
                    exit.reason
                })
            };
            supervisor.start_child(ChildSpec::new("a", start).shutdown(PATIENT)).unwrap();
        }
        (0..20).for_each(|_| trapping.recv_timeout(PATIENCE).unwrap());
        let pids = pids(&supervisor);
        supervisor.stop();
        assert!(pids.iter().all(|pid| pid.exit_reason() == Some(ExitReason::Shutdown)));
    });
}

#[test]
fn each_child_has_its_own_time_to_end() {
    within_patience(|| {
        let supervisor = DynamicSupervisor::new().start().unwrap();
        let (traps, trapping) = channel::unbounded();
        let (killed, ends) = channel::bounded(1);
        let spawn = |patient: bool| {
            let (traps, killed, ends) = (traps.clone(), killed.clone(), ends.clone());
            move || {
                let (traps, killed, ends) = (traps.clone(), killed.clone(), ends.clone());
                actor::spawn_body(move |mailbox: &Mailbox<Exit>| {
                    mailbox.trap_exits(|exit| exit);
                    let _at_end = support::OnDrop::new(move || {
                        if !patient {
                            killed.try_send(()).unwrap()
                        }
                    });
                    traps.send(()).unwrap();
                    let _exit = mailbox.recv();
                    // The impatient one is killed here, and the patient one waits for that.
                    if patient { ends.recv().unwrap() } else { fibra::thread::park() }
                })
            }
        };
        let patient =
            supervisor.start_child(ChildSpec::new("patient", spawn(true)).shutdown(PATIENT)).unwrap();
        let brief = actor::Shutdown::Timeout(Duration::from_millis(1));
        let impatient = ChildSpec::new("impatient", spawn(false)).shutdown(brief);
        let impatient = supervisor.start_child(impatient).unwrap();
        (0..2).for_each(|_| trapping.recv_timeout(PATIENCE).unwrap());
        supervisor.stop();
        assert_eq!(patient.pid().exit_reason(), Some(ExitReason::Normal));
        assert_eq!(impatient.pid().exit_reason(), Some(ExitReason::Killed));
    });
}

#[test]
fn many_children_come_crash_and_go() {
    // One worker, since two would spend their time with waking each other.
    let body = || {
        const CHILDREN: usize = if cfg!(debug_assertions) { 10_000 } else { 30_000 };
        let drops = Drops::new();
        let supervisor = DynamicSupervisor::new().intensity(usize::MAX, Duration::ZERO).start().unwrap();
        let children: Vec<_> =
            (0..CHILDREN).map(|_| supervisor.start_child(counted(&drops)).unwrap()).collect();
        for child in children.iter().step_by(2) {
            child.send(crash()).unwrap();
        }
        wait_until("all are restarted", || supervisor.count().unwrap().restarts == CHILDREN as u64 / 2);
        assert_eq!(drops.get(), CHILDREN / 2);
        for child in children.iter().skip(1).step_by(4) {
            supervisor.terminate_child(child).unwrap();
        }
        assert_eq!(drops.get(), CHILDREN * 3 / 4);
        assert_eq!(supervisor.count().unwrap().running, CHILDREN * 3 / 4);
        supervisor.stop();
        assert_eq!(drops.get(), CHILDREN * 3 / 2);
    };
    within_patience(move || fibra::Builder::new().workers(1).run(body).unwrap());
}

#[test]
fn a_killed_one_leaves_no_orphan() {
    within_patience(|| {
        let drops = Drops::new();
        let supervisor = DynamicSupervisor::new().start().unwrap();
        let children: Vec<_> = (0..100).map(|_| supervisor.start_child(counted(&drops)).unwrap()).collect();
        supervisor.pid().kill();
        assert_eq!(supervisor.pid().wait(), ExitReason::Killed);
        // The addresses that are kept here don't keep them alive.
        children.iter().for_each(|child| assert_eq!(child.pid().wait(), ExitReason::Killed));
        assert_eq!(drops.get(), 100);
    });
}

#[test]
fn children_start_others_beside_themselves() {
    within_patience(|| {
        let supervisor = DynamicSupervisor::new().start().unwrap();
        let (done, dones) = channel::unbounded();
        fn node(supervisor: DynamicRef, depth: usize, done: channel::Sender<()>) -> ChildSpec<Address<()>> {
            let start = move || {
                let (supervisor, done) = (supervisor.clone(), done.clone());
                actor::spawn_body(move |_: &Mailbox<()>| {
                    if depth == 0 {
                        return done.send(()).unwrap();
                    }
                    for _ in 0..2 {
                        supervisor.start_child(node(supervisor.clone(), depth - 1, done.clone())).unwrap();
                    }
                })
            };
            ChildSpec::new("node", start).restart(Restart::Temporary)
        }
        supervisor.start_child(node(supervisor.clone(), 7, done)).unwrap();
        (0..128).for_each(|_| dones.recv_timeout(PATIENCE).unwrap());
        wait_until("all have ended", || supervisor.count().unwrap().specs == 0);
        supervisor.stop();
    });
}
