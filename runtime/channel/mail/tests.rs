//! What a mailbox promises beyond other channels, alone and with everybody at it at once.

use super::*;
use crate::channel::{Forever, Limit, RecvArm, RecvTimeoutError, SendTimeoutError, select};
use crate::util::rng::Rng;
use crate::{Builder, JoinHandle, spawn, yield_now};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

type Mailbox<M> = Channel<M, Mail<M>>;

fn mailbox<M>(limit: impl Into<Option<usize>>) -> Arc<Mailbox<M>> {
    let limit = limit.into();
    Arc::new(Channel::new(Mail::new(limit), limit))
}

/// Takes the first message that is wanted, and puts back what came before it, however it ends.
fn receive<M>(
    mail: &Mailbox<M>,
    limit: Limit,
    mut wanted: impl FnMut(&M) -> bool,
) -> Result<M, RecvTimeoutError> {
    struct Skipped<'a, M>(&'a Mailbox<M>, VecDeque<M>);
    impl<M> Drop for Skipped<'_, M> {
        fn drop(&mut self) {
            self.0.restore(std::mem::take(&mut self.1));
        }
    }
    let mut skipped = Skipped(mail, VecDeque::new());
    loop {
        let message = mail.recv(limit)?;
        if wanted(&message) {
            return Ok(message);
        }
        skipped.1.push_back(message);
    }
}

/// Tasks of the one worker that wait one behind the other, each with its message.
fn waiting_senders(
    mail: &Arc<Mailbox<usize>>,
    count: usize,
    message: impl Fn(usize) -> usize,
) -> Vec<JoinHandle<()>> {
    let waiting = || {
        let count = Cell::new(0);
        mail.state.lock().senders.any(|_| {
            count.set(count.get() + 1);
            false
        });
        count.get()
    };
    let start = |i| {
        let (mail, message) = (mail.clone(), message(i));
        let task = spawn(move || mail.send(message, Forever).unwrap());
        while waiting() <= i {
            yield_now();
        }
        task
    };
    (0..count).map(start).collect()
}

#[test]
fn a_mailbox_is_small_and_an_empty_one_has_no_buffer() {
    assert!(size_of::<Mail<u64>>() <= 88);
    assert!(size_of::<Mailbox<u64>>() <= 152);
}

#[test]
fn capacity_and_len_empty_full() {
    for limit in [1, 2, 3, 5, 63, 64, 65, 200, 1024] {
        let mail = mailbox(limit);
        for round in 0..3 {
            (0..limit).for_each(|i| mail.try_send(i).unwrap());
            assert_eq!((mail.len(), mail.capacity()), (limit, Some(limit)));
            assert_eq!(mail.try_send(7), Err(SendTimeoutError::Timeout(7)));
            assert_eq!(mail.try_recv(), Ok(0));
            mail.try_send(limit + round).unwrap();
            assert_eq!(mail.try_send(7), Err(SendTimeoutError::Timeout(7)));
            (1..limit).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
            assert_eq!(mail.try_recv(), Ok(limit + round));
            assert_eq!(mail.try_recv(), Err(RecvTimeoutError::Timeout));
        }
    }
}

#[test]
fn forced_messages_go_beyond_the_limit() {
    let mail = mailbox(2);
    (0..2).for_each(|i| mail.try_send(i).unwrap());
    (2..500).for_each(|i| mail.force_send(i).unwrap());
    assert_eq!(mail.len(), 500);
    (0..498).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
    assert_eq!(mail.try_send(9), Err(SendTimeoutError::Timeout(9)));
    (498..500).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
    mail.send(5, Forever).unwrap();
    mail.close(|message| assert_eq!(message, 5));
    assert_eq!(mail.len(), 0);
    assert_eq!(mail.force_send(7), Err(SendError(7)));
}

#[test]
fn a_forced_message_serves_the_receiver_that_waits() {
    Builder::new()
        .workers(1)
        .run(|| {
            let mail = mailbox(1);
            let receiver = {
                let mail = mail.clone();
                spawn(move || (mail.recv(Forever), mail.recv(Limit::After(Duration::from_secs(600)))))
            };
            for i in 0..2 {
                yield_now();
                mail.force_send(i).unwrap();
                assert_eq!(mail.len(), 0);
            }
            assert_eq!(receiver.join().unwrap(), (Ok(0), Ok(1)));
        })
        .unwrap();
}

#[test]
fn restored_messages_come_first_and_in_order() {
    for limit in [None, Some(1000), Some(200)] {
        for (sent, popped) in (0..10)
            .chain(60..68)
            .chain(128..132)
            .flat_map(|sent| (0..=sent).map(move |popped| (sent, popped)))
        {
            let mail = mailbox(limit);
            (0..sent).for_each(|i| mail.send(i, Forever).unwrap());
            let skipped: VecDeque<_> = (0..popped).map(|_| mail.try_recv().unwrap()).collect();
            let early = popped % 3;
            (0..early).for_each(|i| mail.send(sent + i, Forever).unwrap());
            mail.restore(skipped);
            (early..3).for_each(|i| mail.send(sent + i, Forever).unwrap());
            assert_eq!(mail.len(), sent + 3);
            (0..sent + 3).for_each(|i| assert_eq!(mail.recv(Forever), Ok(i)));
            assert_eq!(mail.len(), 0);
        }
    }
}

#[test]
fn messages_restored_to_a_mailbox_that_never_held_any_leave_room_for_more() {
    for limit in [None, Some(50), Some(100), Some(300)] {
        for restored in [1, 64, 65, 200] {
            for taken in 0..=restored {
                let mail = mailbox(limit);
                // All of them came from hand to hand.
                mail.restore((0..restored).collect());
                (0..taken).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
                (restored..restored + 70).for_each(|i| mail.force_send(i).unwrap());
                (taken..restored + 70).for_each(|i| assert_eq!(mail.try_recv(), Ok(i)));
                assert_eq!(mail.len(), 0);
                (0..limit.unwrap_or(100)).for_each(|i| mail.try_send(i).unwrap());
            }
        }
    }
}

#[test]
fn a_pattern_that_panics_loses_no_message_but_its_own() {
    let mail = mailbox(100);
    (0..100).for_each(|i| mail.try_send(i).unwrap());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        receive(&mail, Limit::Never, |&message| message == 90 && panic!("on purpose"))
    }));
    assert!(unwound.is_err());
    let left: Vec<_> = (0..).map_while(|_| mail.try_recv().ok()).collect();
    assert_eq!(left, (0..100).filter(|&i| i != 90).collect::<Vec<_>>());
}

#[test]
fn what_is_restored_to_a_closed_mailbox_is_dropped() {
    for count in [1, 1000] {
        let mail = mailbox(None);
        let message = Arc::new(());
        (0..2 * count).for_each(|_| mail.send(message.clone(), Forever).unwrap());
        let skipped: VecDeque<_> = (0..count).map(|_| mail.try_recv().unwrap()).collect();
        mail.drop_receiver();
        assert_eq!(Arc::strong_count(&message), 1 + count);
        mail.restore(skipped);
        assert_eq!(Arc::strong_count(&message), 1);
    }
}

/// Below, at and across the ends of segments.
#[test]
fn waiting_senders_come_in_turn_and_in_order() {
    Builder::new()
        .workers(1)
        .run(|| {
            for limit in [1, 3, 63, 64, 65, 130, 200] {
                let mail = mailbox(limit);
                (0..limit).for_each(|i| mail.try_send(i).unwrap());
                let senders = waiting_senders(&mail, 300, |i| limit + i);
                for i in 0..limit + 300 {
                    assert_eq!(mail.len(), limit.min(limit + 300 - i), "a pop lets one in");
                    assert_eq!(mail.try_recv(), Ok(i));
                }
                senders.into_iter().for_each(|sender| sender.join().unwrap());
            }
        })
        .unwrap();
}

/// Counted in the buffer: a sender that finds no room makes it before it waits, and pops keep it up.
#[test]
fn who_waits_is_admitted_without_an_allocation() {
    for limit in 1..300 {
        let mut mail = Mail::new(Some(limit));
        let provide = |mail: &mut Mail<usize>| {
            while !(mail.is_below_limit() && mail.make_place()) {
                let Some(growth) = mail.growth() else { return };
                mail.add(Room::new(growth));
            }
        };
        for i in 0..limit {
            provide(&mut mail);
            mail.push(i);
        }
        provide(&mut mail);
        for i in 0..1000 {
            assert_eq!(mail.pop(), Some(i));
            assert!(mail.make_place(), "an allocation at {i} of limit {limit}");
            mail.admit(limit + i);
        }
    }
}

#[test]
fn messages_forced_past_waiting_senders_do_not_take_their_turn() {
    Builder::new()
        .workers(1)
        .run(|| {
            let mail = mailbox(130);
            (0..130).for_each(|_| mail.try_send(0).unwrap());
            let senders = waiting_senders(&mail, 300, |_| 1);
            (0..400).for_each(|_| mail.force_send(2).unwrap());
            let mut counts = [0; 3];
            (0..830).for_each(|_| counts[mail.try_recv().unwrap()] += 1);
            assert_eq!(counts, [130, 300, 400]);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        })
        .unwrap();
}

#[test]
fn a_reopened_mailbox_waits_again() {
    let mail = mailbox::<u32>(2);
    mail.drop_sender();
    assert!(!mail.try_add_sender());
    assert_eq!(mail.recv(Forever), Err(RecvTimeoutError::Disconnected));
    mail.reopen();
    assert!(mail.try_add_sender());
    assert_eq!(mail.recv(Limit::Now), Err(RecvTimeoutError::Timeout));
    mail.reopen();
    (0..2).for_each(|_| mail.drop_sender());
    assert_eq!(mail.recv(Limit::Now), Err(RecvTimeoutError::Timeout));
    mail.drop_sender();
    assert_eq!(mail.recv(Forever), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_mailbox_is_an_arm_of_select() {
    struct Handle(Arc<Mailbox<u32>>);
    impl crate::channel::Receive for Handle {
        type Slot = u32;
        type Message = u32;
        type Error = crate::channel::RecvError;
        fn recv_arm(&self) -> RecvArm<'_, u32, Result<u32, crate::channel::RecvError>> {
            RecvArm::of(&self.0)
        }
    }
    Builder::new()
        .workers(1)
        .run(|| {
            let mail = Handle(mailbox(1));
            let (tx, rx) = crate::channel::bounded::<u32>(1);
            let forced = mail.0.clone();
            let sender = spawn(move || {
                forced.force_send(1).unwrap();
                yield_now();
                tx.send(2).unwrap();
                forced.drop_sender();
            });
            let choose = || {
                select! {
                    recv(mail) -> message => message.ok(),
                    recv(rx) -> message => message.ok(),
                }
            };
            assert_eq!([choose(), choose(), choose()], [Some(1), Some(2), None]);
            sender.join().unwrap();
        })
        .unwrap();
}

/// Tasks and OS threads send, are cancelled and force, while the receiver picks: each sender's messages come out in its
/// order, and what was not given back comes out once.
#[test]
fn stress_selective_receive_against_all_senders() {
    const SENDERS: usize = 6;
    const EACH: usize = 500;
    for (workers, limit) in [(1, 1), (2, 3), (2, 70), (4, 130), (2, 1024)] {
        let mail = mailbox::<(usize, usize)>(limit);
        let sent: Arc<[AtomicUsize; SENDERS]> = Arc::default();
        let send = |id: usize| {
            let (mail, sent) = (mail.clone(), sent.clone());
            mail.reopen();
            move || {
                /// The count of what was sent, and the end, also if this unwinds.
                struct End(Arc<Mailbox<(usize, usize)>>);
                impl Drop for End {
                    fn drop(&mut self) {
                        self.0.drop_sender();
                    }
                }
                let end = End(mail);
                for i in 0..EACH {
                    let done = match (id + i) % 4 {
                        0 => end.0.force_send((id, i)).is_ok(),
                        1 => end.0.send((id, i), Limit::After(Duration::from_micros(30))).is_ok(),
                        _ => end.0.send((id, i), Forever).is_ok(),
                    };
                    sent[id].fetch_add(usize::from(done), Ordering::Relaxed);
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|id| std::thread::spawn(send(id))).collect();
        Builder::new()
            .workers(workers)
            .run(|| {
                let tasks: Vec<_> = (2..SENDERS).map(|id| spawn(send(id))).collect();
                mail.drop_sender();
                let rng = Rng::new(limit as u64);
                let (mut received, mut last) = ([0; SENDERS], [None; SENDERS]);
                let mut count = 0;
                loop {
                    // Anybody's, or the next of one sender, or one that does not come in time.
                    let wanted = rng.below(3 * SENDERS);
                    let limit =
                        if rng.below(2) == 0 { Limit::Now } else { Limit::After(Duration::from_micros(100)) };
                    let result = if wanted < SENDERS {
                        receive(&mail, limit, |&(id, _)| id == wanted)
                    } else {
                        mail.recv(Forever)
                    };
                    match result {
                        Ok((id, i)) => {
                            assert!(last[id] < Some(i), "{i} of {id} after {:?}", last[id]);
                            last[id] = Some(i);
                            received[id] += 1;
                        }
                        Err(RecvTimeoutError::Disconnected) if wanted >= SENDERS => break,
                        Err(_) => {}
                    }
                    count += 1;
                    if count == EACH {
                        tasks[0].cancel();
                    }
                }
                tasks.into_iter().for_each(|task| drop(task.join()));
                let sent = sent.each_ref().map(|sent| sent.load(Ordering::Relaxed));
                assert_eq!(received, sent);
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(mail.len(), 0);
    }
}

/// The receiver goes while senders wait and force, and has messages in hand that it puts back.
#[test]
fn stress_close_drops_every_message_once() {
    for round in 0..60 {
        let mail = mailbox(1 + round % 90);
        let message = Arc::new(());
        let senders: Vec<_> = (0..3)
            .map(|id| {
                let (mail, message) = (mail.clone(), message.clone());
                std::thread::spawn(move || {
                    let mut i = id;
                    loop {
                        i += 1;
                        let message = message.clone();
                        let sent = match i % 3 {
                            0 => mail.force_send(message).is_ok(),
                            1 => !matches!(mail.try_send(message), Err(SendTimeoutError::Disconnected(_))),
                            _ => mail.send(message, Forever).is_ok(),
                        };
                        if !sent {
                            return;
                        }
                    }
                })
            })
            .collect();
        for count in [0, 1, 150, round] {
            let skipped = (0..count).map(|_| mail.recv(Forever).unwrap()).collect();
            mail.restore(skipped);
        }
        let skipped = (0..round).map(|_| mail.recv(Forever).unwrap()).collect();
        mail.drop_receiver();
        mail.restore(skipped);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!((mail.len(), Arc::strong_count(&message)), (0, 1));
    }
}

/// The receiver makes senders out of nothing while the last ones leave and weak handles try to become strong.
#[test]
fn stress_reopen_against_the_last_sender() {
    let mail = mailbox::<usize>(8);
    let ended = Arc::new(AtomicBool::new(false));
    let weak: Vec<_> = (0..2)
        .map(|_| {
            let (mail, ended) = (mail.clone(), ended.clone());
            std::thread::spawn(move || {
                let mut sent = 0;
                while !ended.load(Ordering::Relaxed) {
                    if mail.try_add_sender() {
                        sent += usize::from(mail.try_send(1).is_ok());
                        mail.drop_sender();
                    }
                }
                sent
            })
        })
        .collect();
    let mut received = 0;
    for _ in 0..10_000 {
        // One that was told of the end must be told again, each time.
        mail.drop_sender();
        received += (0..).map_while(|_| mail.recv(Forever).ok()).count();
        assert_eq!(mail.recv(Forever), Err(RecvTimeoutError::Disconnected));
        mail.reopen();
        match mail.try_recv() {
            Ok(_) => received += 1,
            Err(error) => assert_eq!(error, RecvTimeoutError::Timeout),
        }
    }
    ended.store(true, Ordering::Relaxed);
    let sent: usize = weak.into_iter().map(|weak| weak.join().unwrap()).sum();
    received += (0..).map_while(|_| mail.try_recv().ok()).count();
    assert_eq!(received, sent);
}
