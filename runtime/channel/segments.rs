//! A queue without a limit: the buffer of an unbounded channel.
//!
//! ```text
//! receivers ◀── front | middle: full | full | full | back ◀── senders
//! ```
//!
//! Messages are never moved once they are in: what grows is only the list of segments. A queue that stays short lives in
//! two segments that change places, and allocates nothing.
//!
//! Rejected: one ring that doubles, or a growing list of segments. Moving a million messages, or the list of their
//! segments, under the channel's spin lock would stop everybody else for milliseconds.

use std::collections::LinkedList;
use std::mem::{self, ManuallyDrop};

use super::ring::Ring;

/// See the head of this file.
pub(crate) struct Segments<T> {
    // Every message in `front` is older than those in `middle`, and those are older than the ones in `back`.
    // In this order, so that discarded messages are dropped in the order of their sending.
    front: Ring<T>,
    middle: LinkedList<Ring<T>>,
    back: Ring<T>,
    /// An empty segment for the next growth: a queue that grows and shrinks allocates nothing.
    spare: Option<Segment<T>>,
}

/// One segment, in a list of its own: linking it into another list allocates nothing.
pub(crate) type Segment<T> = LinkedList<Ring<T>>;

impl<T> Segments<T> {
    /// How many messages a segment holds: about 2 KiB of them, but not so few that the list outweighs them.
    const SEGMENT: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        match 2048 / size {
            0..4 => 4,
            64.. => 64,
            fitting => fitting,
        }
    };

    /// A segment for [`add`](Self::add), which the caller makes outside of its lock.
    pub(crate) fn segment() -> Segment<T> {
        LinkedList::from([Ring::new(Self::SEGMENT)])
    }

    /// Gives the queue room for more messages. What comes back is to be freed outside of the lock.
    pub(crate) fn add(&mut self, mut segment: Segment<T>) -> Option<Segment<T>> {
        // The new segment gives its room away, and carries the full ring into the middle.
        let ring = segment.front_mut()?;
        mem::swap(&mut self.back, ring);
        if ring.len() == 0 {
            return Some(segment);
        }
        debug_assert!(ring.is_full());
        self.middle.append(&mut segment);
        None
    }

    /// Whether the next push needs another segment first.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.back.is_full()
    }

    /// Grows without an allocation, if there is a segment left from before.
    pub(crate) fn reuse(&mut self) -> bool {
        match self.spare.take() {
            Some(spare) => {
                let left = self.add(spare);
                debug_assert!(left.is_none(), "a full back has messages");
                true
            }
            None => false,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.middle.len() * Self::SEGMENT + self.back.len()
    }

    #[inline]
    pub(crate) fn push(&mut self, message: T) {
        self.back.push(message);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.front.len() == 0 {
            self.refill_front();
        }
        self.front.pop()
    }

    fn refill_front(&mut self) {
        if self.middle.is_empty() {
            return mem::swap(&mut self.front, &mut self.back);
        }
        let rest = self.middle.split_off(1);
        let mut oldest = mem::replace(&mut self.middle, rest);
        if let Some(ring) = oldest.front_mut() {
            mem::swap(&mut self.front, ring);
            // The former front is as large as any segment, or it is the first and has no slots.
            if ring.capacity() != 0 {
                self.spare = Some(oldest);
            }
        }
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { front: Ring::default(), middle: LinkedList::new(), back: Ring::default(), spare: None }
    }
}

/// As a [`Ring`], it leaks the messages behind one whose destructor panics.
impl<T> Drop for Segments<T> {
    fn drop(&mut self) {
        let mut middle = ManuallyDrop::new(mem::take(&mut self.middle));
        let back = ManuallyDrop::new(mem::take(&mut self.back));
        drop(mem::take(&mut self.front));
        while let Some(ring) = middle.pop_front() {
            drop(ring);
        }
        drop(ManuallyDrop::into_inner(back));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Segments<usize>, message: usize) {
        if queue.is_full() && !queue.reuse() {
            queue.add(Segments::segment());
        }
        queue.push(message);
    }

    #[test]
    fn order_holds_across_segments() {
        let mut queue = Segments::default();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..60 {
            for _ in 0..round * 7 % 150 {
                push(&mut queue, pushed);
                pushed += 1;
            }
            assert_eq!(queue.len(), pushed - popped);
            for _ in 0..round * 5 % 130 {
                if let Some(message) = queue.pop() {
                    assert_eq!(message, popped);
                    popped += 1;
                }
            }
        }
        while let Some(message) = queue.pop() {
            assert_eq!(message, popped);
            popped += 1;
        }
        assert_eq!(popped, pushed);
    }

    #[test]
    fn a_short_queue_keeps_its_segments() {
        let mut queue = Segments::default();
        let mut added = 0;
        for message in 0..10_000 {
            if queue.is_full() && !queue.reuse() {
                queue.add(Segments::segment());
                added += 1;
            }
            queue.push(message);
            assert_eq!(queue.pop(), Some(message));
        }
        assert!(added <= 2, "{added} segments");
    }
}
