//! What a select promises while others race with it: one look at all arms, one arm, and clocks that are left behind stay
//! quiet.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::channel::{Receiver, Select, after, at, bounded, never, select, tick, unbounded};
use fibra::{Builder, spawn, yield_now};
use support::within_patience;

const ROUNDS: usize = if cfg!(debug_assertions) { 1_000 } else { 30_000 };
const LONG: Duration = Duration::from_secs(100_000);

/// From tasks of 1, 2 and 8 workers, and from OS threads alone.
fn everywhere(program: fn(spawn: Spawn)) {
    within_patience(move || {
        for workers in [1, 2, 8] {
            Builder::new().workers(workers).run(|| program(|part| joiner(spawn(part)))).unwrap();
        }
        program(|part| {
            let thread = std::thread::spawn(part);
            Box::new(|| thread.join().unwrap())
        });
    });
}

type Spawn = fn(Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce()>;

fn joiner(task: fibra::JoinHandle<()>) -> Box<dyn FnOnce()> {
    Box::new(|| task.join().unwrap())
}

/// A message goes to and fro between two channels; there is always one.
#[test]
fn default_is_never_chosen_while_an_arm_is_always_ready() {
    everywhere(|spawn| {
        let ((a_tx, a), (b_tx, b)) = (bounded(2), bounded(2));
        a_tx.send(1).unwrap();
        let (end_tx, end) = bounded::<()>(0);
        let mover = spawn(Box::new({
            let channels = [(a_tx.clone(), a.clone()), (b_tx.clone(), b.clone())];
            move || {
                for here in [0, 1].into_iter().cycle() {
                    if end.try_recv().is_err_and(|error| error.is_disconnected()) {
                        return;
                    }
                    // Into the one before out of the other.
                    let _ = channels[1 - here].0.try_send(1);
                    while channels[here].1.try_recv().is_ok() {}
                    yield_now();
                }
            }
        }));
        let mut list = Select::new();
        list.recv(&a);
        list.recv(&b);
        for _ in 0..ROUNDS * 20 {
            // What it takes it gives back before it looks again.
            let back = select! {
                recv(a) -> msg => (msg, &a_tx),
                recv(b) -> msg => (msg, &b_tx),
                default => panic!("one of them was ready"),
            };
            let _ = back.1.try_send(back.0.unwrap());
            assert!(list.try_ready().is_ok(), "one of them was ready");
        }
        drop(end_tx);
        mover();
    });
}

#[test]
fn default_is_never_chosen_while_a_channel_has_a_message_or_is_closed() {
    everywhere(|spawn| {
        for round in 0..ROUNDS {
            let ((a_tx, a), (b_tx, b)) = (bounded(1), unbounded::<u32>());
            a_tx.send(1).unwrap();
            let (a_other, b_other) = (a.clone(), b.clone());
            let looks = spawn(Box::new(move || {
                let mut select = Select::new();
                let (first, second) = (select.recv(&a_other), select.recv(&b_other));
                if round % 2 == 0 {
                    assert!(select.try_ready().is_ok(), "one of them was ready");
                    return;
                }
                let operation = select.try_select().expect("one of them was ready");
                match operation.index() {
                    i if i == first => assert_eq!(operation.recv(&a_other), Ok(1)),
                    i => assert!(i == second && operation.recv(&b_other).is_err()),
                }
            }));
            drop(b_tx);
            select! { recv(a) -> _ => {} default => {} }
            looks();
        }
    });
}

#[test]
fn default_is_never_chosen_while_there_is_room() {
    everywhere(|spawn| {
        for _ in 0..ROUNDS {
            let ((a_tx, a), (b_tx, b)) = (bounded(1), bounded(1));
            b_tx.send(0).unwrap();
            let (a_other, b_other) = (a_tx.clone(), b_tx.clone());
            let looks = spawn(Box::new(move || {
                select! {
                    send(a_other, 1) -> res => res.unwrap(),
                    send(b_other, 1) -> res => res.unwrap(),
                    default => panic!("one of them had room"),
                }
            }));
            // Room comes in one before it goes in the other.
            assert_eq!(b.recv(), Ok(0));
            let _ = a_tx.try_send(2);
            looks();
            drop((a, b_tx));
        }
    });
}

/// Many come to a parked select at the same moment, each by another arm: one of them meets it.
#[test]
fn a_select_takes_one_arm_however_many_come_at_once() {
    const ARMS: usize = 4;
    within_patience(|| {
        let rounds = ROUNDS / 5;
        let channels: Vec<_> = (0..ARMS).map(|_| bounded::<usize>(0)).collect();
        let (met, barrier) = (AtomicUsize::new(0), Barrier::new(ARMS + 1));
        std::thread::scope(|s| {
            for (i, (tx, _)) in channels.iter().enumerate() {
                let (met, barrier) = (&met, &barrier);
                s.spawn(move || {
                    for round in 0..rounds {
                        barrier.wait();
                        // Until somebody has met it: all of them at once, again and again.
                        while met.load(Ordering::SeqCst) <= round {
                            if tx.try_send(i).is_ok() {
                                met.fetch_add(1, Ordering::SeqCst);
                            }
                            std::thread::yield_now();
                        }
                        barrier.wait();
                    }
                });
            }
            let receivers: Vec<_> = channels.iter().map(|(_, rx)| rx.clone()).collect();
            let barrier = &barrier;
            Builder::new()
                .workers(1)
                .run(|| {
                    let [a, b, c, d] = &receivers[..] else { unreachable!() };
                    for round in 0..rounds {
                        barrier.wait();
                        let (arm, msg) = select! {
                            recv(a) -> msg => (0, msg),
                            recv(b) -> msg => (1, msg),
                            recv(c) -> msg => (2, msg),
                            recv(d) -> msg => (3, msg),
                        };
                        assert_eq!(msg, Ok(arm));
                        barrier.wait();
                        assert_eq!(met.load(Ordering::SeqCst), round + 1);
                    }
                })
                .unwrap();
        });
        assert!(channels.iter().all(|(_, rx)| rx.is_empty()));
    });
}

/// A timeout is set anew for each message, and many messages come at the very moment of its end.
#[test]
fn a_clock_that_is_set_anew_in_each_round_never_ends_a_later_one() {
    everywhere(|spawn| {
        let rounds = ROUNDS / 10;
        let (tx, rx) = bounded::<usize>(0);
        let (asked_tx, asked) = bounded::<Duration>(0);
        let sender = spawn(Box::new(move || {
            for (i, pause) in asked.iter().enumerate() {
                fibra::sleep(pause);
                tx.send(i).unwrap();
            }
        }));
        let mut late = 0;
        for round in 0..rounds {
            let pause = Duration::from_micros(round as u64 % 100);
            asked_tx.send(pause).unwrap();
            let start = Instant::now();
            select! {
                recv(rx) -> msg => { assert_eq!(msg, Ok(round)); continue }
                recv(after(pause)) -> when => {
                    assert!(when.unwrap() >= start + pause);
                    late += 1;
                }
            }
            // The message is not lost, and the clock of this round is not the one of the last.
            select! {
                recv(rx) -> msg => assert_eq!(msg, Ok(round)),
                recv(after(LONG)) -> _ => unreachable!("a clock that was left behind"),
            }
        }
        drop(asked_tx);
        sender();
        assert!(late <= rounds);
    });
}

#[test]
fn clones_of_a_clock_share_its_message_whoever_looks_at_its_moment() {
    everywhere(|spawn| {
        for round in 0..ROUNDS / 30 {
            let when = Instant::now() + Duration::from_micros(round as u64 % 200);
            let clock = at(when);
            let (got_tx, got) = unbounded();
            let parts: Vec<_> = (0..4)
                .map(|i| {
                    let (clock, got) = (clock.clone(), got_tx.clone());
                    spawn(Box::new(move || {
                        let limit = when + Duration::from_micros(300);
                        let message = match i % 3 {
                            0 => clock.recv_deadline(limit).ok(),
                            1 => select! { recv(clock) -> msg => msg.ok(), recv(at(limit)) -> _ => None },
                            _ => {
                                while Instant::now() < when {
                                    yield_now();
                                }
                                clock.try_recv().ok()
                            }
                        };
                        message.into_iter().for_each(|message| got.send(message).unwrap());
                    }))
                })
                .collect();
            drop(got_tx);
            parts.into_iter().for_each(|join| join());
            assert_eq!(got.iter().collect::<Vec<_>>(), [when], "one has it");
        }
    });
}

#[test]
fn clocks_come_while_a_pair_keeps_the_worker_busy() {
    within_patience(|| {
        Builder::new()
            .workers(1)
            .run(|| {
                let ((ping_tx, ping), (pong_tx, pong)) = (bounded(0), bounded(0));
                let echo = spawn(move || ping.iter().for_each(|i: u32| pong_tx.send(i).unwrap()));
                let (stop_tx, stop) = bounded::<()>(0);
                let busy = spawn(move || {
                    let mut rounds = 0_usize;
                    while !matches!(stop.try_recv(), Err(error) if error.is_disconnected()) {
                        ping_tx.send(1).unwrap();
                        pong.recv().unwrap();
                        rounds += 1;
                    }
                    rounds
                });
                let ticks: Receiver<Instant> = tick(Duration::from_millis(1));
                let mut end = after(Duration::from_millis(5));
                let mut ticked = 0;
                while ticked < 3 || !end.same_channel(&never()) {
                    select! {
                        recv(ticks) -> _ => ticked += 1,
                        recv(end) -> _ => end = never(),
                        recv(never::<()>()) -> _ => unreachable!(),
                    }
                }
                drop(stop_tx);
                assert!(busy.join().unwrap() > 0);
                echo.join().unwrap();
            })
            .unwrap();
    });
}
