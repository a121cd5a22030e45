//! A queue without a limit: the buffer of an unbounded channel, and of a mailbox.
//!
//! ```text
//!                          chain
//! receivers ◀── front | middle: full | full | full | back ◀── senders          spare: an empty segment
//! ```
//!
//! A queue that stays short lives in the ring at the back, which is small at first and doubles up to the size of a
//! segment. From there on messages are never moved: front and back change places, or, where that is not enough, the list
//! of segments grows. A queue that grows and shrinks by a segment, or is long and stays so, allocates nothing: segments
//! that were drained come back.
//!
//! What lies in the middle need not be full, since messages that a receiver had taken can be put back in front.
//!
//! Rejected: one ring that doubles, or a growing list of segments. Moving a million messages, or the list of their
//! segments, under the channel's spin lock would stop everybody else for milliseconds.

use std::collections::{LinkedList, VecDeque};
use std::mem::{self, ManuallyDrop};

use super::ring::Ring;

#[cfg(test)]
mod tests;

/// See the head of this file.
pub(crate) struct Segments<T> {
    // Every message in `front` is older than those in the middle, and those are older than the ones in `back`.
    front: Ring<T>,
    back: Ring<T>,
    /// How many messages are in the middle.
    middle_len: usize,
    chain: Option<Box<Chain<T>>>,
}

/// What only a long queue has.
pub(crate) struct Chain<T> {
    // No ring in the middle is empty.
    middle: Segment<T>,
    /// Empty, or one segment without messages.
    spare: Segment<T>,
}

/// Rings in a list of their own: linking it into another list allocates nothing.
type Segment<T> = LinkedList<Ring<T>>;

/// What a queue without room needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Growth {
    /// Of so many places.
    Ring(usize),
    Segment,
    Chain,
}

/// What serves a [`Growth`].
pub(crate) enum Room<T> {
    Ring(Ring<T>),
    Segment(Segment<T>),
    Chain(Box<Chain<T>>),
}

impl<T> Room<T> {
    /// Allocates, so call it without the lock.
    pub(crate) fn new(growth: Growth) -> Self {
        let segment = || LinkedList::from([Ring::new(Segments::<T>::SEGMENT)]);
        match growth {
            Growth::Ring(places) => Self::Ring(Ring::new(places)),
            Growth::Segment => Self::Segment(segment()),
            Growth::Chain => Self::Chain(Box::new(Chain { middle: LinkedList::new(), spare: segment() })),
        }
    }
}

impl<T> Segments<T> {
    /// How many messages a segment holds: about 2 KiB of them, but not so few that the list outweighs them.
    const SEGMENT: usize = match 2048 / Self::SIZE {
        0..4 => 4,
        64.. => 64,
        fitting => fitting,
    };

    /// How many the first ring holds: about 128 bytes of them, since most mailboxes only ever hold one or two. Where a
    /// segment has so few places that doubling would move large messages, all of them.
    const FIRST: usize = match 128 / Self::SIZE {
        _ if Self::SEGMENT == 4 => 4,
        0 => 1,
        4.. => 4,
        fitting => fitting,
    };

    const SIZE: usize = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };

    /// Whether the next push needs [`reuse`](Self::reuse) or [`add`](Self::add) first.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.back.is_full()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.middle_len + self.back.len()
    }

    /// Whether all messages are in the back.
    #[inline]
    fn is_short(&self) -> bool {
        self.front.len() == 0 && self.middle_len == 0
    }

    #[inline]
    pub(crate) fn push(&mut self, message: T) {
        self.back.push(message);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.front.len() == 0 {
            if self.middle_len == 0 {
                return self.back.pop();
            }
            self.refill_front();
        }
        self.front.pop()
    }

    /// The oldest segment of the middle becomes the front, whose messages have gone.
    #[cold]
    fn refill_front(&mut self) {
        let Some(chain) = &mut self.chain else { return };
        let rest = chain.middle.split_off(1);
        let mut oldest = mem::replace(&mut chain.middle, rest);
        if let Some(ring) = oldest.front_mut() {
            self.middle_len -= ring.len();
            mem::swap(&mut self.front, ring);
            if ring.capacity() == Self::SEGMENT {
                chain.spare = oldest;
            }
        }
    }

    /// Makes room without an allocation, if there is a segment that has been drained. The queue is full.
    pub(crate) fn reuse(&mut self) -> bool {
        debug_assert!(self.is_full());
        if self.is_short() && self.front.capacity() == Self::SEGMENT {
            mem::swap(&mut self.front, &mut self.back);
            return true;
        }
        let Some(chain) = &mut self.chain else { return false };
        let Some(ring) = chain.spare.front_mut() else { return false };
        // The spare segment gives its room away, and carries the full ring into the middle.
        mem::swap(&mut self.back, ring);
        if ring.len() > 0 {
            self.middle_len += ring.len();
            chain.middle.append(&mut chain.spare);
        } else {
            // The back never had any room, since all messages have been put in front. Once, this is freed under the lock.
            chain.spare.clear();
        }
        true
    }

    /// Whether a message can be pushed after each of the next pops without an allocation. Pops from the back make room
    /// there; those from the front do so once they have drained it, and until then a spare segment has to do.
    pub(crate) fn has_reserve(&self) -> bool {
        self.is_short() || self.chain.as_ref().is_some_and(|chain| !chain.spare.is_empty())
    }

    /// What is to be added to a queue that is full and has nothing to [reuse](Self::reuse), or that has no
    /// [reserve](Self::has_reserve).
    pub(crate) fn growth(&self) -> Growth {
        if self.is_short() {
            Growth::Ring((2 * self.back.capacity()).clamp(Self::FIRST, Self::SEGMENT))
        } else if self.chain.is_none() {
            Growth::Chain
        } else {
            Growth::Segment
        }
    }

    /// Makes room, or something to [reuse](Self::reuse). What comes back is of no use any more, and is to be freed
    /// without the lock.
    pub(crate) fn add(&mut self, room: Room<T>) -> Option<Room<T>> {
        match room {
            Room::Ring(mut ring) if self.is_short() && self.back.capacity() < ring.capacity() => {
                while let Some(message) = self.back.pop() {
                    ring.push(message);
                }
                Some(Room::Ring(mem::replace(&mut self.back, ring)))
            }
            Room::Ring(ring) if self.front.len() == 0 && self.front.capacity() < ring.capacity() => {
                Some(Room::Ring(mem::replace(&mut self.front, ring)))
            }
            Room::Segment(segment) => match &mut self.chain {
                Some(chain) if chain.spare.is_empty() => {
                    chain.spare = segment;
                    None
                }
                _ => Some(Room::Segment(segment)),
            },
            Room::Chain(chain) if self.chain.is_none() => {
                self.chain = Some(chain);
                None
            }
            superfluous => Some(superfluous),
        }
    }

    /// Puts messages in front of all others, if a ring there has room for them; whether it had.
    pub(crate) fn restore(&mut self, messages: &mut VecDeque<T>) -> bool {
        let fits = |ring: &Ring<T>| ring.capacity() - ring.len() >= messages.len();
        let ring = if self.is_short() && fits(&self.back) {
            &mut self.back
        } else if fits(&self.front) {
            &mut self.front
        } else {
            return false;
        };
        while let Some(message) = messages.pop_back() {
            ring.push_front(message);
        }
        true
    }

    /// A queue of these messages, for [`prepend`](Self::prepend). Allocates, so call it without the lock.
    pub(crate) fn pack(mut messages: VecDeque<T>) -> Self {
        let mut chain = Box::new(Chain { middle: LinkedList::new(), spare: LinkedList::new() });
        let front = Self::pack_ring(&mut messages);
        let middle_len = messages.len();
        while !messages.is_empty() {
            chain.middle.push_back(Self::pack_ring(&mut messages));
        }
        chain.spare.push_back(Ring::new(Self::SEGMENT));
        Self { front, back: Ring::default(), middle_len, chain: Some(chain) }
    }

    /// A segment of the first messages.
    fn pack_ring(messages: &mut VecDeque<T>) -> Ring<T> {
        let mut ring = Ring::new(Self::SEGMENT);
        let count = messages.len().min(ring.capacity());
        messages.drain(..count).for_each(|message| ring.push(message));
        ring
    }

    /// Puts packed messages in front of all others. What comes back is to be freed without the lock.
    pub(crate) fn prepend(&mut self, mut packed: Self) -> Self {
        debug_assert!(packed.back.len() == 0);
        let Some(chain) = &mut packed.chain else { return packed };
        mem::swap(&mut self.front, &mut packed.front);
        self.middle_len += mem::take(&mut packed.middle_len);
        if packed.front.len() > 0 {
            // The former front goes between the two middles, in the place of the packed spare.
            self.middle_len += packed.front.len();
            if let Some(place) = chain.spare.front_mut() {
                mem::swap(place, &mut packed.front);
            }
            chain.middle.append(&mut chain.spare);
        }
        if let Some(own) = &mut self.chain {
            chain.middle.append(&mut own.middle);
            if !own.spare.is_empty() {
                mem::swap(&mut chain.spare, &mut own.spare);
            }
        }
        mem::swap(&mut self.chain, &mut packed.chain);
        packed
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { front: Ring::default(), back: Ring::default(), middle_len: 0, chain: None }
    }
}

/// In the order of the messages. As a [`Ring`], it leaks those behind one whose destructor panics.
impl<T> Drop for Segments<T> {
    fn drop(&mut self) {
        let mut chain = ManuallyDrop::new(self.chain.take());
        let back = ManuallyDrop::new(mem::take(&mut self.back));
        drop(mem::take(&mut self.front));
        if let Some(chain) = &mut *chain {
            while let Some(ring) = chain.middle.pop_front() {
                drop(ring);
            }
        }
        drop((ManuallyDrop::into_inner(chain), ManuallyDrop::into_inner(back)));
    }
}
