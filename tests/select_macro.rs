//! The select macros: what they accept, what they evaluate and when, and which arm they choose.

#![allow(
    unreachable_code,
    clippy::diverging_sub_expression,
    clippy::never_loop,
    clippy::match_single_binding,
    clippy::unnecessary_literal_unwrap,
    clippy::redundant_closure_call,
    reason = "messages whose making ends otherwise, and odd expressions in odd places"
)]

mod support;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fibra::channel::{Receiver, RecvError, SendError, Sender, after, bounded, never, unbounded};
use fibra::channel::{select, select_biased};
use fibra::{Builder, spawn, yield_now};
use support::within_patience;

const LONG: Duration = Duration::from_secs(1000);

fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

/// A channel with one message in it.
fn holding<T>(message: T) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = unbounded();
    tx.send(message).unwrap();
    (tx, rx)
}

#[test]
fn smoke() {
    let (tx1, rx1) = holding(1);
    let (tx2, rx2) = unbounded::<i32>();
    select! {
        recv(rx1) -> msg => assert_eq!(msg, Ok(1)),
        recv(rx2) -> _ => panic!("nothing was sent here"),
    }
    tx2.send(2).unwrap();
    select! {
        recv(rx1) -> _ => panic!("nothing was sent here"),
        recv(rx2) -> msg => assert_eq!(msg, Ok(2)),
    }
    drop((tx1, tx2));
    select! {
        recv(rx1) -> msg => assert_eq!(msg, Err(RecvError)),
    }
    let (tx, rx) = bounded(1);
    select! { send(tx, 3) -> res => assert_eq!(res, Ok(())) }
    assert_eq!(rx.recv(), Ok(3));
    drop(rx);
    select! { send(tx, 4) -> res => assert_eq!(res, Err(SendError(4))) }
}

#[test]
fn default_is_taken_only_if_nothing_is_ready() {
    let (tx, rx) = bounded::<i32>(1);
    let empty = select! { recv(rx) -> _ => false, default => true };
    assert!(empty);
    for i in 0..1000 {
        // One of them is ready at any time.
        select! {
            send(tx, i) -> res => res.unwrap(),
            recv(rx) -> msg => assert!(msg.is_ok()),
            default => panic!("an arm was ready"),
        }
    }
    drop(tx);
    let _ = rx.try_recv();
    select! {
        recv(rx) -> msg => assert_eq!(msg, Err(RecvError)),
        default => panic!("a closed channel is ready"),
    }
}

#[test]
fn default_with_a_timeout_waits_for_it() {
    let (_tx, rx) = unbounded::<i32>();
    let start = Instant::now();
    let timeout = Duration::from_millis(20);
    let timed_out = select! {
        recv(rx) -> _ => false,
        default(timeout) => true,
    };
    assert!(timed_out && start.elapsed() >= timeout);
    select! { default(timeout) => {} }
    assert!(start.elapsed() >= 2 * timeout);
    let (_tx, rx) = holding(1);
    select! {
        recv(rx) -> msg => assert_eq!(msg, Ok(1)),
        default(LONG) => panic!("there is a message"),
    }
    assert!(start.elapsed() < LONG);
}

#[test]
fn every_way_to_write_a_default() {
    let (tx, rx) = bounded::<i32>(0);
    select! { default => {} }
    select! { default => () }
    select! { default() => {}, }
    select! { default(Duration::ZERO) => {} }
    select! { default(Duration::ZERO,) => {} }
    select! { default => {} recv(rx) -> _ => unreachable!() }
    select! { send(tx, 1) -> _ => unreachable!(), default() => {} }
    select_biased! { send(tx, 1) -> _ => unreachable!(), default(Duration::from_micros(1)) => {} }
}

#[test]
fn bodies_are_blocks_or_expressions_with_commas() {
    let (_tx, rx) = unbounded::<i32>();
    let seven = select! {
        recv(rx) -> _ => 3.0,
        recv(rx,) -> _ => loop {
            unreachable!()
        },
        recv(rx) -> _ => match 1 + 1 {
            _ => unreachable!()
        },
        recv(rx) -> msg => if msg.is_ok() { 1. } else { 2. },
        recv(rx) -> _ => { 4. }
        recv(rx) -> _ => { 5. },
        recv(rx) -> _ => { 6_f64 }.max(1.0),
        recv(rx) -> _ => panic!("no"),
        default => 7.
    };
    assert_eq!(seven, 7.0);
    let text = select! {
        recv(rx) -> _ => "one".into(),
        recv(rx) -> (Ok(_) | Err(_)) => String::from("two"),
        default => "three".to_owned(),
    };
    assert_eq!(text, "three");
    select! {
        recv(rx) -> mut msg => { msg = Ok(1); msg.unwrap(); }
        default => {}
    }
}

#[test]
fn handles_by_value_reference_box_and_deref() {
    struct Wrapped<T>(T);
    impl<T> Deref for Wrapped<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }

    let (tx, rx) = bounded::<i32>(1);
    select! { send(&&&&&&tx, 1) -> res => res.unwrap() }
    select! { recv(&&&&&&rx) -> msg => assert_eq!(msg, Ok(1)) }
    let (mut own_tx, mut own_rx) = (tx.clone(), rx.clone());
    let (unique_tx, unique_rx) = (&mut own_tx, &&&mut own_rx);
    select! { send(unique_tx, 2) -> res => res.unwrap() }
    select! { recv(unique_rx) -> msg => assert_eq!(msg, Ok(2)) }
    let rx_behind = Rc::new(Box::new(Wrapped(&rx)));
    select! { send(Rc::new(Box::new(Wrapped(&tx))), 3) -> res => res.unwrap() }
    select! { recv(rx_behind) -> msg => assert_eq!(msg, Ok(3)) }
    let (boxed_tx, boxed_rx) = (Box::new(tx.clone()), Rc::new(rx.clone()));
    select! { send(*boxed_tx, 2) -> res => res.unwrap() }
    select! { recv(boxed_rx) -> msg => assert_eq!(msg, Ok(2)) }
    let (wrapped_tx, wrapped_rx) = (Wrapped(tx.clone()), Wrapped(rx.clone()));
    select! { send(wrapped_tx, 3) -> res => res.unwrap() }
    select! { recv(wrapped_rx) -> msg => assert_eq!(msg, Ok(3)) }
    let (list_tx, list_rx) = (vec![tx], [rx]);
    select! { send(list_tx[0], 4) -> res => res.unwrap() }
    select! { recv(list_rx[0]) -> msg => assert_eq!(msg, Ok(4)) }
    select! {
        recv(Some(&list_rx[0]).unwrap_or(&never())) -> _ => panic!("it is empty"),
        recv(None.unwrap_or(never::<u8>())) -> _ => panic!("never"),
        default => {}
    }
    let [tx, rx] = [list_tx.into_iter().next(), None];
    let (tx, rx) = (tx.unwrap(), rx.unwrap_or_else(|| unbounded().0));
    select! {
        send((move || tx)(), 5) -> res => assert_eq!(res, Ok(())),
        send((move || rx)(), 6) -> res => assert_eq!(res, Err(SendError(6))),
    }
}

#[test]
fn types_of_handles_are_inferred_from_the_macro() {
    let exchange = |tx, rx, message| {
        select! {
            recv(rx) -> received => received.unwrap(),
            send(tx, message) -> res => { res.unwrap(); 0 }
        }
    };
    let (tx, rx) = bounded(1);
    assert_eq!(exchange(tx.clone(), rx.clone(), 1), 0);
    assert_eq!(exchange(tx, rx, 2), 1);
    let by_reference = |rx: &_| select! { recv(rx) -> received => received.unwrap() };
    assert_eq!(by_reference(&holding("said").1), "said");
    let kept = (0..3).map(|_| unbounded()).unzip::<_, _, Vec<_>, Vec<_>>();
    select! {
        recv(kept.1[1]) -> _ => unreachable!(),
        send(kept.0[1], Cell::new(5)) -> res => res.unwrap(),
        default => unreachable!(),
    }
    assert_eq!(kept.1[1].recv().map(Cell::into_inner), Ok(5));
}

#[test]
fn types_are_inferred_from_later_uses() {
    let (tx, rx) = unbounded();
    select! { recv(rx) -> _ => {} default => {} }
    tx.send(()).unwrap();
    let (tx, rx) = unbounded();
    select! { send(tx, "text") -> _ => {} }
    assert_eq!(rx.recv().unwrap().len(), 4);
}

#[test]
fn an_arms_body_may_move_the_handle_and_what_other_arms_move() {
    let (tx, rx) = holding(Box::new(1));
    let value = Box::new(2);
    select! {
        recv(rx) -> rx => drop(rx.unwrap()),
        default => drop(value),
    }
    let value = Box::new(3);
    select! {
        send(tx, value) -> _ => drop(tx),
        recv(rx) -> _ => drop((rx, value)),
    }
    let (tx, rx) = holding(1);
    select! { recv(rx) -> _ => drop((rx, tx)) }
    let (one, _rx1) = bounded(1);
    let (two, _rx2) = bounded(1);
    let message = String::from("for either");
    select! {
        send(one, message) -> res => res.unwrap(),
        send(two, message) -> res => res.unwrap(),
    }
}

#[test]
fn break_continue_return_and_question_marks_leave_the_macro() {
    fn first(rx: &Receiver<i32>) -> Result<i32, RecvError> {
        let (full, _rx) = bounded(0);
        loop {
            select! {
                recv(rx) -> msg => if msg? % 2 == 1 { continue } else { return Ok(7) },
                send(full, unreachable!("nobody receives")) -> _ => {}
            }
        }
    }
    let (tx, rx) = unbounded();
    (1..=4).for_each(|i| tx.send(i).unwrap());
    assert_eq!(first(&rx), Ok(7));
    assert_eq!(first(&rx), Ok(7));
    drop(tx);
    assert_eq!(first(&rx), Err(RecvError));
    let value = 'outer: loop {
        loop {
            select! {
                recv(rx) -> _ => break 'outer 5,
                default => unreachable!(),
            }
        }
    };
    assert_eq!(value, 5);
}

#[test]
fn nested() {
    let (tx, rx) = unbounded();
    let value = select! {
        send(tx, 1) -> _ => select! {
            recv(rx) -> msg => {
                select_biased! {
                    recv(rx) -> _ => panic!(),
                    default => select! { default(Duration::ZERO) => msg.unwrap() + 1 },
                }
            }
        },
    };
    assert_eq!(value, 2);
}

#[test]
fn thirty_two_arms() {
    let (_tx, r) = unbounded::<u8>();
    let (_tx1, last) = holding(1u8);
    for _ in 0..3 {
        let hit = select! {
            recv(r) -> _ => 0, recv(r) -> _ => 1, recv(r) -> _ => 2, recv(r) -> _ => 3,
            recv(r) -> _ => 4, recv(r) -> _ => 5, recv(r) -> _ => 6, recv(r) -> _ => 7,
            recv(r) -> _ => { 8 } recv(r) -> _ => { 9 } recv(r) -> _ => { 10 } recv(r) -> _ => { 11 }
            recv(r) -> _ => 12, recv(r) -> _ => 13, recv(r) -> _ => 14, recv(r) -> _ => 15,
            recv(r) -> _ => 16, recv(r) -> _ => 17, recv(r) -> _ => 18, recv(r) -> _ => 19,
            recv(r) -> _ => 20, recv(r) -> _ => 21, recv(r) -> _ => 22, recv(r) -> _ => 23,
            recv(r) -> _ => 24, recv(r) -> _ => 25, recv(r) -> _ => 26, recv(r) -> _ => 27,
            recv(r) -> _ => 28, recv(r) -> _ => 29, recv(r) -> _ => 30, recv(last) -> _ => 31,
            default => 32,
        };
        assert!(hit >= 31);
    }
}

#[test]
fn channels_are_evaluated_once_in_order_and_the_chosen_message_alone() {
    let trace = RefCell::new(vec![]);
    fn traced<'a, T>(trace: &RefCell<Vec<u32>>, number: u32, value: &'a T) -> &'a T {
        trace.borrow_mut().push(number);
        value
    }
    let (full, _rx) = bounded::<u32>(0);
    let (tx, rx) = bounded::<u32>(1);
    select! {
        send(traced(&trace, 1, &full), unreachable!("its arm is not chosen")) -> _ => panic!(),
        recv(traced(&trace, 2, &rx)) -> _ => panic!(),
        send(traced(&trace, 3, &tx), *traced(&trace, 4, &7)) -> res => {
            trace.borrow_mut().push(5);
            res.unwrap();
        }
    }
    assert_eq!(trace.take(), [1, 2, 3, 4, 5]);
    assert_eq!(rx.recv(), Ok(7));
}

#[test]
fn a_message_that_is_never_made_is_not_sent_and_keeps_nothing() {
    let (tx, rx) = bounded::<u32>(1);
    for _ in 0..10 {
        loop {
            select! { send(tx, break) -> _ => unreachable!() }
        }
        let panicked = std::panic::catch_unwind(|| select! { send(tx, panic!("no message")) -> _ => {} });
        assert!(panicked.is_err());
    }
    // The place in the buffer is free again.
    assert_eq!((tx.len(), tx.try_send(1)), (0, Ok(())));
    assert_eq!(rx.recv(), Ok(1));
}

#[test]
fn the_macro_waits_for_either_side() {
    on_one_worker(|| {
        let (tx1, rx1) = bounded::<u32>(0);
        let (tx2, rx2) = bounded::<u32>(0);
        for round in 0..100 {
            let selecting = spawn({
                let (rx1, tx2) = (rx1.clone(), tx2.clone());
                move || {
                    select! {
                        recv(rx1) -> msg => msg.unwrap(),
                        send(tx2, 1000) -> res => { res.unwrap(); 2000 }
                    }
                }
            });
            yield_now();
            if round % 2 == 0 {
                tx1.send(round).unwrap();
                assert_eq!(selecting.join().unwrap(), round);
            } else {
                assert_eq!(rx2.recv(), Ok(1000));
                assert_eq!(selecting.join().unwrap(), 2000);
            }
        }
    });
}

#[test]
fn closing_wakes_the_macro() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(0);
        let (tx2, rx2) = bounded::<u32>(0);
        let receiving =
            spawn(move || select! { recv(rx) -> msg => msg, recv(never::<()>()) -> _ => unreachable!() });
        let sending =
            spawn(move || select! { send(tx2, 5) -> res => res, recv(never::<()>()) -> _ => unreachable!() });
        yield_now();
        drop((tx, rx2));
        assert_eq!(receiving.join().unwrap(), Err(RecvError));
        assert_eq!(sending.join().unwrap(), Err(SendError(5)));
    });
}

#[test]
fn ready_arms_are_chosen_equally_often() {
    const ROUNDS: usize = 10_000;
    let (tx, rx) = unbounded::<()>();
    let (_tx, empty) = unbounded::<()>();
    let (full, _rx) = bounded::<()>(0);
    (0..ROUNDS).for_each(|_| tx.send(()).unwrap());
    let hits: [Cell<usize>; 4] = Default::default();
    let hit = |i: usize| hits[i].set(hits[i].get() + 1);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        // Those that are not ready shift no weight to their neighbours.
        select! {
            recv(rx) -> _ => hit(0),
            recv(empty) -> _ => unreachable!(),
            send(full, ()) -> _ => unreachable!(),
            recv(empty) -> _ => unreachable!(),
            recv(rx) -> _ => hit(1),
            send(tx, ()) -> _ => hit(2),
            recv(after(Duration::ZERO)) -> _ => hit(3),
        }
    }
    let _ = start;
    // Ten standard deviations of a binomial distribution.
    let deviation = (ROUNDS as f64 * 0.25 * 0.75).sqrt();
    for hit in &hits {
        assert!((hit.get() as f64 - ROUNDS as f64 / 4.0).abs() < 10.0 * deviation, "{hits:?}");
    }
}

#[test]
fn parked_arms_of_one_channel_are_served_equally_often() {
    const ROUNDS: usize = 3_000;
    on_one_worker(|| {
        let (tx, rx) = bounded::<usize>(0);
        let receiver = spawn(move || {
            let mut hits = [0; 3];
            for _ in 0..ROUNDS {
                let hit = select! { recv(rx) -> _ => 0, recv(rx) -> _ => 1, recv(rx) -> _ => 2 };
                hits[hit] += 1;
            }
            hits
        });
        (0..ROUNDS).for_each(|i| tx.send(i).unwrap());
        let hits = receiver.join().unwrap();
        let deviation = (ROUNDS as f64 * 2.0 / 9.0).sqrt();
        for hit in hits {
            assert!((hit as f64 - ROUNDS as f64 / 3.0).abs() < 10.0 * deviation, "{hits:?}");
        }
    });
}

#[test]
fn a_biased_select_takes_the_first_ready_arm() {
    let (tx1, rx1) = unbounded();
    let (tx2, rx2) = unbounded();
    for i in 0..100 {
        tx1.send(i).unwrap();
        tx2.send(i).unwrap();
        let chosen = select_biased! {
            recv(never::<()>()) -> _ => unreachable!(),
            recv(rx2) -> msg => { assert_eq!(msg, Ok(i)); 2 }
            recv(rx1) -> _ => 1,
            default => 0,
        };
        assert_eq!(chosen, 2);
        let chosen = select_biased! {
            recv(rx2) -> _ => 2,
            recv(rx1) -> msg => { assert_eq!(msg, Ok(i)); 1 }
            send(tx2, i) -> _ => 3,
        };
        assert_eq!(chosen, 1);
    }
}

#[test]
fn one_select_does_not_meet_itself() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(0);
        select! {
            send(tx, 1) -> _ => panic!("sent to itself"),
            recv(rx) -> _ => panic!("received from itself"),
            default(Duration::from_millis(1)) => {}
        }
        // But two do meet, each other only.
        let both: Vec<_> = (0..2)
            .map(|i| {
                let (tx, rx) = (tx.clone(), rx.clone());
                spawn(move || select! { send(tx, i) -> res => { res.unwrap(); None } recv(rx) -> msg => msg.ok() })
            })
            .collect();
        let got: Vec<_> = both.into_iter().map(|task| task.join().unwrap()).collect();
        assert!(got == [Some(1), None] || got == [None, Some(0)], "{got:?}");
    });
}

/// What the macros expand to is safe to call in any order, since it can be called.
#[test]
fn a_choice_that_is_abused_panics_and_takes_no_message_twice() {
    use fibra::channel::__select::{Receive, choose};
    let (tx, rx) = holding(Rc::new(1));
    tx.send(Rc::new(2)).unwrap();
    let arm = rx.recv_arm();
    // The first message is leaked, as the second takes its place.
    let (one, two) = (choose(&[arm.entry()], false), choose(&[arm.entry()], false));
    let message = arm.complete(one).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| arm.complete(two))).is_err());
    assert_eq!((*message, Rc::strong_count(&message)), (2, 1));
    let (_tx, other) = holding(Rc::new(3));
    let (own, other) = (other.recv_arm(), rx.recv_arm());
    let chosen = choose(&[own.entry()], false);
    assert!(catch_unwind(AssertUnwindSafe(|| other.complete(chosen))).is_err());
}
