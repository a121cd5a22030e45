//! Channels of all flavours, and waiting for several at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::channel::{self, Receiver, RecvTimeoutError, Select, Sender, after, at, never, tick};
use fibra::select;

use super::ledger::Message;
use super::support::{Drops, OnDrop};
use super::{LONG, Ledger, Play, dither};

type Ends = (Sender<Message>, Receiver<Message>);

/// What is left is in the channel, and the channel is as it should be without anybody.
fn leftovers(rx: &Receiver<Message>) {
    let left = rx.len();
    assert_eq!(rx.try_iter().map(Message::received).count(), left);
    assert!(rx.is_empty());
    assert!(rx.try_recv().is_err_and(|error| error.is_disconnected()));
}

fn plain((tx, rx): Ends) -> Play {
    let ledger = Ledger::new();
    let judge = {
        let (rx, ledger) = (rx.clone(), ledger.clone());
        move || {
            leftovers(&rx);
            ledger.check();
        }
    };
    let sending = |turns: usize| {
        let (tx, ledger) = (tx.clone(), ledger.clone());
        move || {
            for turn in 0..4 {
                ledger.send(|message| tx.send(message));
                dither(turn * turns % 3);
            }
        }
    };
    let receiving = |turns| {
        let rx = rx.clone();
        move || {
            for message in &rx {
                message.received();
                dither(turns);
            }
        }
    };
    Play::new(judge)
        .role("first sender", sending(0))
        .role("second sender", sending(1))
        .role("first receiver", receiving(0))
        .steady("second receiver", receiving(1))
}

pub fn rendezvous() -> Play {
    plain(channel::bounded(0))
}

pub fn bounded() -> Play {
    plain(channel::bounded(2))
}

pub fn unbounded() -> Play {
    plain(channel::unbounded())
}

/// With limits; both ends outlive the roles, so that the judge finds whoever still stands in a queue.
pub fn timed_calls() -> Play {
    let ends = [channel::bounded::<Message>(0), channel::bounded(1)];
    let ledger = Ledger::new();
    let senders = Arc::new(AtomicUsize::new(2));
    let judge = {
        let (ends, ledger) = (ends.clone(), ledger.clone());
        move || {
            for (tx, rx) in &ends {
                let left = tx.len();
                assert_eq!(rx.try_iter().map(Message::received).count(), left);
                let room = tx.capacity().unwrap();
                for _ in 0..room {
                    assert!(ledger.send(|message| tx.try_send(message)));
                }
                assert!(!ledger.send(|message| tx.try_send(message)), "there is no room, and nobody waits");
                assert_eq!(tx.len(), room);
                assert_eq!(rx.try_iter().map(Message::received).count(), room);
            }
            ledger.check();
        }
    };
    let sending = || {
        let (ends, ledger, senders) = (ends.clone(), ledger.clone(), senders.clone());
        let gone = OnDrop::new(move || {
            senders.fetch_sub(1, Ordering::SeqCst);
        });
        move || {
            let _gone = gone;
            for (tx, _) in &ends {
                ledger.send(|message| tx.send_timeout(message, LONG));
                // Mostly in vain.
                ledger.send(|message| tx.send_timeout(message, Duration::from_micros(20)));
                ledger.send(|message| tx.send_deadline(message, Instant::now() + LONG));
            }
        }
    };
    let receiving = || {
        let (ends, senders) = (ends.clone(), senders.clone());
        move || {
            loop {
                let over = senders.load(Ordering::SeqCst) == 0;
                for (_, rx) in &ends {
                    match rx.recv_timeout(Duration::from_micros(300)) {
                        Ok(message) => message.received(),
                        Err(error) => assert_eq!(error, RecvTimeoutError::Timeout),
                    }
                }
                if over {
                    return;
                }
            }
        }
    };
    Play::new(judge)
        .role("first sender", sending())
        .role("second sender", sending())
        .role("first receiver", receiving())
        .steady("second receiver", receiving())
}

/// What a selector sends at most.
const PASSED_ON: usize = 3;

/// Three channels: what comes from the first two is taken, and new messages go to the third meanwhile.
fn three() -> ([Ends; 3], Ledger) {
    ([channel::bounded(0), channel::bounded(1), channel::bounded(0)], Ledger::new())
}

fn around_three(
    ends: [Ends; 3],
    ledger: Ledger,
    selecting: impl Fn([Receiver<Message>; 2], Sender<Message>) -> Box<dyn FnOnce() + Send>,
) -> Play {
    let judge = {
        let receivers = ends.each_ref().map(|(_, rx)| rx.clone());
        let ledger = ledger.clone();
        move || {
            receivers.iter().for_each(leftovers);
            ledger.check();
        }
    };
    let sending = |tx: &Sender<Message>| {
        let (tx, ledger) = (tx.clone(), ledger.clone());
        move || {
            for turn in 0..3 {
                ledger.send(|message| tx.send(message));
                dither(turn);
            }
        }
    };
    let last = ends[2].1.clone();
    let selecting = || selecting([ends[0].1.clone(), ends[1].1.clone()], ends[2].0.clone());
    Play::new(judge)
        .role("first sender", sending(&ends[0].0))
        .role("second sender", sending(&ends[1].0))
        .role("first selector", selecting())
        .steady("second selector", selecting())
        .steady("last receiver", move || last.iter().for_each(Message::received))
}

pub fn select() -> Play {
    let (ends, ledger) = three();
    around_three(ends, ledger.clone(), move |[mut one, mut other], out| {
        let ledger = ledger.clone();
        Box::new(move || {
            let (full, _nobody) = channel::bounded(0);
            let (mut left, mut passed) = (2, 0);
            while left > 0 {
                let slip;
                let out = if passed < PASSED_ON { &out } else { &full };
                select! {
                    recv(one) -> message => match message {
                        Ok(message) => message.received(),
                        Err(_) => (one, left) = (never(), left - 1),
                    },
                    recv(other) -> message => match message {
                        Ok(message) => message.received(),
                        Err(_) => (other, left) = (never(), left - 1),
                    },
                    send(out, { let (message, new) = ledger.make(); slip = new; message }) -> sent => {
                        slip.sent(sent.is_ok());
                        passed += 1;
                    }
                    default(LONG) => unreachable!("it ends before"),
                }
            }
        })
    })
}

pub fn select_list() -> Play {
    let (ends, ledger) = three();
    around_three(ends, ledger.clone(), move |[one, other], out| {
        let ledger = ledger.clone();
        Box::new(move || {
            let mut list = Select::new();
            let receiving = [list.recv(&one), list.recv(&other)];
            let sending = list.send(&out);
            let (mut open, mut passed) = (2, 0);
            for turn in 0.. {
                if open == 0 {
                    return;
                }
                let chosen = match turn % 3 {
                    0 => list.select(),
                    1 => match list.select_timeout(Duration::from_micros(300)) {
                        Ok(chosen) => chosen,
                        Err(_) => continue,
                    },
                    _ => {
                        list.ready();
                        // Others may have been faster.
                        let Ok(chosen) = list.try_select() else { continue };
                        chosen
                    }
                };
                let index = chosen.index();
                let Some(place) = receiving.iter().position(|receiving| *receiving == index) else {
                    ledger.send(|message| chosen.send(&out, message));
                    passed += 1;
                    if passed == PASSED_ON {
                        list.remove(sending);
                    }
                    continue;
                };
                match chosen.recv([&one, &other][place]) {
                    Ok(message) => message.received(),
                    Err(_) => {
                        list.remove(index);
                        open -= 1;
                    }
                }
            }
        })
    })
}

pub fn clocks() -> Play {
    let (tx, rx) = channel::bounded::<Message>(0);
    let ledger = Ledger::new();
    let judge = {
        let (rx, ledger) = (rx.clone(), ledger.clone());
        move || {
            leftovers(&rx);
            ledger.check();
        }
    };
    let short = Duration::from_micros(50);
    let sending = move || {
        for _ in 0..3 {
            after(short).recv().unwrap();
            ledger.send(|message| tx.send(message));
            at(Instant::now() + short).recv().unwrap();
        }
    };
    let ticking = || {
        let rx = rx.clone();
        move || {
            let ticks = tick(short);
            loop {
                select! {
                    recv(ticks) -> tick => assert!(tick.is_ok()),
                    recv(rx) -> message => match message {
                        Ok(message) => message.received(),
                        Err(_) => return,
                    },
                    recv(after(LONG)) -> _ => unreachable!("it ends before"),
                }
            }
        }
    };
    Play::new(judge).role("sender", sending).role("ticker", ticking()).steady("other ticker", ticking())
}

pub fn oneshot() -> Play {
    let ledger = Ledger::new();
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..3).map(|_| channel::oneshot::channel::<Message>()).unzip();
    let receivers = Arc::new(receivers);
    let judge = {
        let (receivers, ledger) = (receivers.clone(), ledger.clone());
        move || {
            receivers.iter().filter_map(|rx| rx.try_recv().ok()).for_each(Message::received);
            ledger.check();
        }
    };
    let sending = move || {
        for (turn, tx) in senders.into_iter().enumerate() {
            fibra::sleep(Duration::from_micros(20));
            dither(turn);
            ledger.send(|message| tx.send(message));
        }
    };
    let receiving = move || {
        for (turn, rx) in receivers.iter().enumerate() {
            let received = if turn == 1 {
                select! { recv(rx) -> message => message.ok() }
            } else {
                rx.recv().ok()
            };
            received.into_iter().for_each(Message::received);
        }
    };
    Play::new(judge).role("sender", sending).role("receiver", receiving)
}

pub fn watch() -> Play {
    let drops = Drops::new();
    let made = Arc::new(AtomicUsize::new(1));
    let (tx, rx) = channel::watch::channel((0, drops.counted()));
    let judge = {
        let (made, rx, drops) = (made.clone(), rx.clone(), drops.clone());
        move || {
            let last = made.load(Ordering::SeqCst);
            assert_eq!(rx.borrow().0 + 1, last, "the last one sent is the one that is there");
            assert_eq!(drops.get() + 1, last);
            drop(rx);
            assert_eq!(drops.get(), last);
        }
    };
    let sending = move || {
        for value in 1..5 {
            fibra::sleep(Duration::from_micros(20));
            assert!(tx.send((value, drops.counted())).is_ok());
            made.fetch_add(1, Ordering::SeqCst);
        }
    };
    let watching = || {
        let rx = rx.clone();
        move || {
            let mut last = 0;
            while let Ok(value) = rx.recv() {
                assert!(value.0 > last || last == 0, "no value is seen twice");
                last = value.0;
                dither(last % 2);
            }
        }
    };
    Play::new(judge).role("sender", sending).role("watcher", watching()).role("other watcher", watching())
}

pub fn broadcast() -> Play {
    let (tx, rx) = channel::broadcast::channel::<usize>(16);
    let sent = Arc::new(AtomicUsize::new(0));
    let listeners: Vec<_> =
        (0..2).map(|_| Arc::new((rx.resubscribe(), std::sync::Mutex::new(Vec::new())))).collect();
    drop(rx);
    let judge = {
        let (sent, listeners) = (sent.clone(), listeners.clone());
        move || {
            let all: Vec<_> = (0..sent.load(Ordering::SeqCst)).collect();
            for listener in listeners {
                let mut heard = listener.1.lock().unwrap().clone();
                while let Ok(number) = listener.0.try_recv() {
                    heard.push(number);
                }
                assert_eq!(heard, all);
            }
        }
    };
    let sending = move || {
        for number in 0..5 {
            fibra::sleep(Duration::from_micros(20));
            assert!(tx.send(number).is_ok());
            sent.fetch_add(1, Ordering::SeqCst);
        }
    };
    let mut listening = listeners.into_iter().map(|listener| {
        move || {
            while let Ok(number) = listener.0.recv() {
                listener.1.lock().unwrap().push(number);
                dither(number % 2);
            }
        }
    });
    Play::new(judge)
        .role("sender", sending)
        .role("listener", listening.next().unwrap())
        .role("other listener", listening.next().unwrap())
}
