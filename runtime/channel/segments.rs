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

use std::mem;
use std::ptr::NonNull;

use super::ring::Ring;

/// See the head of this file.
pub(crate) struct Segments<T> {
    // Every message in `front` is older than those in `middle`, and those are older than the ones in `back`.
    // In this order, so that discarded messages are dropped in the order of their sending.
    front: Ring<T>,
    middle: Chain<T>,
    back: Ring<T>,
    /// An empty segment for the next growth: a queue that grows and shrinks allocates nothing.
    spare: Option<Box<Segment<T>>>,
}

/// A piece of the queue, and the link that it needs in the middle.
pub(crate) struct Segment<T> {
    ring: Ring<T>,
    next: Option<Box<Segment<T>>>,
}

/// Full segments, the oldest first.
struct Chain<T> {
    // `last` is the last segment that is reachable from `first`; `len` is their number.
    first: Option<Box<Segment<T>>>,
    last: Option<NonNull<Segment<T>>>,
    len: usize,
}

// SAFETY: `last` points into what `first` owns, so a chain moves between threads as its messages do.
unsafe impl<T: Send> Send for Chain<T> {}

impl<T> Chain<T> {
    fn push(&mut self, mut segment: Box<Segment<T>>) {
        let new_last = Some(NonNull::from(&mut *segment));
        match self.last {
            // SAFETY: `first` owns it, and no reference to it exists.
            Some(mut last) => unsafe { last.as_mut() }.next = Some(segment),
            None => self.first = Some(segment),
        }
        self.last = new_last;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Box<Segment<T>>> {
        let mut segment = self.first.take()?;
        self.first = segment.next.take();
        if self.first.is_none() {
            self.last = None;
        }
        self.len -= 1;
        Some(segment)
    }
}

/// One by one: a million messages are too many links for a recursion.
impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
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
    pub(crate) fn segment() -> Box<Segment<T>> {
        Box::new(Segment { ring: Ring::new(Self::SEGMENT), next: None })
    }

    /// Gives the queue room for more messages. What comes back is to be freed outside of the lock.
    pub(crate) fn add(&mut self, mut segment: Box<Segment<T>>) -> Option<Box<Segment<T>>> {
        // The new segment gives its room away, and carries the full ring into the middle.
        mem::swap(&mut self.back, &mut segment.ring);
        if segment.ring.len() == 0 {
            return Some(segment);
        }
        debug_assert!(segment.ring.is_full());
        self.middle.push(segment);
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
        self.front.len() + self.middle.len * Self::SEGMENT + self.back.len()
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
        match self.middle.pop() {
            Some(mut oldest) => {
                mem::swap(&mut self.front, &mut oldest.ring);
                // The former front is as large as any segment, or it is the first and has no slots.
                if oldest.ring.capacity() != 0 {
                    self.spare = Some(oldest);
                }
            }
            None => mem::swap(&mut self.front, &mut self.back),
        }
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        let middle = Chain { first: None, last: None, len: 0 };
        Self { front: Ring::default(), middle, back: Ring::default(), spare: None }
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
