//! What happens between the choice of a send and its message: who waits for whom, and what an end in between leaves.

#![allow(
    unreachable_code,
    clippy::diverging_sub_expression,
    clippy::never_loop,
    reason = "messages whose making ends otherwise"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, TrySendError, bounded, select, unbounded,
};
use fibra::{Builder, Cancelled, JoinHandle, spawn, thread, yield_now};
use support::{Drops, message, wait_until, within_patience};

const LONG: Duration = Duration::from_secs(1000);

/// With one worker, a `yield_now` lets every other task run until it parks.
fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

/// A task that offers a message to a channel without room by a select, and makes it when it gets a token.
fn slow_sender() -> (JoinHandle<bool>, Receiver<u32>, fibra::channel::Sender<u32>) {
    let (tx, rx) = bounded(0);
    let (token, tokens) = bounded(0);
    let task = spawn(move || {
        select! {
            send(tx, tokens.recv().unwrap()) -> res => res.is_ok(),
            recv(fibra::channel::never::<()>()) -> _ => unreachable!(),
        }
    });
    yield_now();
    (task, rx, token)
}

#[test]
fn every_kind_of_receive_meets_a_select_that_sends() {
    type Receive = fn(&Receiver<u32>) -> u32;
    let kinds: [Receive; 7] = [
        |rx| rx.recv().unwrap(),
        |rx| rx.try_recv().unwrap(),
        |rx| rx.recv_timeout(LONG).unwrap(),
        |rx| rx.iter().next().unwrap(),
        |rx| rx.try_iter().next().unwrap(),
        |rx| select! { recv(rx) -> msg => msg.unwrap(), default => unreachable!() },
        |rx| {
            let mut select = Select::new();
            select.recv(rx);
            select.try_select().unwrap().recv(rx).unwrap()
        },
    ];
    for receive in kinds {
        on_one_worker(move || {
            let (sender, rx, token) = slow_sender();
            let receiver = spawn(move || receive(&rx));
            yield_now();
            // Each waits for the message to be made, which parks meanwhile.
            assert!(!receiver.is_finished() && !sender.is_finished());
            token.send(7).unwrap();
            assert_eq!(receiver.join().unwrap(), 7);
            assert!(sender.join().unwrap());
        });
    }
}

#[test]
fn a_plain_thread_receives_from_a_select_and_the_other_way_round() {
    within_patience(|| {
        let (tx, rx) = bounded(0);
        let task = spawn(move || select! { send(tx, 1) -> res => res.unwrap() });
        assert_eq!(rx.recv(), Ok(1));
        task.join().unwrap();
        let (tx, rx) = bounded(0);
        let task = spawn(move || rx.recv());
        select! { send(tx, 2) -> res => res.unwrap() }
        assert_eq!(task.join().unwrap(), Ok(2));
    });
}

#[test]
fn a_receiver_goes_back_to_its_wait_if_the_message_is_never_made() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(0);
        let waiting = spawn({
            let rx = rx.clone();
            move || rx.recv_timeout(LONG)
        });
        yield_now();
        loop {
            // The receiver is claimed, and given up.
            select! { send(tx, break) -> _ => unreachable!() }
        }
        yield_now();
        assert!(!waiting.is_finished());
        assert_eq!(tx.try_send(5), Ok(()));
        assert_eq!(waiting.join().unwrap(), Ok(5));
    });
}

#[test]
fn a_promised_message_that_is_never_made_lets_the_receiver_go() {
    on_one_worker(|| {
        let (sender, rx, token) = slow_sender();
        let receivers: Vec<JoinHandle<bool>> = vec![
            spawn({
                let rx = rx.clone();
                move || rx.try_recv() == Err(TryRecvError::Empty)
            }),
            spawn({
                let rx = rx.clone();
                move || rx.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Timeout)
            }),
        ];
        yield_now();
        // Makes the message's expression panic.
        drop(token);
        assert!(message(&*sender.join().unwrap_err()).contains("RecvError"));
        for receiver in receivers {
            // The second one had found nobody.
            let _ = receiver.join().unwrap();
        }
    });
}

#[test]
fn a_claimed_receiver_is_beyond_timers_and_cancellation_until_it_has_its_message() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(0);
        let receiver = spawn(move || {
            let got = rx.recv_timeout(Duration::from_millis(1)).unwrap();
            thread::park();
            got
        });
        yield_now();
        select! {
            send(tx, {
                receiver.cancel();
                fibra::sleep(Duration::from_millis(5));
                assert!(!receiver.is_finished());
                9
            }) -> res => res.unwrap(),
        }
        // It got the message, and is cancelled at its next park.
        assert!(receiver.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_sender_cancelled_while_it_makes_its_message_frees_the_receiver() {
    on_one_worker(|| {
        let (sender, rx, _token) = slow_sender();
        let receiver = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        yield_now();
        sender.cancel();
        assert!(sender.join().unwrap_err().is::<Cancelled>());
        // Its sender has gone with it.
        assert!(receiver.join().unwrap().is_err());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_place_that_is_kept_for_a_select_counts_as_taken() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(2);
        let mut select = Select::new();
        select.send(&tx);
        let first = select.try_select().unwrap();
        let second = select.try_select().unwrap();
        assert!(select.try_select().is_err());
        assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
        // Nothing is there yet, and receivers wait as ever.
        assert_eq!((tx.len(), rx.try_recv()), (0, Err(TryRecvError::Empty)));
        assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
        let waiting = spawn({
            let tx = tx.clone();
            move || tx.send(3)
        });
        yield_now();
        second.send(&tx, 2).unwrap();
        assert!(!waiting.is_finished());
        first.send(&tx, 1).unwrap();
        assert_eq!(rx.recv(), Ok(2));
        waiting.join().unwrap().unwrap();
        assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(3)));
    });
}

#[test]
fn a_kept_place_does_not_hold_up_those_who_can_meet() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(1);
        let mut select = Select::new();
        select.send(&tx);
        let kept = select.try_select().unwrap();
        let receiver = spawn({
            let rx = rx.clone();
            move || (rx.recv(), rx.recv())
        });
        yield_now();
        tx.send(1).unwrap();
        // A second select meets the receiver as well.
        yield_now();
        select! { send(tx, 2) -> res => res.unwrap(), default => panic!("a receiver waits") }
        assert_eq!(receiver.join().unwrap(), (Ok(1), Ok(2)));
        kept.send(&tx, 3).unwrap();
        assert_eq!(rx.recv(), Ok(3));
    });
}

#[test]
fn a_parked_select_gets_the_place_that_becomes_free() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<u32>(1);
        tx.send(0).unwrap();
        let (token, tokens) = bounded::<u32>(0);
        let selecting = spawn({
            let tx = tx.clone();
            move || select! { send(tx, tokens.recv().unwrap()) -> res => res.unwrap() }
        });
        yield_now();
        assert_eq!(rx.recv(), Ok(0));
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "the place is the select's");
        let waiting = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        yield_now();
        token.send(1).unwrap();
        selecting.join().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(1));
        assert_eq!(tx.try_send(2), Ok(()));
    });
}

#[test]
fn an_operation_dropped_undone_panics_and_frees_what_it_kept() {
    on_one_worker(|| {
        let undone = |select: &mut Select<'_>| {
            let dropped =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(select.try_select())));
            assert!(message(&*dropped.unwrap_err()).contains("without completing"));
        };
        let drops = Drops::new();
        let (tx, rx) = bounded(1);
        let mut select = Select::new();
        select.send(&tx);
        undone(&mut select);
        tx.try_send(drops.counted()).map_err(|_| "full").unwrap();
        let mut select = Select::new();
        select.recv(&rx);
        undone(&mut select);
        assert_eq!((drops.get(), rx.len()), (1, 0));
        // A receiver that was claimed waits on.
        let (tx, rx) = bounded(0);
        let receiver = spawn(move || rx.recv());
        yield_now();
        let mut select = Select::new();
        select.send(&tx);
        undone(&mut select);
        assert!(!receiver.is_finished());
        tx.send(4).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(4));
    });
}

#[test]
fn forgotten_operations_are_safe() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<String>(2);
        let mut select = Select::new();
        select.send(&tx);
        std::mem::forget(select.try_select());
        tx.send("left".to_owned()).unwrap();
        assert!(tx.try_send("no room".to_owned()).is_err());
        let mut select = Select::new();
        select.recv(&rx);
        std::mem::forget(select.try_select());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn an_operation_completed_by_another_handle_panics() {
    let (tx, rx) = bounded::<i32>(1);
    let other = tx.clone();
    let mut select = Select::new();
    select.send(&tx);
    let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = select.select().send(&other, 1);
    }));
    assert!(message(&*wrong.unwrap_err()).contains("a sender that wasn't selected"));
    assert_eq!((tx.len(), tx.try_send(2)), (0, Ok(())));
    let other = rx.clone();
    let mut select = Select::new();
    select.recv(&rx);
    let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = select.select().recv(&other);
    }));
    assert!(message(&*wrong.unwrap_err()).contains("a receiver that wasn't selected"));
}

#[test]
fn messages_of_all_sizes_and_alignments_pass_through_a_list() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(256))]
    struct Aligned(u8);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(128))]
    struct Nothing;

    let (big_tx, big) = unbounded();
    let (aligned_tx, aligned) = unbounded();
    let (nothing_tx, nothing) = unbounded();
    let (small_tx, small) = unbounded();
    for round in 0..100u8 {
        big_tx.send([round; 5000]).unwrap();
        aligned_tx.send(Aligned(round)).unwrap();
        nothing_tx.send(Nothing).unwrap();
        small_tx.send(round).unwrap();
        let mut select = Select::new();
        let indices = [select.recv(&big), select.recv(&aligned), select.recv(&nothing), select.recv(&small)];
        for _ in 0..4 {
            let operation = select.select();
            match indices.iter().position(|&index| index == operation.index()).unwrap() {
                0 => assert_eq!(operation.recv(&big), Ok([round; 5000])),
                1 => assert_eq!(operation.recv(&aligned), Ok(Aligned(round))),
                2 => assert_eq!(operation.recv(&nothing), Ok(Nothing)),
                _ => assert_eq!(operation.recv(&small), Ok(round)),
            }
        }
        assert!(select.try_select().is_err());
    }
}

#[test]
fn a_select_that_leaves_its_thread_drops_no_message_there() {
    struct Local(std::thread::ThreadId, Arc<AtomicUsize>);
    impl Drop for Local {
        fn drop(&mut self) {
            let elsewhere = self.0 != std::thread::current().id();
            self.1.fetch_add(if elsewhere { 1000 } else { 1 }, Ordering::SeqCst);
        }
    }
    // Not `Send`, as the pointer says.
    struct NotSend(#[allow(dead_code)] Local, #[allow(dead_code)] *const ());

    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = unbounded();
    let message = || NotSend(Local(std::thread::current().id(), drops.clone()), std::ptr::null());
    tx.send(message()).map_err(|_| "closed").unwrap();
    tx.send(message()).map_err(|_| "closed").unwrap();
    let mut select = Select::new();
    select.recv(&rx);
    tx.send(message()).map_err(|_| "closed").unwrap();
    let elsewhere = select.clone();
    std::thread::scope(|s| {
        let select = &mut select;
        assert!(s.spawn(move || drop(select.try_select())).join().is_err());
        // Nor if another operation was added there.
        let select = move || {
            let (_tx, other) = unbounded::<u32>();
            let mut select = elsewhere;
            select.recv(&other);
            drop(select.try_select());
        };
        assert!(s.spawn(select).join().is_err());
    });
    assert_eq!((drops.load(Ordering::SeqCst), rx.len()), (0, 1));
    drop((tx, rx));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_thread_that_looks_is_woken_by_a_select_that_comes() {
    within_patience(|| {
        let (tx, rx) = bounded::<u32>(0);
        let looking = std::thread::spawn(move || {
            let mut select = Select::new();
            select.recv(&rx);
            loop {
                // What looks ready may be gone.
                select.ready();
                if let Ok(got) = rx.try_recv() {
                    return got;
                }
            }
        });
        wait_until("the thread takes the message", || {
            select! {
                send(tx, 3) -> res => res.is_ok(),
                default(Duration::from_micros(300)) => false,
            }
        });
        assert_eq!(looking.join().unwrap(), 3);
    });
}
