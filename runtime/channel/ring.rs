//! A queue of fixed capacity: the buffer of a bounded channel, and a segment of an unbounded one.
//!
//! ```text
//! slots: |   |   | a | b | c |   |   |      head = 2, len = 3; the messages may wrap around the end
//! ```
//!
//! The capacity is exactly what was asked for: an index is wrapped by a comparison, which is as fast as the mask that a
//! power of two would allow.

use std::mem::{self, MaybeUninit};

/// See the head of this file.
pub(crate) struct Ring<T> {
    // The `len` slots from `head` on, wrapping, are initialised; no others.
    // `head` is below the capacity, or 0 if that is 0; `len` is at most the capacity.
    slots: Box<[MaybeUninit<T>]>,
    head: usize,
    len: usize,
}

impl<T> Ring<T> {
    /// # Panics
    ///
    /// If the slots would take more than `isize::MAX` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: Box::new_uninit_slice(capacity), head: 0, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.slots.len()
    }

    #[inline]
    pub(crate) fn push(&mut self, message: T) {
        assert!(!self.is_full(), "pushed into a full ring");
        // Not `head + len`, which may overflow for zero-sized messages.
        let room_behind_head = self.slots.len() - self.head;
        let index =
            if self.len < room_behind_head { self.head + self.len } else { self.len - room_behind_head };
        debug_assert!(index < self.slots.len());
        // SAFETY: with `head` below and `len` not at the capacity, `index` is below it in both cases.
        unsafe { self.slots.get_unchecked_mut(index) }.write(message);
        self.len += 1;
    }

    /// Adds a message before all others.
    pub(crate) fn push_front(&mut self, message: T) {
        assert!(!self.is_full(), "pushed into a full ring");
        let index = if self.head == 0 { self.slots.len() - 1 } else { self.head - 1 };
        debug_assert!(index < self.slots.len());
        // SAFETY: a ring that is not full has slots, and `head` is below their number, so `index` is too; the one before
        // `head` is not initialised unless all are.
        unsafe { self.slots.get_unchecked_mut(index) }.write(message);
        self.head = index;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        debug_assert!(self.head < self.slots.len());
        // SAFETY: `len` is not 0, so the slot at `head` exists and is initialised; it is given up by moving `head` on.
        let message = unsafe { self.slots.get_unchecked(self.head).assume_init_read() };
        self.len -= 1;
        self.head += 1;
        if self.head == self.slots.len() {
            self.head = 0;
        }
        Some(message)
    }
}

/// No slots at all, and so no allocation.
impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

/// Messages behind one whose destructor panics are leaked, as by `crossbeam-channel`.
impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // A zero-sized message without a destructor may be there `usize::MAX` times.
        if mem::needs_drop::<T>() {
            while let Some(message) = self.pop() {
                drop(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_every_capacity() {
        for capacity in 1..9 {
            let mut ring = Ring::new(capacity);
            let (mut pushed, mut popped) = (0, 0);
            for round in 0..50 {
                for _ in 0..round % (capacity + 1) {
                    if !ring.is_full() {
                        ring.push(pushed);
                        pushed += 1;
                    }
                }
                for _ in 0..round % 3 {
                    if let Some(message) = ring.pop() {
                        assert_eq!(message, popped);
                        popped += 1;
                    }
                }
                assert_eq!(ring.len(), pushed - popped);
            }
        }
    }

    #[test]
    fn zero_sized_messages_at_the_largest_capacity() {
        let mut ring = Ring::new(usize::MAX);
        ring.head = usize::MAX - 1;
        (0..3).for_each(|_| ring.push(()));
        assert_eq!(ring.len(), 3);
        (0..3).for_each(|_| assert_eq!(ring.pop(), Some(())));
        assert_eq!((ring.pop(), ring.head), (None, 2));
    }

    #[test]
    fn drop_reaches_both_parts() {
        let counter = std::rc::Rc::new(());
        let mut ring = Ring::new(4);
        (0..3).for_each(|_| ring.push(counter.clone()));
        (0..3).for_each(|_| drop(ring.pop()));
        (0..4).for_each(|_| ring.push(counter.clone()));
        drop(ring);
        assert_eq!(std::rc::Rc::strong_count(&counter), 1);
    }
}
