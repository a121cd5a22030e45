//! Links, monitors, exit signals and names.

#[path = "support/net.rs"]
mod net;
mod support;

use std::collections::BTreeSet;

use fibra::actor::{self, Address, Down, Exit, ExitReason, Mailbox, Pid, RegisterError};
use fibra::channel;
use fibra::{select, thread};
use net::{LONG, SHORT, everywhere};
use support::{Drops, within_patience};

/// An actor that waits for anything, and then for its end.
fn sleeper() -> Address<()> {
    actor::spawn(|_| (), |(), ()| ())
}

/// An actor that links itself with these, says so, and waits.
fn linked_with(others: Vec<Pid>, trap: bool) -> (Address<Option<Exit>>, channel::Receiver<Exit>) {
    let (exits, received) = channel::unbounded();
    let (ready, is_ready) = channel::oneshot::channel();
    let actor = actor::spawn_body(move |mailbox: &Mailbox<Option<Exit>>| {
        if trap {
            mailbox.trap_exits(Some);
        }
        others.iter().for_each(actor::link);
        let _ = ready.send(());
        for exit in mailbox.iter().flatten() {
            exits.send(exit).unwrap();
        }
    });
    let _ = is_ready.recv();
    (actor, received)
}

#[test]
fn an_exit_goes_along_links_with_its_reason() {
    everywhere(|| {
        let first = sleeper();
        let (second, _) = linked_with(vec![first.pid()], false);
        let (third, _) = linked_with(vec![second.pid()], false);
        first.pid().exit(ExitReason::failed("fire"));
        for pid in [first.pid(), second.pid(), third.pid()] {
            assert_eq!(pid.wait(), ExitReason::failed("fire"));
        }
    });
}

#[test]
fn a_link_works_in_both_directions() {
    everywhere(|| {
        let first = sleeper();
        let (second, _) = linked_with(vec![first.pid()], false);
        second.pid().kill();
        assert_eq!(first.pid().wait(), ExitReason::Killed);
    });
}

#[test]
fn a_normal_end_ends_nobody_else() {
    everywhere(|| {
        let first = sleeper();
        let pid = first.pid();
        let (second, _) = linked_with(vec![pid.clone()], false);
        let (trapping, exits) = linked_with(vec![pid.clone()], true);
        drop(first);
        assert_eq!(pid.wait(), ExitReason::Normal);
        let exit = exits.recv().unwrap();
        assert_eq!((exit.from, exit.reason), (Some(pid), ExitReason::Normal));
        assert!(second.pid().is_alive() && trapping.pid().is_alive());
        second.pid().exit(ExitReason::Normal);
        assert_eq!(second.pid().wait_timeout(SHORT), None);
        second.pid().kill();
        trapping.pid().kill();
    });
}

#[test]
fn who_traps_exits_gets_messages_and_only_a_kill_ends_it() {
    everywhere(|| {
        let first = sleeper();
        let (trapping, exits) = linked_with(vec![first.pid()], true);
        first.pid().kill();
        let exit = exits.recv().unwrap();
        assert_eq!((exit.from, exit.reason), (Some(first.pid()), ExitReason::Killed));
        trapping.pid().exit(ExitReason::Shutdown);
        assert_eq!(exits.recv().unwrap().reason, ExitReason::Shutdown);
        assert!(trapping.pid().is_alive());
        trapping.pid().kill();
        assert_eq!(trapping.pid().wait(), ExitReason::Killed);
    });
}

#[test]
fn a_link_to_an_actor_that_has_ended_signals_at_once() {
    everywhere(|| {
        let first = sleeper();
        first.pid().exit(ExitReason::failed("early"));
        first.pid().wait();
        let (trapping, exits) = linked_with(vec![first.pid()], true);
        assert_eq!(exits.recv().unwrap().reason, ExitReason::failed("early"));
        trapping.pid().kill();
        let (linked, _) = linked_with(vec![first.pid()], false);
        assert_eq!(linked.pid().wait(), ExitReason::failed("early"));
    });
}

#[test]
fn an_unlinked_actor_is_not_concerned() {
    everywhere(|| {
        let first = sleeper();
        let (done, is_done) = channel::bounded(0);
        let second = actor::spawn_body({
            let first = first.clone();
            move |mailbox: &Mailbox<()>| {
                actor::link(&first);
                actor::link(&first);
                actor::unlink(&first);
                done.send(()).unwrap();
                let _ = mailbox.recv();
            }
        });
        is_done.recv().unwrap();
        first.pid().kill();
        first.pid().wait();
        assert_eq!(second.pid().wait_timeout(SHORT), None);
        let pid = second.pid();
        drop(second);
        assert_eq!(pid.wait(), ExitReason::Normal);
    });
}

#[test]
fn a_cycle_of_links_ends_once_around() {
    everywhere(|| {
        let drops = Drops::new();
        let (next, pids) = channel::unbounded::<(usize, Pid)>();
        let ring: Vec<_> = (0..50)
            .map(|_| {
                let (to, to_link) = channel::bounded::<Pid>(1);
                let counted = drops.counted();
                let actor = actor::spawn_body({
                    let next = next.clone();
                    move |mailbox: &Mailbox<()>| {
                        let _counted = counted;
                        actor::link(&to_link.recv().unwrap());
                        next.send((0, mailbox.pid().clone())).unwrap();
                        let _ = mailbox.recv();
                    }
                });
                (actor, to)
            })
            .collect();
        for (i, (_, to)) in ring.iter().enumerate() {
            to.send(ring[(i + 1) % ring.len()].0.pid()).unwrap();
        }
        let linked: BTreeSet<_> = pids.iter().take(ring.len()).map(|(_, pid)| pid).collect();
        assert_eq!(linked.len(), ring.len());
        ring[17].0.pid().exit(ExitReason::failed("around"));
        for (actor, _) in &ring {
            assert_eq!(actor.pid().wait(), ExitReason::failed("around"));
        }
        assert_eq!(drops.get(), ring.len());
    });
}

#[test]
fn an_actor_that_is_linked_at_its_birth_ends_with_its_parent() {
    everywhere(|| {
        let (children, child) = channel::bounded(1);
        let parent = actor::spawn_body(move |mailbox: &Mailbox<()>| {
            let child = actor::Builder::new().link().spawn(|_| (), |(), ()| ()).unwrap();
            children.send(child).unwrap();
            let _ = mailbox.recv();
        });
        let child = child.recv().unwrap();
        parent.pid().exit(ExitReason::Shutdown);
        assert_eq!(child.pid().wait(), ExitReason::Shutdown);
    });
}

#[test]
fn every_monitor_is_told_once_and_after_the_last_message() {
    everywhere(|| {
        enum Message {
            Word(u32),
            Down(Down),
        }
        let (result, seen) = channel::oneshot::channel();
        let (start, started) = channel::bounded(0);
        let target = actor::spawn_body(move |mailbox: &Mailbox<Address<Message>>| {
            let to = mailbox.recv().unwrap();
            started.recv().unwrap();
            (0..10).for_each(|word| to.send(Message::Word(word)).unwrap());
        });
        let watcher = actor::spawn_body({
            let target = target.clone();
            move |mailbox: &Mailbox<Message>| {
                let ids = [mailbox.monitor(&target, Message::Down), mailbox.monitor(&target, Message::Down)];
                let dropped =
                    mailbox.monitor(&target, |_| -> Message { panic!("the message can't be made") });
                let taken_back = mailbox.monitor(&target, Message::Down);
                assert!(mailbox.demonitor(&taken_back) && !mailbox.demonitor(&taken_back));
                assert_ne!(ids[0], dropped);
                target.send(mailbox.address()).unwrap();
                start.send(()).unwrap();
                drop(target);
                let mut words = 0;
                let mut downs = Vec::new();
                for message in mailbox {
                    match message {
                        Message::Word(word) => {
                            assert_eq!((word, downs.len()), (words, 0));
                            words += 1;
                        }
                        Message::Down(down) => downs.push(down),
                    }
                }
                assert!(downs.iter().zip(&ids).all(|(down, id)| down.monitor == *id));
                let _ = result.send((words, downs.len(), downs[0].reason.clone()));
            }
        });
        drop(watcher);
        drop(target);
        assert_eq!(seen.recv(), Ok((10, 2, ExitReason::Normal)));
    });
}

#[test]
fn a_monitor_of_an_ended_actor_says_why_at_once() {
    everywhere(|| {
        let target = sleeper();
        target.pid().exit(ExitReason::failed("long ago"));
        target.pid().wait();
        let (result, reason) = channel::oneshot::channel();
        let watcher = actor::spawn_body({
            let target = target.pid();
            move |mailbox: &Mailbox<Down>| {
                mailbox.monitor(&target, |down| down);
                let _ = result.send(mailbox.recv().unwrap().reason);
            }
        });
        assert_eq!(reason.recv(), Ok(ExitReason::failed("long ago")));
        watcher.pid().wait();
        let monitor = target.pid().monitor();
        assert_eq!(monitor.try_recv(), Some(ExitReason::failed("long ago")));
        assert_eq!((monitor.recv(), monitor.recv()), (monitor.recv(), monitor.recv()));
    });
}

#[test]
fn a_monitor_is_an_arm_of_a_select_and_waits_no_longer_than_asked() {
    everywhere(|| {
        let target = sleeper();
        let monitor = target.pid().monitor();
        assert_eq!(monitor.recv_timeout(SHORT), None);
        target.pid().kill();
        select! {
            recv(monitor) -> reason => assert_eq!(reason, Ok(ExitReason::Killed)),
            default(LONG) => unreachable!("it has been killed"),
        }
        assert_eq!(monitor.recv(), ExitReason::Killed);
    });
}

#[test]
fn an_actor_that_is_killed_before_it_begins_never_runs() {
    within_patience(|| {
        fibra::Builder::new().workers(1).build().unwrap().run(|| {
            let drops = Drops::new();
            let counted = drops.counted();
            // The only worker is busy with this task.
            let actor = actor::spawn_body(move |_: &Mailbox<()>| -> () {
                let _counted = counted;
                unreachable!("it has been killed");
            });
            actor.pid().kill();
            assert!(actor.pid().is_alive());
            assert_eq!(actor.pid().wait(), ExitReason::Killed);
            assert_eq!(drops.get(), 1);
        });
    });
}

#[test]
fn signals_reach_an_actor_wherever_it_parks() {
    everywhere(|| {
        let full = actor::Builder::new().capacity(1).spawn_body(|_: &Mailbox<()>| thread::park()).unwrap();
        full.send(()).unwrap();
        let (_sender, nothing) = channel::bounded::<()>(0);
        type Park = Box<dyn FnOnce(&Mailbox<()>) + Send>;
        let parks: Vec<Park> = vec![
            Box::new(|mailbox| {
                let _ = mailbox.recv();
            }),
            Box::new(|mailbox| {
                let _ = mailbox.receive(Err::<(), _>);
            }),
            Box::new(|mailbox| {
                let _ = mailbox.recv_timeout(LONG);
            }),
            Box::new({
                let full = full.clone();
                move |_| {
                    let _ = full.send(());
                }
            }),
            Box::new({
                let nothing = nothing.clone();
                move |mailbox| {
                    select! {
                        recv(mailbox) -> _ => (),
                        recv(nothing) -> _ => (),
                    }
                }
            }),
            Box::new(|_| thread::sleep(LONG)),
            Box::new(move |_| {
                let _ = nothing.recv();
            }),
            Box::new(|_| drop(fibra::spawn(thread::park).join())),
        ];
        for park in parks {
            let drops = Drops::new();
            let (counted, (ready, is_ready)) = (drops.counted(), channel::bounded(0));
            let actor = actor::spawn_body(move |mailbox: &Mailbox<()>| -> () {
                let _counted = counted;
                ready.send(()).unwrap();
                park(mailbox);
                unreachable!("it is ended while it parks");
            });
            is_ready.recv().unwrap();
            actor.pid().exit(ExitReason::failed("stop"));
            assert_eq!(actor.pid().wait(), ExitReason::failed("stop"));
            assert_eq!(drops.get(), 1);
        }
        full.pid().kill();
    });
}

#[test]
fn a_name_belongs_to_one_actor_at_a_time() {
    within_patience(|| {
        let (first, second) = (sleeper(), sleeper());
        actor::register("links: one", &first).unwrap();
        let taken = actor::register("links: one", &second).unwrap_err();
        assert!(matches!(&taken, RegisterError::Taken { by, .. } if *by == first.pid()), "{taken}");
        assert_eq!(actor::whereis::<Address<()>>("links: one"), Some(first.clone()));
        assert_eq!(actor::whereis::<Pid>("links: one"), Some(first.pid()));
        assert_eq!(actor::whereis::<Address<u8>>("links: one"), None);
        assert!(actor::unregister("links: one") && !actor::unregister("links: one"));
        actor::register("links: one", &second).unwrap();
        actor::register("links: two", &second).unwrap();
        let names: Vec<_> =
            actor::registered().into_iter().filter(|name| name.starts_with("links: ")).collect();
        assert_eq!(names, ["links: one", "links: two"]);
        // The names keep it open.
        let pid = second.pid();
        drop(second);
        assert_eq!(pid.wait_timeout(SHORT), None);
        pid.kill();
        pid.wait();
        assert_eq!(actor::whereis::<Pid>("links: one"), None);
        let ended = actor::register("links: three", &pid).unwrap_err();
        assert!(ended.to_string().contains("has ended: killed"), "{ended}");
        assert_eq!(actor::whereis::<Pid>("links: three"), None);
    });
}

#[test]
fn a_name_is_free_when_the_end_of_its_owner_is_told() {
    everywhere(|| {
        for _ in 0..200 {
            let owner = sleeper();
            let name = format!("owner {}", owner.pid().id());
            actor::register(&name, &owner).unwrap();
            let monitor = owner.pid().monitor();
            let lookup = fibra::spawn({
                let name = name.clone();
                // While the owner ends: an address that may fail, or nothing.
                move || actor::whereis::<Address<()>>(&name).map(|found| found.send(()))
            });
            owner.pid().kill();
            monitor.recv();
            let heir = sleeper();
            actor::register(&name, &heir).unwrap();
            heir.pid().kill();
            heir.pid().wait();
            lookup.join().unwrap();
        }
    });
}

#[test]
fn an_actor_that_waits_for_its_own_end_is_told_so() {
    everywhere(|| {
        let actor = actor::spawn_body(|mailbox: &Mailbox<()>| mailbox.pid().wait());
        let ExitReason::Panic(message) = actor.pid().wait() else { panic!("it ended otherwise") };
        assert!(message.contains("its own end"), "{message}");
    });
}

#[test]
fn outside_of_an_actor_there_is_nobody_to_link_or_to_end() {
    within_patience(|| {
        let other = sleeper();
        assert_eq!(actor::current(), None);
        for misuse in [
            Box::new(|| actor::link(&sleeper())) as Box<dyn FnOnce() + Send + std::panic::UnwindSafe>,
            Box::new(|| actor::unlink(&sleeper())),
            Box::new(|| actor::exit(ExitReason::Normal)),
        ] {
            let payload = std::panic::catch_unwind(misuse).unwrap_err();
            assert!(support::message(&*payload).contains("here runs none"));
        }
        // A task of an actor is not the actor.
        let (result, seen) = channel::oneshot::channel();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<()>| {
            assert_eq!(actor::current().as_ref(), Some(mailbox.pid()));
            let _ = result.send(fibra::spawn(actor::current).join().unwrap());
        });
        assert_eq!(seen.recv(), Ok(None));
        actor.pid().wait();
        other.pid().kill();
    });
}
