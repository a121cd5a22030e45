//! Ending an actor: the one that runs, from anywhere in its code, and others by a signal.

use std::any::Any;
use std::panic::resume_unwind;

use super::own;
use super::pid::{Exit, Pid};
use super::reason::ExitReason;

/// The payload of an actor that ends itself, on its way to the actor's root.
struct Exiting(ExitReason);

/// Ends the calling actor for this reason: it unwinds to its root, so that destructors run, without a panic's message.
///
/// A panic ends an actor as well, and says more.
///
/// # Panics
///
/// If no actor runs here, as on a plain thread or in a task that an actor has spawned.
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, ExitReason};
///
/// let actor = actor::spawn(|_| 0, |sum: &mut u32, number: Option<u32>| match number {
///     Some(number) => *sum += number,
///     None => actor::exit(ExitReason::failed("a number is missing")),
/// });
/// actor.send(None).unwrap();
/// assert_eq!(actor.pid().wait(), ExitReason::failed("a number is missing"));
/// ```
pub fn exit(reason: ExitReason) -> ! {
    assert!(own::with(|_| ()).is_some(), "`actor::exit` ends the running actor, and here runs none");
    resume_unwind(Box::new(Exiting(reason)))
}

impl Pid {
    /// Sends an exit signal, as Erlang's `exit/2`: the actor unwinds at its current or next park, and so ends for this
    /// reason. Never parks, and does not wait: [`wait`](Self::wait) does that.
    ///
    /// An actor that [traps exits](super::Mailbox::trap_exits) gets a message instead, which says who asks. Otherwise the
    /// reason [`Normal`](ExitReason::Normal) is ignored. [`Killed`](ExitReason::Killed) is what [`kill`](Self::kill) does.
    pub fn exit(&self, reason: ExitReason) {
        if reason == ExitReason::Killed {
            return self.kill();
        }
        self.signal(Exit { from: own::with(|own| own.pid.clone()), reason });
    }
}

/// Why the actor ended that unwound with this payload; `None` if it was cancelled.
pub(super) fn reason_of(payload: &(dyn Any + Send)) -> Option<ExitReason> {
    if let Some(Exiting(reason)) = payload.downcast_ref() {
        return Some(reason.clone());
    }
    if crate::task::cancel::is_cancellation(payload) {
        return None;
    }
    Some(ExitReason::of_panic(payload))
}
