//! Calls: a message, and the wait for its answer.

use std::time::{Duration, Instant};
use std::{error, fmt};

use super::address::Address;
use super::own;
use super::pid::{Pid, Process};
use super::reason::ExitReason;
use super::reply::ReplyTo;
use crate::channel::{Limit, RecvTimeoutError, SendTimeoutError};

/// How long [`call`](Address::call) waits: five seconds, as in Erlang.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call has no answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallError {
    /// The time was up. An answer that comes later is dropped.
    Timeout(Box<CallTimeout>),
    /// The actor that was called has ended, before the call or because of it.
    #[non_exhaustive]
    Exited {
        /// Who was called.
        callee: Pid,
        /// Why it has ended.
        reason: ExitReason,
    },
    /// The actor that was called lives, but has dropped the [`ReplyTo`] without an answer.
    #[non_exhaustive]
    NoReply {
        /// Who was called.
        callee: Pid,
    },
    /// An actor has called itself, and could not answer while it waits.
    #[non_exhaustive]
    CallsItself {
        /// Caller and callee.
        callee: Pid,
    },
}

/// A call that took too long: who waited for whom.
#[derive(Debug, Clone)]
pub struct CallTimeout {
    callee: Pid,
    caller: Option<Pid>,
    waited: Duration,
    accepted: bool,
    /// The actor whose answer the callee was itself waiting for.
    asked: Option<u64>,
}

impl<M: Send + 'static> Address<M> {
    /// Sends a message that asks for an answer, and parks until it is there, for five seconds at most. `message` puts the
    /// [`ReplyTo`] into the message: a variant of an enum serves.
    ///
    /// Works from actors, other tasks, and plain OS threads. Costs an allocation beside the two messages.
    ///
    /// # Errors
    ///
    /// [`CallError`]: at once if the actor has ended, or ends or drops the `ReplyTo` without an answer; when the time is
    /// up; and at once for an actor that calls itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::actor::{self, ReplyTo};
    ///
    /// enum Message {
    ///     Add(u64),
    ///     Get(ReplyTo<u64>),
    /// }
    ///
    /// let counter = actor::spawn(|_| 0, |count: &mut u64, message| match message {
    ///     Message::Add(n) => *count += n,
    ///     Message::Get(reply_to) => reply_to.send(*count),
    /// });
    /// counter.send(Message::Add(2)).unwrap();
    /// counter.send(Message::Add(3)).unwrap();
    /// assert_eq!(counter.call(Message::Get).unwrap(), 5);
    /// ```
    #[inline]
    pub fn call<R: 'static>(&self, message: impl FnOnce(ReplyTo<R>) -> M) -> Result<R, CallError> {
        self.call_timeout(CALL_TIMEOUT, message)
    }

    /// As [`call`](Self::call), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_timeout<R: 'static>(
        &self,
        timeout: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
    ) -> Result<R, CallError> {
        if own::is(self.inner().id()) {
            return Err(CallError::CallsItself { callee: self.pid() });
        }
        let (reply_to, answer) = ReplyTo::new();
        let message = message(reply_to);
        own::asking(self.inner().control(), || {
            let limit = match self.inner().channel.try_send(message) {
                Ok(()) => Limit::After(timeout),
                Err(SendTimeoutError::Timeout(message)) => self.wait_for_room(timeout, message)?,
                Err(SendTimeoutError::Disconnected(_)) => return Err(self.has_ended()),
            };
            answer.recv_within(limit).map_err(|error| self.not_answered(error, timeout))
        })
    }

    /// Sends into a mailbox that is full, and returns until when to wait for the answer.
    #[cold]
    fn wait_for_room(&self, timeout: Duration, message: M) -> Result<Limit, CallError> {
        let limit = Instant::now().checked_add(timeout).map_or(Limit::Never, Limit::At);
        match self.inner().channel.send(message, limit) {
            Ok(()) => Ok(limit),
            Err(SendTimeoutError::Timeout(_)) => Err(self.timed_out(timeout, false)),
            Err(SendTimeoutError::Disconnected(_)) => Err(self.has_ended()),
        }
    }

    #[cold]
    fn not_answered(&self, error: RecvTimeoutError, waited: Duration) -> CallError {
        let callee = self.pid();
        match (callee.exit_reason(), error) {
            (Some(reason), _) => CallError::Exited { callee, reason },
            (None, RecvTimeoutError::Disconnected) => CallError::NoReply { callee },
            (None, RecvTimeoutError::Timeout) => self.timed_out(waited, true),
        }
    }

    /// The mailbox is closed, and so the reason known.
    #[cold]
    fn has_ended(&self) -> CallError {
        let callee = self.pid();
        let reason = callee.exit_reason().unwrap_or(ExitReason::Shutdown);
        CallError::Exited { callee, reason }
    }

    #[cold]
    fn timed_out(&self, waited: Duration, accepted: bool) -> CallError {
        let callee = self.pid();
        let asked = callee.control().asked();
        let caller = own::with(|own| own.pid.clone());
        CallError::Timeout(Box::new(CallTimeout { callee, caller, waited, accepted, asked }))
    }
}

impl CallError {
    /// Who was called.
    pub fn callee(&self) -> &Pid {
        match self {
            Self::Timeout(timeout) => &timeout.callee,
            Self::Exited { callee, .. } | Self::NoReply { callee } | Self::CallsItself { callee } => callee,
        }
    }
}

impl CallTimeout {
    /// Who called; `None` if that was no actor.
    pub fn caller(&self) -> Option<&Pid> {
        self.caller.as_ref()
    }

    /// Who was called.
    pub fn callee(&self) -> &Pid {
        &self.callee
    }

    /// The number of the actor that the callee was itself waiting for in a call, if it was: the caller's, if two actors
    /// call each other.
    pub fn callee_waits_for(&self) -> Option<u64> {
        self.asked
    }

    /// Whether the message came into the mailbox, and was not kept out by others all the time.
    pub fn was_accepted(&self) -> bool {
        self.accepted
    }
}

impl fmt::Display for CallTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { callee, caller, waited, accepted, asked } = self;
        match caller {
            Some(caller) => write!(f, "{caller}")?,
            None => f.write_str("a caller that is no actor")?,
        }
        let what = if *accepted { "an answer of" } else { "room in the mailbox of" };
        write!(f, " waited {waited:?} for {what} {callee}")?;
        match (asked, caller) {
            (Some(asked), Some(caller)) if *asked == caller.id() => {
                write!(f, ", which itself waits for an answer of {caller}: they call each other")
            }
            (Some(asked), _) => write!(f, ", which itself waits for an answer of actor {asked}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Exited { callee, reason } => write!(f, "{callee} has ended: {reason}"),
            Self::NoReply { callee } => write!(f, "{callee} dropped the call without an answer"),
            Self::CallsItself { callee } => {
                write!(f, "{callee} called itself, and can't answer while it waits")
            }
        }
    }
}

impl error::Error for CallError {}

/// For an actor that ends since it has no answer.
impl From<CallError> for ExitReason {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(timeout) => Self::Timeout(timeout.to_string().into()),
            other => Self::failed(other),
        }
    }
}
