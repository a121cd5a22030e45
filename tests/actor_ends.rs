//! What others are promised when an actor ends: each is told once, in order, whatever foreign code does meanwhile.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::actor::{self, Builder, CallError, Context, Exit, ExitReason, GenServer, Mailbox, ReplyTo};
use fibra::channel::{self, RecvTimeoutError};
use support::within_patience;

/// An actor that ends, as failed, when it gets its first message.
fn mortal() -> actor::Address<()> {
    actor::spawn(|_| (), |(), ()| Err::<(), _>(ExitReason::failed("told to")))
}

/// An actor that waits for its end.
fn idle() -> actor::Address<()> {
    actor::spawn_body(|mailbox: &Mailbox<()>| {
        let _own = mailbox.address();
        mailbox.recv()
    })
}

#[test]
fn a_server_that_is_linked_to_a_killed_actor_terminates() {
    struct Linked(channel::Sender<ExitReason>);

    impl GenServer for Linked {
        type Init = (actor::Pid, channel::Sender<ExitReason>);
        type Call = ();
        type Cast = ();

        fn init((other, told): Self::Init, _: &mut Context<Self>) -> Result<Self, ExitReason> {
            actor::link(&other);
            Ok(Self(told))
        }

        fn handle_call(&mut self, (): (), _: &mut Context<Self>) {}

        fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
            self.0.send(reason.clone()).unwrap();
        }
    }

    within_patience(|| {
        let other = idle();
        let (told, reasons) = channel::unbounded();
        let server = Linked::start((other.pid(), told)).unwrap();
        other.pid().kill();
        assert_eq!(server.pid().wait(), ExitReason::Killed);
        assert_eq!(reasons.recv(), Ok(ExitReason::Killed));
        server.pid().kill();
    });
}

#[test]
fn a_link_to_a_killed_actor_does_not_cut_terminate_short() {
    struct Slow(channel::Sender<&'static str>, channel::Receiver<()>);

    impl GenServer for Slow {
        type Init = (actor::Pid, channel::Sender<&'static str>, channel::Receiver<()>);
        type Call = ();
        type Cast = ();

        fn init((other, told, go_on): Self::Init, _: &mut Context<Self>) -> Result<Self, ExitReason> {
            actor::link(&other);
            Ok(Self(told, go_on))
        }

        fn handle_call(&mut self, (): (), _: &mut Context<Self>) {}

        fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) {
            self.0.send("terminates").unwrap();
            self.1.recv().unwrap();
            self.0.send("has terminated").unwrap();
        }
    }

    within_patience(|| {
        let other = idle();
        let ((told, tale), (release, go_on)) = (channel::unbounded(), channel::unbounded());
        let server = Slow::start((other.pid(), told, go_on)).unwrap();
        server.pid().exit(ExitReason::Shutdown);
        assert_eq!(tale.recv(), Ok("terminates"));
        other.pid().kill();
        other.pid().wait();
        // The signal has been sent before the monitors' end is seen again.
        other.pid().wait();
        fibra::yield_now();
        release.send(()).unwrap();
        assert_eq!(tale.recv(), Ok("has terminated"));
        assert_eq!(server.pid().wait(), ExitReason::Shutdown);
    });
}

#[test]
fn a_monitor_goes_with_the_actor_that_has_put_it() {
    within_patience(|| {
        let watched = idle();
        let held = Arc::new(());
        let watchers: Vec<_> = (0..100)
            .map(|_| {
                let (watched, held) = (watched.clone(), held.clone());
                actor::spawn_body(move |mailbox: &Mailbox<()>| {
                    mailbox.monitor(&watched, move |_| drop(held));
                    mailbox.recv()
                })
            })
            .collect();
        for watcher in watchers {
            watcher.send(()).unwrap();
            assert_eq!(watcher.pid().wait(), ExitReason::Normal);
        }
        support::wait_until("the monitors go", || Arc::strong_count(&held) == 1);
        assert!(watched.pid().is_alive());
        watched.pid().kill();
    });
}

#[test]
fn a_monitor_that_has_told_is_kept_by_nobody() {
    within_patience(|| {
        let (told, ends) = channel::unbounded();
        let watcher = actor::spawn_body(move |mailbox: &Mailbox<Option<actor::Address<()>>>| {
            let mut ended = 0;
            for message in mailbox {
                match message {
                    Some(watched) => {
                        mailbox.monitor(&watched, |_| None);
                    }
                    None => ended += 1,
                }
                if ended == 100 {
                    break;
                }
            }
            told.send(ended).unwrap();
        });
        for _ in 0..100 {
            let watched = mortal();
            watcher.send(Some(watched.clone())).unwrap();
            watched.send(()).unwrap();
        }
        assert_eq!(ends.recv(), Ok(100));
    });
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor that panics, as this test wants it");
        }
    }
}

#[test]
fn a_monitor_that_panics_keeps_nobody_from_being_told() {
    within_patience(|| {
        let mortal = mortal();
        let watcher = |panics: bool| {
            let (ready, is_ready) = channel::unbounded();
            let mortal = mortal.clone();
            let watcher = actor::spawn_body(move |mailbox: &Mailbox<()>| {
                mailbox.monitor(&mortal, move |_| {
                    if panics {
                        std::panic::panic_any(Bomb);
                    }
                });
                ready.send(()).unwrap();
                mailbox.recv()
            });
            is_ready.recv().unwrap();
            watcher
        };
        let (first, second) = (watcher(true), watcher(false));
        mortal.send(()).unwrap();
        assert_eq!(mortal.pid().wait(), ExitReason::failed("told to"));
        assert_eq!(second.pid().wait_timeout(Duration::from_secs(60)), Some(ExitReason::Normal));
        // No message comes, and the monitor does not keep the mailbox open.
        let pid = first.pid();
        drop(first);
        assert_eq!(pid.wait_timeout(Duration::from_secs(60)), Some(ExitReason::Normal));
    });
}

#[test]
fn a_trap_that_panics_keeps_no_other_link_from_being_told() {
    fn trap(_: Exit) {
        panic!("a trap that panics, as this test wants it");
    }

    within_patience(|| {
        let mortal = mortal();
        let partner = |traps: bool| {
            let (ready, is_ready) = channel::unbounded();
            let mortal = mortal.clone();
            let partner = actor::spawn_body(move |mailbox: &Mailbox<()>| {
                if traps {
                    mailbox.trap_exits(trap);
                }
                actor::link(&mortal);
                ready.send(()).unwrap();
                mailbox.recv()
            });
            is_ready.recv().unwrap();
            partner
        };
        let (traps, goes_along) = (partner(true), partner(false));
        mortal.send(()).unwrap();
        let reason = goes_along.pid().wait_timeout(Duration::from_secs(60));
        assert_eq!(reason, Some(ExitReason::failed("told to")));
        traps.pid().kill();
    });
}

#[test]
fn a_message_that_panics_when_it_is_dropped_keeps_no_caller_waiting() {
    enum Message {
        Bomb(Bomb),
        Ask(#[expect(dead_code, reason = "dropped")] ReplyTo<()>),
    }

    within_patience(|| {
        let (hold, held) = channel::unbounded::<()>();
        let actor = Builder::new()
            .spawn_body(move |_: &Mailbox<Message>| {
                let _ = held.recv();
            })
            .unwrap();
        let callers: Vec<_> = (0..3)
            .map(|number| {
                actor.send(Message::Bomb(Bomb)).unwrap();
                let caller = actor.clone();
                let caller = fibra::spawn(move || caller.call_timeout(Duration::from_secs(60), Message::Ask));
                support::wait_until("the call is in", || actor.len() == 2 * number + 2);
                caller
            })
            .collect();
        drop(hold);
        for caller in callers {
            let error = caller.join().unwrap().unwrap_err();
            assert!(matches!(error, CallError::Exited { reason: ExitReason::Normal, .. }), "{error}");
        }
    });
}

/// Parks in its destructor until it is released.
struct Lingering(channel::Sender<()>, channel::Receiver<()>);

impl Drop for Lingering {
    fn drop(&mut self) {
        let _ = self.0.send(());
        let _ = self.1.recv();
    }
}

#[test]
fn whoever_comes_while_an_actor_ends_is_told_after_its_messages_are_gone() {
    within_patience(|| {
        let ((lingers, about), (release, released)) = (channel::unbounded(), channel::unbounded());
        let actor = actor::spawn_body(|_: &Mailbox<Lingering>| fibra::thread::park());
        actor.send(Lingering(lingers, released)).unwrap();
        actor.pid().kill();
        about.recv().unwrap();
        assert_eq!(actor.pid().exit_reason(), Some(ExitReason::Killed));

        let (linked, is_linked) = channel::unbounded();
        let partner = actor::spawn_body({
            let actor = actor.clone();
            move |mailbox: &Mailbox<()>| {
                actor::link(&actor);
                linked.send(()).unwrap();
                mailbox.recv()
            }
        });
        is_linked.recv().unwrap();
        let monitor = actor.pid().monitor();
        let order = Arc::new(AtomicUsize::new(0));
        let waiter = fibra::spawn({
            let (pid, order) = (actor.pid(), order.clone());
            move || (pid.wait(), order.load(Ordering::SeqCst))
        });
        assert_eq!(partner.pid().wait_timeout(Duration::from_millis(20)), None);
        order.store(1, Ordering::SeqCst);
        release.send(()).unwrap();
        assert_eq!(waiter.join().unwrap(), (ExitReason::Killed, 1));
        assert_eq!(monitor.recv(), ExitReason::Killed);
        assert_eq!(partner.pid().wait(), ExitReason::Killed);
    });
}

#[test]
fn a_message_whose_destructor_waits_for_the_end_of_its_actor_does_not_wait_for_ever() {
    struct Waits(actor::Pid, channel::Sender<ExitReason>);

    impl Drop for Waits {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.wait());
        }
    }

    within_patience(|| {
        let (reasons, reason) = channel::unbounded();
        let actor = actor::spawn_body(|_: &Mailbox<Waits>| fibra::thread::park());
        actor.send(Waits(actor.pid(), reasons)).unwrap();
        actor.pid().kill();
        assert_eq!(reason.recv(), Ok(ExitReason::Killed));
        assert_eq!(actor.pid().wait(), ExitReason::Killed);
    });
}

#[test]
fn messages_that_were_passed_over_stay_in_order_when_none_has_ever_lain_in_the_mailbox() {
    within_patience(|| {
        let (taken, order) = channel::unbounded();
        let (waits, is_waiting) = channel::unbounded();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<usize>| {
            let end = mailbox.receive(|message| {
                waits.send(()).unwrap();
                if message == 200 { Ok(()) } else { Err(message) }
            });
            assert!(end.is_ok());
            for message in mailbox {
                taken.send(message).unwrap();
                waits.send(()).unwrap();
            }
        });
        for message in 0..=200 {
            // From hand to hand: the actor waits already.
            fibra::yield_now();
            actor.send(message).unwrap();
            is_waiting.recv().unwrap();
        }
        (0..100).for_each(|_| is_waiting.recv().unwrap());
        (300..310).for_each(|message| actor.send(message).unwrap());
        drop(actor);
        assert!(order.iter().eq((0..200).chain(300..310)));
    });
}

#[test]
fn a_chain_of_a_hundred_thousand_links_ends_from_one_end_to_the_other() {
    within_patience(|| {
        let first = idle();
        let mut last = first.clone();
        for _ in 0..20_000 {
            let before = last.clone();
            let (linked, is_linked) = channel::oneshot::channel();
            last = actor::spawn_body(move |mailbox: &Mailbox<()>| {
                let _own = mailbox.address();
                actor::link(&before);
                drop(before);
                linked.send(()).unwrap();
                mailbox.recv()
            });
            is_linked.recv().unwrap();
        }
        first.pid().exit(ExitReason::failed("the first"));
        assert_eq!(last.pid().wait(), ExitReason::failed("the first"));
    });
}

#[test]
fn an_actor_that_swallows_its_end_meets_it_again() {
    within_patience(|| {
        let (tell, swallowed) = channel::unbounded();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<()>| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mailbox.recv()));
            tell.send(caught.is_err()).unwrap();
            let _ = mailbox.recv_timeout(Duration::from_secs(3600));
        });
        let keeps_it_open = actor.clone();
        while actor.pid().exit_reason().is_none() && swallowed.is_empty() {
            actor.pid().exit(ExitReason::failed("again"));
            fibra::yield_now();
        }
        assert_eq!(keeps_it_open.pid().wait(), ExitReason::failed("again"));
        // Signalled before it began, it has not run at all.
        assert_ne!(swallowed.try_recv(), Ok(false));
        assert!(matches!(swallowed.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected)));
    });
}
