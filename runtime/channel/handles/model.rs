//! Models of the end of a channel's senders and of the way back, for loom: the real count, with a mutex for the spin lock.

use super::Handles;
use loom::sync::{Arc, Mutex};
use loom::thread;

struct Channel {
    senders: Handles,
    senders_gone: Mutex<bool>,
}

impl Channel {
    /// With one sender.
    fn new() -> Arc<Self> {
        Arc::new(Self { senders: Handles::one(), senders_gone: Mutex::new(false) })
    }

    fn drop_sender(&self) {
        if self.senders.drop_one() {
            let mut gone = self.senders_gone.lock().unwrap();
            if self.senders.are_gone() {
                *gone = true;
            }
        }
    }

    fn reopen(&self) {
        let mut gone = self.senders_gone.lock().unwrap();
        self.senders.add();
        *gone = false;
    }

    fn gone(&self) -> bool {
        *self.senders_gone.lock().unwrap()
    }

    /// Has a handle for a while.
    fn use_weak(&self) {
        if self.senders.try_add() {
            assert!(!self.gone(), "closed in front of a sender");
            self.drop_sender();
        }
    }
}

#[test]
fn loom_a_reopened_channel_closes_with_its_last_sender() {
    let mut model = loom::model::Builder::new();
    // Without a bound three threads take minutes.
    model.preemption_bound = Some(3);
    model.check(|| {
        let channel = Channel::new();
        let weak = {
            let channel = channel.clone();
            thread::spawn(move || channel.use_weak())
        };
        let last = {
            let channel = channel.clone();
            thread::spawn(move || channel.drop_sender())
        };
        channel.reopen();
        assert!(!channel.gone(), "closed in front of a sender");
        channel.drop_sender();
        weak.join().unwrap();
        last.join().unwrap();
        assert!(channel.senders.are_gone() && channel.gone(), "nobody has closed it");
    });
}

#[test]
fn loom_a_channel_that_is_reopened_again_and_again_stays_open() {
    loom::model(|| {
        let channel = Channel::new();
        let last = {
            let channel = channel.clone();
            thread::spawn(move || channel.drop_sender())
        };
        channel.reopen();
        let other = {
            let channel = channel.clone();
            thread::spawn(move || channel.drop_sender())
        };
        channel.reopen();
        assert!(!channel.gone(), "closed in front of a sender");
        last.join().unwrap();
        other.join().unwrap();
        assert!(!channel.senders.are_gone() && !channel.gone(), "closed in front of a sender");
        assert!(channel.senders.try_add());
    });
}
