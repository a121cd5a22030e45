//! What a task and an OS thread have in common: an identity, a state word, and a way to make it run again.
//!
//! A [`ThreadCore`] is the first field of a task's [`Header`](super::header::Header) and of an OS thread's parker, so
//! one thin pointer serves both, and everything that wakes works on either.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::state::State;
use crate::util::abort;

/// How a wait ended. The claimer writes it between its claim and making the waiter run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Woken,
    TimedOut,
    Cancelled,
}

/// How a park ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Woken,
    TimedOut,
}

/// A function on a core, called by the contract of the field that holds it.
pub(crate) type CoreFn = unsafe fn(NonNull<ThreadCore>);

/// See the head of this file.
#[repr(C)]
pub(crate) struct ThreadCore {
    pub(crate) state: State,
    refs: AtomicU32,
    /// Makes a claimed waiter run. It may run, finish and be freed at once: nothing of it may be touched afterwards.
    schedule: CoreFn,
    /// Frees the allocation that begins with the core; called when the last reference is gone.
    free: CoreFn,
    pub(crate) name: Option<Box<str>>,
    pub(crate) id: NonZeroU64,
    /// The core begins a task's header, and no OS thread's parker.
    pub(crate) is_task: bool,
    /// Written by the owner (before a wait begins) and by the one claimer of that wait, never at the same time.
    pub(crate) ended: Cell<Ended>,
    /// The innermost [`Region`](super::region::Region) that ends waits early; null without one. The owner's alone.
    pub(crate) region: Cell<*const ()>,
    /// While this is above 0 no cancellation is delivered. The owner's alone.
    pub(crate) shield: Cell<u32>,
    /// How many regions have been entered. The owner's alone.
    pub(crate) entered: Cell<u32>,
}

// SAFETY: `state` and `refs` are atomics; the plain fields don't change, but for `ended`, which changes hands with the
// claim, and for those that only the owner touches (see the fields).
unsafe impl Sync for ThreadCore {}

impl ThreadCore {
    #[inline(always)]
    pub(crate) fn new(
        schedule: CoreFn,
        free: CoreFn,
        refs: u32,
        id: NonZeroU64,
        name: Option<Box<str>>,
        is_task: bool,
    ) -> Self {
        Self {
            state: State::new(),
            refs: AtomicU32::new(refs),
            schedule,
            free,
            id,
            name,
            is_task,
            ended: Cell::new(Ended::Woken),
            region: Cell::new(ptr::null()),
            shield: Cell::new(0),
            entered: Cell::new(0),
        }
    }

    /// One more reference. The caller has one.
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference is made from one that exists, as in `Arc`.
        if self.refs.fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
            abort("too many references to a task or thread");
        }
    }

    /// One reference less; frees the allocation with the last.
    ///
    /// # Safety
    ///
    /// The caller owns a reference, which is gone now.
    pub(crate) unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the caller's reference keeps the allocation alive.
        let core = unsafe { this.as_ref() };
        // The only reference can't be copied behind our back, so a plain load saves the read-modify-write.
        // Acquire: pairs with the Release below; the other owners' last uses happened before we free.
        if core.refs.load(Ordering::Acquire) != 1 {
            // Release: pairs with the Acquire above and the fence below.
            if core.refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: that was the last reference.
        unsafe { (core.free)(this) }
    }

    /// Ends a wait that the caller has claimed.
    ///
    /// # Safety
    ///
    /// The caller has claimed the current wait of `this`, and calls this once. The waiter may be gone afterwards.
    pub(crate) unsafe fn end_wait(this: NonNull<Self>, ended: Ended) {
        // SAFETY: a claimed waiter can't run, so it can't end either, before `schedule` below.
        let core = unsafe { this.as_ref() };
        core.ended.set(ended);
        // SAFETY: the caller passes its claim on.
        unsafe { (core.schedule)(this) }
    }
}

/// A counted reference to a [`ThreadCore`].
pub(crate) struct CoreRef(NonNull<ThreadCore>);

// SAFETY: all that a `CoreRef` gives access to is `Sync`, and the count is atomic.
unsafe impl Send for CoreRef {}
// SAFETY: as above.
unsafe impl Sync for CoreRef {}

impl CoreRef {
    /// Takes over a reference that the caller owns.
    ///
    /// # Safety
    ///
    /// The caller owns one reference to `core` and gives it away here.
    pub(crate) unsafe fn from_owned(core: NonNull<ThreadCore>) -> Self {
        Self(core)
    }

    /// Makes a reference of its own. The pointer reaches the whole allocation, not only the core.
    ///
    /// # Safety
    ///
    /// `core` is alive.
    pub(crate) unsafe fn from_borrowed(core: NonNull<ThreadCore>) -> Self {
        // SAFETY: by the contract.
        unsafe { core.as_ref() }.retain();
        Self(core)
    }

    pub(crate) fn as_ptr(&self) -> NonNull<ThreadCore> {
        self.0
    }

    /// Gives the user's park token to the task or thread.
    pub(crate) fn unpark(&self) {
        if self.state.unpark() {
            // SAFETY: `unpark` has claimed the wait for us.
            unsafe { ThreadCore::end_wait(self.0, Ended::Woken) }
        }
    }

    /// Asks the task to unwind at its current or next wait.
    pub(crate) fn cancel(&self) {
        if self.state.cancel() {
            // SAFETY: `cancel` has claimed the wait for us.
            unsafe { ThreadCore::end_wait(self.0, Ended::Cancelled) }
        }
    }
}

impl std::ops::Deref for CoreRef {
    type Target = ThreadCore;

    fn deref(&self) -> &ThreadCore {
        // SAFETY: the counted reference keeps the allocation alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CoreRef {
    fn clone(&self) -> Self {
        // SAFETY: our own reference keeps it alive.
        unsafe { Self::from_borrowed(self.0) }
    }
}

impl Drop for CoreRef {
    fn drop(&mut self) {
        // SAFETY: this value owns one reference.
        unsafe { ThreadCore::release(self.0) }
    }
}
