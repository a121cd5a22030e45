//! A semaphore's permits and its queue, first come, first served.
//!
//! ```text
//! 63                  2        1        0
//! | permits available | CLOSED | WAITERS |
//! ```
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | permits − n, no `WAITERS`, no `CLOSED` | one who acquires n at once | compare-and-swap |
//! | permits + n | one who releases or adds | compare-and-swap; if `WAITERS` is set it then serves the queue |
//! | permits − n, `WAITERS` set | the server, for the first of the queue, which it has claimed | under the queue's lock |
//! | `WAITERS` set | one who is about to queue | compare-and-swap under the queue's lock |
//! | `WAITERS` cleared | the server, when the queue is empty | under the queue's lock |
//! | `CLOSED` set | `close`, for good | under the queue's lock |
//!
//! While `WAITERS` is set nobody takes permits but the server; so they pile up until they are enough for the first of the
//! queue, however many others would be content with less. A waiter gets all its permits in one step, by the claim, or
//! none. One that leaves without may have held back smaller requests: it serves the queue on its way out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::error::TryAcquireError;
use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait};
use crate::util::spin::SpinLock;

const WAITERS: usize = 1;
const CLOSED: usize = 1 << 1;
const ONE: usize = 1 << 2;

pub(super) const MAX_PERMITS: usize = usize::MAX >> 3;

/// See the head of this file.
pub(super) struct RawSemaphore {
    word: AtomicUsize,
    queue: SpinLock<WaitQueue<usize>>,
}

impl RawSemaphore {
    pub(super) const fn new(permits: usize) -> Self {
        assert!(permits <= MAX_PERMITS, "a semaphore has no more than `Semaphore::MAX_PERMITS` permits");
        Self { word: AtomicUsize::new(permits * ONE), queue: SpinLock::new(WaitQueue::new()) }
    }

    pub(super) fn available(&self) -> usize {
        self.word.load(Ordering::Relaxed) / ONE
    }

    pub(super) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Adds permits, and serves those who wait for them.
    #[inline]
    pub(super) fn add(&self, n: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if n > MAX_PERMITS - word / ONE {
                refuse(word / ONE, n);
            }
            // Release: pairs with the Acquire of whoever takes these permits next.
            match self.word.compare_exchange_weak(word, word + n * ONE, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if word & WAITERS != 0 => return self.serve(),
                Ok(_) => return,
                Err(actual) => word = actual,
            }
        }
    }

    /// Takes up to `n` of the available permits away, and returns how many.
    pub(super) fn remove(&self, n: usize) -> usize {
        // The lock keeps servers away, who count on it that nobody else takes permits.
        let _queue = self.queue.lock();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let taken = n.min(word / ONE);
            // Acquire: as for any taker.
            match self.word.compare_exchange_weak(
                word,
                word - taken * ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return taken,
                Err(actual) => word = actual,
            }
        }
    }

    /// Turns all away, now and later.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        // Relaxed: it passes nothing on but itself.
        self.word.fetch_or(CLOSED, Ordering::Relaxed);
        let all = queue.claim_all(Selected::Closed);
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
        drop(queue);
        all.unpark();
    }

    /// Takes `n` permits if nobody waits.
    #[inline]
    pub(super) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (WAITERS | CLOSED) != 0 || word / ONE < n {
                return Err(why_not(word));
            }
            // Acquire: pairs with the Release in `add`, which later read-modify-writes of the word pass on.
            match self.word.compare_exchange_weak(word, word - n * ONE, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(actual) => word = actual,
            }
        }
    }

    #[inline]
    pub(super) fn take(&self, n: usize, deadline: Option<Instant>) -> Result<(), TryAcquireError> {
        if self.try_take(n).is_ok() { Ok(()) } else { self.acquire_slow(n, deadline) }
    }

    #[cold]
    fn acquire_slow(&self, n: usize, deadline: Option<Instant>) -> Result<(), TryAcquireError> {
        let queue = self.queue.lock();
        // Sets `WAITERS`, or does without.
        loop {
            match self.try_take(n) {
                Ok(()) => return Ok(()),
                Err(TryAcquireError::Closed) => return Err(TryAcquireError::Closed),
                Err(TryAcquireError::NoPermits) => {}
            }
            let word = self.word.load(Ordering::Relaxed);
            let must_wait = word & CLOSED == 0 && (word & WAITERS != 0 || word / ONE < n);
            // Relaxed: the bit is for those who add later, which the word's own order decides.
            if must_wait
                && self
                    .word
                    .compare_exchange_weak(word, word | WAITERS, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                break;
            }
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
            Selected::Nothing | Selected::Retry => Err(why_not(self.word.load(Ordering::Relaxed))),
        }
    }

    /// Gives permits to those first in the queue for whom there are enough.
    #[cold]
    fn serve(&self) {
        loop {
            let mut queue = self.queue.lock();
            // Acquire: pairs with the Release in `add`: the unpark passes it on to those whom we serve.
            let available = self.word.load(Ordering::Acquire) / ONE;
            let first = queue.claim_first_where(|&n| n <= available);
            // Permits are only added meanwhile: we hold the lock, and nobody takes any while `WAITERS` is set.
            if let Some(first) = &first {
                self.word.fetch_sub(first.packet() * ONE, Ordering::Relaxed);
            }
            if queue.is_empty() {
                self.word.fetch_and(!WAITERS, Ordering::Relaxed);
            }
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

fn why_not(word: usize) -> TryAcquireError {
    if word & CLOSED != 0 { TryAcquireError::Closed } else { TryAcquireError::NoPermits }
}

#[cold]
fn refuse(available: usize, added: usize) -> ! {
    panic!("Semaphore overflow: {available} permits with {added} added exceed `Semaphore::MAX_PERMITS`");
}
