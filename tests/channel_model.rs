//! Random sequences of operations against the simplest model there is: a `VecDeque` and two counters.

use std::collections::VecDeque;

use fibra::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, unbounded};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Send,
    Receive,
    CloneSender,
    DropSender,
    CloneReceiver,
    DropReceiver,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        20 => Just(Operation::Send),
        18 => Just(Operation::Receive),
        2 => Just(Operation::CloneSender),
        1 => Just(Operation::DropSender),
        2 => Just(Operation::CloneReceiver),
        1 => Just(Operation::DropReceiver),
    ]
}

struct Model {
    capacity: Option<usize>,
    queue: VecDeque<usize>,
    senders: Vec<Sender<Box<usize>>>,
    receivers: Vec<Receiver<Box<usize>>>,
    next: usize,
}

impl Model {
    fn new(capacity: Option<usize>) -> Self {
        let (tx, rx) = capacity.map_or_else(unbounded, bounded);
        Self { capacity, queue: VecDeque::new(), senders: vec![tx], receivers: vec![rx], next: 0 }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Send => self.send(),
            Operation::Receive => self.receive(),
            Operation::CloneSender => self.senders.extend(self.senders.first().cloned()),
            Operation::CloneReceiver => self.receivers.extend(self.receivers.first().cloned()),
            Operation::DropSender => drop(self.senders.pop()),
            Operation::DropReceiver => {
                drop(self.receivers.pop());
                if self.receivers.is_empty() {
                    self.queue.clear();
                }
            }
        }
        let lens = self.senders.iter().map(Sender::len).chain(self.receivers.iter().map(Receiver::len));
        assert!(lens.into_iter().all(|len| len == self.queue.len()));
    }

    fn send(&mut self) {
        let Some(tx) = self.senders.last() else { return };
        let message = self.next;
        self.next += 1;
        let expected = if self.receivers.is_empty() {
            Err(TrySendError::Disconnected(Box::new(message)))
        } else if self.capacity == Some(self.queue.len()) {
            Err(TrySendError::Full(Box::new(message)))
        } else {
            self.queue.push_back(message);
            Ok(())
        };
        assert_eq!(tx.try_send(Box::new(message)), expected);
    }

    fn receive(&mut self) {
        let Some(rx) = self.receivers.last() else { return };
        let expected = self.queue.pop_front().map(Box::new).ok_or(if self.senders.is_empty() {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        });
        assert_eq!(rx.try_recv(), expected);
    }
}

proptest! {
    #[test]
    fn channels_behave_like_the_model(
        capacity in prop_oneof![Just(None), (0usize..9).prop_map(Some)],
        operations in prop::collection::vec(operation(), 1..400),
    ) {
        let mut model = Model::new(capacity);
        operations.into_iter().for_each(|operation| model.apply(operation));
    }
}
