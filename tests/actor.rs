//! Actors at the low level: messages, mailboxes, and what ends an actor by itself.

#[path = "support/net.rs"]
mod net;
mod support;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

use fibra::actor::{self, Address, Builder, CallError, ExitReason, Mailbox, ReplyTo};
use fibra::channel::{self, SendTimeoutError, TryRecvError};
use fibra::{cancel, select, thread};
use net::{LONG, SHORT, everywhere};
use support::{Drops, wait_until, within_patience};

enum Count {
    Add(u64),
    Get(ReplyTo<u64>),
}

fn counter() -> Address<Count> {
    actor::spawn(
        |_| 0,
        |count: &mut u64, message| match message {
            Count::Add(number) => *count += number,
            Count::Get(reply_to) => reply_to.send(*count),
        },
    )
}

/// An actor that receives nothing before the channel that comes with it is dropped or told.
fn held<M: Send + 'static>(
    builder: Builder,
    body: impl FnOnce(&Mailbox<M>) + Send + 'static,
) -> (Address<M>, channel::Sender<()>) {
    let (let_go, held) = channel::bounded(0);
    let actor = builder.spawn_body(move |mailbox| {
        let _ = held.recv();
        body(mailbox);
    });
    (actor.unwrap(), let_go)
}

#[test]
fn messages_of_one_sender_come_in_their_order_and_none_is_lost() {
    everywhere(|| {
        let (result, received) = channel::oneshot::channel();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<(u32, u32)>| {
            let mut next = HashMap::new();
            for (sender, number) in mailbox {
                let expected = next.entry(sender).or_insert(0);
                assert_eq!(*expected, number);
                *expected += 1;
            }
            let _ = result.send(next.into_values().sum::<u32>());
        });
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let actor = actor.clone();
                fibra::spawn(move || (0..500).for_each(|number| actor.send((sender, number)).unwrap()))
            })
            .collect();
        drop(actor);
        assert_eq!(received.recv(), Ok(2000));
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn callers_from_tasks_and_threads_share_one_state() {
    within_patience(|| {
        let counter = counter();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let counter = counter.clone();
                std::thread::spawn(move || {
                    for _ in 0..100 {
                        counter.send(Count::Add(1)).unwrap();
                        counter.call(Count::Get).unwrap();
                    }
                })
            })
            .collect();
        let tasks: Vec<_> = (0..30)
            .map(|_| {
                let counter = counter.clone();
                fibra::spawn(move || (0..10).for_each(|_| counter.send(Count::Add(1)).unwrap()))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(counter.call(Count::Get).unwrap(), 600);
    });
}

#[test]
fn an_actor_ends_normally_when_its_last_address_goes_and_handles_what_is_left() {
    everywhere(|| {
        let drops = Drops::new();
        let (seen, seen_by_us) = channel::unbounded();
        let state = drops.counted();
        let actor = actor::spawn(move |_| state, move |_, number: u32| seen.send(number).unwrap());
        let pid = actor.pid();
        let weak = actor.downgrade();
        (0..10).for_each(|number| weak.upgrade().unwrap().send(number).unwrap());
        drop(actor);
        assert_eq!(pid.wait(), ExitReason::Normal);
        assert_eq!(seen_by_us.iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(drops.get(), 1);
        assert!(weak.upgrade().is_none());
        assert_eq!(pid.exit_reason(), Some(ExitReason::Normal));
    });
}

#[test]
fn an_address_that_the_actor_makes_of_itself_keeps_it_open_again() {
    everywhere(|| {
        let (addresses, address) = channel::bounded(1);
        let (actor, let_go) = held(Builder::new(), move |mailbox: &Mailbox<u32>| {
            assert_eq!(mailbox.try_recv(), Err(TryRecvError::Disconnected));
            addresses.send(mailbox.address()).unwrap();
            assert_eq!(mailbox.recv(), Ok(7));
            assert!(mailbox.recv().is_err());
        });
        let pid = actor.pid();
        drop(actor);
        drop(let_go);
        address.recv().unwrap().send(7).unwrap();
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn a_handler_decides_when_and_why_the_actor_ends() {
    everywhere(|| {
        let ends = actor::spawn(|_| (), |(), ()| ControlFlow::Break(()));
        ends.send(()).unwrap();
        assert_eq!(ends.pid().wait(), ExitReason::Normal);
        let fails = actor::spawn(|_| (), |(), why: &str| Err::<(), _>(ExitReason::failed(why)));
        fails.send("no ink").unwrap();
        assert_eq!(fails.pid().wait(), ExitReason::failed("no ink"));
        let panics = actor::spawn(|_| (), |(), why: String| -> () { panic!("{why}") });
        panics.send("no paper".into()).unwrap();
        assert_eq!(panics.pid().wait(), ExitReason::Panic("no paper".into()));
        let exits = actor::spawn(|_| (), |(), ()| -> () { actor::exit(ExitReason::Shutdown) });
        exits.send(()).unwrap();
        assert_eq!(exits.pid().wait(), ExitReason::Shutdown);
    });
}

#[test]
fn a_full_mailbox_holds_senders_back_until_there_is_room() {
    everywhere(|| {
        let (result, received) = channel::unbounded();
        let (actor, let_go) = held(Builder::new().capacity(2), move |mailbox| {
            for number in mailbox {
                result.send(number).unwrap();
            }
        });
        (0..2).for_each(|number| actor.send(number).unwrap());
        assert!(actor.try_send(9).unwrap_err().is_full());
        assert_eq!(actor.send_timeout(9, SHORT), Err(SendTimeoutError::Timeout(9)));
        assert_eq!((actor.len(), actor.capacity()), (2, Some(2)));
        let sender = fibra::spawn(move || (2..20).for_each(|number| actor.send(number).unwrap()));
        drop(let_go);
        sender.join().unwrap();
        assert_eq!(received.iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn who_waits_for_room_gets_the_message_back_when_the_actor_ends() {
    everywhere(|| {
        let (actor, _let_go) = held(Builder::new().capacity(1), |_: &Mailbox<u32>| ());
        actor.send(1).unwrap();
        let waiting = fibra::spawn({
            let actor = actor.clone();
            move || actor.send(2)
        });
        thread::sleep(Duration::from_millis(1)); // so that it waits, most of the time
        actor.pid().kill();
        assert_eq!(waiting.join().unwrap().unwrap_err().into_inner(), 2);
        assert_eq!(actor.send(3).unwrap_err().into_inner(), 3);
        assert!(actor.try_send(4).unwrap_err().is_disconnected());
    });
}

#[test]
fn an_actor_sends_to_itself_without_waiting() {
    everywhere(|| {
        let actor = Builder::new().capacity(1).spawn_body(|mailbox: &Mailbox<u32>| {
            let own = mailbox.address();
            (0..100).for_each(|number| own.send(number).unwrap());
            assert_eq!(mailbox.len(), 100);
            drop(own);
            mailbox.iter().enumerate().for_each(|(i, number)| assert_eq!(i as u32, number));
        });
        let pid = actor.unwrap().pid();
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn the_mailbox_is_an_arm_of_a_select() {
    everywhere(|| {
        let (other, others) = channel::unbounded::<u32>();
        let (result, results) = channel::unbounded();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<u32>| {
            let (mut mine, mut theirs) = (0, 0);
            for _ in 0..200 {
                select! {
                    recv(mailbox) -> number => mine += number.unwrap(),
                    recv(others) -> number => theirs += number.unwrap(),
                }
            }
            result.send((mine, theirs)).unwrap();
            select! {
                recv(mailbox) -> number => assert!(number.is_err()),
                default(LONG) => unreachable!("the last address goes"),
            }
        });
        for _ in 0..100 {
            actor.send(1).unwrap();
            other.send(2).unwrap();
        }
        assert_eq!(results.recv(), Ok((100, 200)));
        let pid = actor.pid();
        drop(actor);
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn wrong_settings_are_refused_with_advice() {
    within_patience(|| {
        let error = Builder::new().capacity(0).spawn_body(|_: &Mailbox<()>| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at least 1"), "{error}");
        let error = Builder::new().link().spawn_body(|_: &Mailbox<()>| ()).unwrap_err();
        assert!(error.to_string().contains("here runs none"), "{error}");
        let error = Builder::new().worker(1 << 20).spawn_body(|_: &Mailbox<()>| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_spawn_that_fails_drops_what_it_was_given() {
    within_patience(|| {
        let runtime = fibra::Builder::new().workers(1).max_tasks(1).build().unwrap();
        runtime.run(|| {
            let drops = Drops::new();
            let counted = drops.counted();
            let spawned = Builder::new().spawn_body(move |_: &Mailbox<()>| drop(counted));
            assert_eq!(spawned.unwrap_err().kind(), ErrorKind::QuotaExceeded);
            assert_eq!(drops.get(), 1);
        });
    });
}

#[test]
fn the_end_of_the_runtime_ends_its_actors_in_order() {
    within_patience(|| {
        let drops = Drops::new();
        let state = drops.counted();
        let pid = fibra::Builder::new().workers(2).run(move || {
            let actor = actor::spawn(move |_| state, |_, _: u32| ());
            let (actor, pid) = (actor.clone(), actor.pid());
            fibra::spawn(move || {
                let _actor = actor;
                thread::park();
            });
            pid
        });
        assert_eq!(pid.unwrap().wait(), ExitReason::Shutdown);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn messages_that_nobody_received_are_dropped_at_the_end() {
    everywhere(|| {
        let drops = Drops::new();
        let (actor, _let_go) = held(Builder::new(), |_| ());
        (0..50).for_each(|_| actor.send(drops.counted()).unwrap());
        actor.pid().kill();
        assert_eq!(actor.pid().wait(), ExitReason::Killed);
        wait_until("all messages are dropped", || drops.get() == 50);
    });
}

#[test]
fn a_timer_sends_once_or_is_cancelled() {
    everywhere(|| {
        let (actor, let_go) = held(Builder::new(), |mailbox: &Mailbox<&str>| {
            assert_eq!(mailbox.recv(), Ok("kept"));
            assert!(mailbox.recv().is_err());
        });
        actor::send_after(LONG, &actor, "cancelled").cancel();
        actor::send_after(Duration::ZERO, &actor, "kept");
        let pid = actor.pid();
        drop(let_go);
        drop(actor);
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn a_shield_holds_a_signal_back() {
    everywhere(|| {
        let (shielded, in_shield) = channel::bounded(0);
        let (let_go, held) = channel::bounded::<()>(0);
        let (result, came_out) = channel::oneshot::channel();
        let actor = actor::spawn_body(move |_: &Mailbox<()>| {
            cancel::shield(|| {
                shielded.send(()).unwrap();
                let _ = held.recv();
            });
            let _ = result.send("came out");
            thread::park();
        });
        in_shield.recv().unwrap();
        actor.pid().kill();
        assert!(actor.pid().is_alive());
        drop(let_go);
        assert_eq!(came_out.recv(), Ok("came out"));
        assert_eq!(actor.pid().wait(), ExitReason::Killed);
    });
}

#[test]
fn a_call_names_what_went_wrong() {
    everywhere(|| {
        let dead = counter();
        dead.pid().kill();
        dead.pid().wait();
        let error = dead.call(Count::Get).unwrap_err();
        assert!(matches!(&error, CallError::Exited { reason: ExitReason::Killed, .. }), "{error:?}");
        assert!(error.to_string().ends_with("has ended: killed"), "{error}");

        let silent = actor::spawn(|_| (), |(), reply_to: ReplyTo<()>| drop(reply_to));
        let error = silent.call(|reply_to| reply_to).unwrap_err();
        assert!(matches!(&error, CallError::NoReply { .. }), "{error:?}");

        let panics = actor::spawn(|_| (), |(), _: ReplyTo<()>| -> () { panic!("oh no") });
        let error = panics.call_timeout(LONG, |reply_to| reply_to).unwrap_err();
        assert!(error.to_string().ends_with("has ended: panicked: oh no"), "{error}");

        let (stuck, let_go) = held(Builder::new().name("stuck".into()).capacity(1), |_| ());
        let error = stuck.call_timeout(SHORT, Count::Get).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("waited") && text.contains("an answer of") && text.contains("'stuck'"),
            "{text}"
        );
        let error = stuck.call_timeout(SHORT, Count::Get).unwrap_err();
        assert!(error.to_string().contains("room in the mailbox of"), "{error}");
        drop(let_go);
    });
}
