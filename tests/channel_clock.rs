//! `after`, `at`, `tick` and `never`: receivers without senders.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, never, select, tick, unbounded,
};
use fibra::{Builder, Cancelled, spawn};
use support::within_patience;

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(1000);

#[test]
fn after_fires_once_not_before_its_time() {
    let start = Instant::now();
    let rx = after(SOON);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let fired = rx.recv().unwrap();
    assert!(fired >= start + SOON && Instant::now() >= fired);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    select! { recv(rx) -> _ => panic!("a second message"), default(Duration::from_millis(1)) => {} }
    assert!(after(Duration::ZERO).recv_timeout(LONG).is_ok());
}

#[test]
fn at_gives_its_moment() {
    let when = Instant::now() + SOON;
    assert_eq!(at(when).recv_deadline(when + LONG), Ok(when));
    let past = Instant::now();
    assert_eq!(at(past).try_recv(), Ok(past));
    assert_eq!(at(past).recv_deadline(past), Ok(past));
}

#[test]
fn tick_comes_at_each_interval_to_who_waits() {
    let start = Instant::now();
    let rx = tick(SOON);
    let ticks: Vec<_> = rx.iter().take(4).collect();
    assert!(ticks[0] >= start + SOON);
    // Whoever waited in time is given exact intervals; a loaded machine may be late.
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] >= SOON));
    assert!(Instant::now() >= start + 4 * SOON);
}

#[test]
fn missed_ticks_do_not_pile_up() {
    let rx = tick(SOON);
    fibra::sleep(SOON * 4);
    assert_eq!((rx.len(), rx.is_full(), rx.is_empty()), (1, true, false));
    let received = Instant::now();
    rx.try_recv().unwrap();
    // The next one is due an interval after this one was received.
    assert!(rx.recv().unwrap() >= received + SOON);
}

#[test]
fn never_never_comes() {
    const NEVER: Receiver<String> = never();
    assert_eq!(NEVER.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(NEVER.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    assert_eq!(NEVER.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
    assert_eq!(NEVER.try_iter().count(), 0);
    let (tx, rx) = unbounded();
    tx.send(1).unwrap();
    select! { recv(NEVER) -> _ => unreachable!(), recv(rx) -> msg => assert_eq!(msg, Ok(1)) }
}

#[test]
fn times_beyond_the_clock_never_come() {
    for rx in [after(Duration::MAX), tick(Duration::MAX)] {
        assert!(rx.same_channel(&never()));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn capacity_and_len_empty_full() {
    let figures = |rx: &Receiver<Instant>| (rx.capacity(), rx.len(), rx.is_empty(), rx.is_full());
    for rx in [after(LONG), at(Instant::now() + LONG), tick(LONG)] {
        assert_eq!(figures(&rx), (Some(1), 0, true, false));
    }
    for rx in [after(Duration::ZERO), at(Instant::now()), tick(Duration::from_nanos(1))] {
        assert_eq!(figures(&rx), (Some(1), 1, false, true));
    }
    assert_eq!(figures(&never()), (Some(0), 0, true, true));
}

#[test]
fn same_channel() {
    let (a, b, c) = (after(LONG), after(LONG), tick(LONG));
    assert!(a.same_channel(&a.clone()) && c.same_channel(&c.clone()));
    assert!(!a.same_channel(&b) && !a.same_channel(&c) && !a.same_channel(&never()));
    assert!(never::<u8>().same_channel(&never()));
    assert!(!never::<u8>().same_channel(&unbounded().1));
}

#[test]
fn one_of_the_clones_gets_the_message() {
    let rx = after(SOON);
    let got = AtomicUsize::new(0);
    fibra::scope(|s| {
        for i in 0..6 {
            let (rx, got) = (rx.clone(), &got);
            s.spawn(move || {
                let timeout = SOON * 10;
                let hit = match i % 3 {
                    0 => rx.recv_timeout(timeout).is_ok(),
                    1 => select! { recv(rx) -> _ => true, default(timeout) => false },
                    _ => {
                        let mut select = Select::new();
                        select.recv(&rx);
                        select.select_timeout(timeout).is_ok_and(|operation| operation.recv(&rx).is_ok())
                    }
                };
                got.fetch_add(usize::from(hit), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(got.into_inner(), 1);
}

#[test]
fn ready_sees_the_clock() {
    let (rx, later) = (after(SOON), after(LONG));
    let mut select = Select::new();
    let (_, soon) = (select.recv(&later), select.recv(&rx));
    assert!(select.try_ready().is_err());
    assert_eq!(select.ready(), soon);
    assert_eq!(select.ready(), soon);
    assert!(rx.try_recv().is_ok());
    assert!(select.try_ready().is_err());
}

#[test]
fn ticks_and_a_timeout_in_one_select() {
    let (mut ticks, timeout, ticker) = (0, after(SOON * 10), tick(SOON));
    loop {
        select! {
            recv(ticker) -> _ => ticks += 1,
            recv(timeout) -> _ => break,
        }
    }
    assert!((1..=10).contains(&ticks), "{ticks} ticks");
}

#[test]
fn a_cancelled_receive_takes_no_message() {
    within_patience(|| {
        Builder::new()
            .workers(1)
            .run(|| {
                let rx = tick(SOON);
                let waiting = spawn({
                    let rx = rx.clone();
                    move || rx.recv()
                });
                fibra::yield_now();
                waiting.cancel();
                assert!(waiting.join().unwrap_err().is::<Cancelled>());
                let start = Instant::now();
                rx.recv().unwrap();
                assert!(start.elapsed() < LONG);
                let forever = spawn(|| never::<()>().recv());
                fibra::yield_now();
                forever.cancel();
                assert!(forever.join().unwrap_err().is::<Cancelled>());
            })
            .unwrap()
    });
}
