//! Tasks on their way to their home worker from elsewhere.
//!
//! A stack that anybody may push to and only the owner takes, all at once:
//!
//! ```text
//! head ─▶ third ─▶ second ─▶ first       push: link to head, CAS head; drain: swap head with null, reverse
//! ```
//!
//! The links lie in the tasks, so that a push neither allocates nor fails. A task is in at most one inbox, since it is
//! pushed only by the one who has claimed its wait, or who owns it unstarted.
//!
//! A queue with a tail (Vyukov's) would save the reversal, but has a moment in which a pushed task can't be seen; the
//! sleep protocol needs "pushed" to mean "visible".

use std::ptr;

use crate::util::atomic::{AtomicPtr, Ordering};

/// Something that an [`Inbox`] can link.
pub(crate) trait Linked: Copy {
    /// What the pointers point to.
    type Target;

    fn into_ptr(self) -> *mut Self::Target;

    /// # Safety
    ///
    /// `ptr` came from [`into_ptr`](Self::into_ptr), and what it points to is alive.
    unsafe fn from_ptr(ptr: *mut Self::Target) -> Self;

    fn link(&self) -> &AtomicPtr<Self::Target>;
}

/// See the head of this file.
pub(crate) struct Inbox<T: Linked> {
    head: AtomicPtr<T::Target>,
}

impl<T: Linked> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Anybody: adds `item`. Who then looks whether the owner sleeps needs a fence in between; `Bed::summon` has it.
    pub(crate) fn push(&self, item: T) {
        let new = item.into_ptr();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange below.
            item.link().store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `drain`; the item's fields are visible to the owner.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(actual) => head = actual,
            }
        }
    }

    /// Whether there is anything; a hint unless a fence orders it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// The owner: takes all items, the oldest first.
    pub(crate) fn drain(&self, mut each: impl FnMut(T)) {
        // Acquire: pairs with the Release in `push`.
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the pointer came from a `push`, and items in an inbox are alive.
            let item = unsafe { T::from_ptr(newest) };
            let next = item.link().load(Ordering::Relaxed);
            item.link().store(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = next;
        }
        while !oldest.is_null() {
            // SAFETY: as above; the link is read before `each` gives the item away.
            let item = unsafe { T::from_ptr(oldest) };
            oldest = item.link().load(Ordering::Relaxed);
            each(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) struct Node {
        link: AtomicPtr<Node>,
        pub(super) value: u32,
    }

    impl Node {
        pub(super) fn new(value: u32) -> Self {
            Self { link: AtomicPtr::new(ptr::null_mut()), value }
        }
    }

    impl Linked for &'static Node {
        type Target = Node;

        fn into_ptr(self) -> *mut Node {
            ptr::from_ref(self).cast_mut()
        }

        unsafe fn from_ptr(ptr: *mut Node) -> Self {
            // SAFETY: by the contract it came from a `&'static Node`.
            unsafe { &*ptr }
        }

        fn link(&self) -> &AtomicPtr<Node> {
            &self.link
        }
    }

    /// Nodes that live as long as the test needs them, which is all that `'static` means here.
    pub(super) fn node(value: u32) -> (&'static Node, *mut Node) {
        let node = Box::into_raw(Box::new(Node::new(value)));
        // SAFETY: the caller frees it with `free` when no reference is used any more.
        (unsafe { &*node }, node)
    }

    pub(super) fn free(node: *mut Node) {
        // SAFETY: it came from `node`, and the test is done with it.
        drop(unsafe { Box::from_raw(node) });
    }

    #[cfg(not(fibra_loom))]
    #[test]
    fn drains_in_the_order_of_the_pushes() {
        let inbox = Inbox::new();
        let nodes: Vec<_> = (0..3).map(node).collect();
        nodes.iter().for_each(|n| inbox.push(n.0));
        assert!(!inbox.is_empty());
        let mut seen = Vec::new();
        inbox.drain(|n: &Node| seen.push(n.value));
        assert_eq!(seen, [0, 1, 2]);
        assert!(inbox.is_empty());
        nodes.into_iter().for_each(|n| free(n.1));
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::tests::{Node, free, node};
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn loom_two_pushers_and_a_draining_owner_lose_nothing() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::<&'static Node>::new());
            let nodes: Vec<_> = (0..3).map(node).collect();
            let pushers: Vec<_> = [vec![nodes[0].0, nodes[1].0], vec![nodes[2].0]]
                .into_iter()
                .map(|batch| {
                    let inbox = inbox.clone();
                    thread::spawn(move || batch.into_iter().for_each(|n| inbox.push(n)))
                })
                .collect();
            let mut seen = Vec::new();
            inbox.drain(|n| seen.push(n.value));
            pushers.into_iter().for_each(|p| p.join().unwrap());
            inbox.drain(|n| seen.push(n.value));
            let place = |v| seen.iter().position(|s| *s == v).unwrap();
            assert!(place(0) < place(1), "one pusher's items stay in order");
            assert_eq!(seen.len(), 3);
            nodes.into_iter().for_each(|n| free(n.1));
        });
    }
}
