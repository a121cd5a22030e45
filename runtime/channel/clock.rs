//! Receivers whose messages the clock makes: one at a moment ([`at`](super::at), [`after`](super::after)), or one at each
//! interval ([`tick`](super::tick)).
//!
//! They have no queue. Who waits on one sleeps until its next message is due, and looks who was first; a select takes
//! the moment into its deadline. So they cost no timer and no task before somebody waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arm::{Arm, Poll, Token};
use super::error::RecvTimeoutError;
use super::limit::{Limit, Until};
use super::packet::{Node, Role, Wakes};
use crate::task::{Reason, Wait, checkpoint, park};
use crate::util::spin::{RawSpin, SpinLock};

/// See the head of this file.
pub(crate) struct Clock<T> {
    kind: Kind,
    /// `T` is always `Instant`: only who makes the receiver knows it.
    message: fn(Instant) -> T,
}

enum Kind {
    /// One message.
    At { when: Instant, received: AtomicBool },
    /// One message at a time: the next is due a period after the last was, or was received if that was late.
    Tick { due: SpinLock<Instant>, period: Duration },
}

impl Clock<Instant> {
    pub(crate) fn at(when: Instant) -> Self {
        Self { kind: Kind::At { when, received: AtomicBool::new(false) }, message: |when| when }
    }

    pub(crate) fn tick(first: Instant, period: Duration) -> Self {
        Self { kind: Kind::Tick { due: SpinLock::new(first), period }, message: |when| when }
    }
}

impl<T> Clock<T> {
    /// When the next message is due; `None` if none will be.
    fn due(&self) -> Option<Instant> {
        match &self.kind {
            // Relaxed: a flag without data; whoever takes it late looks again in `try_recv`.
            Kind::At { received, .. } if received.load(Ordering::Relaxed) => None,
            Kind::At { when, .. } => Some(*when),
            Kind::Tick { due, .. } => Some(*due.lock()),
        }
    }

    /// Takes the message that is due. `waited_for` is the one that the caller has slept for: it counts from when it was
    /// due, not from when the caller woke.
    fn take(&self, waited_for: Option<Instant>) -> Option<T> {
        let now = Instant::now();
        match &self.kind {
            // Relaxed: a flag without data, which one receiver gets.
            Kind::At { when, received } => {
                (now >= *when && !received.swap(true, Ordering::Relaxed)).then(|| (self.message)(*when))
            }
            Kind::Tick { due, period } => {
                let mut due = due.lock();
                let when = *due;
                if now < when {
                    return None;
                }
                let from = if waited_for == Some(when) { when } else { now };
                // Beyond the clock's range there is no further message; a far moment is as good.
                *due = from.checked_add(*period).unwrap_or_else(|| far(now));
                drop(due);
                Some((self.message)(when))
            }
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, RecvTimeoutError> {
        self.take(None).ok_or(RecvTimeoutError::Timeout).inspect_err(|_| checkpoint())
    }

    pub(crate) fn recv(&self, mut limit: Limit) -> Result<T, RecvTimeoutError> {
        checkpoint();
        let mut waited_for = None;
        loop {
            if let Some(message) = self.take(waited_for) {
                return Ok(message);
            }
            let limit = limit.fix().ok_or(RecvTimeoutError::Timeout)?;
            if limit.is_some_and(|limit| limit <= Instant::now()) {
                return Err(RecvTimeoutError::Timeout);
            }
            let due = self.due();
            let deadline = [limit, due].into_iter().flatten().min();
            park(
                Wait { reason: Reason::ChannelReceive, object: std::ptr::from_ref(self).cast(), deadline },
                || true,
            );
            waited_for = due;
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.due().is_some_and(|due| due <= Instant::now()))
    }
}

/// A moment that nobody lives to see and the clock can still name.
fn far(now: Instant) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now.checked_add(CENTURY).unwrap_or(now)
}

// SAFETY: it has no lock and no queue.
unsafe impl<T> Arm for Clock<T> {
    fn lock(&self) -> Option<&RawSpin> {
        None
    }

    fn deadline(&self) -> Option<Instant> {
        self.due()
    }

    fn role(&self) -> Role {
        Role::Look
    }

    unsafe fn poll(&self, slot: *mut (), _wakes: &mut Wakes) -> Poll {
        match self.take(None) {
            Some(message) => {
                // SAFETY: by the contract the slot is empty and fits.
                unsafe { slot.cast::<T>().write(message) };
                Poll::Ready(Token::Message)
            }
            None => Poll::Pending,
        }
    }

    unsafe fn is_ready(&self) -> bool {
        self.len() > 0
    }

    unsafe fn enqueue(&self, _node: &Node) {}

    unsafe fn dequeue(&self, _node: &Node) {}

    unsafe fn abort(&self, _token: Token) {}
}
