//! The wait queue by itself: its links, and one parker in two queues.

use super::*;
use crate::task::Reason;
use crate::task::park;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

type Queue = SpinLock<WaitQueue<usize>>;

const WAIT: Wait = Wait { reason: Reason::Park, object: ptr::null(), deadline: None };

fn queue() -> Queue {
    SpinLock::new(WaitQueue::new())
}

/// Pops what is there, as numbers. Nobody waits in these tests, so all nodes are stale.
fn order(queue: &mut WaitQueue<usize>) -> Vec<usize> {
    let mut order = Vec::new();
    while let Some(&packet) = queue.first_packet() {
        order.push(packet);
        assert!(queue.claim_first_where(|&other| other == packet).is_none());
    }
    order
}

#[test]
fn nodes_leave_from_every_place() {
    for removed in 0..4 {
        let nodes: [Waiter<usize>; 4] = std::array::from_fn(Waiter::new);
        let mut queue = WaitQueue::new();
        // SAFETY: the nodes outlive the queue and stay in place; claims of them fail, since nobody waits.
        unsafe {
            nodes[1..].iter().for_each(|node| queue.push_back(node));
            queue.push_front(&nodes[0]);
            queue.remove(&nodes[removed]);
            queue.remove(&nodes[removed]);
        }
        let expected: Vec<_> = (0..4).filter(|&i| i != removed).collect();
        assert_eq!(order(&mut queue), expected);
        assert!(queue.is_empty());
    }
}

#[test]
fn stale_nodes_are_dropped_by_the_waker_that_meets_them() {
    let nodes: [Waiter<usize>; 3] = std::array::from_fn(Waiter::new);
    let mut queue = WaitQueue::new();
    // SAFETY: as above.
    nodes.iter().for_each(|node| unsafe { queue.push_back(node) });
    assert!(queue.claim_first().is_none());
    assert!(queue.is_empty());
    // SAFETY: the nodes are in no queue any more, which `remove` allows.
    nodes.iter().for_each(|node| unsafe { queue.remove(node) });
}

/// Waits in both queues at once by one parker, and returns what each node was told.
fn wait_in_both(first: &Queue, second: &Queue, deadline: Option<Instant>) -> (Outcome, [Selected; 2]) {
    let nodes = [Waiter::new(1), Waiter::new(2)];
    let (mut one, mut two) = (first.lock(), second.lock());
    // SAFETY: the nodes stay in place until they are removed below, and `park` (which can't unwind on a plain
    // thread) begins the wait before it unlocks.
    unsafe {
        one.push_back(&nodes[0]);
        two.push_back(&nodes[1]);
    }
    let outcome = park(Wait { deadline, ..WAIT }, || {
        drop((one, two));
        true
    });
    // SAFETY: each node is in its queue or in none.
    unsafe {
        first.lock().remove(&nodes[0]);
        second.lock().remove(&nodes[1]);
    }
    (outcome, nodes.map(|node| node.selected.get()))
}

fn wake_one(queue: &Queue) -> bool {
    let wake = queue.lock().claim_first().map(|claimed| claimed.select(Selected::Served));
    wake.map(Wake::unpark).is_some()
}

#[test]
fn one_parker_in_two_queues_is_claimed_once() {
    const ROUNDS: usize = 2_000;
    let queues = [queue(), queue()];
    let ready = AtomicUsize::new(0);
    let claims = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|s| {
        for (queue, claims) in queues.iter().zip(&claims) {
            let ready = &ready;
            s.spawn(move || {
                for round in 1..=ROUNDS {
                    // Both wakers look for the round's waiter until it is gone, claimed by one of them.
                    while ready.load(Ordering::SeqCst) < round {
                        if wake_one(queue) {
                            claims.fetch_add(1, Ordering::SeqCst);
                        }
                        std::thread::yield_now();
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            let (outcome, selected) = wait_in_both(&queues[0], &queues[1], None);
            assert_eq!(outcome, Outcome::Woken);
            assert_eq!(selected.iter().filter(|&&selected| selected == Selected::Served).count(), 1);
            assert_eq!(claims_of(&claims, round), round);
            ready.store(round, Ordering::SeqCst);
        }
    });
    assert!(queues.iter().all(|queue| queue.lock().is_empty()));
}

/// All claims, as soon as the waker of this round has counted its own: it unparks before it counts.
fn claims_of(claims: &[AtomicUsize; 2], round: usize) -> usize {
    loop {
        let sum = claims.iter().map(|claims| claims.load(Ordering::SeqCst)).sum();
        if sum >= round {
            return sum;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_parker_that_times_out_leaves_both_queues() {
    let queues = [queue(), queue()];
    let deadline = Instant::now() + Duration::from_millis(2);
    let (outcome, selected) = wait_in_both(&queues[0], &queues[1], Some(deadline));
    assert_eq!((outcome, selected), (Outcome::TimedOut, [Selected::Nothing; 2]));
    assert!(queues.iter().all(|queue| !wake_one(queue) && queue.lock().is_empty()));
}

#[test]
fn claim_all_wakes_in_order_and_stops_where_told() {
    let queue = queue();
    let served = AtomicUsize::new(0);
    std::thread::scope(|s| {
        let waiters: Vec<_> = (0..4)
            .map(|i| {
                let (queue_of, served) = (&queue, &served);
                let waiter = s.spawn(move || {
                    let node = Waiter::new(i);
                    let guard = queue_of.lock();
                    // SAFETY: the guard is of this lock, whose value is the queue; the node is new.
                    let selected = unsafe { wait_in(queue_of, guard, |queue| queue, &node, End::Back, WAIT) };
                    served.fetch_add(1, Ordering::SeqCst);
                    selected
                });
                while !is_last(&queue, i) {
                    std::thread::yield_now();
                }
                waiter
            })
            .collect();
        let all = queue.lock().claim_all_where(Selected::Served, |&i| i < 3);
        assert_eq!(served.load(Ordering::SeqCst), 0);
        all.unpark();
        queue.lock().claim_all(Selected::Closed).unpark();
        let selected: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        assert_eq!(selected, [Selected::Served, Selected::Served, Selected::Served, Selected::Closed]);
    });
}

fn is_last(queue: &Queue, packet: usize) -> bool {
    let queue = queue.lock();
    // SAFETY: queued nodes are alive, and the lock keeps them queued.
    queue.first.is_some_and(|first| unsafe { first.as_ref().prev.get().unwrap().as_ref() }.packet == packet)
}
