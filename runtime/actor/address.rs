//! Where an actor's messages are sent to.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::handle::{Handle, sealed::Sealed};
use super::inner::Inner;
use super::own;
use super::pid::Pid;
use crate::channel::{Forever, Limit, SendError, SendTimeoutError, TrySendError};

/// The address of an actor whose messages are of type `M`. Clones are of the same actor.
///
/// When all addresses of an actor are gone, nobody can send to it any more: it gets the messages that are left, and then
/// learns that there will be none, which ends an actor of [`spawn`](super::spawn). A name in the
/// [registry](super::register), a monitor that the actor has put on another, and a supervisor hold an address. An actor
/// that traps exits keeps one itself.
///
/// Sending works from tasks and from plain OS threads.
pub struct Address<M> {
    // Holds a count of one sender of the channel.
    inner: Arc<Inner<M>>,
}

impl<M: Send + 'static> Address<M> {
    /// Takes over the count of one sender.
    pub(super) fn new(inner: Arc<Inner<M>>) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &Arc<Inner<M>> {
        &self.inner
    }

    /// Sends a message; parks while the mailbox is full. To itself an actor sends without waiting.
    ///
    /// Two actors that send to each other while both mailboxes are full wait for ever: let one of them
    /// [try](Self::try_send), or wait [for some time](Self::send_timeout).
    ///
    /// # Errors
    ///
    /// Gives the message back if the actor has ended, also if it does so meanwhile.
    #[inline]
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        self.send_made(|| message)
    }

    /// Sends the message that `make` returns, and has it made as late as can be: it goes into the mailbox at once, and not
    /// by way of another place on the stack.
    #[inline]
    pub(super) fn send_made(&self, make: impl FnOnce() -> M) -> Result<(), SendError<M>> {
        if own::is(self.inner.id()) {
            return self.inner.channel.force_send(make());
        }
        self.inner.channel.send(make(), Forever).map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message if the mailbox has room; never parks.
    ///
    /// # Errors
    ///
    /// Gives the message back if the mailbox is full or the actor has ended.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.inner.channel.try_send(message).map_err(|error| match error {
            SendTimeoutError::Timeout(message) => TrySendError::Full(message),
            SendTimeoutError::Disconnected(message) => TrySendError::Disconnected(message),
        })
    }

    /// As [`send`](Self::send), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Gives the message back if the time is up, or if the actor has ended.
    pub fn send_timeout(&self, message: M, timeout: Duration) -> Result<(), SendTimeoutError<M>> {
        self.inner.channel.send(message, Limit::After(timeout))
    }

    /// The actor.
    pub fn pid(&self) -> Pid {
        Pid::new(self.inner.clone())
    }

    /// How many messages lie in the mailbox.
    pub fn len(&self) -> usize {
        self.inner.channel.len()
    }

    /// Whether no message lies in the mailbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the mailbox holds before senders wait; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        self.inner.channel.capacity()
    }

    /// An address that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakAddress<M> {
        WeakAddress { inner: self.inner.clone() }
    }
}

impl<M: Send + 'static> Handle for Address<M> {
    fn pid(&self) -> Pid {
        Pid::new(self.inner.clone())
    }
}

impl<M> Sealed for Address<M> {}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        self.inner.channel.add_sender();
        Self { inner: self.inner.clone() }
    }
}

impl<M> Drop for Address<M> {
    fn drop(&mut self) {
        self.inner.channel.drop_sender();
    }
}

/// Whether both are of the same actor.
impl<M> PartialEq for Address<M> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl<M> Eq for Address<M> {}

impl<M> Hash for Address<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.id().hash(state);
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("id", &self.inner.id()).finish_non_exhaustive()
    }
}

/// An [`Address`] that does not keep the mailbox open.
pub struct WeakAddress<M> {
    inner: Arc<Inner<M>>,
}

impl<M: Send + 'static> WeakAddress<M> {
    /// An address, unless all of them are gone.
    pub fn upgrade(&self) -> Option<Address<M>> {
        self.inner.channel.try_add_sender().then(|| Address::new(self.inner.clone()))
    }

    /// The actor.
    pub fn pid(&self) -> Pid {
        Pid::new(self.inner.clone())
    }
}

impl<M> Clone for WeakAddress<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M> fmt::Debug for WeakAddress<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("WeakAddress { .. }")
    }
}
