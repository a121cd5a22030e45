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

use std::collections::{LinkedList, VecDeque};
use std::mem::{self, ManuallyDrop};

use super::ring::Ring;

/// See the head of this file.
pub(crate) struct Segments<T> {
    // Every message in `front` is older than those in `middle`, and those are older than the ones in `back`.
    // In this order, so that discarded messages are dropped in the order of their sending.
    // No ring in the middle is empty.
    front: Ring<T>,
    middle: LinkedList<Ring<T>>,
    back: Ring<T>,
    /// How many messages are in the middle.
    middle_len: usize,
    /// Empty, or an empty segment for the next growth: a queue that grows and shrinks allocates nothing.
    spare: Segment<T>,
}

/// Segments in a list of their own: linking it into another list allocates nothing.
pub(crate) type Segment<T> = LinkedList<Ring<T>>;

impl<T> Segments<T> {
    /// How many messages a segment holds: about 2 KiB of them, but not so few that the list outweighs them.
    const SEGMENT: usize = match 2048 / Self::SIZE {
        0..4 => 4,
        64.. => 64,
        fitting => fitting,
    };

    /// How many the first one holds, each further one twice as many: most mailboxes hold few.
    const FIRST: usize = match 128 / Self::SIZE {
        0 => 1,
        4.. => 4,
        fitting => fitting,
    };

    const SIZE: usize = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };

    /// How large the next segment is to be.
    #[inline]
    pub(crate) fn growth(&self) -> usize {
        (2 * self.front.capacity().max(self.back.capacity())).clamp(Self::FIRST, Self::SEGMENT)
    }

    /// A segment for [`add`](Self::add), which the caller makes outside of its lock.
    pub(crate) fn segment(places: usize) -> Segment<T> {
        LinkedList::from([Ring::new(places)])
    }

    /// Gives the queue room for more messages. What comes back is to be freed outside of the lock.
    pub(crate) fn add(&mut self, mut segment: Segment<T>) -> Option<Segment<T>> {
        // The new segment gives its room away, and carries the full ring into the middle.
        let ring = segment.front_mut()?;
        mem::swap(&mut self.back, ring);
        if ring.len() == 0 {
            return Some(segment);
        }
        self.middle_len += ring.len();
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
        if self.front.len() == 0 && self.middle_len == 0 {
            mem::swap(&mut self.front, &mut self.back);
        } else {
            let spare = mem::take(&mut self.spare);
            // What comes back is a back that has never had room. Freeing that under the lock, once, is no matter.
            let left = self.add(spare);
            debug_assert!(left.is_none_or(|back| back.iter().all(|ring| ring.capacity() == 0)));
        }
        !self.back.is_full()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.middle_len + self.back.len()
    }

    #[inline]
    pub(crate) fn push(&mut self, message: T) {
        self.back.push(message);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.oldest().pop()
    }

    /// The ring with the oldest message.
    #[inline]
    fn oldest(&mut self) -> &mut Ring<T> {
        if self.front.len() == 0 {
            if self.middle_len == 0 {
                return &mut self.back;
            }
            self.refill_front();
        }
        &mut self.front
    }

    #[inline(never)]
    fn refill_front(&mut self) {
        let rest = self.middle.split_off(1);
        let mut oldest = mem::replace(&mut self.middle, rest);
        if let Some(ring) = oldest.front_mut() {
            self.middle_len -= ring.len();
            mem::swap(&mut self.front, ring);
            // Smaller ones are not worth keeping: the next one is larger.
            if ring.capacity() == Self::SEGMENT {
                self.spare = oldest;
            }
        }
    }

    /// Puts messages before all others, if there is room for them.
    ///
    /// # Errors
    ///
    /// If there is not: they are to be [packed](Self::pack) and [put in front](Self::prepend).
    pub(crate) fn restore(&mut self, messages: &mut VecDeque<T>) -> Result<(), ()> {
        if messages.len() > Self::SEGMENT {
            return Err(());
        }
        let oldest = self.oldest();
        if oldest.capacity() - oldest.len() < messages.len() {
            return Err(());
        }
        while let Some(message) = messages.pop_back() {
            oldest.push_front(message);
        }
        Ok(())
    }

    /// Segments full of messages. Allocates; the lock is not needed.
    pub(crate) fn pack(mut messages: VecDeque<T>) -> Segment<T> {
        let mut packed = LinkedList::new();
        while !messages.is_empty() {
            let mut ring = Ring::new(messages.len().min(Self::SEGMENT));
            while !ring.is_full()
                && let Some(message) = messages.pop_front()
            {
                ring.push(message);
            }
            packed.push_back(ring);
        }
        packed
    }

    /// Puts packed messages before all others. What comes back is to be freed outside of the lock.
    pub(crate) fn prepend(&mut self, mut packed: Segment<T>, len: usize) -> Segment<T> {
        let Some(first) = packed.front_mut() else { return packed };
        // The first packed ring becomes the front. Its place in the list goes to the former front.
        mem::swap(&mut self.front, first);
        self.middle_len += len - self.front.len() + first.len();
        let first_is_empty = first.len() == 0;
        let mut others = packed.split_off(1);
        if first_is_empty {
            others.append(&mut self.middle);
            self.middle = others;
            return packed;
        }
        others.append(&mut packed);
        others.append(&mut self.middle);
        self.middle = others;
        packed
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self {
            front: Ring::default(),
            middle: LinkedList::new(),
            back: Ring::default(),
            middle_len: 0,
            spare: LinkedList::new(),
        }
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
            queue.add(Segments::segment(queue.growth()));
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
                queue.add(Segments::segment(queue.growth()));
                added += 1;
            }
            queue.push(message);
            assert_eq!(queue.pop(), Some(message));
        }
        assert!(added <= 2, "{added} segments");
    }
}
