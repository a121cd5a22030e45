//! Keeps the books on messages: each is sent or not, received or not, and dropped once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What happened to one message.
#[derive(Default)]
struct Entry {
    sent: AtomicBool,
    received: AtomicUsize,
    dropped: AtomicUsize,
}

/// A message that is known to its [`Ledger`].
pub struct Message(Arc<Entry>);

impl Message {
    /// Its receiver has it.
    pub fn received(self) {
        self.0.received.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a sender keeps of its message.
pub struct Slip(Arc<Entry>);

impl Slip {
    /// Whether the message is not the sender's any more.
    pub fn sent(self, sent: bool) {
        self.0.sent.store(sent, Ordering::SeqCst);
    }
}

/// See the head of this file.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Arc<Entry>>>>);

impl Ledger {
    pub fn new() -> Self {
        Self::default()
    }

    /// A new message, and what its sender keeps of it.
    pub fn make(&self) -> (Message, Slip) {
        let entry = Arc::new(Entry::default());
        self.0.lock().unwrap().push(entry.clone());
        (Message(entry.clone()), Slip(entry))
    }

    /// Sends a new message; an `Ok` says that it is not the sender's any more. False: it was refused.
    pub fn send<E>(&self, send: impl FnOnce(Message) -> Result<(), E>) -> bool {
        let (message, slip) = self.make();
        let sent = send(message).is_ok();
        slip.sent(sent);
        sent
    }

    /// Everything that was sent has been received, and nothing else; nothing is left, nothing was dropped twice.
    pub fn check(&self) {
        for (number, entry) in self.0.lock().unwrap().iter().enumerate() {
            let sent = entry.sent.load(Ordering::SeqCst);
            let received = entry.received.load(Ordering::SeqCst);
            let dropped = entry.dropped.load(Ordering::SeqCst);
            assert_eq!(dropped, 1, "message {number} was dropped {dropped} times");
            assert_eq!(
                received,
                usize::from(sent),
                "message {number}: sent {sent}, received {received} times"
            );
        }
    }
}
