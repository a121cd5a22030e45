//! A thread's store of cells of one size; see `cells.rs`, which works with it.

use std::cell::Cell;
use std::ptr::NonNull;

/// How many sizes there are.
pub(crate) const SIZES: usize = 8;

/// What an unused cell begins with.
pub(crate) struct Link {
    pub(crate) next: Cell<Option<NonNull<Link>>>,
}

// `loaded` is a list of `count` cells; `spare` is empty or a full chain.
pub(crate) struct CellCache {
    pub(crate) loaded: Cell<Option<NonNull<Link>>>,
    pub(crate) count: Cell<u32>,
    pub(crate) spare: Cell<Option<NonNull<Link>>>,
}

impl CellCache {
    pub(crate) const fn new() -> Self {
        Self { loaded: Cell::new(None), count: Cell::new(0), spare: Cell::new(None) }
    }
}
