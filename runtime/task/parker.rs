//! Whoever waits, as those see it who may wake it.

use std::ptr::NonNull;

use super::core::{Ended, ThreadCore};

/// A task or an OS thread, as those see it who may wake it. Whoever holds one knows from elsewhere (a node in a
/// queue, an entry in a timer heap) that it is still waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parker(NonNull<ThreadCore>);

// SAFETY: everything reachable through it is `Sync` (see `ThreadCore`), and its methods state what they require.
unsafe impl Send for Parker {}

impl Parker {
    pub(crate) fn new(core: NonNull<ThreadCore>) -> Self {
        Self(core)
    }

    pub(crate) fn core(self) -> NonNull<ThreadCore> {
        self.0
    }

    /// Claims the wait that this parker is in. Of waker, timer and canceller exactly one gets true; only that one must
    /// then call [`unpark`](Self::unpark).
    ///
    /// # Safety
    ///
    /// The parker has begun the wait through which the caller found it, and has not yet cleaned up behind it.
    #[inline]
    pub(crate) unsafe fn claim(self) -> bool {
        // SAFETY: a waiter that has not cleaned up is alive.
        unsafe { self.0.as_ref() }.state.claim()
    }

    /// Lets a claimed parker run. Its stack frame, and the parker itself, may be gone when this returns.
    ///
    /// # Safety
    ///
    /// The caller has claimed the parker, and calls this once.
    #[inline]
    pub(crate) unsafe fn unpark(self) {
        // SAFETY: passed on to our caller.
        unsafe { ThreadCore::end_wait(self.0, Ended::Woken) }
    }
}
