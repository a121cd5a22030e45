//! One arm of a select, as the select sees it: something with a lock, a queue, and an operation that can be tried.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::packet::{Node, Packet, Role, Wakes};
use crate::task::waiter::Claimed;
use crate::util::spin::RawSpin;

/// What a chosen arm has come to, and what is needed to complete it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    /// The message lies in the arm's slot.
    Message,
    /// The other side is gone.
    Closed,
    /// A sender's place in the buffer.
    Reserved,
    /// A sender's channel takes any number of messages.
    Open,
    /// The receiver that waits for this sender's message, claimed.
    Partner(NonNull<Node>),
    /// A receiver has missed so many messages.
    Lagged(u64),
}

/// What an arm answers when it is tried.
pub(crate) enum Poll {
    Pending,
    Ready(Token),
    /// A sender without a message has been claimed, which is to be awaited without any lock.
    Promised(Claimed<Packet>),
}

/// # Safety
///
/// For who implements it: [`lock`](Self::lock) returns the same lock each time, `enqueue` puts the node into a queue
/// behind it, and only `dequeue` and wakers take it out.
pub(crate) unsafe trait Arm {
    /// The lock that all else is called under. An arm without one never queues.
    fn lock(&self) -> Option<&RawSpin>;

    /// When to look again, if nobody wakes us before.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The role of this arm's node; a receiver's gets the slot.
    fn role(&self) -> Role;

    /// Does the operation, or as much of it as it can without the message, if that needs no waiting.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and drops `wakes` without it. The slot is empty, and fits what the arm receives. What
    /// comes back is completed, aborted or awaited.
    unsafe fn poll(&self, slot: *mut (), wakes: &mut Wakes) -> Poll;

    /// Whether the operation needs no waiting. May be wrong about those who wait at the other side.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn is_ready(&self) -> bool;

    /// # Safety
    ///
    /// The caller holds the lock; the node is as [`push_back`](crate::task::waiter::WaitQueue::push_back) wants it.
    unsafe fn enqueue(&self, node: &Node);

    /// # Safety
    ///
    /// The caller holds the lock; the node has been given to [`enqueue`](Self::enqueue).
    unsafe fn dequeue(&self, node: &Node);

    /// What a waker that has selected the node as `Served` has left for us.
    fn served(&self, _node: &Node) -> Token {
        Token::Message
    }

    /// Takes back what [`poll`](Self::poll) or a waker has reserved; not a message.
    ///
    /// # Safety
    ///
    /// The token comes from this arm, and is used for nothing else.
    unsafe fn abort(&self, token: Token);
}

/// An arm's place in a select.
// Public by name, since the select macros pass it on.
pub struct Entry<'a> {
    pub(crate) arm: &'a dyn Arm,
    /// The arm's.
    pub(crate) lock: Option<&'a RawSpin>,
    /// The address of what the arm was made from.
    pub(crate) owner: *const (),
    /// Where a message is to be put.
    pub(crate) slot: Cell<*mut ()>,
    /// Whether the select holds the arm's lock by this entry; of several arms with one lock, one does.
    pub(crate) holds: Cell<bool>,
    /// Initialised while the select waits.
    pub(crate) node: UnsafeCell<MaybeUninit<Node>>,
}

impl<'a> Entry<'a> {
    #[inline]
    pub(crate) fn new(arm: &'a dyn Arm, slot: *mut (), owner: *const ()) -> Self {
        Self {
            arm,
            lock: arm.lock(),
            owner,
            slot: Cell::new(slot),
            holds: Cell::new(false),
            node: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The address of the lock: an order in which many can be taken. 0 if there is none.
    pub(crate) fn lock_address(&self) -> usize {
        self.lock.map_or(0, |lock| ptr::from_ref(lock).addr())
    }

    /// The same arm's place in another select.
    pub(crate) fn renew(&self) -> Self {
        Self::new(self.arm, ptr::null_mut(), self.owner)
    }
}

/// An arm that is never ready.
pub(crate) struct Never;

// SAFETY: it has no lock and no queue.
unsafe impl Arm for Never {
    fn lock(&self) -> Option<&RawSpin> {
        None
    }

    fn role(&self) -> Role {
        Role::Look
    }

    unsafe fn poll(&self, _slot: *mut (), _wakes: &mut Wakes) -> Poll {
        Poll::Pending
    }

    unsafe fn is_ready(&self) -> bool {
        false
    }

    unsafe fn enqueue(&self, _node: &Node) {}

    unsafe fn dequeue(&self, _node: &Node) {}

    unsafe fn abort(&self, _token: Token) {}
}
