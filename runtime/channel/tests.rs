//! What a channel with many waiters costs: counted in nodes that are looked at.

use super::{bounded, select, unbounded};
use crate::task::waiter::STEPS;
use crate::{Builder, JoinHandle, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs a program for `n` waiters on one worker; how many nodes it looks at for each of them.
fn steps(n: usize, program: fn(usize)) -> f64 {
    let count = move || {
        let before = STEPS.get();
        program(n);
        STEPS.get() - before
    };
    Builder::new().workers(1).run(count).unwrap() as f64 / n as f64
}

/// Starts `n` tasks of this worker, and returns when each has come to its wait.
fn waiting<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    n: usize,
    task: impl Fn(usize) -> F,
) -> Vec<JoinHandle<T>> {
    let started = Arc::new(AtomicUsize::new(0));
    let start = |i| {
        let (started, task) = (started.clone(), task(i));
        spawn(move || {
            started.fetch_add(1, Ordering::Relaxed);
            task()
        })
    };
    let tasks = (0..n).map(start).collect();
    while started.load(Ordering::Relaxed) < n {
        yield_now();
    }
    tasks
}

/// As many a waiter, whether there are few or many.
fn assert_linear(program: fn(usize)) {
    let (few, many) = (steps(100, program), steps(3000, program));
    assert!(many < few + 2.0 && few >= 1.0, "{few} nodes a waiter, of many {many}");
}

#[test]
fn receivers_and_senders_are_served_in_linear_time() {
    assert_linear(|n| {
        let ((tx, rx), (full, out)) = (unbounded(), bounded(0));
        let tasks = waiting(n, |i| {
            let (rx, full) = (rx.clone(), full.clone());
            move || full.send(rx.recv().unwrap() + i).unwrap()
        });
        (0..n).for_each(|i| tx.send(i).unwrap());
        yield_now();
        assert_eq!(out.iter().take(n).sum::<usize>(), n * (n - 1));
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn selects_leave_the_other_channel_in_linear_time() {
    assert_linear(|n| {
        let ((tx, rx), (_keep, shared)) = (bounded(0), bounded::<usize>(0));
        let tasks = waiting(n, |_| {
            let (rx, shared) = (rx.clone(), shared.clone());
            move || {
                select! {
                    recv(shared) -> _ => unreachable!(),
                    recv(rx) -> msg => msg.unwrap(),
                    recv(shared) -> _ => unreachable!(),
                }
            }
        });
        (0..n).for_each(|i| tx.send(i).unwrap());
        assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<usize>(), n * (n - 1) / 2);
    });
}

#[test]
fn the_cancelled_and_the_late_leave_in_linear_time() {
    assert_linear(|n| {
        let (tx, rx) = bounded::<usize>(0);
        let tasks = waiting(n, |i| {
            let rx = rx.clone();
            let timeout = Duration::from_millis(if i % 2 == 0 { 1 } else { 1_000_000 });
            move || rx.recv_timeout(timeout)
        });
        // From the end of the queue, and from its middle.
        tasks.iter().rev().filter(|task| !task.is_finished()).for_each(|task| task.cancel());
        tasks.into_iter().for_each(|task| drop(task.join()));
        assert!(tx.try_send(1).is_err());
    });
}

#[test]
fn all_learn_of_the_end_in_linear_time() {
    assert_linear(|n| {
        let (tx, rx) = bounded::<usize>(0);
        let tasks = waiting(n, |_| {
            let rx = rx.clone();
            move || rx.recv()
        });
        drop(tx);
        tasks.into_iter().for_each(|task| assert!(task.join().unwrap().is_err()));
    });
}
