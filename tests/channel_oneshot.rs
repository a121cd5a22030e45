//! `oneshot`: one message, one sender, one receiver.

mod support;

use std::time::Duration;

use fibra::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError, never, oneshot, select};
use fibra::{Builder, Cancelled, spawn, yield_now};
use support::{Drops, within_patience};

fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

#[test]
fn smoke() {
    let (tx, rx) = oneshot::channel();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
    assert!(!tx.is_disconnected());
    tx.send(1).unwrap();
    assert_eq!(rx.recv(), Ok(1));
    assert_eq!((rx.recv(), rx.try_recv()), (Err(RecvError), Err(TryRecvError::Disconnected)));
}

#[test]
fn each_end_learns_that_the_other_is_gone() {
    let (tx, rx) = oneshot::channel::<i32>();
    drop(rx);
    assert!(tx.is_disconnected());
    assert_eq!(tx.send(1), Err(SendError(1)));
    on_one_worker(|| {
        let (tx, rx) = oneshot::channel::<i32>();
        let waiting = spawn(move || rx.recv());
        yield_now();
        drop(tx);
        assert_eq!(waiting.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn wakes_a_task_and_a_thread() {
    within_patience(|| {
        let (tx, rx) = oneshot::channel();
        let task = spawn(move || rx.recv());
        tx.send("to a task").unwrap();
        assert_eq!(task.join().unwrap(), Ok("to a task"));
        let (tx, rx) = oneshot::channel();
        spawn(move || tx.send("to a thread").unwrap());
        assert_eq!(rx.recv(), Ok("to a thread"));
    });
}

#[test]
fn an_arm_of_a_select() {
    on_one_worker(|| {
        let (tx, rx) = oneshot::channel();
        let empty = select! { recv(rx) -> _ => false, default => true };
        assert!(empty);
        let waiting = spawn(move || select! { recv(never::<()>()) -> _ => Ok(0), recv(rx) -> msg => msg });
        yield_now();
        tx.send(5).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(5));
        let (tx, rx) = oneshot::channel::<()>();
        drop(tx);
        select! { recv(&rx) -> msg => assert_eq!(msg, Err(RecvError)) }
    });
}

#[test]
fn drops() {
    let drops = Drops::new();
    let (tx, rx) = oneshot::channel();
    tx.send(drops.counted()).map_err(|_| "closed").unwrap();
    drop(rx);
    assert_eq!(drops.get(), 1);
    let (tx, rx) = oneshot::channel();
    drop(rx);
    assert!(tx.send(drops.counted()).is_err());
    assert_eq!(drops.get(), 2);
    let (tx, rx) = oneshot::channel();
    tx.send(drops.counted()).map_err(|_| "closed").unwrap();
    let received = rx.recv().map_err(|_| "closed").unwrap();
    drop(rx);
    assert_eq!(drops.get(), 2);
    drop(received);
    assert_eq!(drops.get(), 3);
}

#[test]
fn a_cancelled_receiver_leaves_the_message_unsent() {
    on_one_worker(|| {
        let (tx, rx) = oneshot::channel();
        let waiting = spawn(move || rx.recv());
        yield_now();
        waiting.cancel();
        assert!(waiting.join().unwrap_err().is::<Cancelled>());
        assert_eq!(tx.send(3), Err(SendError(3)));
    });
}
