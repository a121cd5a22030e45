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
struct Unwinding;

/// Whether this payload was thrown here.
pub(crate) fn is_ours(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Unwinding>() || region::is_unwinding(payload)
}

/// Under how many shields a wait of the running task or thread begins. It is [`UNWINDING`] while it unwinds, when a
/// second panic would abort the process, and where panics always do.
#[inline]
pub(crate) fn depth(core: &ThreadCore) -> u32 {
    if cfg!(panic = "abort") || std::thread::panicking() { UNWINDING } else { core.shield.get() }
}

/// Whether [`deliver`] would unwind.
pub(crate) fn is_due(core: &ThreadCore) -> bool {
    match depth(core) {
        UNWINDING => false,
        depth => (depth == 0 && core.state.is_cancelled()) || region::outermost_over(core).is_some(),
    }
}

/// Owner only, outside of a wait: unwinds if that is due at this [`depth`].
#[cold]
pub(crate) fn deliver(core: &ThreadCore, depth: u32) {
    if depth == UNWINDING {
        return;
    }
    if depth == 0 && core.state.is_cancelled() {
        resume_unwind(Box::new(Unwinding));
    }
    core.state.take_interrupt();
    if let Some(region) = region::outermost_over(core) {
        core.state.interrupt_self();
        region::unwind_to(region);
    }
}
