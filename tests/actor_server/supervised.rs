//! Servers as children of supervisors.

use std::time::Duration;

use fibra::actor::{
    self, CallError, ChildSpec, ExitReason, GenServer, Pid, Server, Shutdown, StartError, Strategy,
    Supervisor, whereis,
};
use fibra::channel;

use super::everywhere;
use super::probe::{Log, Probe, Setup, answer, job, keep, tell};
use super::support::{Drops, wait_until};

/// Starts servers that note under this name how they end.
fn child(name: &'static str, log: &Log, drops: &Drops, trap: bool) -> ChildSpec<Server<Probe>> {
    let (log, drops) = (log.clone(), drops.clone());
    ChildSpec::new(name, move || {
        let setup = Setup { drops: drops.clone(), ..Setup::default() };
        let log = log.clone();
        let setup = setup.init(move |context| {
            context.trap_exits(trap);
            Ok(())
        });
        Probe::start(setup.terminate(move |probe, _| {
            log.note(format_args!("{name}: {}", probe.log.all()[0]));
        }))
    })
}

#[test]
fn a_supervisor_that_stops_ends_its_servers_in_good_order_and_in_reverse() {
    everywhere(|| {
        let (log, drops) = (Log::default(), Drops::new());
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .child(child("a", &log, &drops, false))
            .child(child("b", &log, &drops, true))
            .child(child("c", &log, &drops, false))
            .start()
            .unwrap();
        let busy: Server<Probe> = supervisor.child("c").unwrap();
        let (inside, entered) = channel::bounded(0);
        let parks = job(move |_, _| {
            inside.send(()).unwrap();
            fibra::thread::park();
        });
        assert!(busy.cast(parks).is_ok());
        entered.recv().unwrap();
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        let log = log.all();
        assert_eq!(log, ["c", "b", "a"].map(|name| format!("{name}: terminate: shutdown")));
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn a_server_that_crashes_is_started_anew_and_only_its_own_callers_learn_of_it() {
    everywhere(|| {
        let (log, drops) = (Log::default(), Drops::new());
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .child(child("a", &log, &drops, false))
            .child(child("b", &log, &drops, true))
            .start()
            .unwrap();
        let (a, b): (Server<Probe>, Server<Probe>) =
            (supervisor.child("a").unwrap(), supervisor.child("b").unwrap());
        let waiting = fibra::spawn({
            let b = b.clone();
            move || b.call(keep)
        });
        wait_until("it is kept", || b.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 1);
        let error = a.call::<u32>(|reply_to| {
            job(move |_, _| {
                let _reply_to = reply_to;
                panic!("it crashed")
            })
        });
        let panic = ExitReason::Panic("it crashed".into());
        assert!(matches!(error, Err(CallError::Exited { reason, .. }) if reason == panic));
        wait_until("there is another one", || {
            supervisor.child::<Server<Probe>>("a").is_some_and(|server| server != a)
        });
        let anew: Server<Probe> = supervisor.child("a").unwrap();
        assert_eq!(anew.call(answer(7)).unwrap(), 7);
        tell(&b, |probe, _| probe.kept.remove(0).send(8));
        assert_eq!(waiting.join().unwrap().unwrap(), 8);
        assert_eq!(log.all(), ["a: terminate: panicked: it crashed"]);
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn a_name_is_free_for_the_server_that_follows() {
    fn named(name: &str) -> Result<Server<Probe>, StartError> {
        let name = name.to_owned();
        Probe::start(
            Setup::default()
                .init(move |context| actor::register(&name, &context.server()).map_err(ExitReason::failed)),
        )
    }
    everywhere(|| {
        let name = format!("of {:?}", std::thread::current().id());
        let key = name.clone();
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .intensity(100, Duration::from_secs(3600))
            .child(ChildSpec::new("named", move || named(&key)))
            .start()
            .unwrap();
        let mut last = None::<Pid>;
        for _ in 0..20 {
            let mut found = None;
            wait_until("it is found", || {
                found = whereis::<Server<Probe>>(&name).filter(|server| last != Some(server.pid()));
                found.is_some()
            });
            let server = found.unwrap();
            last = Some(server.pid());
            let _ = server.cast(job(|_, _| actor::exit(ExitReason::failed("again"))));
        }
        assert_eq!(supervisor.stop(), ExitReason::Shutdown);
        assert_eq!(whereis::<Pid>(&name), None);
    });
}

#[test]
fn a_server_that_cannot_begin_keeps_its_supervisor_from_starting() {
    everywhere(|| {
        let (log, drops) = (Log::default(), Drops::new());
        let failing = ChildSpec::new("fails", || Probe::start(Setup::default().init(|_| panic!("no paper"))));
        let supervisor =
            Supervisor::new(Strategy::OneForAll).child(child("a", &log, &drops, true)).child(failing);
        let error = supervisor.start().unwrap_err();
        assert!(error.to_string().contains("no paper"), "{error}");
        assert_eq!(log.all(), ["a: terminate: shutdown"]);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_server_that_does_not_come_to_its_end_in_time_is_killed() {
    everywhere(|| {
        for shutdown in [Shutdown::Timeout(Duration::from_millis(1)), Shutdown::Brutal] {
            let brutal = matches!(shutdown, Shutdown::Brutal);
            let (log, drops) = (Log::default(), Drops::new());
            let setup = (log.clone(), drops.clone());
            let start = move || {
                let setup = Setup { log: setup.0.clone(), drops: setup.1.clone(), ..Setup::default() };
                Probe::start(setup.terminate(|_, _| fibra::thread::park()))
            };
            let supervisor = Supervisor::new(Strategy::OneForOne)
                .child(ChildSpec::new("hangs", start).shutdown(shutdown))
                .start()
                .unwrap();
            let server: Server<Probe> = supervisor.child("hangs").unwrap();
            assert_eq!(supervisor.stop(), ExitReason::Shutdown);
            assert_eq!(server.pid().exit_reason(), Some(ExitReason::Killed));
            // The time may be up before it has begun to end at all.
            let noted = log.all();
            let begun = noted.len() > 1;
            assert_eq!(noted[usize::from(begun)..], ["dropped"]);
            assert!(!begun || noted[0] == "terminate: shutdown" && !brutal, "{noted:?}");
            assert_eq!(drops.get(), 1);
        }
    });
}

#[test]
fn a_supervisor_that_is_ended_while_a_server_begins_leaves_none() {
    everywhere(|| {
        let drops = Drops::new();
        let (pid, pids) = channel::bounded(1);
        let starting = fibra::spawn({
            let drops = drops.clone();
            move || {
                let start = move || {
                    let (counted, pid) = (drops.counted(), pid.clone());
                    Probe::start(Setup::default().init(move |context| {
                        let _counted = counted;
                        pid.send(context.pid().clone()).unwrap();
                        fibra::thread::park();
                        unreachable!("nobody unparks it")
                    }))
                };
                drop(Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("hangs", start)).start());
            }
        });
        let half_started = pids.recv().unwrap();
        starting.cancel();
        assert!(starting.join().is_err());
        assert!(!half_started.wait().is_normal() || half_started.wait() == ExitReason::Shutdown);
        assert_eq!(drops.get(), 1);
    });
}
