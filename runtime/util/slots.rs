//! Slots with generations: places of one kind that are lent and given back, and never freed.
//!
//! ```text
//! chunks:  [ • | • | • | null … ]        each points to CHUNK places, leaked
//! free:    first ──▶ place ──▶ place     given back last, lent first
//! ```
//!
//! Since a place is never freed, an index that somebody still holds after it was given back leads to valid memory: whoever
//! follows it compares generations there. The memory of a burst stays; it serves the next one.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

const CHUNK: usize = 128;
const CHUNKS: usize = 1 << 15;

/// The index that no place has.
const NONE: u32 = u32::MAX;

/// See the head of this file.
pub(crate) struct Slots<T: 'static> {
    chunks: [AtomicPtr<[Place<T>; CHUNK]>; CHUNKS],
    free: Mutex<Free>,
}

struct Free {
    first: u32,
    /// How many places exist.
    made: usize,
}

struct Place<T> {
    value: T,
    /// The next free place; meaningful while this one is free, and then under the lock.
    next: AtomicU32,
}

impl<T: Default + Sync> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            free: Mutex::new(Free { first: NONE, made: 0 }),
        }
    }

    /// Lends a place; `None` if four million are lent.
    pub(crate) fn lend(&'static self) -> Option<(u32, &'static T)> {
        // Every step leaves the list valid, so a panic of another holder did no harm.
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.first == NONE {
            self.make_chunk(&mut free)?;
        }
        let index = free.first;
        let place = self.place(index)?;
        // Relaxed, as in `give_back`: the lock orders them.
        free.first = place.next.load(Ordering::Relaxed);
        Some((index, &place.value))
    }

    /// Takes back what was lent under this index.
    pub(crate) fn give_back(&'static self, index: u32) {
        let Some(place) = self.place(index) else { return };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        place.next.store(free.first, Ordering::Relaxed);
        free.first = index;
    }

    /// What was lent under this index at some time; none if nothing ever was.
    #[inline]
    pub(crate) fn get(&'static self, index: u32) -> Option<&'static T> {
        self.place(index).map(|place| &place.value)
    }

    /// Everything that was ever lent, and more that may be.
    pub(crate) fn iter(&'static self) -> impl Iterator<Item = &'static T> {
        (0..).map_while(|index| self.get(index))
    }

    #[inline]
    fn place(&'static self, index: u32) -> Option<&'static Place<T>> {
        let index = index as usize;
        // Acquire: pairs with the Release in `make_chunk`; the places are initialised.
        let chunk = self.chunks.get(index / CHUNK)?.load(Ordering::Acquire);
        // SAFETY: a chunk is set once, from a leaked box, and lives for ever.
        let chunk: &'static [Place<T>; CHUNK] = unsafe { chunk.as_ref() }?;
        Some(&chunk[index % CHUNK])
    }

    #[cold]
    fn make_chunk(&self, free: &mut Free) -> Option<()> {
        let slot = self.chunks.get(free.made / CHUNK)?;
        let base = free.made as u32;
        let next = |i: usize| if i + 1 < CHUNK { base + i as u32 + 1 } else { NONE };
        let chunk: Box<[Place<T>]> =
            (0..CHUNK).map(|i| Place { value: T::default(), next: AtomicU32::new(next(i)) }).collect();
        // Release: pairs with the Acquire in `place`.
        slot.store(Box::leak(chunk).as_mut_ptr().cast(), Ordering::Release);
        free.first = base;
        free.made += CHUNK;
        Some(())
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn places_are_distinct_while_lent_and_reused_afterwards() {
        static SLOTS: Slots<AtomicU32> = Slots::new();
        let lent: Vec<u32> = (0..3 * CHUNK).map(|_| SLOTS.lend().unwrap().0).collect();
        assert_eq!(lent.iter().collect::<HashSet<_>>().len(), lent.len());
        for &index in &lent {
            SLOTS.get(index).unwrap().store(index, Ordering::Relaxed);
        }
        assert!(lent.iter().all(|&index| SLOTS.get(index).unwrap().load(Ordering::Relaxed) == index));
        assert!(SLOTS.get(3 * CHUNK as u32).is_none());
        lent.iter().for_each(|&index| SLOTS.give_back(index));
        assert_eq!(SLOTS.lend().unwrap().0, *lent.last().unwrap(), "given back last, lent first");
        (1..3 * CHUNK).for_each(|_| assert!(SLOTS.lend().is_some()));
        assert_eq!(SLOTS.free.lock().unwrap().made, 3 * CHUNK);
    }
}
