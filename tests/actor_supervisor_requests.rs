//! Supervisors: requests that cross the ends and starts of the children they are about.

#[path = "support/supervised.rs"]
mod supervised;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use fibra::actor::{
    Address, CallError, ChildError, ChildSpec, ExitReason, Restart, StartError, Strategy, Supervisor,
};
use fibra::channel;
use supervised::{Events, LONG, Order, crash};
use support::within_patience;

#[test]
fn who_knows_that_a_temporary_child_has_ended_can_use_its_name_again() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForOne).start().unwrap();
        for _ in 0..500 {
            let child = supervisor.start_child(events.worker("a").restart(Restart::Temporary)).unwrap();
            child.send(crash()).unwrap();
            child.pid().wait();
        }
        supervisor.stop();
    });
}

#[test]
fn who_knows_that_a_transient_child_has_ended_can_start_it_again_and_delete_it() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForOne).start().unwrap();
        for _ in 0..500 {
            let first = supervisor.start_child(events.worker("a").restart(Restart::Transient)).unwrap();
            first.send(Order::Exit(ExitReason::Normal)).unwrap();
            first.pid().wait();
            let second = supervisor.restart_child("a").unwrap();
            assert_ne!(second, first.pid());
            second.exit(ExitReason::Shutdown);
            second.wait();
            supervisor.delete_child("a").unwrap();
        }
        assert_eq!(supervisor.count().unwrap().restarts, 500);
        supervisor.stop();
    });
}

#[test]
fn a_child_that_has_crashed_is_about_to_be_started_for_all_requests() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .intensity(1000, LONG)
            .child(events.worker("a"))
            .start()
            .unwrap();
        for _ in 0..100 {
            let child = supervisor.child::<Address<Order>>("a").unwrap();
            child.send(crash()).unwrap();
            child.pid().wait();
            assert!(matches!(supervisor.restart_child("a"), Err(ChildError::Running { .. })));
            assert!(matches!(supervisor.delete_child("a"), Err(ChildError::Running { .. })));
            let again = supervisor.start_child(events.worker("a"));
            assert!(matches!(again, Err(ChildError::AlreadyPresent { .. })));
        }
        supervisor.stop();
        let counted = |what: &str| (0..101).map(|_| what.to_owned()).collect::<Vec<_>>();
        let mut all = events.seen();
        all.sort_unstable();
        assert_eq!(all, [counted("end a"), counted("start a")].concat());
    });
}

#[test]
fn a_request_that_finds_the_child_whose_end_is_one_too_many_learns_of_the_supervisors_end() {
    within_patience(|| {
        for round in 0..300 {
            let events = Events::new();
            let supervisor =
                Supervisor::new(Strategy::OneForOne).intensity(0, LONG).child(events.worker("a"));
            let supervisor = supervisor.start().unwrap();
            let child: Address<Order> = supervisor.child("a").unwrap();
            child.send(crash()).unwrap();
            child.pid().wait();
            let error = match round % 3 {
                0 => supervisor.restart_child("a").unwrap_err(),
                1 => supervisor.delete_child("a").unwrap_err(),
                _ => supervisor.start_child(events.worker("a")).unwrap_err(),
            };
            assert!(matches!(error, ChildError::Call(CallError::Exited { .. })), "{error}");
        }
    });
}

/// Ended before its first start, it is as one that could not be started: whoever added it is told so.
#[test]
fn a_child_that_is_ended_before_its_first_start_is_not_kept() {
    within_patience(|| {
        let events = Events::new();
        let supervisor = Supervisor::new(Strategy::OneForOne).start().unwrap();
        let hit = AtomicBool::new(false);
        while !hit.load(Ordering::Relaxed) {
            // The supervisor is held in a start function while both requests come, in either order.
            let (begun, begins) = channel::bounded(1);
            let (release, released) = channel::bounded::<()>(1);
            let worker = events.clone();
            let hold = ChildSpec::new("hold", move || {
                begun.send(()).unwrap();
                released.recv().unwrap();
                worker.spawn("hold")
            });
            fibra::scope(|scope| {
                let held = scope.spawn(|| supervisor.start_child(hold).unwrap());
                begins.recv().unwrap();
                let added = scope.spawn(|| supervisor.start_child(events.worker("a")));
                fibra::thread::yield_now();
                let ended = scope.spawn(|| supervisor.terminate_child("a"));
                fibra::thread::yield_now();
                release.send(()).unwrap();
                held.join().unwrap();
                match (added.join().unwrap(), ended.join().unwrap()) {
                    (Err(ChildError::Start(StartError::Init(ExitReason::Shutdown))), Ok(())) => {
                        assert!(matches!(supervisor.restart_child("a"), Err(ChildError::NotFound { .. })));
                        hit.store(true, Ordering::Relaxed);
                    }
                    (Ok(_), Ok(()) | Err(ChildError::NotFound { .. })) => {
                        supervisor.terminate_child("a").unwrap();
                        supervisor.delete_child("a").unwrap();
                    }
                    (added, ended) => panic!("{added:?}, {ended:?}"),
                }
            });
            supervisor.terminate_child("hold").unwrap();
            supervisor.delete_child("hold").unwrap();
        }
        assert_eq!(supervisor.count().unwrap().specs, 0);
        supervisor.stop();
    });
}
