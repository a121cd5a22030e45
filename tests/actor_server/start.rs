//! How servers start, and how they don't.

use std::io::ErrorKind;
use std::time::Duration;

use fibra::actor::{self, Builder, ExitReason, GenServer, Pid, Server, StartError, whereis};
use fibra::channel;

use super::everywhere;
use super::probe::{Probe, Setup, answer, tell};
use super::support::{Drops, wait_until, within_patience};

#[track_caller]
fn reason_of(outcome: Result<Server<Probe>, StartError>) -> ExitReason {
    match outcome {
        Err(StartError::Init(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_has_begun_when_start_returns() {
    everywhere(|| {
        let setup = Setup::default();
        let log = setup.log.clone();
        let server = setup
            .init({
                let log = log.clone();
                move |_| {
                    fibra::sleep(Duration::from_millis(2));
                    log.note("begun");
                    Ok(())
                }
            })
            .start();
        assert_eq!(log.all(), ["begun"]);
        assert_eq!(server.call(answer(1)).unwrap(), 1);
    });
}

#[test]
fn a_start_fails_with_the_reason_of_init_and_leaves_nothing() {
    fn failing(setup: Setup, fail: fn(&Pid) -> ExitReason) -> (ExitReason, Pid) {
        let (pid, pids) = channel::bounded(1);
        let setup = setup.init(move |context| {
            let own = context.pid().clone();
            actor::register(&format!("fails {}", own.id()), &context.server()).unwrap();
            pid.send(own.clone()).unwrap();
            Err(fail(&own))
        });
        let reason = reason_of(Probe::start(setup));
        (reason, pids.recv().unwrap())
    }
    everywhere(|| {
        type Fail = fn(&Pid) -> ExitReason;
        let ways: [(Fail, ExitReason); 5] = [
            (|_| ExitReason::failed("no disk"), ExitReason::failed("no disk")),
            (|_| panic!("no memory"), ExitReason::Panic("no memory".into())),
            (|_| actor::exit(ExitReason::Normal), ExitReason::Normal),
            (
                |own| {
                    own.exit(ExitReason::failed("told to"));
                    fibra::thread::park();
                    unreachable!("it is told to end")
                },
                ExitReason::failed("told to"),
            ),
            (
                |own| {
                    own.kill();
                    fibra::thread::park();
                    unreachable!("it is killed")
                },
                ExitReason::Killed,
            ),
        ];
        for (fail, expected) in ways {
            let setup = Setup::default();
            let (log, drops) = (setup.log.clone(), setup.drops.clone());
            let (reason, pid) = failing(setup, fail);
            assert_eq!(reason, expected);
            assert_eq!(pid.exit_reason(), Some(expected));
            assert_eq!(whereis::<Pid>(&format!("fails {}", pid.id())), None, "its name is free");
            assert_eq!((log.len(), drops.get()), (0, 0), "there was no state");
        }
    });
}

#[test]
fn a_server_whose_starter_gives_up_is_killed() {
    // Its init parks for ever.
    fn hangs(pid: channel::Sender<Pid>, drops: &Drops) -> Setup {
        let counted = drops.counted();
        Setup::default().init(move |context| {
            let _counted = counted;
            pid.send(context.pid().clone()).unwrap();
            fibra::thread::park();
            unreachable!("nobody unparks it")
        })
    }
    everywhere(|| {
        let drops = Drops::new();
        let (pid, pids) = channel::unbounded();
        let started = fibra::timeout(Duration::from_millis(1), || hangs(pid.clone(), &drops).start());
        assert!(started.is_err());
        // The time may have been up before it ran at all.
        wait_until("it is gone", || drops.get() == 1);
        assert!(pids.try_iter().all(|pid| pid.wait() == ExitReason::Killed));

        let setup = hangs(pid.clone(), &drops);
        let task = fibra::spawn(move || setup.start());
        let half_started = pids.recv().unwrap();
        task.cancel();
        assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
        assert_eq!(half_started.wait(), ExitReason::Killed);
        assert_eq!(drops.get(), 2);

        let setup = hangs(pid, &drops);
        let starter = actor::spawn_body::<(), _>(move |_| drop(setup.start()));
        let half_started = pids.recv().unwrap();
        starter.pid().exit(ExitReason::Shutdown);
        assert_eq!(starter.pid().wait(), ExitReason::Shutdown);
        assert_eq!(half_started.wait(), ExitReason::Killed);
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn a_plain_thread_that_gives_up_kills_the_server_too() {
    let drops = Drops::new();
    let counted = drops.counted();
    let setup = Setup::default().init(move |_| {
        let _counted = counted;
        fibra::thread::park();
        Ok(())
    });
    let thread =
        std::thread::spawn(move || fibra::timeout(Duration::from_millis(1), || setup.start()).is_err());
    assert!(thread.join().unwrap());
    wait_until("it is gone", || drops.get() == 1);
}

#[test]
fn a_start_that_spawns_nothing_says_why() {
    everywhere(|| {
        let drops = Drops::new();
        let guard = drops.counted();
        let setup = Setup::default().init(move |_| {
            let _guard = guard;
            unreachable!("there is no actor")
        });
        let error = setup.start_with(Builder::new().capacity(0)).unwrap_err();
        let StartError::Spawn(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_linked_start_that_fails_sends_its_signal_to_the_starter() {
    everywhere(|| {
        let starter = actor::spawn_body::<(), _>(|_| {
            let fails = Setup::default().init(|_| Err(ExitReason::failed("no luck")));
            let error = fails.start_with(Builder::new().link()).unwrap_err();
            assert_eq!(error.to_string(), "failed to initialise an actor: failed: no luck");
            fibra::thread::park();
        });
        assert_eq!(starter.pid().wait(), ExitReason::failed("no luck"));
        let outside = Setup::default().start_with(Builder::new().link()).unwrap_err();
        assert!(matches!(outside, StartError::Spawn(_)), "no actor runs here");
    });
}

#[test]
fn a_server_that_stops_in_init_begins_and_ends_in_good_order() {
    everywhere(|| {
        let setup = Setup::default();
        let (log, drops) = (setup.log.clone(), setup.drops.clone());
        let server = setup
            .init(|context| {
                context.stop(ExitReason::Shutdown);
                Ok(())
            })
            .start();
        assert_eq!(server.pid().wait(), ExitReason::Shutdown);
        assert_eq!(log.all(), ["terminate: shutdown", "dropped"]);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn servers_start_servers_while_they_initialise() {
    everywhere(|| {
        let (inner, inners) = channel::bounded(1);
        let outer = Setup::default()
            .init(move |_| {
                inner.send(Probe::start(Setup::default())?).unwrap();
                Ok(())
            })
            .start();
        let inner = inners.recv().unwrap();
        tell(&outer, {
            let inner = inner.clone();
            move |_, _| tell(&inner, |_, _| ())
        });
        assert_eq!(inner.stop(), ExitReason::Normal);
    });
}

#[test]
fn a_start_that_the_end_of_the_runtime_meets_leaves_nothing() {
    let drops = Drops::new();
    let counted = drops.counted();
    within_patience(move || {
        let run = fibra::Builder::new().workers(1).run(move || {
            let setup = Setup::default().init(move |_| {
                let _counted = counted;
                fibra::thread::park();
                unreachable!("nobody unparks it")
            });
            fibra::spawn(move || drop(Probe::start(setup)));
        });
        run.unwrap();
    });
    assert_eq!(drops.get(), 1);
}
