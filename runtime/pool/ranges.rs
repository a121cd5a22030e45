//! Who works on what: one range of numbers for each member of a crew, and how one takes from another.
//!
//! ```text
//! | first | end |   one word: 32 bits each; empty if first = end
//! ```
//!
//! | transition | who | from | to |
//! | --- | --- | --- | --- |
//! | `take` | the owner | `first, end` | `first + 1, end` |
//! | `rob` | a thief whose own range is empty | `first, end` | `first, middle` |
//! | `steal` | the same one, then | empty | `middle + 1, end`: it has taken `middle` for itself |
//!
//! Whoever steals gets one to work on, so the last one can't go to and fro between two thieves.
//!
//! Each word says all about its range, so a compare-and-swap that succeeds is right whatever happened in between. The
//! numbers of all ranges are different at any time, so each is taken once. Those that a thief has in hand are in no range
//! for a moment: somebody else may then find nothing to steal, and leaves one member earlier than it had to.
//!
//! Rejected: a shared counter that everybody adds to. Every item would move one cache line between all workers, unless
//! it hands out chunks, and then their size has to be guessed: too large for items that take long, or for the last few.

use crossbeam_utils::CachePadded;

use crate::util::atomic::{AtomicU64, Ordering};

/// See the head of this file.
pub(super) struct Ranges(Box<[CachePadded<AtomicU64>]>);

const fn pack(first: u32, end: u32) -> u64 {
    (first as u64) << 32 | end as u64
}

const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl Ranges {
    /// The numbers below `count` are all the first member's.
    pub(super) fn new(members: usize, count: u32) -> Self {
        let range = |member| AtomicU64::new(if member == 0 { pack(0, count) } else { 0 });
        Self((0..members).map(|member| CachePadded::new(range(member))).collect())
    }

    /// The next number for this member: of its own range, or of what it then steals. `None`: the others have none either.
    #[inline]
    pub(super) fn next(&self, member: usize) -> Option<u32> {
        self.take(member).or_else(|| self.steal(member))
    }

    #[inline]
    fn take(&self, member: usize) -> Option<u32> {
        let range = &self.0[member];
        // Relaxed, here and below: a number is all that passes. What the members work on was there before them, and
        // what they make of it is handed over when they leave.
        let mut word = range.load(Ordering::Relaxed);
        loop {
            let (first, end) = unpack(word);
            if first == end {
                return None;
            }
            let next = pack(first + 1, end);
            match range.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(first),
                Err(actual) => word = actual,
            }
        }
    }

    /// Gives a member that has none left the larger half of another's, and takes the first number of it.
    #[cold]
    fn steal(&self, member: usize) -> Option<u32> {
        let (before, behind) = (&self.0[..member], &self.0[member + 1..]);
        // Each begins with its neighbour, so that thieves don't crowd.
        let (middle, end) = behind.iter().chain(before).find_map(|victim| Self::rob(victim))?;
        self.0[member].store(pack(middle + 1, end), Ordering::Relaxed);
        Some(middle)
    }

    fn rob(victim: &AtomicU64) -> Option<(u32, u32)> {
        let mut word = victim.load(Ordering::Relaxed);
        loop {
            let (first, end) = unpack(word);
            if first == end {
                return None;
            }
            let middle = first + (end - first) / 2;
            let left = pack(first, middle);
            match victim.compare_exchange_weak(word, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some((middle, end)),
                Err(actual) => word = actual,
            }
        }
    }

    /// Whether anybody has something left.
    pub(super) fn is_any_left(&self) -> bool {
        self.0.iter().any(|range| {
            let (first, end) = unpack(range.load(Ordering::Relaxed));
            first < end
        })
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thief_takes_the_larger_half_and_the_last_one_too() {
        let ranges = Ranges::new(2, 5);
        assert_eq!(ranges.next(1), Some(2));
        assert_eq!((ranges.next(0), ranges.next(0)), (Some(0), Some(1)));
        assert_eq!(ranges.next(0), Some(4), "it has none left, and takes the larger half of two");
        assert!(ranges.is_any_left());
        assert_eq!(ranges.next(0), Some(3));
        assert!(!ranges.is_any_left());
        assert_eq!((ranges.next(0), ranges.next(1)), (None, None));
    }

    #[test]
    fn all_numbers_fit() {
        let ranges = Ranges::new(2, u32::MAX);
        assert_eq!(ranges.next(1), Some(u32::MAX / 2));
        assert_eq!((ranges.next(0), ranges.next(1)), (Some(0), Some(u32::MAX / 2 + 1)));
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// As a member of a crew works.
    fn work(ranges: &Ranges, member: usize, takes: &[AtomicU64]) {
        while let Some(number) = ranges.next(member) {
            takes[number as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn check(members: usize, count: u32) {
        let shared = Arc::new((
            Ranges::new(members, count),
            (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>(),
        ));
        let helpers: Vec<_> = (1..members)
            .map(|member| {
                let shared = shared.clone();
                thread::spawn(move || work(&shared.0, member, &shared.1))
            })
            .collect();
        work(&shared.0, 0, &shared.1);
        helpers.into_iter().for_each(|helper| helper.join().unwrap());
        assert!(!shared.0.is_any_left());
        for takes in &shared.1 {
            assert_eq!(takes.load(Ordering::Relaxed), 1, "each number is taken once");
        }
    }

    #[test]
    fn loom_two_members_take_each_number_once() {
        loom::model(|| check(2, 3));
    }

    #[test]
    fn loom_three_members_take_each_number_once() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| check(3, 2));
    }
}
