//! A stack in its owner's hands: which slot it is, and where the frames begin.

use std::num::NonZeroUsize;

use super::class::{COLOUR_SPAN, Class};

/// One guarded slot, owned.
///
/// It has no destructor: a dropped `Stack` is a slot that nobody can use again.
// Below `base` lies the slot at `place`.
#[derive(Debug)]
#[must_use = "a stack that is not given back is lost"]
pub(crate) struct Stack {
    base: NonZeroUsize,
    pub(super) place: Place,
}

/// Where the depot keeps a slot: class, number of the rack, number of the slot, from the low bits up.
///
/// One word, for a stack is written and read back within a few nanoseconds, and the processor forwards a write to a read
/// of the same width at once; with three fields, lending and giving back took 10 ns instead of 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn new(class: Class, rack: u16, slot: u16) -> Self {
        Self(class.index() as u64 | u64::from(rack) << 16 | u64::from(slot) << 32)
    }

    #[inline]
    pub(super) fn class(self) -> Class {
        Class::from_index(self.0 as u8)
    }

    pub(super) fn rack(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(super) fn slot(self) -> u16 {
        (self.0 >> 32) as u16
    }
}

impl Stack {
    /// The stack on the slot at `place`, which ends at `end`.
    pub(super) fn new(end: usize, place: Place) -> Self {
        let base = NonZeroUsize::new(end - colour(place.slot())).expect("no slot ends at address 0");
        Self { base, place }
    }

    /// Where the first frame goes: the highest address, a multiple of 16.
    #[inline]
    pub(crate) fn base(&self) -> NonZeroUsize {
        self.base
    }

    /// The lowest address, which is the guard's.
    pub(crate) fn limit(&self) -> NonZeroUsize {
        let limit = self.base.get() + colour(self.place.slot()) - self.class().slot_size();
        NonZeroUsize::new(limit).expect("no slot lies at address 0")
    }

    /// What it can be exchanged for.
    #[inline]
    pub(crate) fn class(&self) -> Class {
        self.place.class()
    }
}

/// How far below its slot's end a stack begins: 16 colours, a cache line apart.
fn colour(slot: u16) -> usize {
    const LINE: usize = 64;
    usize::from(slot) * LINE % COLOUR_SPAN
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::*;

    #[test]
    fn a_thousand_stacks_use_all_colours_and_no_slot_twice() {
        let cache = Cache::new();
        let stacks: Vec<_> = (0..1000).map(|_| cache.lend(Class::DEFAULT).unwrap()).collect();
        let mut limits: Vec<_> = stacks.iter().map(|s| s.limit().get()).collect();
        let mut colours = [0; 16];
        for stack in &stacks {
            assert_eq!(stack.base().get() % 16, 0);
            assert_eq!(stack.limit().get() % crate::os::mmap::page_size(), 0);
            let below = stack.limit().get() + Class::DEFAULT.slot_size() - stack.base().get();
            assert!(below < COLOUR_SPAN);
            colours[below / 64] += 1;
        }
        assert!(colours.iter().all(|&n| (40..90).contains(&n)), "uneven: {colours:?}");
        limits.sort_unstable();
        assert!(limits.windows(2).all(|w| w[1] - w[0] >= Class::DEFAULT.slot_size()));
        stacks.into_iter().for_each(|s| cache.give_back(s));
    }

    #[test]
    fn a_stack_is_two_words() {
        assert_eq!(size_of::<Stack>(), 16);
        assert_eq!(size_of::<Option<Stack>>(), 16);
    }
}
