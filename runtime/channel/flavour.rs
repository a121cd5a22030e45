//! The two kinds of channel behind one pair of handles: bounded and unbounded differ in their buffer alone.
//!
//! Rejected: a trait object. The compiler can't look through it, and the fast path of a send is shorter than the call.

use std::ops::Deref;
use std::sync::Arc;

use super::arm::{Arm, Token};
use super::core::Channel;
use super::error::{RecvTimeoutError, SendError, SendTimeoutError};
use super::limit::Until;
use super::ring::Ring;
use super::segments::Segments;
use super::sides::{RecvSide, SendSide};

/// A reference to a channel.
pub(crate) enum Flavour<T> {
    Bounded(Arc<Line<Channel<T, Ring<T>>>>),
    Unbounded(Arc<Line<Channel<T, Segments<T>>>>),
}

/// Begins with a cache line: what the two ends contend for lies in as few as can be.
#[repr(align(64))]
pub(crate) struct Line<C>(C);

impl<C> Deref for Line<C> {
    type Target = C;

    #[inline(always)]
    fn deref(&self) -> &C {
        &self.0
    }
}

/// Evaluates `$body` with the channel of either kind as `$channel`.
macro_rules! with_channel {
    ($flavour:expr, $channel:ident => $body:expr) => {
        match $flavour {
            Flavour::Bounded($channel) => $body,
            Flavour::Unbounded($channel) => $body,
        }
    };
}

impl<T> Flavour<T> {
    pub(crate) fn bounded(capacity: usize) -> Self {
        Self::Bounded(Arc::new(Line(Channel::new(Ring::new(capacity), Some(capacity)))))
    }

    pub(crate) fn unbounded() -> Self {
        Self::Unbounded(Arc::new(Line(Channel::new(Segments::default(), None))))
    }

    /// Another reference; the caller counts it as a sender or a receiver.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Bounded(channel) => Self::Bounded(channel.clone()),
            Self::Unbounded(channel) => Self::Unbounded(channel.clone()),
        }
    }

    #[inline]
    pub(crate) fn send<L: Until>(&self, message: T, limit: L) -> Result<(), SendTimeoutError<T>> {
        with_channel!(self, channel => channel.send(message, limit))
    }

    #[inline]
    pub(crate) fn try_send(&self, message: T) -> Result<(), SendTimeoutError<T>> {
        with_channel!(self, channel => channel.try_send(message))
    }

    #[inline]
    pub(crate) fn recv<L: Until>(&self, limit: L) -> Result<T, RecvTimeoutError> {
        with_channel!(self, channel => channel.recv(limit))
    }

    #[inline]
    pub(crate) fn try_recv(&self) -> Result<T, RecvTimeoutError> {
        with_channel!(self, channel => channel.try_recv())
    }

    pub(crate) fn recv_arm(&self) -> &dyn Arm {
        with_channel!(self, channel => RecvSide::of(channel))
    }

    pub(crate) fn send_arm(&self) -> &dyn Arm {
        with_channel!(self, channel => SendSide::of(channel))
    }

    /// # Safety
    ///
    /// The token comes from [`send_arm`](Self::send_arm) of this channel, and is used for nothing else.
    #[inline]
    pub(crate) unsafe fn complete_send(&self, token: Token, message: T) -> Result<(), SendError<T>> {
        // SAFETY: passed on.
        with_channel!(self, channel => unsafe { SendSide::of(channel).complete_send(token, message) })
    }

    pub(crate) fn len(&self) -> usize {
        with_channel!(self, channel => channel.len())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.capacity() == Some(self.len())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        with_channel!(self, channel => channel.capacity())
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bounded(a), Self::Bounded(b)) => Arc::ptr_eq(a, b),
            (Self::Unbounded(a), Self::Unbounded(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(crate) fn has_receivers(&self) -> bool {
        with_channel!(self, channel => channel.has_receivers())
    }

    pub(crate) fn add_sender(&self) {
        with_channel!(self, channel => channel.add_sender());
    }

    pub(crate) fn add_receiver(&self) {
        with_channel!(self, channel => channel.add_receiver());
    }

    pub(crate) fn drop_sender(&self) {
        with_channel!(self, channel => channel.drop_sender());
    }

    pub(crate) fn drop_receiver(&self) {
        with_channel!(self, channel => channel.drop_receiver());
    }
}
