//! Calls, casts, answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fibra::actor::{
    self, Builder, CallError, Context, ExitReason, GenServer, ReplyTo, Server, WeakServer, whereis,
};
use fibra::channel::{self, Receiver, SendError, Sender, TrySendError};

use super::everywhere;
use super::probe::{Probe, Setup, answer, job, keep, tell};
use super::support::{PATIENCE, wait_until};

/// A timeout that is over before an answer comes that nobody gives.
const SOON: Duration = Duration::from_millis(1);

/// Has the server wait in a handler until the sender is dropped; it waits there when this returns.
fn hold(server: &Server<Probe>) -> Sender<()> {
    let (gate, closed) = channel::bounded::<()>(0);
    let (inside, entered) = channel::bounded(0);
    let wait = job(move |_, _| {
        inside.send(()).unwrap();
        let _ = closed.recv();
    });
    assert!(server.cast(wait).is_ok());
    entered.recv().unwrap();
    gate
}

/// Runs a call in a task of its own, and returns where its outcome comes.
fn call_aside(
    server: &Server<Probe>,
    call: impl FnOnce(ReplyTo<u32>) -> super::probe::Job + Send + 'static,
) -> Receiver<Result<u32, CallError>> {
    let (outcome, outcomes) = channel::bounded(1);
    let server = server.clone();
    fibra::spawn(move || outcome.send(server.call_timeout(PATIENCE, call)));
    outcomes
}

#[track_caller]
fn assert_exited(outcome: Result<u32, CallError>, server: &Server<Probe>, why: &ExitReason) {
    match outcome {
        Err(CallError::Exited { callee, reason, .. }) => {
            assert_eq!((callee, &reason), (server.pid(), why));
        }
        other => panic!("{other:?} and not {why}"),
    }
}

/// Its state is not `Send`.
struct Words(Rc<RefCell<Vec<String>>>);

enum Ask {
    Count(ReplyTo<usize>),
    Last(ReplyTo<Option<String>>),
    Join(&'static str, ReplyTo<String>),
}

impl GenServer for Words {
    type Init = &'static str;
    type Call = Ask;
    type Cast = String;

    fn init(first: &'static str, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self(Rc::new(RefCell::new(vec![first.into()]))))
    }

    fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) {
        let words = self.0.borrow();
        match call {
            Ask::Count(reply_to) => reply_to.send(words.len()),
            Ask::Last(reply_to) => reply_to.send(words.last().cloned()),
            Ask::Join(with, reply_to) => reply_to.send(words.join(with)),
        }
    }

    fn handle_cast(&mut self, word: String, _: &mut Context<Self>) {
        self.0.borrow_mut().push(word);
    }
}

#[test]
fn calls_and_casts_of_one_caller_are_handled_in_order_and_each_call_has_its_own_type_of_answer() {
    everywhere(|| {
        let words = Words::start("a").unwrap();
        for (i, word) in ["b", "c", "d"].into_iter().enumerate() {
            words.cast(word.into()).unwrap();
            assert_eq!(words.call(Ask::Count).unwrap(), i + 2);
            assert_eq!(words.call(Ask::Last).unwrap().as_deref(), Some(word));
        }
        assert_eq!(words.call(|reply_to| Ask::Join("-", reply_to)).unwrap(), "a-b-c-d");
    });
}

#[test]
fn an_answer_can_be_given_later_by_the_server_or_by_a_task() {
    everywhere(|| {
        let server = Setup::default().start();
        let first = call_aside(&server, keep);
        wait_until("it is kept", || server.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 1);
        let by_task = |reply_to| {
            job(move |_: &mut Probe, _: &mut Context<Probe>| {
                fibra::spawn(move || ReplyTo::send(reply_to, 2));
            })
        };
        assert_eq!(server.call(by_task).unwrap(), 2);
        assert!(first.try_recv().is_err(), "nobody has answered it yet");
        tell(&server, |probe, _| probe.kept.remove(0).send(1));
        assert_eq!(first.recv().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_late_answer_is_dropped_and_never_taken_for_the_next_calls() {
    everywhere(|| {
        let server = Setup::default().start();
        let error = server.call_timeout(SOON, keep).unwrap_err();
        let CallError::Timeout(timeout) = error else { panic!("{error:?}") };
        assert!(timeout.was_accepted());
        assert_eq!(*timeout.callee(), server.pid());
        let next = call_aside(&server, keep);
        wait_until("it is kept", || server.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 2);
        tell(&server, |probe, _| {
            let late = probe.kept.remove(0);
            assert!(!late.is_waiting());
            assert_eq!(late.try_send(1), Err(1));
            let next = probe.kept.remove(0);
            assert!(next.is_waiting());
            assert_eq!(next.try_send(2), Ok(()));
        });
        assert_eq!(next.recv().unwrap().unwrap(), 2);
        assert_eq!(server.call(answer(3)).unwrap(), 3);
    });
}

#[test]
fn a_call_that_is_dropped_unanswered_fails_at_once_and_the_server_goes_on() {
    everywhere(|| {
        let server = Setup::default().start();
        let dropped = |reply_to: ReplyTo<u32>| job(move |_, _| drop(reply_to));
        let by_task = |reply_to: ReplyTo<u32>| {
            job(move |_, _| {
                fibra::spawn(move || drop(reply_to));
            })
        };
        let errors = [server.call_timeout(PATIENCE, dropped), server.call_timeout(PATIENCE, by_task)];
        for error in errors {
            assert!(
                matches!(&error, Err(CallError::NoReply { callee, .. }) if *callee == server.pid()),
                "{error:?}"
            );
        }
        assert_eq!(server.call(answer(1)).unwrap(), 1);
    });
}

#[test]
fn callers_of_a_server_that_panics_learn_the_reason_at_once() {
    everywhere(|| {
        let server = Setup::default().start();
        let kept = call_aside(&server, keep);
        wait_until("it is kept", || server.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 1);
        let gate = hold(&server);
        let panicking = call_aside(&server, |reply_to| {
            job(move |_, _| {
                let _reply_to = reply_to;
                panic!("no such thing")
            })
        });
        wait_until("it is in the mailbox", || server.len() == 1);
        let queued: Vec<_> = (0..3).map(|_| call_aside(&server, answer(1))).collect();
        wait_until("they are in the mailbox", || server.len() == 4);
        drop(gate);
        let reason = ExitReason::Panic("no such thing".into());
        for outcome in [kept, panicking].into_iter().chain(queued) {
            assert_exited(outcome.recv().unwrap(), &server, &reason);
        }
        assert_exited(server.call(answer(1)), &server, &reason);
        assert_eq!(server.pid().exit_reason(), Some(reason));
    });
}

#[test]
fn a_reply_that_a_task_has_outlives_its_server() {
    everywhere(|| {
        let server = Setup::default().start();
        let (hand_over, handed) = channel::bounded(2);
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let hand_over = hand_over.clone();
                call_aside(&server, |reply_to| job(move |_, _| hand_over.send(reply_to).unwrap()))
            })
            .collect();
        let replies: Vec<_> = handed.iter().take(2).collect();
        assert_eq!(server.stop(), ExitReason::Normal);
        for (reply_to, i) in replies.into_iter().zip(0..) {
            if i == 0 { reply_to.send(7) } else { drop(reply_to) }
        }
        let mut outcomes: Vec<_> = calls.iter().map(|call| call.recv().unwrap()).collect();
        outcomes.sort_by_key(Result::is_err);
        assert_exited(outcomes.pop().unwrap(), &server, &ExitReason::Normal);
        assert_eq!(outcomes.pop().unwrap().unwrap(), 7);
    });
}

#[test]
fn calls_dropped_after_stop_and_those_in_the_state_learn_the_reason() {
    everywhere(|| {
        let server = Setup::default().start();
        let kept = call_aside(&server, keep);
        wait_until("it is kept", || server.call(|r| job(|p, _| r.send(p.kept.len()))).unwrap() == 1);
        let stopping = |reply_to: ReplyTo<u32>| {
            job(move |_, context| {
                context.stop(ExitReason::failed("it is late"));
                context.stop(ExitReason::Shutdown);
                drop(reply_to);
            })
        };
        let reason = ExitReason::failed("it is late");
        assert_exited(server.call_timeout(PATIENCE, stopping), &server, &reason);
        assert_exited(kept.recv().unwrap(), &server, &reason);
    });
}

#[test]
fn a_full_mailbox_parks_casts_refuses_tries_and_counts_in_the_timeout_of_calls() {
    everywhere(|| {
        let server = Setup::default().start_with(Builder::new().capacity(2)).unwrap();
        let gate = hold(&server);
        for _ in 0..2 {
            assert!(server.try_cast(job(|probe, _| probe.log.note("in time"))).is_ok());
        }
        let refused = server.try_cast(job(|probe, _| probe.log.note("given back"))).err().unwrap();
        let TrySendError::Full(given_back) = refused else { panic!("the mailbox is full") };
        let error = server.call_timeout(SOON, answer(1)).unwrap_err();
        assert!(matches!(&error, CallError::Timeout(timeout) if !timeout.was_accepted()), "{error}");
        let parked = fibra::spawn({
            let server = server.clone();
            move || server.cast(given_back).is_ok()
        });
        let late = call_aside(&server, answer(2));
        drop(gate);
        assert!(parked.join().unwrap());
        assert_eq!(late.recv().unwrap().unwrap(), 2);
        let (notes, noted) = channel::bounded(1);
        tell(&server, move |probe, _| notes.send(probe.log.all()).unwrap());
        assert_eq!(noted.recv().unwrap(), ["in time", "in time", "given back"]);
    });
}

#[test]
fn casts_to_a_server_that_has_ended_come_back() {
    everywhere(|| {
        let words = Words::start("a").unwrap();
        assert_eq!(words.stop(), ExitReason::Normal);
        assert_eq!(words.cast("b".into()), Err(SendError("b".into())));
        assert_eq!(words.try_cast("b".into()), Err(TrySendError::Disconnected("b".into())));
        assert_eq!(words.stop(), ExitReason::Normal);
    });
}

#[test]
fn a_server_casts_to_itself_without_waiting_and_its_call_to_itself_fails_at_once() {
    everywhere(|| {
        let server = Setup::default().start_with(Builder::new().capacity(1)).unwrap();
        tell(&server, |_, context| {
            let own = context.server();
            let error = own.call(answer(1)).unwrap_err();
            assert!(matches!(&error, CallError::CallsItself { callee, .. } if callee == context.pid()));
            for i in 0..10 {
                assert!(own.cast(job(move |probe, _| probe.log.note(i))).is_ok());
            }
        });
        let (notes, noted) = channel::bounded(1);
        tell(&server, move |probe, _| notes.send(probe.log.all()).unwrap());
        assert!(noted.recv().unwrap().into_iter().eq((0..10).map(|i| i.to_string())));
    });
}

#[test]
fn a_server_that_stops_itself_by_its_handle_is_told_what_to_do_instead() {
    everywhere(|| {
        let server = Setup::default().start();
        assert!(server.cast(job(|_, context| drop(context.server().stop()))).is_ok());
        let ExitReason::Panic(message) = server.pid().wait() else { panic!("it would wait for ever") };
        assert!(message.contains("use `Context::stop`"), "{message}");
    });
}

#[test]
fn when_two_servers_call_each_other_the_timeout_names_both() {
    everywhere(|| {
        let named = |name: &str| Setup::default().start_with(Builder::new().name(name.into())).unwrap();
        let (anna, bert) = (named("anna"), named("bert"));
        let (gate, closed) = channel::bounded::<()>(0);
        let (inside, entered) = channel::bounded(0);
        let (text, texts) = channel::bounded(1);
        let blocked = call_aside(&anna, {
            let bert = bert.clone();
            move |reply_to| {
                job(move |_, context| {
                    inside.send(()).unwrap();
                    let _ = closed.recv();
                    let Err(CallError::Timeout(timeout)) = bert.call_timeout(SOON, answer(1)) else {
                        panic!("it waits for us")
                    };
                    assert_eq!(timeout.caller(), Some(context.pid()));
                    assert_eq!(*timeout.callee(), bert.pid());
                    assert_eq!(timeout.callee_waits_for(), Some(context.pid().id()));
                    text.send(timeout.to_string()).unwrap();
                    reply_to.send(1);
                })
            }
        });
        entered.recv().unwrap();
        let waits = call_aside(&bert, {
            let anna = anna.clone();
            move |reply_to| job(move |_, _| reply_to.send(anna.call_timeout(PATIENCE, answer(2)).unwrap()))
        });
        wait_until("bert's call is in anna's mailbox", || anna.len() == 1);
        drop(gate);
        let text = texts.recv().unwrap();
        assert!(text.contains("'anna'") && text.contains("'bert'"), "{text}");
        assert!(text.ends_with("they call each other"), "{text}");
        assert_eq!(blocked.recv().unwrap().unwrap(), 1);
        assert_eq!(waits.recv().unwrap().unwrap(), 2);
    });
}

#[test]
fn a_server_is_found_by_name_as_what_it_is_until_it_ends() {
    everywhere(|| {
        let setup = Setup::default().init(|context| {
            let name = format!("probe {}", context.pid().id());
            actor::register(&name, &context.server()).map_err(ExitReason::failed)
        });
        let server = setup.start();
        let name = format!("probe {}", server.pid().id());
        assert_eq!(whereis::<Server<Probe>>(&name), Some(server.clone()));
        assert_eq!(whereis::<Server<Words>>(&name), None);
        let weak = server.downgrade();
        drop(server);
        let found = whereis::<Server<Probe>>(&name).expect("a name keeps it");
        assert_eq!(found.stop(), ExitReason::Normal);
        assert_eq!(whereis::<Server<Probe>>(&name), None);
        assert_eq!(weak.pid().exit_reason(), Some(ExitReason::Normal));
    });
}

#[test]
fn handles_are_equal_if_they_are_of_one_server_and_weak_ones_do_not_keep_it() {
    everywhere(|| {
        let (one, other) = (Setup::default().start(), Setup::default().start());
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
        let debug = format!("{one:?}");
        assert!(debug.starts_with("Server") && debug.contains(&one.pid().id().to_string()), "{debug}");
        let weak: WeakServer<Probe> = one.downgrade();
        assert_eq!(weak.upgrade().as_ref(), Some(&one));
        drop(one);
        assert_eq!(weak.pid().wait(), ExitReason::Normal);
        assert_eq!(weak.upgrade(), None);
        drop(other);
    });
}
