//! What the tests of supervisors need: children that say what happens to them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Once;
use std::time::Duration;

use fibra::actor::{self, Address, ChildSpec, ExitReason, Pid, ReplyTo, SupervisorRef};
use fibra::channel::{self, Receiver, Sender};

use super::support::{OnDrop, PATIENCE};

/// More time than any test takes.
pub const LONG: Duration = Duration::from_secs(3600);

/// Long enough that no shutdown of a child which ends by itself is over before.
pub const PATIENT: actor::Shutdown = actor::Shutdown::Timeout(LONG);

/// What a worker can be told.
pub enum Order {
    /// End for this reason.
    Exit(ExitReason),
    Panic(&'static str),
    Ask(ReplyTo<u64>),
}

/// The events of a test, in the order of their happening.
#[derive(Clone)]
pub struct Events {
    sender: Sender<String>,
    receiver: Receiver<String>,
}

impl Events {
    pub fn new() -> Self {
        let (sender, receiver) = channel::unbounded();
        Self { sender, receiver }
    }

    /// Never parks.
    pub fn say(&self, what: impl Into<String>) {
        self.sender.send(what.into()).unwrap();
    }

    /// Says so when it is dropped.
    pub fn say_at_end(&self, what: impl Into<String>) -> impl Send + 'static {
        let (events, what) = (self.clone(), what.into());
        OnDrop::new(move || events.say(what))
    }

    /// Waits for these events: they and no others are the next ones.
    #[track_caller]
    pub fn expect(&self, expected: &[&str]) {
        let mut seen = Vec::new();
        for _ in expected {
            match self.receiver.recv_timeout(PATIENCE) {
                Ok(event) => seen.push(event),
                Err(_) => panic!("waited in vain for the next of {expected:?}, after {seen:?}"),
            }
        }
        assert_eq!(seen, expected);
    }

    /// These events have happened, and no more.
    #[track_caller]
    pub fn expect_exactly(&self, expected: &[&str]) {
        let seen: Vec<_> = self.receiver.try_iter().collect();
        assert_eq!(seen, expected);
    }

    /// What has happened since the last look.
    pub fn seen(&self) -> Vec<String> {
        self.receiver.try_iter().collect()
    }

    /// A child that says when it starts and when it has ended.
    pub fn worker(&self, id: &'static str) -> ChildSpec<Address<Order>> {
        let events = self.clone();
        ChildSpec::new(id, move || events.spawn(id)).shutdown(PATIENT)
    }

    /// The actor of such a child.
    pub fn spawn(&self, id: &'static str) -> Address<Order> {
        self.say(format!("start {id}"));
        let end = self.say_at_end(format!("end {id}"));
        let builder = actor::Builder::new().name(id.into());
        builder.spawn(|_| end, |_, order| obey(order)).unwrap()
    }
}

/// What a worker does.
pub fn obey(order: Order) {
    match order {
        Order::Exit(reason) => actor::exit(reason),
        Order::Panic(message) => panic!("{message}"),
        Order::Ask(reply_to) => reply_to.send(actor::current().unwrap().id()),
    }
}

/// A crash that leaves no message on stderr.
pub fn crash() -> Order {
    Order::Exit(ExitReason::failed("crashed"))
}

/// Has a worker crash, and waits until it has ended.
pub fn crash_child(supervisor: &SupervisorRef, id: &str) {
    end_child(supervisor, id, crash());
}

/// Has a worker end, and waits until it has ended.
pub fn end_child(supervisor: &SupervisorRef, id: &str, order: Order) {
    let child: Address<Order> = supervisor.child(id).expect("the child runs");
    child.send(order).unwrap();
    child.pid().wait();
}

/// The actor that is this child now.
pub fn pid(supervisor: &SupervisorRef, id: &str) -> Option<Pid> {
    let children = supervisor.children().unwrap();
    children.into_iter().find(|child| child.id == id).unwrap_or_else(|| panic!("no child {id}")).pid
}

/// Has panics with messages that begin with "expected" leave nothing on stderr.
pub fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|message| message.starts_with("expected")) {
                hook(info);
            }
        }));
    });
}
