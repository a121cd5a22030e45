//! How others reach a server.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::{GenServer, Letter, Server, WeakServer};
use crate::actor::call::CallError;
use crate::actor::handle::{Handle, sealed::Sealed};
use crate::actor::own;
use crate::actor::pid::Pid;
use crate::actor::reason::ExitReason;
use crate::actor::reply::ReplyTo;
use crate::channel::{SendError, TrySendError};

impl<S: GenServer> Server<S> {
    /// Sends a call, and parks until the answer is there, for five seconds at most. `call` puts the [`ReplyTo`] into the
    /// message: a variant of an enum serves.
    ///
    /// Works from actors, other tasks, and plain OS threads. Costs one allocation.
    ///
    /// # Errors
    ///
    /// [`CallError`]: at once if the server has ended, or ends or drops the `ReplyTo` without an answer; when the time is
    /// up; and at once for a server that calls itself.
    #[inline]
    pub fn call<R: 'static>(&self, call: impl FnOnce(ReplyTo<R>) -> S::Call) -> Result<R, CallError> {
        self.address.call(|reply_to| Letter::Call(call(reply_to)))
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
        call: impl FnOnce(ReplyTo<R>) -> S::Call,
    ) -> Result<R, CallError> {
        self.address.call_timeout(timeout, |reply_to| Letter::Call(call(reply_to)))
    }

    /// Sends a cast, which has no answer. Parks while the mailbox is full; a server casts to itself without waiting.
    ///
    /// # Errors
    ///
    /// Gives the cast back if the server has ended, also if it does so meanwhile.
    #[inline]
    pub fn cast(&self, cast: S::Cast) -> Result<(), SendError<S::Cast>> {
        self.address
            .send_made(|| Letter::Cast(cast))
            .map_err(|SendError(letter)| SendError(letter.into_cast()))
    }

    /// As [`cast`](Self::cast), but never parks.
    ///
    /// # Errors
    ///
    /// Gives the cast back if the mailbox is full or the server has ended.
    pub fn try_cast(&self, cast: S::Cast) -> Result<(), TrySendError<S::Cast>> {
        self.address.try_send(Letter::Cast(cast)).map_err(|error| match error {
            TrySendError::Full(letter) => TrySendError::Full(letter.into_cast()),
            TrySendError::Disconnected(letter) => TrySendError::Disconnected(letter.into_cast()),
        })
    }

    /// Ends the server in good order, as [`Normal`](ExitReason::Normal), after all messages that it has got before; parks
    /// until it has ended, and says why.
    ///
    /// For an end at once, see [`Pid::exit`]; to bound the wait, [`timeout`](crate::timeout()).
    ///
    /// # Panics
    ///
    /// In the server itself, which would wait for its own end: it has [`Context::stop`](super::Context::stop).
    pub fn stop(&self) -> ExitReason {
        let inner = self.address.inner();
        let stops_itself = own::is(inner.id());
        assert!(!stops_itself, "a server that stops itself can't wait for its end: use `Context::stop`");
        // Beyond the bound, for a server with many messages is to stop too. It may have ended.
        let _ = inner.channel.force_send(Letter::Stop);
        self.pid().wait()
    }

    /// The actor.
    pub fn pid(&self) -> Pid {
        self.address.pid()
    }

    /// How many messages wait in the mailbox.
    pub fn len(&self) -> usize {
        self.address.len()
    }

    /// Whether no message waits in the mailbox.
    pub fn is_empty(&self) -> bool {
        self.address.is_empty()
    }

    /// A handle that does not keep the server running.
    pub fn downgrade(&self) -> WeakServer<S> {
        WeakServer { address: self.address.downgrade() }
    }
}

impl<S: GenServer> Letter<S> {
    /// The cast that was put into it.
    #[cold]
    fn into_cast(self) -> S::Cast {
        match self {
            Self::Cast(cast) => cast,
            _ => unreachable!("what was sent comes back"),
        }
    }
}

impl<S: GenServer> WeakServer<S> {
    /// The server, unless all its [`Server`]s are gone.
    pub fn upgrade(&self) -> Option<Server<S>> {
        self.address.upgrade().map(|address| Server { address })
    }

    /// The actor.
    pub fn pid(&self) -> Pid {
        self.address.pid()
    }
}

impl<S: GenServer> Handle for Server<S> {
    fn pid(&self) -> Pid {
        self.address.pid()
    }
}

impl<S: GenServer> Sealed for Server<S> {}

impl<S: GenServer> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone() }
    }
}

/// Whether both are of the same actor.
impl<S: GenServer> PartialEq for Server<S> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<S: GenServer> Eq for Server<S> {}

impl<S: GenServer> Hash for Server<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
    }
}

impl<S: GenServer> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl<S: GenServer> Clone for WeakServer<S> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone() }
    }
}

impl<S: GenServer> fmt::Debug for WeakServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakServer").field("pid", &self.pid()).finish_non_exhaustive()
    }
}
