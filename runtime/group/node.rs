//! One task of a group as the group sees it, and the lists that such nodes stand in.
//!
//! A node is shared by two parties, the spawner and the task. Each does its part once, under the group's lock, and the
//! one that comes second puts the node on the list of finished ones:
//!
//! | | spawner attaches the handle | task ends |
//! | --- | --- | --- |
//! | first | the node joins `members` | `ended` is set; the node is on no list |
//! | second | the node goes to `finished` | the node moves from `members` to `finished` |
//!
//! After its part neither party touches the node again; whoever takes it out of `finished` owns it.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::thread;

use crate::task::cells;
use crate::task::handle::TaskHandle;

/// See the head of this file.
pub(super) struct Node<T> {
    /// Counts the group's tasks in the order of their spawning, from 0.
    pub(super) index: usize,
    // The links and `ended` are touched under the group's lock.
    prev: Cell<Link<T>>,
    next: Cell<Link<T>>,
    pub(super) ended: Cell<bool>,
    /// Written once, under the group's lock; read under it, or by the node's owner.
    pub(super) task: UnsafeCell<Option<TaskHandle<()>>>,
    /// The task's alone until it ends; then as `task`. Stays empty if the task's closure was dropped unrun.
    pub(super) result: UnsafeCell<Option<thread::Result<T>>>,
}

type Link<T> = Option<NonNull<Node<T>>>;

impl<T> Node<T> {
    /// Makes a node in memory of its own, among that of tasks.
    pub(super) fn allocate(index: usize) -> NonNull<Self> {
        let place = cells::make::<Self>();
        // SAFETY: the memory is ours, and large enough.
        unsafe {
            place.write(Self {
                index,
                prev: Cell::new(None),
                next: Cell::new(None),
                ended: Cell::new(false),
                task: UnsafeCell::new(None),
                result: UnsafeCell::new(None),
            });
        }
        place
    }

    /// Moves a node out of its memory, and frees that.
    ///
    /// # Safety
    ///
    /// The node came from [`allocate`](Self::allocate), and nobody uses it any more.
    pub(super) unsafe fn free(this: NonNull<Self>) -> Self {
        // SAFETY: by the contract it is there, and read for the last time.
        let node = unsafe { this.read() };
        // SAFETY: by the contract.
        unsafe { cells::free(this) };
        node
    }
}

/// A doubly linked list of nodes, all of which are alive.
pub(super) struct List<T> {
    first: Link<T>,
    last: Link<T>,
    len: usize,
}

impl<T> List<T> {
    pub(super) const fn new() -> Self {
        Self { first: None, last: None, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    ///
    /// The node is on no list, and stays alive and in its place for as long as it is on this one.
    pub(super) unsafe fn push_back(&mut self, node: NonNull<Node<T>>) {
        // SAFETY: by the contract.
        let this = unsafe { node.as_ref() };
        this.prev.set(self.last);
        this.next.set(None);
        match self.last {
            // SAFETY: members of the list are alive.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(node)),
            None => self.first = Some(node),
        }
        self.last = Some(node);
        self.len += 1;
    }

    /// # Safety
    ///
    /// The node is on this list.
    pub(super) unsafe fn remove(&mut self, node: NonNull<Node<T>>) {
        // SAFETY: by the contract.
        let this = unsafe { node.as_ref() };
        let (prev, next) = (this.prev.get(), this.next.get());
        match prev {
            // SAFETY: members of the list are alive.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.first = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.last = prev,
        }
        self.len -= 1;
    }

    pub(super) fn pop_front(&mut self) -> Link<T> {
        let first = self.first?;
        // SAFETY: it is the first of this list.
        unsafe { self.remove(first) };
        Some(first)
    }

    /// Moves the first node to the end, and returns it.
    pub(super) fn rotate(&mut self) -> Link<T> {
        let first = self.pop_front()?;
        // SAFETY: it was on this list, so it is alive, and on no list now.
        unsafe { self.push_back(first) };
        Some(first)
    }

    /// Whether `holds` is true for one of the nodes. O(n).
    pub(super) fn any(&self, holds: impl Fn(&Node<T>) -> bool) -> bool {
        let mut link = self.first;
        while let Some(node) = link {
            // SAFETY: members of the list are alive.
            let node = unsafe { node.as_ref() };
            if holds(node) {
                return true;
            }
            link = node.next.get();
        }
        false
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn nodes_leave_from_any_place_and_the_rest_keeps_its_order() {
        let nodes: Vec<_> = (0..5).map(Node::<()>::allocate).collect();
        let mut list = List::new();
        // SAFETY: the nodes live until the end of the test, and each is pushed and removed once.
        unsafe {
            nodes.iter().for_each(|&node| list.push_back(node));
            [0, 2, 4].into_iter().for_each(|i| list.remove(nodes[i]));
        }
        assert_eq!(
            (list.len(), list.any(|node| node.index == 3), list.any(|node| node.index == 2)),
            (2, true, false)
        );
        assert_eq!(
            (list.rotate(), list.rotate(), list.rotate()),
            (Some(nodes[1]), Some(nodes[3]), Some(nodes[1]))
        );
        assert_eq!(
            (list.pop_front(), list.pop_front(), list.pop_front()),
            (Some(nodes[3]), Some(nodes[1]), None)
        );
        assert_eq!(list.len(), 0);
        // SAFETY: made above, and no list has them.
        nodes.into_iter().for_each(|node| drop(unsafe { Node::free(node) }));
    }
}
