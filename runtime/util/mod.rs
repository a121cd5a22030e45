//! Building blocks that know nothing of tasks or workers.

pub(crate) mod abort;
pub(crate) mod atomic;
pub(crate) mod rng;
pub(crate) mod slots;
pub(crate) mod spin;

pub(crate) use abort::{AbortOnDrop, abort, report};
