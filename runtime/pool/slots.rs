//! The items of a map, each of which becomes its result where it lies.
//!
//! | a slot holds | from | until |
//! | --- | --- | --- |
//! | an item | the beginning | its index is claimed |
//! | nothing | `f` is called with the item | `f` has returned; for good if it unwinds |
//! | a result | `f` has returned | the caller takes it |
//!
//! So whatever happens, each item and each result is dropped once: by `f`, or with the slots.

use std::cell::UnsafeCell;
use std::mem;

use crate::util::abort;

enum Slot<T, R> {
    Item(T),
    Nothing,
    Result(R),
}

/// See the head of this file.
pub(super) struct Slots<T, R>(Vec<UnsafeCell<Slot<T, R>>>);

// SAFETY: a shared reference gives access to slots through `fill` alone, each to one caller; items go to other threads
// and results come from there.
unsafe impl<T: Send, R: Send> Sync for Slots<T, R> {}

impl<T, R> Slots<T, R> {
    pub(super) fn collect(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().map(|item| UnsafeCell::new(Slot::Item(item))).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Calls `f` with the item and keeps the result.
    ///
    /// # Safety
    ///
    /// Called at most once with this index, which is below the length.
    pub(super) unsafe fn fill(&self, index: usize, f: impl FnOnce(T) -> R) {
        // SAFETY: by the contract nobody else uses this slot while the slots are shared.
        let slot = unsafe { &mut *self.0[index].get() };
        let Slot::Item(item) = mem::replace(slot, Slot::Nothing) else { abort("an item was claimed twice") };
        *slot = Slot::Result(f(item));
    }

    /// The results, all of which are there.
    pub(super) fn into_results(self) -> Vec<R> {
        // Not collected in place, which would keep the memory of the items for the results' life.
        let mut results = Vec::with_capacity(self.len());
        results.extend(self.0.into_iter().map(|slot| match slot.into_inner() {
            Slot::Result(result) => result,
            _ => abort("a map has ended without all its results"),
        }));
        results
    }
}
