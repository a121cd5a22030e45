//! Everything at once: tasks and OS threads, timeouts and cancellations, on 1, 2 and 8 workers. What goes in comes out
//! once or stays with its sender, and every message is dropped once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{Receiver, Sender, bounded, unbounded};
use fibra::{Builder, spawn, yield_now};

/// What happened to all messages of one run.
#[derive(Default)]
struct Books {
    sent: AtomicUsize,
    given_back: AtomicUsize,
    received: AtomicUsize,
    made: AtomicUsize,
    dropped: AtomicUsize,
}

struct Message(&'static Books);

impl Message {
    fn new(books: &'static Books) -> Self {
        books.made.fetch_add(1, Ordering::Relaxed);
        Self(books)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn books() -> &'static Books {
    Box::leak(Box::default())
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn send_impatiently(tx: &Sender<Message>, books: &'static Books, i: usize) {
    let message = Message::new(books);
    let result = match i % 4 {
        0 => tx.send(message).map_err(|error| error.into_inner()),
        1 => tx.try_send(message).map_err(|error| error.into_inner()),
        2 => {
            tx.send_timeout(message, Duration::from_micros(i as u64 % 50)).map_err(|error| error.into_inner())
        }
        _ => tx.send_timeout(message, Duration::ZERO).map_err(|error| error.into_inner()),
    };
    count(if result.is_ok() { &books.sent } else { &books.given_back });
}

/// Returns whether more may come.
fn receive_impatiently(rx: &Receiver<Message>, books: &'static Books, i: usize) -> bool {
    let (message, closed) = match i % 3 {
        0 => match rx.recv() {
            Ok(message) => (Some(message), false),
            Err(_) => (None, true),
        },
        1 => match rx.recv_timeout(Duration::from_micros(i as u64 % 40)) {
            Ok(message) => (Some(message), false),
            Err(error) => (None, error.is_disconnected()),
        },
        _ => match rx.try_recv() {
            Ok(message) => (Some(message), false),
            Err(error) => (None, error.is_disconnected()),
        },
    };
    if message.is_some() {
        count(&books.received);
    }
    !closed
}

const EACH: usize = 2_000;

fn send_all(tx: &Sender<Message>, books: &'static Books) {
    for i in 0..EACH {
        send_impatiently(tx, books, i);
        if i % 64 == 0 {
            yield_now();
        }
    }
}

fn receive_all(rx: &Receiver<Message>, books: &'static Books) {
    // Whoever only tries must let others run.
    (0..).take_while(|&i| receive_impatiently(rx, books, i)).filter(|i| i % 3 == 2).for_each(|_| yield_now());
}

fn timeouts_and_threads(workers: usize, make: fn() -> (Sender<Message>, Receiver<Message>)) {
    let books = books();
    let (tx, rx) = make();
    let threads: Vec<_> = (0..2)
        .flat_map(|_| {
            let (tx, rx) = (tx.clone(), rx.clone());
            [
                std::thread::spawn(move || send_all(&tx, books)),
                std::thread::spawn(move || receive_all(&rx, books)),
            ]
        })
        .collect();
    let runtime = Builder::new().workers(workers).build().unwrap();
    runtime.run(move || {
        let tasks: Vec<_> = (0..6)
            .flat_map(|_| {
                let (tx, rx) = (tx.clone(), rx.clone());
                [spawn(move || send_all(&tx, books)), spawn(move || receive_all(&rx, books))]
            })
            .collect();
        drop((tx, rx));
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    balance(books, 8 * EACH);
}

fn balance(books: &Books, made: usize) {
    let of = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    assert_eq!(of(&books.made), made);
    assert_eq!(of(&books.sent) + of(&books.given_back), made);
    assert_eq!(of(&books.received), of(&books.sent));
    assert_eq!(of(&books.dropped), made);
}

#[test]
fn stress_timeouts_and_threads() {
    for workers in [1, 2, 8] {
        timeouts_and_threads(workers, || bounded(0));
        timeouts_and_threads(workers, || bounded(1));
        timeouts_and_threads(workers, || bounded(7));
        timeouts_and_threads(workers, unbounded);
    }
}

#[test]
fn stress_cancellation() {
    for workers in [1, 2, 8] {
        for capacity in [0, 2] {
            let books = books();
            let runtime = Builder::new().workers(workers).build().unwrap();
            runtime.run(|| {
                let (tx, rx) = bounded(capacity);
                let victims: Vec<_> = (0..200)
                    .map(|i| {
                        let (tx, rx) = (tx.clone(), rx.clone());
                        spawn(move || {
                            if i % 2 == 0 {
                                tx.send(Message::new(books)).ok().unwrap();
                                count(&books.sent);
                            } else {
                                drop(rx.recv().unwrap());
                                count(&books.received);
                            }
                        })
                    })
                    .collect();
                yield_now();
                for (i, victim) in victims.iter().enumerate() {
                    if i % 3 == 0 {
                        victim.cancel();
                    }
                    if i % 16 == 0 {
                        yield_now();
                    }
                }
                // Those that are left may lack a partner; cancel them, too.
                victims.iter().for_each(|victim| victim.cancel());
                victims.into_iter().for_each(|victim| drop(victim.join()));
                let left = rx.try_iter().count();
                // A message is received by a task that lived on, lies in the buffer, or went down with its sender.
                let of = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
                assert_eq!(of(&books.sent), of(&books.received) + left);
            });
            assert_eq!(books.dropped.load(Ordering::SeqCst), books.made.load(Ordering::SeqCst));
        }
    }
}
