//! Selective receive: order, what is passed over, timeouts, unwinding.

#[path = "support/net.rs"]
mod net;
mod support;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fibra::actor::{self, Builder, ExitReason, Mailbox};
use fibra::channel::{self, RecvTimeoutError};
use fibra::{timeout, yield_now};
use net::{LONG, SHORT, everywhere};
use proptest::prelude::*;
use support::{Drops, within_patience};

/// Accepts multiples of `n`.
fn multiple_of(n: u32) -> impl Fn(u32) -> Result<u32, u32> {
    move |number| if number.is_multiple_of(n) { Ok(number) } else { Err(number) }
}

/// Runs `body` in an actor whose mailbox has been sent these.
#[track_caller]
fn with_messages<T: Send + 'static>(
    messages: impl IntoIterator<Item = u32>,
    body: impl FnOnce(&Mailbox<u32>) -> T + Send + 'static,
) -> T {
    let (let_go, held) = channel::bounded::<()>(0);
    let (result, received) = channel::oneshot::channel();
    let actor = Builder::new().unbounded().spawn_body(move |mailbox| {
        let _ = held.recv();
        assert!(result.send(body(mailbox)).is_ok());
    });
    let actor = actor.unwrap();
    messages.into_iter().for_each(|message| actor.send(message).unwrap());
    drop(let_go);
    let result = received.recv();
    result.unwrap_or_else(|_| panic!("the actor ended: {}", actor.pid().wait()))
}

#[test]
fn the_first_fitting_message_comes_and_the_others_stay_in_order() {
    everywhere(|| {
        let rest = with_messages(1..=10, |mailbox| {
            assert_eq!(mailbox.receive(multiple_of(4)), Ok(4));
            assert_eq!(mailbox.receive(multiple_of(4)), Ok(8));
            assert_eq!(mailbox.len(), 8);
            mailbox.receive(multiple_of(5)).unwrap();
            std::iter::from_fn(|| mailbox.try_recv().ok()).collect::<Vec<_>>()
        });
        assert_eq!(rest, [1, 2, 3, 6, 7, 9, 10]);
    });
}

#[test]
fn a_wait_ends_with_the_message_that_fits_and_keeps_the_others() {
    everywhere(|| {
        let (result, received) = channel::oneshot::channel();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<u32>| {
            let first = mailbox.receive(multiple_of(100)).unwrap();
            let _ = result.send((first, mailbox.iter().collect::<Vec<_>>()));
        });
        for number in [1, 2, 100, 3, 200] {
            actor.send(number).unwrap();
            yield_now();
        }
        drop(actor);
        assert_eq!(received.recv(), Ok((100, vec![1, 2, 3, 200])));
    });
}

#[test]
fn a_timeout_and_the_end_of_the_mailbox_lose_nothing() {
    everywhere(|| {
        let rest = with_messages([1, 3, 5], |mailbox| {
            assert_eq!(mailbox.receive_timeout(SHORT, multiple_of(2)), Err(RecvTimeoutError::Timeout));
            assert_eq!(
                mailbox.receive_timeout(Duration::ZERO, multiple_of(2)),
                Err(RecvTimeoutError::Timeout)
            );
            assert_eq!(mailbox.receive_timeout(Duration::ZERO, multiple_of(3)), Ok(3));
            std::iter::from_fn(|| mailbox.try_recv().ok()).collect::<Vec<_>>()
        });
        assert_eq!(rest, [1, 5]);

        let (result, received) = channel::oneshot::channel();
        let actor = actor::spawn_body(move |mailbox: &Mailbox<u32>| {
            assert!(mailbox.receive(multiple_of(2)).is_err());
            let _ = result.send(mailbox.iter().collect::<Vec<_>>());
        });
        [1, 3].into_iter().for_each(|number| actor.send(number).unwrap());
        drop(actor);
        assert_eq!(received.recv(), Ok(vec![1, 3]));
    });
}

#[test]
fn an_interrupted_receive_keeps_what_it_has_passed_over() {
    everywhere(|| {
        let rest = with_messages([1, 3, 5], |mailbox| {
            assert!(timeout(SHORT, || mailbox.receive(multiple_of(2))).is_err());
            std::iter::from_fn(|| mailbox.try_recv().ok()).collect::<Vec<_>>()
        });
        assert_eq!(rest, [1, 3, 5]);
    });
}

#[test]
fn a_pattern_that_panics_loses_only_the_message_in_its_hands() {
    everywhere(|| {
        let rest = with_messages([1, 2, 3, 4], |mailbox| {
            let mut pattern = |number| if number == 3 { panic!("three") } else { Err::<(), _>(number) };
            assert!(catch_unwind(AssertUnwindSafe(|| mailbox.receive(&mut pattern))).is_err());
            std::iter::from_fn(|| mailbox.try_recv().ok()).collect::<Vec<_>>()
        });
        assert_eq!(rest, [1, 2, 4]);
    });
}

#[test]
fn what_is_passed_over_does_not_keep_the_awaited_message_out() {
    everywhere(|| {
        let (result, received) = channel::oneshot::channel();
        let actor = Builder::new().capacity(2).spawn_body(move |mailbox: &Mailbox<u32>| {
            let awaited = mailbox.receive(multiple_of(1000));
            let _ = result.send((awaited, mailbox.iter().count()));
        });
        let actor = actor.unwrap();
        (1..=50).for_each(|number| actor.send(number).unwrap());
        actor.send(1000).unwrap();
        drop(actor);
        assert_eq!(received.recv(), Ok((Ok(1000), 50)));
    });
}

#[test]
fn passed_over_messages_are_dropped_with_a_killed_actor() {
    everywhere(|| {
        let (drops, ready) = (Drops::new(), Drops::new());
        let actor = actor::spawn_body({
            let ready = ready.counted();
            move |mailbox: &Mailbox<_>| {
                let mut ready = Some(ready);
                mailbox.receive_timeout(LONG, |message| {
                    ready.take();
                    Err::<(), _>(message)
                })
            }
        });
        (0..20).for_each(|_| actor.send(drops.counted()).unwrap());
        support::wait_until("it has begun", || ready.get() == 1);
        actor.pid().kill();
        assert_eq!(actor.pid().wait(), ExitReason::Killed);
        assert_eq!(drops.get(), 20);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a queue: `Some(n)` receives a multiple of `n`, `None` receives anything.
    #[test]
    fn receives_as_from_a_queue(
        messages in prop::collection::vec(1_u32..30, 0..60),
        receives in prop::collection::vec(prop::option::of(1_u32..8), 0..60),
    ) {
        let mut model: VecDeque<_> = messages.clone().into();
        let expected: Vec<_> = receives.iter().map(|receive| {
            let divisor = receive.unwrap_or(1);
            let place = model.iter().position(|number| number % divisor == 0);
            place.and_then(|place| model.remove(place))
        }).collect();
        let got = within_patience(move || with_messages(messages, move |mailbox| {
            let got: Vec<_> = receives.into_iter().map(|receive| match receive {
                Some(n) => mailbox.receive_timeout(Duration::ZERO, multiple_of(n)).ok(),
                None => mailbox.try_recv().ok(),
            }).collect();
            (got, std::iter::from_fn(|| mailbox.try_recv().ok()).collect::<VecDeque<_>>())
        }));
        prop_assert_eq!(got, (expected, model));
    }
}
