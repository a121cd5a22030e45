//! The sizes that stacks come in.
//!
//! ```text
//! class    0       1       2 (default)   3     …   20
//! slot     64 KiB  128 KiB 256 KiB       512 KiB   64 GiB    plus one page each
//! usable   35 KiB  99 KiB  227 KiB       483 KiB   64 GiB    with pages of 4 KiB
//! ```
//!
//! Powers of two, so that few classes serve every size; nothing is lost by rounding up, for untouched pages are free.
//! The page on top makes the distance between slots an odd number of pages; see the head of this layer.

use super::error::{self, StackError};
use super::guard;
use crate::os::mmap::page_size;

/// No stack begins this far below its slot's end.
pub(super) const COLOUR_SPAN: usize = 1024;

/// A size of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// How many classes there are.
    pub(super) const COUNT: usize = 21;

    /// What a task gets that asks for nothing.
    pub(crate) const DEFAULT: Self = Self(2);

    /// The least class of which `usable` bytes can be used.
    pub(crate) fn for_size(usable: usize) -> Result<Self, StackError> {
        if !(error::MIN_SIZE..=error::MAX_SIZE).contains(&usable) {
            return Err(StackError::Size { asked: usable });
        }
        let fits = Self::all().find(|class| class.usable() >= usable);
        fits.ok_or(StackError::Size { asked: usable })
    }

    /// All of them, the smallest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(|index| Self(index as u8))
    }

    /// The class number `index`.
    pub(super) fn from_index(index: u8) -> Self {
        debug_assert!(usize::from(index) < Self::COUNT);
        Self(index)
    }

    /// This class's number, less than [`COUNT`](Self::COUNT).
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// How many bytes a task can use: what its frames may take, and a little less than is there.
    pub(crate) fn usable(self) -> usize {
        self.slot_size() - guard::size() - COLOUR_SPAN
    }

    /// The distance between two slots, guard included.
    #[inline]
    pub(super) fn slot_size(self) -> usize {
        (64 << 10 << self.0) + page_size()
    }

    /// How many stacks a worker keeps for itself: 64, but not more than 16 MiB if they were all used up, since no trim
    /// reaches them there.
    pub(super) fn cached(self) -> usize {
        (256 >> self.0).clamp(1, 64)
    }

    /// How many raw slots are guarded at once: those that share a page of page table, at most 8.
    pub(super) fn fresh_batch(self) -> usize {
        (32 >> self.0).clamp(1, 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_rounded_up_to_a_class_that_holds_it() {
        for size in [error::MIN_SIZE, 20_000, 64 << 10, 224 << 10, 8 << 20, 1 << 30, error::MAX_SIZE] {
            let class = Class::for_size(size).unwrap();
            assert!(class.usable() >= size, "{size} is more than {}", class.usable());
            if class.0 > 0 {
                assert!(Class(class.0 - 1).usable() < size, "{size} fits a smaller class");
            }
        }
        assert_eq!(Class::for_size(Class::DEFAULT.usable()).unwrap(), Class::DEFAULT);
        assert_eq!(Class::for_size(Class::DEFAULT.usable() + 1).unwrap(), Class(3));
    }

    #[test]
    fn slots_are_an_odd_number_of_pages_apart() {
        for class in Class::all() {
            assert_eq!(class.slot_size() % page_size(), 0);
            assert_eq!(class.slot_size() / page_size() % 2, 1);
        }
    }

    #[test]
    fn a_size_out_of_range_is_an_error_that_names_it_and_the_range() {
        for size in [0, 3, error::MIN_SIZE - 1, error::MAX_SIZE + 1, 1 << 40, usize::MAX] {
            let text = Class::for_size(size).unwrap_err().to_string();
            assert!(text.contains(&format!("{size} bytes")), "{text}");
            assert!(text.contains("16384") && text.contains("34359738368"), "{text}");
        }
    }
}
