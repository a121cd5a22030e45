//! A queue without a limit: the buffer of an unbounded channel.
//!
//! ```text
//! receivers ◀── front | middle: full | full | full | back ◀── senders
//! ```
//!
//! Messages are never moved once they are in: what grows is only the list of segments. A queue that stays short lives in
//! two segments that change places, and allocates nothing.
//!
//! Rejected: one ring that doubles. Moving a million messages under the channel's spin lock would stop everybody else
//! for milliseconds.

use std::collections::VecDeque;
use std::mem;

use super::ring::Ring;

/// See the head of this file.
pub(crate) struct Segments<T> {
    // Every message in `front` is older than those in `middle`, and those are older than the ones in `back`.
    // All rings in `middle` are full.
    // In this order, so that discarded messages are dropped in the order of their sending.
    front: Ring<T>,
    middle: VecDeque<Ring<T>>,
    back: Ring<T>,
}

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
    pub(crate) fn segment() -> Ring<T> {
        Ring::new(Self::SEGMENT)
    }

    /// Gives the queue room for more messages.
    pub(crate) fn add(&mut self, segment: Ring<T>) {
        let full = mem::replace(&mut self.back, segment);
        if full.len() != 0 {
            debug_assert!(full.is_full());
            self.middle.push_back(full);
        }
    }

    /// Whether the next push needs another segment first.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.back.is_full()
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
        match self.middle.pop_front() {
            Some(oldest) => self.front = oldest,
            None => mem::swap(&mut self.front, &mut self.back),
        }
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { front: Ring::default(), back: Ring::default(), middle: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Segments<usize>, message: usize) {
        if queue.is_full() {
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
            if queue.is_full() {
                queue.add(Segments::segment());
                added += 1;
            }
            queue.push(message);
            assert_eq!(queue.pop(), Some(message));
        }
        assert!(added <= 2, "{added} segments");
    }
}
