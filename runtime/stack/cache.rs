//! A worker's own few stacks, the hottest on top.
//!
//! ```text
//! give_back ─▶ | hot |  …  | cold |      at most 64 of a class
//!      lend ◀─ |                   ◀──── refilled from the depot when empty
//!                          └───────────▶ the colder half goes to the depot when full
//! ```
//!
//! Half and half, so that a worker that lends and returns around either end does not go to the depot each time.

use std::cell::UnsafeCell;

use super::class::Class;
use super::depot;
use super::error::StackError;
use super::slot::Stack;

/// See the head of this file. Belongs to one thread: it is not `Sync`.
// A bin's capacity is 0 until its class is first given back or lent, then `Class::cached`.
pub(crate) struct Cache {
    bins: [UnsafeCell<Vec<Stack>>; Class::COUNT],
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self { bins: [const { UnsafeCell::new(Vec::new()) }; Class::COUNT] }
    }

    /// A stack, the one given back last if there is one.
    #[inline]
    pub(crate) fn lend(&self, class: Class) -> Result<Stack, StackError> {
        // SAFETY: the reference ends before anything else here runs.
        match unsafe { self.bin(class) }.pop() {
            Some(stack) => Ok(stack),
            None => self.lend_slow(class),
        }
    }

    /// Takes a stack back on which nothing lives any more.
    #[inline]
    pub(crate) fn give_back(&self, stack: Stack) {
        // SAFETY: the reference ends before anything else here runs.
        let bin = unsafe { self.bin(stack.class()) };
        if bin.len() < bin.capacity() {
            bin.push(stack);
        } else {
            self.give_back_slow(stack);
        }
    }

    /// Hands everything to the depot, where others can have it and trimming can reach it.
    pub(crate) fn flush(&self) {
        for class in Class::all() {
            // SAFETY: the depot calls nothing that could come back to this cache.
            let bin = unsafe { self.bin(class) };
            if !bin.is_empty() {
                depot::put_back(class, bin.drain(..));
            }
        }
    }

    #[cold]
    fn lend_slow(&self, class: Class) -> Result<Stack, StackError> {
        // SAFETY: the depot calls nothing that could come back to this cache.
        let bin = unsafe { self.bin(class) };
        bin.reserve_exact(class.cached());
        depot::refill(class, bin)
    }

    #[cold]
    fn give_back_slow(&self, stack: Stack) {
        // SAFETY: the depot calls nothing that could come back to this cache.
        let bin = unsafe { self.bin(stack.class()) };
        if bin.capacity() == 0 {
            bin.reserve_exact(stack.class().cached());
        } else {
            depot::put_back(stack.class(), bin.drain(..bin.len().div_ceil(2)));
        }
        bin.push(stack);
    }

    /// The stacks of one class.
    ///
    /// # Safety
    ///
    /// No other reference to them is in use. There is one thread, so that is a matter of the functions in this file.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    unsafe fn bin(&self, class: Class) -> &mut Vec<Stack> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.bins[class.index()].get() }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A stack for a thread that has no cache.
pub(crate) fn lend(class: Class) -> Result<Stack, StackError> {
    Cache::new().lend(class)
}

/// Takes a stack back from a thread that has no cache.
pub(crate) fn give_back(stack: Stack) {
    depot::put_back(stack.class(), std::iter::once(stack));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{in_child, is_child};
    use super::*;

    #[test]
    fn the_stack_given_back_last_is_lent_first() {
        let cache = Cache::new();
        let [a, b] = [0; 2].map(|_| cache.lend(Class::DEFAULT).unwrap());
        let (base_a, base_b) = (a.base(), b.base());
        cache.give_back(a);
        cache.give_back(b);
        let [b, a] = [0; 2].map(|_| cache.lend(Class::DEFAULT).unwrap());
        assert_eq!((a.base(), b.base()), (base_a, base_b));
        cache.give_back(a);
        cache.give_back(b);
    }

    #[test]
    fn a_cache_keeps_no_more_than_its_class_allows() {
        for class in [Class::DEFAULT, Class::for_size(1 << 20).unwrap(), Class::for_size(8 << 20).unwrap()] {
            let cache = Cache::new();
            let stacks: Vec<_> = (0..150).map(|_| cache.lend(class).unwrap()).collect();
            for stack in stacks {
                cache.give_back(stack);
                // SAFETY: nothing else uses the cache.
                assert!(unsafe { cache.bin(class) }.len() <= class.cached());
            }
        }
    }

    #[test]
    fn a_dropped_cache_loses_no_stack() {
        if !is_child() {
            let name = "stack::cache::tests::a_dropped_cache_loses_no_stack";
            assert!(in_child(name, |_| {}).status.success());
            return;
        }
        let mut bases = Vec::new();
        for _ in 0..2 {
            let cache = Cache::new();
            let lent: Vec<_> = (0..500).map(|_| cache.lend(Class::DEFAULT).unwrap()).collect();
            bases.push(lent.iter().map(|s| s.base()).collect::<std::collections::BTreeSet<_>>());
            lent.into_iter().for_each(|s| cache.give_back(s));
        }
        assert_eq!(bases[0].intersection(&bases[1]).count(), 500);
    }

    #[test]
    fn stress_no_slot_is_lent_twice() {
        use std::sync::atomic::{AtomicU8, Ordering};
        const THREADS: usize = 4;
        std::thread::scope(|scope| {
            for seed in 0..THREADS {
                scope.spawn(move || {
                    let cache = Cache::new();
                    let mut lent = Vec::new();
                    let mut random = seed as u32 + 1;
                    for round in 0..20_000 {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        if random >> 31 == 0 || lent.is_empty() {
                            let stack = cache.lend(Class::DEFAULT).unwrap();
                            // SAFETY: a lent slot is ours alone, above its guard.
                            let owner = unsafe { AtomicU8::from_ptr(mark(&stack)) };
                            assert_eq!(owner.swap(1, Ordering::Relaxed) & 1, 0, "lent twice");
                            lent.push(stack);
                        } else {
                            let stack = lent.swap_remove(random as usize / 7 % lent.len());
                            // SAFETY: as above.
                            let owner = unsafe { AtomicU8::from_ptr(mark(&stack)) };
                            assert_eq!(owner.swap(0, Ordering::Relaxed), 1);
                            if random & 64 == 0 { give_back(stack) } else { cache.give_back(stack) }
                        }
                        if round % 1000 == 0 {
                            super::super::trim();
                        }
                    }
                    for stack in lent {
                        // SAFETY: as above.
                        unsafe { mark(&stack).write(0) };
                        cache.give_back(stack);
                    }
                });
            }
        });
    }

    fn mark(stack: &Stack) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(stack.base().get() - 1)
    }
}
