//! Models of the choice and of the promise, for loom: the real state words, with a mutex for each spin lock.

use crate::task::state::{Begin, Kind, State};
use crate::util::atomic::Ordering;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// A channel: whether the one waiter there is stands in its queue, and its buffer.
#[derive(Default)]
struct Queue {
    waiting: bool,
    buffer: u32,
}

struct Select {
    state: State,
    channels: [Mutex<Queue>; 2],
    /// Which arm has been served, plus one.
    served: AtomicUsize,
}

impl Select {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: State::new(),
            channels: [Mutex::default(), Mutex::default()],
            served: AtomicUsize::new(0),
        })
    }

    /// Sends one message, as `send_slow`; whether the waiter got it.
    fn send(&self, arm: usize) -> bool {
        let mut queue = self.channels[arm].lock().unwrap();
        if std::mem::take(&mut queue.waiting) && self.state.claim() {
            self.served.fetch_add(arm + 1, Ordering::Release);
            return true;
        }
        queue.buffer += 1;
        false
    }

    /// Receives by the first arm that is ready, or waits at both; as `choose` and `wait`.
    fn receive_or_wait(&self) -> Received {
        let mut queues = [self.channels[0].lock().unwrap(), self.channels[1].lock().unwrap()];
        if let Some(queue) = queues.iter_mut().find(|queue| queue.buffer > 0) {
            queue.buffer -= 1;
            return Received::AtOnce;
        }
        queues.iter_mut().for_each(|queue| queue.waiting = true);
        let begin = self.state.begin_wait(Kind::Node, 0);
        drop(queues);
        if begin == Begin::Cancelled {
            self.leave();
            return Received::Cancelled;
        }
        Received::Waits
    }

    fn leave(&self) {
        for channel in &self.channels {
            channel.lock().unwrap().waiting = false;
        }
    }

    fn buffered(&self) -> usize {
        self.channels.iter().map(|channel| channel.lock().unwrap().buffer as usize).sum()
    }
}

#[derive(PartialEq)]
enum Received {
    AtOnce,
    Waits,
    Cancelled,
}

#[test]
fn loom_two_senders_serve_a_select_once_and_lose_nothing() {
    loom::model(|| {
        let select = Select::new();
        let senders = [0, 1].map(|arm| {
            let select = select.clone();
            thread::spawn(move || select.send(arm))
        });
        let received = select.receive_or_wait();
        let served = senders.map(|sender| sender.join().unwrap()).iter().filter(|&&served| served).count();
        // Where it waits, somebody came later, and found it.
        assert_eq!(served, usize::from(received == Received::Waits));
        select.leave();
        assert_eq!(select.buffered(), 1);
        assert!(select.served.load(Ordering::Acquire) <= 2, "one arm alone");
    });
}

#[test]
fn loom_a_cancelled_select_has_a_message_or_has_none() {
    loom::model(|| {
        let select = Select::new();
        let sender = {
            let select = select.clone();
            thread::spawn(move || select.send(1))
        };
        let canceller = {
            let select = select.clone();
            thread::spawn(move || select.state.cancel())
        };
        let received = select.receive_or_wait();
        let served = sender.join().unwrap();
        let cancelled = canceller.join().unwrap();
        match received {
            Received::AtOnce => assert!(!served && !cancelled),
            Received::Waits => assert!(served != cancelled, "one of them ends the wait"),
            Received::Cancelled => assert!(!served && !cancelled),
        }
        select.leave();
        let taken = usize::from(served || received == Received::AtOnce);
        assert_eq!(select.buffered() + taken, 1);
    });
}

/// A waiting select with a send arm, and receivers who come upon it.
struct Promise {
    sender: State,
    receiver: State,
    queued: Mutex<bool>,
    /// Set with the partner, when the sender is made to run.
    sender_runs: AtomicUsize,
    /// 1: has its message, 2: is to look again.
    receiver_runs: AtomicUsize,
    slot: UnsafeCell<u32>,
}

#[test]
fn loom_a_promised_message_arrives_and_cancellation_waits_for_it() {
    loom::model(|| {
        let promise = Arc::new(Promise {
            sender: State::new(),
            receiver: State::new(),
            queued: Mutex::new(true),
            sender_runs: AtomicUsize::new(0),
            receiver_runs: AtomicUsize::new(0),
            slot: UnsafeCell::new(0),
        });
        assert_eq!(promise.sender.begin_wait(Kind::Node, 0), Begin::Begun);
        let receiver = {
            let promise = promise.clone();
            thread::spawn(move || {
                let found = std::mem::take(&mut *promise.queued.lock().unwrap());
                if !(found && promise.sender.claim()) {
                    return false;
                }
                // `await_message`: a shielded wait, claimed by its own commit.
                assert_eq!(promise.receiver.begin_wait(Kind::Node, 1), Begin::Begun);
                assert!(promise.receiver.claim());
                promise.sender_runs.store(1, Ordering::Release);
                while promise.receiver_runs.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                promise.slot.with(|slot| {
                    // SAFETY: loom checks it: the sender is done with the slot.
                    assert_eq!(unsafe { *slot }, 7);
                });
                true
            })
        };
        let canceller = {
            let promise = promise.clone();
            thread::spawn(move || (promise.sender.cancel(), promise.receiver.cancel()))
        };
        // The sender: runs when somebody has ended its wait.
        let (sender_cancelled, receiver_claimed) = canceller.join().unwrap();
        assert!(!receiver_claimed, "the receiver's wait is nobody's but the sender's");
        if !sender_cancelled {
            while promise.sender_runs.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            promise.slot.with_mut(|slot| {
                // SAFETY: loom checks it: the receiver waits.
                unsafe { *slot = 7 }
            });
            promise.receiver_runs.store(1, Ordering::Release);
        }
        assert_eq!(receiver.join().unwrap(), !sender_cancelled);
    });
}
