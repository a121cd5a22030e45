//! A readers-writer lock without its data: taking, waiting, releasing.
//!
//! The [word](super::word) says who holds the lock and whether somebody waits; its file has the table of its states. Those who
//! wait stand in one queue, first come, first served, with the one upgrader, if there is one, ahead of them all.
//!
//! | event | with waiters, under the queue's lock |
//! | --- | --- |
//! | a release | the first of the queue is claimed, if what is left of the holders admits it |
//! | … of a reader or upgradable reader | and then all that follow and may join it, up to the first writer |
//! | a woken waiter finds the lock taken | it queues again, at the front |
//! | a waiter gives up | those whom it held back are let in |
//!
//! A claimed waiter gets the lock *handed over* if the release is fair, or if it has waited for longer than
//! [`PATIENCE`]; otherwise the lock is free, and the waiter tries to take it when it runs. Why not always hand it over:
//! see the file of [`Mutex`](crate::sync::Mutex).
//!
//! A new reader does not pass a writer that waits, so the readers of before run out and the writer gets its turn. It
//! may pass a waiting *upgradable* reader, with which it does not conflict.
//!
//! Rejected: letting woken readers in at once. Where one task writes in a loop, each of its releases would pass the lock
//! to a reader on another worker and wait for it; with the rule above it does so once in a millisecond.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use lock_api::GuardNoSend;

use super::super::patience::{PATIENCE, spin};
use super::word::{Held, Mode, Queued, Taker, Word};
use crate::task::cancel::shield;
use crate::task::park::assert_parking_is_possible;
use crate::task::waiter::{Claimed, End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::AbortOnDrop;
use crate::util::spin::SpinLock;

/// What a waiter tells the holder.
struct Request {
    mode: Mode,
    since: Instant,
}

#[derive(Default)]
struct Queue {
    /// At most one: there is one upgradable reader.
    upgrader: WaitQueue<Request>,
    others: WaitQueue<Request>,
    /// How many queue that end in exclusive access. One that gives up is counted until it has left.
    writers: usize,
}

/// The lock without its data, for [`lock_api`]'s types. See [`RwLock`](crate::sync::RwLock).
pub struct RawRwLock {
    word: Word,
    queue: SpinLock<Queue>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for RawRwLock {}
impl RefUnwindSafe for RawRwLock {}

impl RawRwLock {
    #[cfg(not(fibra_loom))]
    pub(super) const fn new() -> Self {
        let queue = Queue { upgrader: WaitQueue::new(), others: WaitQueue::new(), writers: 0 };
        Self { word: Word::new(), queue: SpinLock::new(queue) }
    }

    /// Takes the lock exclusively; unwinds, without it, if the task is cancelled while it waits.
    #[inline]
    pub(super) fn lock_exclusive_cancellable(&self) -> GuardNoSend {
        checkpoint();
        if !self.word.try_take_free() {
            self.lock_slow(Mode::Exclusive, None);
        }
        GuardNoSend::new()
    }

    /// Takes the lock; unwinds, without it, if the task is cancelled while it waits.
    #[inline]
    pub(super) fn lock_cancellable(&self, mode: Mode) -> GuardNoSend {
        checkpoint();
        if !self.word.try_take(mode, Taker::Newcomer) {
            self.lock_slow(mode, None);
        }
        GuardNoSend::new()
    }

    #[inline]
    pub(super) fn release_exclusive(&self) {
        if !self.word.try_release_exclusive() {
            self.release_slow(Held::EXCLUSIVE, false);
        }
    }

    /// Makes the caller's upgradable hold an exclusive one if there are no readers.
    #[inline]
    pub(super) fn try_upgrade(&self) -> bool {
        // No checkpoint on failure: it may panic, and the guard is in our caller's hands.
        self.word.try_take(Mode::Upgrade, Taker::Newcomer)
    }

    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.word.is_held()
    }

    #[inline]
    pub(super) fn is_held_exclusively(&self) -> bool {
        self.word.is_held_exclusively()
    }

    /// Takes the lock, with cancellation held back while it waits.
    #[inline]
    pub(super) fn lock(&self, mode: Mode) -> GuardNoSend {
        checkpoint();
        if !self.word.try_take(mode, Taker::Newcomer) {
            self.lock_shielded(mode, None);
        }
        GuardNoSend::new()
    }

    #[inline]
    pub(super) fn try_lock(&self, mode: Mode) -> Option<GuardNoSend> {
        let taken = self.word.try_take(mode, Taker::Newcomer);
        if !taken {
            // A loop that tries for ever must not keep the holder from running.
            checkpoint();
        }
        taken.then(GuardNoSend::new)
    }

    #[inline]
    pub(super) fn try_lock_for(&self, mode: Mode, timeout: Duration) -> Option<GuardNoSend> {
        checkpoint();
        // A deadline beyond the clock's range never comes.
        let taken = self.word.try_take(mode, Taker::Newcomer)
            || self.lock_slow(mode, Instant::now().checked_add(timeout));
        taken.then(GuardNoSend::new)
    }

    #[inline]
    pub(super) fn try_lock_until(&self, mode: Mode, deadline: Instant) -> Option<GuardNoSend> {
        checkpoint();
        let taken = self.word.try_take(mode, Taker::Newcomer) || self.lock_slow(mode, Some(deadline));
        taken.then(GuardNoSend::new)
    }

    /// Makes the caller's upgradable hold an exclusive one; false when the deadline has passed. Holds cancellation back:
    /// `lock_api` aborts where an upgrade unwinds inside its `with_upgraded`.
    #[inline]
    pub(super) fn upgrade_until(&self, deadline: Option<Instant>) -> bool {
        /// A refused wait takes the guard's state along.
        struct GiveUp<'a>(&'a RawRwLock);

        impl Drop for GiveUp<'_> {
            fn drop(&mut self) {
                self.0.release(Held::UPGRADABLE, false);
            }
        }

        if self.word.try_take(Mode::Upgrade, Taker::Newcomer) {
            return true;
        }
        let give_up = GiveUp(self);
        let taken = self.lock_shielded(Mode::Upgrade, deadline);
        std::mem::forget(give_up);
        taken
    }

    #[inline]
    pub(super) fn release(&self, held: Held, fair: bool) {
        if !self.word.try_release(held) {
            self.release_slow(held, fair);
        }
    }

    #[inline]
    pub(super) fn bump(&self, held: Held, mode: Mode) {
        // A waiter that we miss now is seen by the release.
        if self.word.has_waiters() {
            let bomb = AbortOnDrop("`bump` could not lock its lock again");
            self.release(held, true);
            if !self.word.try_take(mode, Taker::Newcomer) {
                self.lock_shielded(mode, None);
            }
            std::mem::forget(bomb);
        }
    }

    /// Waits for the lock with cancellation held back; false when the deadline has passed.
    #[cold]
    fn lock_shielded(&self, mode: Mode, deadline: Option<Instant>) -> bool {
        shield(|| self.lock_slow(mode, deadline))
    }

    /// Waits for the lock; false when the deadline has passed. Unwinds, without the lock, if the task is cancelled.
    #[cold]
    fn lock_slow(&self, mode: Mode, deadline: Option<Instant>) -> bool {
        let mut taker = Taker::Newcomer;
        if spin(|| self.word.try_take(mode, taker), || self.word.has_waiters()) {
            return true;
        }
        // Before others can see that we wait: from there on they count on our leaving in order.
        assert_parking_is_possible();
        let node = Waiter::new(Request { mode, since: Instant::now() });
        let mut end = End::Back;
        loop {
            let mut queue = self.queue.lock();
            if !self.word.announce(mode, taker) {
                return true;
            }
            queue.writers += usize::from(mode.is_writer());
            let reason = if mode.is_writer() { Reason::RwLockWrite } else { Reason::RwLockRead };
            let wait = Wait { reason, object: std::ptr::from_ref(self).cast(), deadline };
            let place: fn(&mut Queue) -> &mut WaitQueue<Request> = match mode {
                Mode::Upgrade => |queue| &mut queue.upgrader,
                _ => |queue| &mut queue.others,
            };
            let withdraw = Withdraw(self, mode);
            // SAFETY: the guard is of this lock, `place` is a plain field of its value, and the node has left it on
            // every way out.
            let selected = unsafe { wait_in(&self.queue, queue, place, &node, end, wait) };
            if selected == Selected::Nothing {
                drop(withdraw);
                return self.word.try_take(mode, Taker::Newcomer);
            }
            // Whoever claimed us has counted us out.
            std::mem::forget(withdraw);
            // Served: the lock was taken for us.
            if selected == Selected::Served || self.word.try_take(mode, Taker::First) {
                return true;
            }
            // Somebody was faster, so we keep our place.
            (taker, end) = (Taker::First, End::Front);
        }
    }

    /// Gives up `held` while somebody may wait, and lets those in who can have the lock then.
    #[cold]
    fn release_slow(&self, mut held: Held, fair: bool) {
        let mut joint = false;
        loop {
            let mut queue = self.queue.lock();
            let admits = |mode: Mode| !(joint && mode.is_writer()) && self.word.would_admit(mode, held);
            let first = queue.claim_next(admits);
            let hand_over = |request: &Request| fair || request.since.elapsed() > PATIENCE;
            let heir = first.as_ref().map(Claimed::packet).filter(|r| hand_over(r)).map(|r| r.mode);
            let served = self.word.settle(held, queue.queued(), heir);
            let Some(first) = first else { return };
            let mode = first.packet().mode;
            let wake = first.select(if served { Selected::Served } else { Selected::Retry });
            drop(queue);
            wake.unpark();
            if mode.is_writer() {
                return;
            }
            (held, joint) = (Held::NOTHING, true);
        }
    }
}

/// A waiter of this mode gives up, by its deadline or its cancellation. It has left its queue: it holds back nobody any
/// more.
struct Withdraw<'a>(&'a RawRwLock, Mode);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().writers -= usize::from(self.1.is_writer());
        self.0.release_slow(Held::NOTHING, false);
    }
}

impl Queue {
    /// Claims the first waiter if its mode is wanted.
    fn claim_next(&mut self, wanted: impl Fn(Mode) -> bool) -> Option<Claimed<Request>> {
        let mut claimed = self.upgrader.claim_first_where(|request| wanted(request.mode));
        // Nobody passes the upgrader.
        if claimed.is_none() && self.upgrader.is_empty() {
            claimed = self.others.claim_first_where(|request| wanted(request.mode));
        }
        if let Some(claimed) = &claimed {
            self.writers -= usize::from(claimed.packet().mode.is_writer());
        }
        claimed
    }

    fn queued(&self) -> Queued {
        let anybody = !(self.upgrader.is_empty() && self.others.is_empty());
        Queued { anybody, a_writer: self.writers != 0 }
    }
}
