//! The queue against a simple one, and what it allocates.

use super::*;
use crate::util::rng::Rng;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Pushes as a sender does; whether that allocated.
fn push<T>(queue: &mut Segments<T>, message: T) -> bool {
    let mut allocates = false;
    while queue.is_full() && !queue.reuse() {
        queue.add(Room::new(queue.growth()));
        allocates = true;
    }
    queue.push(message);
    allocates
}

/// Puts messages back as a receiver does.
fn restore<T>(queue: &mut Segments<T>, mut messages: VecDeque<T>) {
    if messages.is_empty() {
        return;
    }
    if !queue.restore(&mut messages) {
        let left = queue.prepend(Segments::pack(messages));
        assert_eq!(left.len(), 0);
    }
}

/// The invariants of the two structs.
fn check<T>(queue: &Segments<T>) {
    let middle_len = queue.chain.as_ref().map_or(0, |chain| {
        assert!(chain.middle.iter().all(|ring| ring.len() > 0));
        assert!(chain.spare.len() <= 1 && chain.spare.iter().all(|ring| ring.len() == 0));
        assert!(chain.spare.iter().all(|ring| ring.capacity() == Segments::<T>::SEGMENT));
        chain.middle.iter().map(Ring::len).sum()
    });
    assert_eq!(queue.middle_len, middle_len);
}

#[test]
fn order_holds_whatever_is_done() {
    for seed in 1..100 {
        let rng = Rng::new(seed);
        let (mut queue, mut expected, mut next) = (Segments::default(), VecDeque::new(), 0);
        let largest = [3, 20, 150, 600][rng.below(4)];
        // At first, what came from hand to hand is put back.
        next += rng.below(2) as u64 * rng.below(largest) as u64;
        expected.extend(0..next);
        restore(&mut queue, expected.clone());
        for _ in 0..60 {
            for _ in 0..rng.below(largest) {
                push(&mut queue, next);
                expected.push_back(next);
                next += 1;
            }
            let mut popped: VecDeque<_> = (0..rng.below(largest)).map_while(|_| queue.pop()).collect();
            popped.iter().for_each(|&message| assert_eq!(expected.pop_front(), Some(message)));
            check(&queue);
            if rng.below(2) == 0 {
                drop(popped.drain(..rng.below(popped.len() + 1)));
                popped.iter().rev().for_each(|&message| expected.push_front(message));
                restore(&mut queue, popped);
            }
            check(&queue);
            assert_eq!(queue.len(), expected.len());
        }
        while let Some(message) = queue.pop() {
            assert_eq!(expected.pop_front(), Some(message));
        }
        assert!(expected.is_empty() && queue.len() == 0);
    }
}

#[test]
fn a_queue_that_keeps_its_length_allocates_nothing() {
    for length in (0..200).chain([500, 1000]) {
        let mut queue = Segments::default();
        (0..length).for_each(|i| _ = push(&mut queue, i));
        let mut allocations = 0;
        for i in 0..10_000 {
            allocations += usize::from(push(&mut queue, length + i));
            assert_eq!(queue.pop(), Some(i));
        }
        assert!(allocations <= 3, "{allocations} times at {length}");
    }
}

#[test]
fn a_queue_that_swings_by_a_segment_allocates_nothing() {
    let mut queue = Segments::default();
    let mut swing = |count| {
        let allocations = (0..count).filter(|&i| push(&mut queue, i)).count();
        (0..count).for_each(|i| assert_eq!(queue.pop(), Some(i)));
        allocations
    };
    for count in 0..=2 * Segments::<usize>::SEGMENT {
        (0..5).for_each(|_| _ = swing(count));
        assert_eq!((0..20).map(|_| swing(count)).sum::<usize>(), 0, "at {count}");
    }
}

#[test]
fn few_messages_take_little() {
    fn bytes_for_two<T: Default>() -> usize {
        let mut queue = Segments::default();
        (0..2).for_each(|_| _ = push(&mut queue, T::default()));
        assert!(queue.chain.is_none() && queue.front.capacity() == 0);
        queue.back.capacity() * size_of::<T>()
    }
    assert_eq!(bytes_for_two::<u32>(), 16);
    assert_eq!(bytes_for_two::<[u64; 3]>(), 96);
    assert_eq!(bytes_for_two::<[u64; 4]>(), 128);
    assert_eq!(bytes_for_two::<[u64; 8]>(), 128);
    assert_eq!(bytes_for_two::<[u64; 12]>(), 192);
    let mut empty = Segments::<u64>::default();
    assert_eq!((empty.pop(), empty.back.capacity()), (None, 0));
}

#[test]
fn zero_sized_messages() {
    let mut queue = Segments::default();
    (0..1000).for_each(|_| _ = push(&mut queue, ()));
    restore(&mut queue, VecDeque::from([(); 300]));
    check(&queue);
    assert_eq!((0..).map_while(|_| queue.pop()).count(), 1300);
}

#[test]
fn drops_are_in_order_wherever_a_message_lies() {
    struct Message(Rc<RefCell<Vec<u32>>>, u32);
    impl Drop for Message {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let next = Cell::new(0);
    let mut queue = Segments::default();
    let message = || Message(dropped.clone(), next.replace(next.get() + 1));
    (0..500).for_each(|_| _ = push(&mut queue, message()));
    let skipped = (0..200).map(|_| queue.pop().unwrap()).collect();
    (0..100).for_each(|_| _ = push(&mut queue, message()));
    restore(&mut queue, skipped);
    check(&queue);
    drop(queue);
    assert_eq!(*dropped.borrow(), (0..600).collect::<Vec<_>>());
}
