//! Unwinding out of a wait: because the task was cancelled, or to a [region] that is over.
//!
//! What is thrown is a payload of a private type, by `resume_unwind`, so no panic hook runs, and nobody mistakes a
//! cancellation for a panic.

use std::any::Any;
use std::panic::resume_unwind;

use super::core::ThreadCore;
use super::region;
use super::state::UNWINDING;

/// The payload of a cancelled task on its way to the task's root.
struct ToRoot;

/// An unwinding that is due: its payload.
#[must_use = "who meets an unwinding has to begin it"]
pub(crate) struct Unwinding(Box<dyn Any + Send>);

impl Unwinding {
    /// Unwinds. Inlined, as those who call it are: a frame between the throw and the catch costs some 300 ns, and one
    /// that has something to drop twice that.
    #[inline(always)]
    pub(crate) fn unwind(self) -> ! {
        resume_unwind(self.0)
    }
}

/// Whether this payload was thrown here.
pub(crate) fn is_ours(payload: &(dyn Any + Send)) -> bool {
    payload.is::<ToRoot>() || region::is_unwinding(payload)
}

/// Under how many shields a wait of the running task or thread begins. It is [`UNWINDING`] while it unwinds, when a
/// second panic would abort the process, and where panics always do.
#[inline]
pub(crate) fn depth(core: &ThreadCore) -> u32 {
    if cfg!(panic = "abort") || std::thread::panicking() { UNWINDING } else { core.shield.get() }
}

/// Whether an unwinding is [`due`].
pub(crate) fn is_due(core: &ThreadCore) -> bool {
    match depth(core) {
        UNWINDING => false,
        depth => (depth == 0 && core.state.is_cancelled()) || region::outermost_over(core).is_some(),
    }
}

/// Owner only, outside of a wait: the unwinding that is due at this [`depth`].
#[cold]
pub(crate) fn due(core: &ThreadCore, depth: u32) -> Option<Unwinding> {
    if depth == UNWINDING {
        return None;
    }
    if depth == 0 && core.state.is_cancelled() {
        return Some(Unwinding(Box::new(ToRoot)));
    }
    core.state.take_interrupt();
    let region = region::outermost_over(core)?;
    // It is sticky.
    core.state.interrupt_self();
    Some(Unwinding(region.payload()))
}
