//! Exit signals that are trapped, monitors, the idle timeout, casts that come later.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use fibra::actor::{self, Builder, Context, ExitReason, GenServer, Info, Pid, Server};
use fibra::channel;

use super::everywhere;
use super::probe::{Log, Probe, Setup, job, tell};
use super::support::{Drops, wait_until};

/// An actor that does nothing until it is ended.
fn idler() -> actor::Address<()> {
    actor::spawn_body(|_| fibra::thread::park())
}

/// A server that an actor has started and is linked with; returns both.
fn child(setup: Setup) -> (Pid, Server<Probe>) {
    let (server, servers) = channel::bounded(1);
    let parent = actor::spawn_body::<(), _>(move |_| {
        server.send(setup.start_with(Builder::new().link()).unwrap()).unwrap();
        fibra::thread::park();
    });
    (parent.pid(), servers.recv().unwrap())
}

#[test]
fn a_server_that_traps_exits_is_told_of_signals_and_goes_on() {
    everywhere(|| {
        let setup = Setup {
            on_info: Some(|probe, info, _| {
                let Info::Exit(exit) = info else { panic!("{info:?}") };
                probe.log.note(exit.from.is_some());
            }),
            ..Setup::default()
        };
        let log = setup.log.clone();
        let server = setup.start();
        tell(&server, |_, context| context.trap_exits(true));
        server.pid().exit(ExitReason::Normal);
        wait_until("the first is told", || log.len() == 2);
        let linked = idler();
        tell(&server, {
            let linked = linked.clone();
            move |_, _| actor::link(&linked)
        });
        linked.pid().kill();
        wait_until("the second is told", || log.len() == 4);
        assert_eq!(log.all(), ["exit: normal", "false", "exit: killed", "true"]);
        tell(&server, |_, context| context.trap_exits(false));
        server.pid().exit(ExitReason::Shutdown);
        assert_eq!(server.pid().wait(), ExitReason::Shutdown);
        assert_eq!(log.all()[4..], ["terminate: shutdown", "dropped"]);
    });
}

#[test]
fn a_signal_of_the_parent_ends_a_server_whether_it_traps_exits_or_not() {
    everywhere(|| {
        for trap in [false, true] {
            for (end, reason) in [
                (Pid::kill as fn(&Pid), ExitReason::Killed),
                (|parent: &Pid| parent.exit(ExitReason::failed("told to")), ExitReason::failed("told to")),
            ] {
                let setup = Setup::default().init(move |context| {
                    context.trap_exits(trap);
                    Ok(())
                });
                let log = setup.log.clone();
                let (parent, server) = child(setup);
                end(&parent);
                assert_eq!(server.pid().wait(), reason);
                // That the parent was killed is a reason like any other, and no kill.
                assert_eq!(log.all(), [&*format!("terminate: {reason}"), "dropped"], "{trap}");
            }
        }
    });
}

#[test]
fn a_parent_that_traps_exits_shuts_its_servers_down_in_good_order() {
    everywhere(|| {
        for trap in [false, true] {
            let setup = Setup::default().init(move |context| {
                context.trap_exits(trap);
                Ok(())
            });
            let log = setup.log.clone();
            let parent = Setup::default().start();
            let (reasons, reason) = channel::bounded(1);
            tell(&parent, move |_, context| {
                context.trap_exits(true);
                let server = setup.start_with(Builder::new().link()).unwrap();
                server.pid().exit(ExitReason::Shutdown);
                reasons.send(server.pid().wait()).unwrap();
            });
            assert_eq!(reason.recv().unwrap(), ExitReason::Shutdown);
            assert_eq!(log.all(), ["terminate: shutdown", "dropped"]);
            assert_eq!(parent.stop(), ExitReason::Normal);
        }
    });
}

#[test]
fn a_parents_normal_end_concerns_only_a_server_that_traps_exits() {
    everywhere(|| {
        for trap in [false, true] {
            let setup = Setup::default().init(move |context| {
                context.trap_exits(trap);
                Ok(())
            });
            let (server, servers) = channel::bounded(1);
            let parent = actor::spawn_body::<(), _>(move |_| {
                server.send(setup.start_with(Builder::new().link()).unwrap()).unwrap();
            });
            assert_eq!(parent.pid().wait(), ExitReason::Normal);
            let server = servers.recv().unwrap();
            if !trap {
                assert_eq!(server.stop(), ExitReason::Normal);
            }
            assert_eq!(server.pid().wait(), ExitReason::Normal);
        }
    });
}

#[test]
fn a_server_that_traps_exits_lives_on_without_handles() {
    everywhere(|| {
        let setup = Setup { on_info: Some(|_, _, context| context.trap_exits(false)), ..Setup::default() };
        let log = setup.log.clone();
        let server = setup
            .init(|context| {
                context.trap_exits(true);
                Ok(())
            })
            .start();
        let pid = server.pid();
        drop(server);
        pid.exit(ExitReason::Normal);
        assert_eq!(pid.wait(), ExitReason::Normal);
        assert_eq!(log.all(), ["exit: normal", "terminate: normal", "dropped"]);
    });
}

#[test]
fn monitors_tell_once_and_can_be_taken_back() {
    everywhere(|| {
        let setup = Setup::default();
        let log = setup.log.clone();
        let server = setup.start();
        let (one, other) = (idler(), idler());
        tell(&server, {
            let (one, other) = (one.clone(), other.clone());
            move |_, context| {
                let taken_back = context.monitor(&other);
                context.monitor(&one);
                assert!(context.demonitor(&taken_back));
                assert!(!context.demonitor(&taken_back));
            }
        });
        other.pid().kill();
        other.pid().wait();
        one.pid().kill();
        wait_until("it is told", || log.len() == 1);
        tell(&server, move |_, context| drop(context.monitor(&other)));
        wait_until("it is told of one that has ended", || log.len() == 2);
        assert_eq!(log.all(), ["down: killed", "down: killed"]);
    });
}

#[test]
fn an_idle_server_is_told_so_again_and_again_until_it_asks_for_it_no_more() {
    everywhere(|| {
        let setup = Setup {
            on_info: Some(|probe, _, context| {
                if probe.log.len() == 3 {
                    context.set_timeout(None);
                }
            }),
            ..Setup::default()
        };
        let log = setup.log.clone();
        let server = setup
            .init(|context| {
                context.set_timeout(Some(Duration::from_millis(1)));
                Ok(())
            })
            .start();
        wait_until("it is told three times", || log.len() == 3);
        tell(&server, |_, _| ());
        assert_eq!(server.stop(), ExitReason::Normal);
        assert_eq!(log.all(), ["timeout", "timeout", "timeout", "terminate: normal", "dropped"]);
    });
}

#[test]
fn a_server_with_messages_is_not_idle() {
    const PATIENCE: Duration = Duration::from_millis(20);

    /// Notes when it had its last message.
    struct Busy(Instant);

    impl GenServer for Busy {
        type Init = channel::Sender<Duration>;
        type Call = ();
        type Cast = Option<channel::Sender<Duration>>;

        fn init(_: Self::Init, context: &mut Context<Self>) -> Result<Self, ExitReason> {
            context.set_timeout(Some(PATIENCE));
            Ok(Self(Instant::now()))
        }

        fn handle_call(&mut self, (): (), _: &mut Context<Self>) {}

        fn handle_cast(&mut self, _: Self::Cast, _: &mut Context<Self>) {
            self.0 = Instant::now();
        }

        fn handle_info(&mut self, _: Info, context: &mut Context<Self>) {
            assert!(self.0.elapsed() >= PATIENCE, "it was told {:?} after a message", self.0.elapsed());
            context.stop(ExitReason::Shutdown);
        }
    }

    everywhere(|| {
        let (sender, _receiver) = channel::unbounded();
        let busy = Busy::start(sender).unwrap();
        for _ in 0..20 {
            // On a slow machine it may think itself idle: rightly so.
            if busy.cast(None).is_err() {
                break;
            }
            fibra::sleep(Duration::from_millis(5));
        }
        assert_eq!(busy.pid().wait(), ExitReason::Shutdown);
    });
}

#[test]
fn a_cast_comes_later_and_not_before_its_time() {
    everywhere(|| {
        let setup = Setup::default();
        let log = setup.log.clone();
        let server = setup.start();
        tell(&server, |_, context| {
            for millis in [10, 0] {
                let (now, delay) = (Instant::now(), Duration::from_millis(millis));
                context.send_after(delay, job(move |probe, _| probe.log.note(now.elapsed() >= delay)));
            }
        });
        wait_until("both have come", || log.len() == 2);
        assert_eq!(log.all(), ["true", "true"]);
    });
}

#[test]
fn a_cast_that_is_cancelled_does_not_come() {
    everywhere(|| {
        let setup = Setup::default();
        let (log, drops) = (setup.log.clone(), Drops::new());
        let server = setup.start();
        let counted = drops.counted();
        tell(&server, move |_, context| {
            let never = job(move |probe, _| {
                let _counted = counted;
                probe.log.note("never");
            });
            context.send_after(Duration::from_secs(3600), never).cancel();
        });
        wait_until("it is dropped", || drops.get() == 1);
        assert_eq!(log.len(), 0);
    });
}

#[test]
fn a_cast_that_is_still_to_come_keeps_no_server() {
    everywhere(|| {
        let server = Setup::default().start();
        let pid = server.pid();
        tell(&server, |_, context| {
            context.send_after(Duration::from_secs(3600), job(|_, _| ()));
        });
        drop(server);
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn a_server_that_holds_itself_lives_until_it_lets_go() {
    static HELD: Mutex<Vec<Server<Probe>>> = Mutex::new(Vec::new());
    let log = Log::default();
    let setup = Setup { log: log.clone(), ..Setup::default() }.init(|context| {
        HELD.lock().unwrap().push(context.server());
        Ok(())
    });
    let server = setup.start();
    let pid = server.pid();
    drop(server);
    let held = HELD.lock().unwrap().pop().unwrap();
    tell(&held, |_, _| ());
    assert!(pid.is_alive());
    drop(held);
    assert_eq!(pid.wait(), ExitReason::Normal);
}
