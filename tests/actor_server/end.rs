//! How servers end: `terminate`, the reason, and the state's one drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fibra::actor::{self, Builder, CallError, Context, ExitReason, GenServer, Info, ReplyTo, Server};
use fibra::channel;

use super::everywhere;
use super::probe::{Job, Log, Probe, Setup, job, keep, tell};
use super::support::{Drops, PATIENCE, wait_until, within_patience};

/// Has the server end in some way, and checks how it does.
#[track_caller]
fn ends(setup: Setup, reason: ExitReason, log: &[&str], end: impl FnOnce(Server<Probe>)) {
    let (noted, drops) = (setup.log.clone(), setup.drops.clone());
    let server = setup.start();
    let pid = server.pid();
    end(server);
    assert_eq!(pid.wait(), reason);
    assert_eq!(noted.all(), log);
    assert_eq!(drops.get(), 1);
}

#[track_caller]
fn ends_in_good_order(reason: ExitReason, end: impl FnOnce(Server<Probe>)) {
    let terminate = format!("terminate: {reason}");
    ends(Setup::default(), reason, &[&terminate, "dropped"], end);
}

fn cast(server: &Server<Probe>, f: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) {
    assert!(server.cast(job(f)).is_ok());
}

/// Has the server park in a handler for ever; it does when this returns.
fn park(server: &Server<Probe>) {
    let (inside, entered) = channel::bounded(0);
    cast(server, move |_, _| {
        inside.send(()).unwrap();
        fibra::thread::park();
        unreachable!("nobody unparks it");
    });
    entered.recv().unwrap();
}

#[test]
fn terminate_is_called_when_a_server_is_stopped_or_stops_itself() {
    everywhere(|| {
        ends_in_good_order(ExitReason::Normal, |server| assert_eq!(server.stop(), ExitReason::Normal));
        let late = ExitReason::failed("it is late");
        ends_in_good_order(late.clone(), |server| {
            cast(&server, move |_, context| context.stop(late));
        });
        ends_in_good_order(ExitReason::Shutdown, |server| {
            tell(&server, move |_, context| context.stop(ExitReason::Shutdown));
        });
        let setup =
            Setup { on_info: Some(|_, _, context| context.stop(ExitReason::Normal)), ..Setup::default() };
        ends(setup, ExitReason::Normal, &["exit: shutdown", "terminate: normal", "dropped"], |server| {
            tell(&server, |_, context| context.trap_exits(true));
            server.pid().exit(ExitReason::Shutdown);
        });
    });
}

#[test]
fn a_stop_comes_after_the_messages_before_it_also_if_the_mailbox_is_full() {
    everywhere(|| {
        let setup = Setup::default();
        let log = setup.log.clone();
        let server = setup.start_with(Builder::new().capacity(1)).unwrap();
        let (gate, closed) = channel::bounded::<()>(0);
        let (inside, entered) = channel::bounded(0);
        cast(&server, move |_, _| {
            inside.send(()).unwrap();
            let _ = closed.recv();
        });
        entered.recv().unwrap();
        cast(&server, |probe, _| probe.log.note("before"));
        let stopping = fibra::spawn({
            let server = server.clone();
            move || server.stop()
        });
        wait_until("the stop is in the mailbox", || server.len() == 2);
        drop(gate);
        assert_eq!(stopping.join().unwrap(), ExitReason::Normal);
        assert_eq!(log.all(), ["before", "terminate: normal", "dropped"]);
    });
}

#[test]
fn terminate_is_called_after_a_panic_or_an_exit_in_any_handler() {
    everywhere(|| {
        fn panics(reply_to: ReplyTo<u32>) -> Job {
            job(move |_, _| {
                let _reply_to = reply_to;
                panic!("broken");
            })
        }
        let panic = ExitReason::Panic("broken".into());
        ends_in_good_order(panic.clone(), |server| {
            let error = server.call::<u32>(panics).unwrap_err();
            assert!(matches!(error, CallError::Exited { .. }), "{error:?}");
        });
        ends_in_good_order(panic.clone(), |server| cast(&server, |_, _| panic!("broken")));
        let setup = Setup { on_info: Some(|_, _, _| panic!("broken")), ..Setup::default() };
        ends(setup, panic, &["down: killed", "terminate: panicked: broken", "dropped"], |server| {
            let victim = actor::spawn_body::<(), _>(|_| fibra::thread::park());
            victim.pid().kill();
            tell(&server, move |_, context| drop(context.monitor(&victim)));
        });
        let reason = ExitReason::failed("enough");
        ends_in_good_order(reason.clone(), |server| cast(&server, |_, _| actor::exit(reason)));
    });
}

#[test]
fn terminate_is_called_after_an_exit_signal_in_the_wait_or_in_a_handler() {
    everywhere(|| {
        let reason = ExitReason::failed("told to");
        ends_in_good_order(reason.clone(), |server| server.pid().exit(reason));
        let reason = ExitReason::failed("told to");
        ends_in_good_order(reason.clone(), |server| {
            park(&server);
            server.pid().exit(reason);
        });
        ends_in_good_order(ExitReason::Normal, |server| {
            server.pid().exit(ExitReason::Normal); // ignored
            assert_eq!(server.stop(), ExitReason::Normal);
        });
    });
}

#[test]
fn terminate_is_called_when_all_handles_are_gone_and_all_messages_handled() {
    everywhere(|| {
        let setup = Setup::default();
        ends(setup, ExitReason::Normal, &["last", "terminate: normal", "dropped"], |server| {
            cast(&server, |probe, _| probe.log.note("last"));
        });
    });
}

#[test]
fn terminate_is_called_at_the_end_of_the_runtime_and_may_park() {
    for in_handler in [false, true] {
        let setup = Setup::default().terminate(|probe, _| {
            fibra::sleep(Duration::from_millis(1));
            probe.log.note("said goodbye");
        });
        let (log, drops) = (setup.log.clone(), setup.drops.clone());
        let server = within_patience(move || {
            let run = fibra::Builder::new().workers(2).run(move || {
                let server = setup.start();
                if in_handler {
                    park(&server);
                }
                server
            });
            run.unwrap()
        });
        assert_eq!(server.pid().exit_reason(), Some(ExitReason::Shutdown));
        assert_eq!(log.all(), ["terminate: shutdown", "said goodbye", "dropped"]);
        assert_eq!(drops.get(), 1);
    }
}

#[test]
fn terminate_may_park_though_the_server_was_told_to_end() {
    everywhere(|| {
        let (goodbye, heard) = channel::bounded(0);
        let setup = Setup::default().terminate(move |probe, _| {
            goodbye.send(()).unwrap();
            fibra::yield_now();
            probe.log.note("said goodbye");
        });
        let reason = ExitReason::failed("told to");
        let log = ["terminate: failed: told to", "said goodbye", "dropped"];
        ends(setup, reason.clone(), &log, |server| {
            park(&server);
            server.pid().exit(reason);
            server.pid().exit(ExitReason::failed("again"));
            heard.recv().unwrap();
        });
    });
}

#[test]
fn what_terminate_throws_is_the_new_reason_and_the_state_is_dropped() {
    everywhere(|| {
        let panics = Setup::default().terminate(|_, _| panic!("twice"));
        let log = ["terminate: normal", "dropped"];
        ends(panics, ExitReason::Panic("twice".into()), &log, |server| drop(server.stop()));

        let panics = Setup::default().terminate(|_, _| panic!("twice"));
        let log = ["terminate: panicked: once", "dropped"];
        ends(panics, ExitReason::Panic("twice".into()), &log, |server| cast(&server, |_, _| panic!("once")));

        let exits = Setup::default().terminate(|_, _| actor::exit(ExitReason::failed("on second thoughts")));
        let log = ["terminate: normal", "dropped"];
        ends(exits, ExitReason::failed("on second thoughts"), &log, |server| drop(server.stop()));
    });
}

#[test]
fn a_panic_in_the_destructor_of_the_state_is_the_new_reason() {
    everywhere(|| {
        let on_drop = || -> Option<Box<dyn FnOnce() + Send>> { Some(Box::new(|| panic!("in drop"))) };
        let panics = Setup { on_drop: on_drop(), ..Setup::default() };
        let log = ["terminate: normal", "dropped"];
        ends(panics, ExitReason::Panic("in drop".into()), &log, |server| drop(server.stop()));

        let panics = Setup { on_drop: on_drop(), ..Setup::default() };
        let log = ["terminate: panicked: in handler", "dropped"];
        ends(panics, ExitReason::Panic("in drop".into()), &log, |server| {
            cast(&server, |_, _| panic!("in handler"));
        });

        let panics = Setup { on_drop: on_drop(), ..Setup::default() };
        ends(panics, ExitReason::Panic("in drop".into()), &["dropped"], |server| server.pid().kill());
    });
}

#[test]
fn a_kill_skips_terminate() {
    everywhere(|| {
        ends(Setup::default(), ExitReason::Killed, &["dropped"], |server| server.pid().kill());
        ends(Setup::default(), ExitReason::Killed, &["dropped"], |server| {
            park(&server);
            server.pid().kill();
        });
        ends(Setup::default(), ExitReason::Killed, &["dropped"], |server| {
            tell(&server, |_, context| context.trap_exits(true));
            server.pid().kill();
        });
        ends(Setup::default(), ExitReason::Killed, &["dropped"], |server| {
            cast(&server, |_, context| {
                context.pid().kill();
                panic!("killed already");
            });
        });
    });
}

#[test]
fn a_kill_ends_terminate_and_a_destructor_that_park() {
    everywhere(|| {
        let (inside, entered) = channel::bounded(0);
        let setup = Setup::default().terminate({
            let inside = inside.clone();
            move |_, _| {
                inside.send(()).unwrap();
                fibra::thread::park();
                unreachable!("nobody unparks it");
            }
        });
        let heard = entered.clone();
        ends(setup, ExitReason::Killed, &["terminate: failed: told to", "dropped"], move |server| {
            server.pid().exit(ExitReason::failed("told to"));
            heard.recv().unwrap();
            server.pid().exit(ExitReason::failed("no matter"));
            server.pid().kill();
        });

        let on_drop = move || {
            inside.send(()).unwrap();
            fibra::thread::park();
            unreachable!("nobody unparks it");
        };
        let setup = Setup { on_drop: Some(Box::new(on_drop)), ..Setup::default() };
        ends(setup, ExitReason::Killed, &["terminate: normal", "dropped"], move |server| {
            let pid = server.pid();
            drop(server);
            entered.recv().unwrap();
            pid.kill();
        });
    });
}

#[test]
fn a_server_that_always_finds_a_message_is_ended_all_the_same() {
    fn on_and_on(_: &mut Probe, context: &mut Context<Probe>) {
        cast(&context.server(), on_and_on);
    }
    everywhere(|| {
        let reason = ExitReason::failed("told to");
        ends_in_good_order(reason.clone(), |server| {
            tell(&server, on_and_on);
            server.pid().exit(reason);
        });
        ends(Setup::default(), ExitReason::Killed, &["dropped"], |server| {
            tell(&server, on_and_on);
            server.pid().kill();
        });
    });
}

#[test]
fn a_kill_that_a_handler_holds_back_still_skips_terminate() {
    everywhere(|| {
        let setup = Setup::default();
        ends(setup, ExitReason::Killed, &["held", "dropped"], |server| {
            let (inside, entered) = channel::bounded(0);
            let (gate, closed) = channel::bounded::<()>(0);
            cast(&server, move |probe, context| {
                fibra::cancel::shield(|| {
                    inside.send(()).unwrap();
                    let _ = closed.recv();
                });
                probe.log.note("held");
                context.stop(ExitReason::Normal);
            });
            entered.recv().unwrap();
            server.pid().kill();
            drop(gate);
        });
    });
}

#[test]
fn the_state_is_gone_and_names_are_free_before_callers_and_callers_before_monitors() {
    everywhere(|| {
        let setup = Setup::default();
        let log = setup.log.clone();
        let server = setup.terminate(|probe, _| probe.kept.remove(1).send(7)).start();
        let name = format!("ordered {}", server.pid().id());
        actor::register(&name, &server).unwrap();
        let told = Arc::new(AtomicBool::new(false));
        // On a thread of its own each, so that nothing else orders them.
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (server, log, name, told) = (server.clone(), log.clone(), name.clone(), told.clone());
                std::thread::spawn(move || {
                    let outcome = server.call_timeout(PATIENCE, keep);
                    if outcome.is_err() {
                        assert_eq!(log.all().last().map(String::as_str), Some("dropped"));
                        assert_eq!(actor::whereis::<Server<Probe>>(&name), None);
                        told.store(true, Ordering::SeqCst);
                    }
                    outcome
                })
            })
            .collect();
        wait_until("both are kept", || server.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 2);
        let monitor = server.pid().monitor();
        assert_eq!(server.stop(), ExitReason::Normal);
        assert_eq!(monitor.recv(), ExitReason::Normal);
        assert_eq!(log.all(), ["terminate: normal", "dropped"]);
        let outcomes: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(told.load(Ordering::SeqCst));
        let answered = outcomes.iter().filter(|outcome| matches!(outcome, Ok(7))).count();
        let exited = |outcome: &&Result<u32, CallError>| {
            matches!(outcome, Err(CallError::Exited { reason: ExitReason::Normal, .. }))
        };
        assert_eq!((answered, outcomes.iter().filter(exited).count()), (1, 1), "{outcomes:?}");
    });
}

#[test]
fn a_monitor_of_a_server_is_told_after_its_callers_had_their_answers() {
    struct Teller(Log);

    impl GenServer for Teller {
        type Init = Log;
        type Call = ReplyTo<()>;
        type Cast = ();

        fn init(log: Log, _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Self(log))
        }

        fn handle_call(&mut self, reply_to: ReplyTo<()>, context: &mut Context<Self>) {
            reply_to.send(());
            context.stop(ExitReason::Normal);
        }

        fn terminate(&mut self, reason: &ExitReason, context: &mut Context<Self>) {
            assert!(context.pid().is_alive());
            self.0.note(format_args!("teller: {reason}"));
        }
    }

    everywhere(|| {
        let setup = Setup {
            on_info: Some(|probe, info, _| {
                let Info::Down(down) = info else { panic!("it monitors") };
                assert!(!down.pid.is_alive());
                probe.log.note("it is down");
            }),
            ..Setup::default()
        };
        let log = setup.log.clone();
        let watcher = setup.start();
        let teller = Teller::start(log.clone()).unwrap();
        tell(&watcher, {
            let teller = teller.clone();
            move |_, context| drop(context.monitor(&teller))
        });
        teller.call(|reply_to| reply_to).unwrap();
        wait_until("the watcher knows", || log.len() == 3);
        assert_eq!(log.all(), ["teller: normal", "down: normal", "it is down"]);
    });
}

#[test]
fn a_thousand_servers_drop_their_state_once_each_whatever_ends_them() {
    everywhere(|| {
        let (drops, log) = (Drops::new(), Log::default());
        let servers: Vec<_> = (0..1000)
            .map(|_| Setup { drops: drops.clone(), log: log.clone(), ..Setup::default() }.start())
            .collect();
        let pids: Vec<_> = servers.iter().map(Server::pid).collect();
        for (server, i) in servers.into_iter().zip(0..) {
            match i % 5 {
                0 => cast(&server, |_, context| context.stop(ExitReason::Shutdown)),
                1 => server.pid().exit(ExitReason::failed("told to")),
                2 => server.pid().kill(),
                3 => cast(&server, |_, _| actor::exit(ExitReason::Normal)),
                _ => drop(server),
            }
        }
        let killed = pids.iter().filter(|pid| pid.wait() == ExitReason::Killed).count();
        let count = |what: &str| log.all().iter().filter(|note| note.starts_with(what)).count();
        assert_eq!((killed, drops.get(), count("terminate"), count("dropped")), (200, 1000, 800, 1000));
    });
}
