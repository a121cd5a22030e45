//! A semaphore's permits and its queue, first come, first served.
//!
//! The [word](super::word) counts the permits and says whether somebody waits; its file has the table of its states.
//!
//! While `WAITERS` is set nobody takes permits but the server; so they pile up until they are enough for the first of the
//! queue, however many others would be content with less. A waiter gets all its permits in one step, by the claim, or
//! none. One that leaves without may have held back smaller requests: it serves the queue on its way out.

use std::time::Instant;

use super::error::TryAcquireError;
use super::word::{Announced, Word};
use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait};
use crate::util::spin::SpinLock;

/// See the head of this file.
pub(super) struct RawSemaphore {
    word: Word,
    queue: SpinLock<WaitQueue<usize>>,
}

impl RawSemaphore {
    #[cfg(not(fibra_loom))]
    pub(super) const fn new(permits: usize) -> Self {
        Self { word: Word::new(permits), queue: SpinLock::new(WaitQueue::new()) }
    }

    #[cfg(fibra_loom)]
    pub(super) fn new(permits: usize) -> Self {
        Self { word: Word::new(permits), queue: SpinLock::new(WaitQueue::new()) }
    }

    pub(super) fn available(&self) -> usize {
        self.word.available()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.word.is_closed()
    }

    /// Adds permits, and serves those who wait for them.
    #[inline]
    pub(super) fn add(&self, n: usize) {
        if self.word.add(n) {
            self.serve();
        }
    }

    /// Takes up to `n` of the available permits away, and returns how many.
    pub(super) fn remove(&self, n: usize) -> usize {
        // The lock keeps servers away, who count on it that nobody else takes permits.
        let _queue = self.queue.lock();
        self.word.remove(n)
    }

    /// Turns all away, now and later.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        self.word.close();
        let all = queue.claim_all(Selected::Closed);
        self.word.settle(true);
        drop(queue);
        all.unpark();
    }

    /// Takes `n` permits if nobody waits.
    #[inline]
    pub(super) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        self.word.try_take(n)
    }

    #[inline]
    pub(super) fn take(&self, n: usize, deadline: Option<Instant>) -> Result<(), TryAcquireError> {
        if self.try_take(n).is_ok() { Ok(()) } else { self.acquire_slow(n, deadline) }
    }

    #[cold]
    fn acquire_slow(&self, n: usize, deadline: Option<Instant>) -> Result<(), TryAcquireError> {
        let queue = self.queue.lock();
        match self.word.announce(n) {
            Announced::Taken => return Ok(()),
            Announced::Closed => return Err(TryAcquireError::Closed),
            Announced::Waiter => {}
        }
        let leave = Leave(self);
        let node = Waiter::new(n);
        let wait = Wait { reason: Reason::Semaphore, object: std::ptr::from_ref(self).cast(), deadline };
        // SAFETY: the guard is of this lock, whose value is the queue; the node is new.
        match unsafe { wait_in(&self.queue, queue, |queue| queue, &node, End::Back, wait) } {
            Selected::Served => {
                std::mem::forget(leave);
                Ok(())
            }
            Selected::Closed => {
                std::mem::forget(leave);
                Err(TryAcquireError::Closed)
            }
            // `leave` serves those behind us.
            Selected::Nothing | Selected::Retry => Err(self.word.why_not()),
        }
    }

    /// Gives permits to those first in the queue for whom there are enough.
    #[cold]
    fn serve(&self) {
        loop {
            let mut queue = self.queue.lock();
            let available = self.word.to_give();
            let first = queue.claim_first_where(|&n| n <= available);
            if let Some(first) = &first {
                self.word.give(*first.packet());
            }
            self.word.settle(queue.is_empty());
            let Some(first) = first else { return };
            let wake = first.select(Selected::Served);
            drop(queue);
            wake.unpark();
        }
    }
}

/// Serves those whom a waiter held back that leaves without its permits.
struct Leave<'a>(&'a RawSemaphore);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}
