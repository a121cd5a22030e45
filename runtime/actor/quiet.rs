//! Foreign code that must not unwind into ours.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code: destructors, and what makes messages of an end. What one throws has been reported by the panic hook,
/// and must not keep others from being told.
pub(super) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        forget_panic(payload);
    }
}

/// Drops a payload, whose destructor might panic in turn: then it is leaked.
pub(super) fn forget_panic(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
