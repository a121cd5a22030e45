//! What the handles of both kinds of supervisors consist of.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::message::Message;
use crate::actor::address::Address;
use crate::actor::call::CallError;
use crate::actor::own;
use crate::actor::pid::Exit;
use crate::actor::reason::ExitReason;
use crate::actor::reply::ReplyTo;
use crate::cancel::Token;

/// How long the start of a child that is under way may still take when its supervisor is to end.
pub(super) const START_GRACE: Duration = Duration::from_secs(5);

/// See the head of this file.
#[derive(Clone)]
pub(super) struct Contact {
    pub(super) address: Address<Message>,
    /// The token under which the supervisor runs start functions.
    ///
    /// It is cancelled when the supervisor is to end and has had its time: a start function that hangs would otherwise
    /// keep it from ending. A supervisor that ends already starts nothing any more, and so takes no harm.
    pub(super) starts: Token,
}

impl Contact {
    /// Asks the supervisor, for as long as it takes: it answers between two starts of children.
    pub(super) fn ask<R: 'static>(
        &self,
        message: impl FnOnce(ReplyTo<R>) -> Message,
    ) -> Result<R, CallError> {
        self.address.call_timeout(Duration::MAX, message)
    }

    /// Tells the supervisor to end its children and itself.
    pub(super) fn tell_to_stop(&self) {
        self.address.pid().signal(Exit { from: None, reason: ExitReason::Shutdown });
    }

    /// Has the supervisor end its children and itself, and waits for it.
    pub(super) fn stop(&self) -> ExitReason {
        let pid = self.address.pid();
        assert!(
            !own::is(pid.id()),
            "a supervisor can't wait for its own end: in a start function, return an error instead"
        );
        self.tell_to_stop();
        // Also if this wait is cut short.
        let interrupt = Interrupt(&self.starts);
        pid.wait_timeout(START_GRACE).unwrap_or_else(|| {
            drop(interrupt);
            pid.wait()
        })
    }
}

/// Interrupts the start that is under way when it is dropped.
struct Interrupt<'a>(&'a Token);

impl Drop for Interrupt<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl PartialEq for Contact {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl Eq for Contact {}

impl Hash for Contact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
    }
}
