//! Selects of all kinds against each other and against plain operations, from tasks and OS threads, with timeouts and
//! cancellations in the middle: every message that was sent is received once, every other is dropped where it was made,
//! and nobody is left waiting.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{Receiver, Select, Sender, bounded, never, select, select_biased, unbounded};
use fibra::{Builder, spawn, yield_now};
use support::within_patience;

/// What happened to all messages of one run.
#[derive(Default)]
struct Books {
    sent: AtomicUsize,
    received: AtomicUsize,
    made: AtomicUsize,
    dropped: AtomicUsize,
}

type Shared = &'static Books;

struct Message(Shared);

impl Message {
    fn new(books: Shared) -> Self {
        count(&books.made);
        Self(books)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        count(&self.0.dropped);
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

/// A number from a sequence that depends on `seed` only.
fn dice(seed: &mut u64, sides: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % sides
}

#[derive(Clone)]
struct Senders(Vec<Sender<Message>>);

#[derive(Clone)]
struct Receivers(Vec<Receiver<Message>>);

/// One channel of each kind.
fn channels() -> (Senders, Receivers) {
    let (senders, receivers) =
        [Some(0), Some(1), Some(3), None].map(|c| c.map_or_else(unbounded, bounded)).into_iter().unzip();
    (Senders(senders), Receivers(receivers))
}

/// Notes that a send returned.
fn sent<E>(books: Shared, result: Result<(), E>) {
    if result.is_ok() {
        count(&books.sent);
    }
}

/// Notes that a receive returned.
fn received<E>(books: Shared, result: Result<Message, E>) {
    if result.is_ok() {
        count(&books.received);
    }
}

/// Tries to send one message in one of many ways. The unbounded channel, which is always ready, is left out mostly.
fn send(tx: &Senders, books: Shared, seed: &mut u64) {
    let [zero, one, three, unlimited] = &tx.0[..] else { unreachable!() };
    let timeout = Duration::from_micros(dice(seed, 60));
    match dice(seed, 9) {
        0 => {
            sent(books, tx.0[dice(seed, 4) as usize].send_timeout(Message::new(books), timeout));
        }
        1 => {
            sent(books, tx.0[dice(seed, 4) as usize].try_send(Message::new(books)));
        }
        2 | 3 => select! {
            send(zero, Message::new(books)) -> res => sent(books, res),
            send(one, Message::new(books)) -> res => sent(books, res),
            send(three, Message::new(books)) -> res => sent(books, res),
            default(timeout) => {}
        },
        4 => select_biased! {
            send(zero, { yield_or_not(seed); Message::new(books) }) -> res => sent(books, res),
            send(zero, Message::new(books)) -> res => sent(books, res),
            default => select! { send(unlimited, Message::new(books)) -> res => sent(books, res) },
        },
        5 => {
            // A choice that is given up.
            give_up(zero, one, timeout);
        }
        6 => {
            let mut select = Select::new();
            tx.0[..3].iter().for_each(|tx| assert!(select.send(tx) < 4));
            if let Ok(i) = select.ready_timeout(timeout) {
                sent(books, tx.0[i].try_send(Message::new(books)));
            }
        }
        _ => {
            let mut select = Select::new();
            tx.0[..3].iter().for_each(|tx| assert!(select.send(tx) < 4));
            if let Ok(operation) = select.select_timeout(timeout) {
                yield_or_not(seed);
                let tx = &tx.0[operation.index()];
                sent(books, operation.send(tx, Message::new(books)));
            }
        }
    }
}

fn give_up(zero: &Sender<Message>, one: &Sender<Message>, timeout: Duration) -> Option<()> {
    fn no_message() -> Option<Message> {
        None
    }
    select! {
        send(zero, no_message()?) -> _ => unreachable!(),
        send(one, no_message()?) -> _ => unreachable!(),
        default(timeout) => Some(()),
    }
}

/// Between a choice and its completion.
fn yield_or_not(seed: &mut u64) {
    if dice(seed, 3) == 0 {
        yield_now();
    }
}

/// Tries to receive in one of many ways. Channels that have ended become `never`; false when all have.
fn receive(rx: &mut Receivers, books: Shared, seed: &mut u64) -> bool {
    let [zero, one, three, unlimited] = &rx.0[..] else { unreachable!() };
    let timeout = Duration::from_micros(dice(seed, 60));
    let (index, result) = match dice(seed, 6) {
        0 | 1 => select! {
            recv(zero) -> msg => (0, msg),
            recv(one) -> msg => (1, msg),
            recv(three) -> msg => (2, msg),
            recv(unlimited) -> msg => (3, msg),
            default(timeout) => return true,
        },
        2 => select_biased! {
            recv(zero) -> msg => (0, msg),
            recv(zero) -> msg => (0, msg),
            recv(unlimited) -> msg => (3, msg),
            default => return true,
        },
        3 => {
            let index = dice(seed, 4) as usize;
            match rx.0[index].recv_timeout(timeout) {
                Err(error) if error.is_timeout() => return true,
                result => (index, result.map_err(|_| fibra::channel::RecvError)),
            }
        }
        4 => {
            let mut select = Select::new();
            rx.0.iter().for_each(|rx| assert!(select.recv(rx) < 4));
            let Ok(index) = select.ready_timeout(timeout) else { return true };
            match rx.0[index].try_recv() {
                Err(error) if error.is_empty() => return true,
                result => (index, result.map_err(|_| fibra::channel::RecvError)),
            }
        }
        _ => {
            let mut select = Select::new();
            rx.0.iter().for_each(|rx| assert!(select.recv(rx) < 4));
            let Ok(operation) = select.select_timeout(timeout) else { return true };
            yield_or_not(seed);
            let index = operation.index();
            (index, operation.recv(&rx.0[index]))
        }
    };
    match result {
        Ok(_) => count(&books.received),
        Err(_) => rx.0[index] = never(),
    }
    rx.0.iter().any(|rx| !rx.same_channel(&never()))
}

/// Both at once: the select may meet anybody but itself.
fn exchange(tx: &Senders, rx: &Receivers, books: Shared, seed: &mut u64) {
    let timeout = Duration::from_micros(dice(seed, 60));
    let (a, b) = (dice(seed, 3) as usize, dice(seed, 3) as usize);
    select! {
        send(tx.0[a], Message::new(books)) -> res => sent(books, res),
        recv(rx.0[a]) -> msg => received(books, msg),
        send(tx.0[b], Message::new(books)) -> res => sent(books, res),
        recv(rx.0[b]) -> msg => received(books, msg),
        default(timeout) => {}
    }
}

/// Does several of the above within timeouts around them, which end at any park.
fn impatient(tx: &Senders, rx: &Receivers, books: Shared, mut seed: u64, rounds: usize) {
    let mut late = 0;
    for _ in 0..rounds {
        let timeout = Duration::from_micros(dice(&mut seed, 100));
        let in_time = fibra::timeout(timeout, || {
            for _ in 0..4 {
                match dice(&mut seed, 3) {
                    0 => send(tx, books, &mut seed),
                    1 => {
                        received(books, select! { recv(rx.0[0]) -> msg => msg, recv(rx.0[1]) -> msg => msg })
                    }
                    _ => exchange(tx, rx, books, &mut seed),
                }
            }
        });
        late += usize::from(in_time.is_err());
    }
    assert!(late > 0, "no timeout came in the middle");
}

fn check(books: Shared) {
    assert_eq!(get(&books.sent), get(&books.received));
    assert_eq!(get(&books.made), get(&books.dropped));
    assert!(get(&books.sent) > 100, "nearly nothing was sent");
}

fn run(workers: usize, rounds: usize) {
    Builder::new()
        .workers(workers)
        .run(move || {
            let books: Shared = Box::leak(Box::default());
            let (tx, rx) = channels();
            let mut threads = vec![];
            let mut tasks = vec![];
            for seed in 1..=3u64 {
                let (tx, mut rx) = (tx.clone(), rx.clone());
                let mut seed = seed * 7919;
                let sender = move || (0..rounds).for_each(|_| send(&tx, books, &mut seed));
                let mut seed = seed * 104_729;
                let receiver = move || while receive(&mut rx, books, &mut seed) {};
                if seed % 3 == 0 {
                    threads.push(std::thread::spawn(sender));
                    threads.push(std::thread::spawn(receiver));
                } else {
                    tasks.push(spawn(sender));
                    tasks.push(spawn(receiver));
                }
            }
            for seed in 1..=2u64 {
                let (tx, rx) = (tx.clone(), rx.clone());
                let mut seed = seed * 15_485_863;
                tasks.push(spawn(move || (0..rounds).for_each(|_| exchange(&tx, &rx, books, &mut seed))));
            }
            // Some give up by the time, wherever they are.
            for seed in 1..=3u64 {
                let (tx, rx) = (tx.clone(), rx.clone());
                let impatient = move || impatient(&tx, &rx, books, seed * 32_452_843, rounds);
                if seed == 3 {
                    threads.push(std::thread::spawn(impatient));
                } else {
                    tasks.push(spawn(impatient));
                }
            }
            // Some are cancelled wherever they are.
            for round in 0..rounds as u64 / 10 {
                let (tx, mut rx) = (tx.clone(), rx.clone());
                let mut seed = round * 7 + 1;
                let victim = spawn(move || {
                    loop {
                        match round % 3 {
                            0 => send(&tx, books, &mut seed),
                            1 => assert!(receive(&mut rx, books, &mut seed)),
                            _ => exchange(&tx, &rx, books, &mut seed),
                        }
                    }
                });
                (0..round % 5).for_each(|_| yield_now());
                victim.cancel();
                assert!(victim.join().unwrap_err().is::<fibra::Cancelled>());
            }
            drop((tx, rx));
            tasks.into_iter().for_each(|task| task.join().unwrap());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            check(books);
        })
        .unwrap();
}

#[test]
fn stress_one_worker() {
    within_patience(|| run(1, 1500));
}

#[test]
fn stress_two_workers() {
    within_patience(|| run(2, 1500));
}

#[test]
fn stress_eight_workers() {
    within_patience(|| run(8, 1000));
}

/// The same from plain threads alone: no runtime is needed.
#[test]
fn stress_threads() {
    within_patience(|| {
        let books: Shared = Box::leak(Box::default());
        let (tx, rx) = channels();
        std::thread::scope(|s| {
            for seed in 1..=3u64 {
                let (tx, mut rx) = (tx.clone(), rx.clone());
                let (mut sender, mut receiver) = (seed * 7919, seed * 104_729);
                s.spawn(move || (0..1500).for_each(|_| send(&tx, books, &mut sender)));
                s.spawn(move || while receive(&mut rx, books, &mut receiver) {});
            }
            drop((tx, rx));
        });
        assert_eq!(get(&books.made), get(&books.dropped));
        assert_eq!(get(&books.sent), get(&books.received));
    });
}

/// Selects that wait for each other in rings, over channels that each of them locks in another order.
#[test]
fn selects_over_the_same_channels_in_any_order_do_not_deadlock() {
    const ROUNDS: usize = 4000;
    within_patience(|| {
        let channels: Vec<_> = (0..5).map(|i| bounded::<usize>(i % 2)).collect();
        let (done_tx, done) = bounded::<()>(0);
        let moved = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for i in 0..4 {
                let (channels, done, moved) = (&channels, done.clone(), &moved);
                s.spawn(move || {
                    let order: Vec<_> = (0..5).map(|k| (k * (i % 4 + 1) + i) % 5).collect();
                    let mut select = Select::new();
                    let end = select.recv(&done);
                    for &k in &order {
                        if i % 2 == 0 {
                            select.recv(&channels[k].1);
                        } else {
                            select.send(&channels[k].0);
                        }
                    }
                    loop {
                        let operation = select.select();
                        let index = operation.index();
                        if index == end {
                            return assert!(operation.recv(&done).is_err());
                        }
                        let (tx, rx) = &channels[order[index - 1]];
                        if i % 2 == 0 {
                            operation.recv(rx).unwrap();
                            moved.fetch_add(1, Ordering::SeqCst);
                        } else {
                            operation.send(tx, i).unwrap();
                        }
                    }
                });
            }
            support::wait_until("messages move", || moved.load(Ordering::SeqCst) >= ROUNDS);
            drop(done_tx);
        });
    });
}
