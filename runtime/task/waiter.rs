//! The queue of those who wait for one object, and the claim by which exactly one party ends each wait.
//!
//! ```text
//! WaitQueue.first ──▶ Waiter ──next──▶ Waiter ──next──▶ Waiter      (a ring: first.prev is the last)
//!                     on a parked      ...              ...
//!                     stack: parker, selected, packet
//! ```
//!
//! A [`WaitQueue`] lies in the object, behind the object's spin lock; its nodes lie on the stacks of those who wait. A
//! parker may stand in several queues at once, by one node in each: every waker must win the parker's claim before it
//! touches a node's contents, so one of them gets the parker and the others skip that node.
//!
//! | a node is | from | until |
//! | --- | --- | --- |
//! | queued | `push_*` under the lock | a waker pops it, or its owner removes it; both under the lock |
//! | claimed | a waker pops it and wins the claim | the waker has written [`Selected`] and unparks; then it is gone |
//! | stale | a waker pops it and loses the claim | its owner, awake by timer, canceller or another queue, leaves |
//!
//! A stale node is dropped from the queue by the waker that met it, so a queue in which nobody could be claimed is
//! empty, and what callers conclude from "nobody waits" is exact.
//!
//! Rejected: one allocated queue keyed by address for the whole process, as parking_lot has it. It makes a lock one
//! byte small, but costs a hash, a shared bucket lock and a deque of foreign waiters on every park.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

use super::park::try_park_as;
use super::{Outcome, Parker, Wait};
use crate::util::abort;
use crate::util::spin::{SpinGuard, SpinLock};

/// What became of a waiter, written by the waker that claimed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selected {
    /// No waker has claimed this node.
    Nothing,
    /// It was woken to look again; nothing was given to it.
    Retry,
    /// It got what it waits for.
    Served,
    /// What it waits for will never come.
    Closed,
}

/// A node on the stack of somebody who waits. `P` is what a waker and the waiter exchange.
pub(crate) struct Waiter<P> {
    parker: Parker,
    // All cells are touched under the queue's lock; or by the one waker, between its claim and its unpark; or by the
    // owner, when the node is in no queue.
    next: Cell<Link<P>>,
    prev: Cell<Link<P>>,
    queued: Cell<bool>,
    selected: Cell<Selected>,
    packet: P,
    _pinned: PhantomPinned,
}

type Link<P> = Option<NonNull<Waiter<P>>>;

impl<P> Waiter<P> {
    /// A node for the running task or the current OS thread.
    pub(crate) fn new(packet: P) -> Self {
        Self::of(Parker::current(), packet)
    }

    /// A node for `parker`, which is the caller's own: for several nodes of one wait.
    pub(crate) fn of(parker: Parker, packet: P) -> Self {
        Self {
            parker,
            next: Cell::new(None),
            prev: Cell::new(None),
            queued: Cell::new(false),
            selected: Cell::new(Selected::Nothing),
            packet,
            _pinned: PhantomPinned,
        }
    }

    pub(crate) fn packet(&self) -> &P {
        &self.packet
    }

    /// What the wait came to: for the owner, once its wait has ended.
    pub(crate) fn selected(&self) -> Selected {
        self.selected.get()
    }

    /// Claims the wait of this node's owner for somebody whom the owner then tells of it.
    ///
    /// # Safety
    ///
    /// Called in the commit of a wait that nobody else can claim: it is shielded, has no deadline, and the node is in no
    /// queue.
    pub(crate) unsafe fn claim_own(&self) -> Claimed<P> {
        // SAFETY: the wait has begun, since its commit runs.
        if !unsafe { self.parker.claim() } {
            abort("a wait that only its owner could claim was claimed");
        }
        Claimed { node: NonNull::from(self), parker: self.parker }
    }
}

/// The waiters of one object, first come, first served. Lies behind the object's spin lock.
pub(crate) struct WaitQueue<P> {
    first: Link<P>,
}

// SAFETY: the queue refers to nodes of other threads. It touches their links under the lock that it lies behind, and
// their packets, which move between threads and so must be `Send`, only through a claim.
unsafe impl<P: Send> Send for WaitQueue<P> {}

impl<P> Default for WaitQueue<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> WaitQueue<P> {
    pub(crate) const fn new() -> Self {
        Self { first: None }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whom the next claim will try first.
    pub(crate) fn first_packet(&self) -> Option<&P> {
        // SAFETY: a queued node is alive (`push_back`), and the lock keeps it queued while we look.
        self.first.map(|node| unsafe { node.as_ref() }.packet())
    }

    /// Whether `wanted` accepts somebody in the queue. The waits of some may have ended already.
    pub(crate) fn any(&self, wanted: impl Fn(&P) -> bool) -> bool {
        let mut next = self.first;
        while let Some(node) = next {
            count_step();
            // SAFETY: a queued node is alive (`push_back`), and the lock keeps it queued while we look.
            let node = unsafe { node.as_ref() };
            if wanted(&node.packet) {
                return true;
            }
            next = node.next.get().filter(|&next| Some(next) != self.first);
        }
        false
    }

    /// Adds a node at the end.
    ///
    /// # Safety
    ///
    /// - The node is in no queue.
    /// - It stays in its place, alive, until a waker has popped it or its owner has called [`remove`](Self::remove).
    /// - The wait of its parker has begun when the lock that this queue lies behind is next released, and goes on until
    ///   the node has been popped or removed.
    pub(crate) unsafe fn push_back(&mut self, node: &Waiter<P>) {
        let this = NonNull::from(node);
        debug_assert!(!node.queued.get());
        node.queued.set(true);
        let Some(first) = self.first else {
            node.next.set(Some(this));
            node.prev.set(Some(this));
            self.first = Some(this);
            return;
        };
        // SAFETY: queued nodes are alive; the ring links them all, so a queued node has a predecessor.
        unsafe {
            let last = first.as_ref().prev.replace(Some(this)).unwrap_unchecked();
            last.as_ref().next.set(Some(this));
            node.prev.set(Some(last));
        }
        node.next.set(Some(first));
    }

    /// Adds a node at the front.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](Self::push_back).
    pub(crate) unsafe fn push_front(&mut self, node: &Waiter<P>) {
        // SAFETY: passed on. In a ring the place behind the last node is the place before the first.
        unsafe { self.push_back(node) };
        self.first = Some(NonNull::from(node));
    }

    /// Takes a node out if a waker has not done so already.
    ///
    /// # Safety
    ///
    /// The node is in this queue or in none.
    pub(crate) unsafe fn remove(&mut self, node: &Waiter<P>) {
        if node.queued.get() {
            // SAFETY: passed on, and it is queued.
            unsafe { self.unlink(node) };
        }
    }

    /// # Safety
    ///
    /// The node is in this queue.
    unsafe fn unlink(&mut self, node: &Waiter<P>) {
        count_step();
        let this = NonNull::from(node);
        node.queued.set(false);
        // SAFETY: a queued node's links point to queued nodes, which are alive.
        unsafe {
            let next = node.next.get().unwrap_unchecked();
            if next == this {
                self.first = None;
                return;
            }
            let prev = node.prev.get().unwrap_unchecked();
            next.as_ref().prev.set(Some(prev));
            prev.as_ref().next.set(Some(next));
            if self.first == Some(this) {
                self.first = Some(next);
            }
        }
    }

    /// Pops nodes from the front until one can be claimed; `None` leaves the queue empty.
    pub(crate) fn claim_first(&mut self) -> Option<Claimed<P>> {
        self.claim_first_where(|_| true)
    }

    /// The same, but stops without a claim at the first node that `wanted` declines.
    pub(crate) fn claim_first_where(&mut self, wanted: impl Fn(&P) -> bool) -> Option<Claimed<P>> {
        while let Some(first) = self.first {
            count_step();
            // SAFETY: queued nodes are alive.
            let node = unsafe { first.as_ref() };
            if !wanted(&node.packet) {
                return None;
            }
            let parker = node.parker;
            // SAFETY: it is the first of this queue.
            unsafe { self.unlink(node) };
            // SAFETY: the wait had begun before we could see the node, and its owner needs the lock that we hold to
            // leave it (both by the contract of `push_back`).
            if unsafe { parker.claim() } {
                return Some(Claimed { node: first, parker });
            }
        }
        None
    }

    /// Claims all whom `wanted` accepts, up to the first that it declines, and tells them `selected`. They are to be
    /// unparked when the lock is released.
    pub(crate) fn claim_all_where(&mut self, selected: Selected, wanted: impl Fn(&P) -> bool) -> WakeAll<P> {
        let mut all = WakeAll::new();
        while let Some(claimed) = self.claim_first_where(&wanted) {
            all.push(claimed, selected);
        }
        all
    }

    /// [`claim_all_where`](Self::claim_all_where) for everybody.
    pub(crate) fn claim_all(&mut self, selected: Selected) -> WakeAll<P> {
        self.claim_all_where(selected, |_| true)
    }
}

/// Notes that a node was looked at, for tests of how many a whole program looks at.
#[inline(always)]
fn count_step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

#[cfg(test)]
std::thread_local! {
    /// How many nodes this thread has looked at.
    pub(crate) static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// A waiter whose claim we have won: it stays parked, and its node stays ours, until [`Wake::unpark`].
#[must_use = "a claimed waiter that nobody unparks sleeps for ever"]
pub(crate) struct Claimed<P> {
    node: NonNull<Waiter<P>>,
    parker: Parker,
}

impl<P> Claimed<P> {
    #[inline]
    pub(crate) fn packet(&self) -> &P {
        // SAFETY: a claimed waiter is parked, so the node on its stack is alive; nobody else touches it.
        unsafe { &self.node.as_ref().packet }
    }

    /// Ends our use of the node. Unpark after unlocking.
    #[inline]
    pub(crate) fn select(self, selected: Selected) -> Wake {
        // SAFETY: as in `packet`.
        unsafe { self.node.as_ref() }.selected.set(selected);
        Wake(self.parker)
    }

    /// The claim as a pointer, for who keeps it where its type is not known.
    pub(crate) fn into_raw(self) -> NonNull<Waiter<P>> {
        self.node
    }

    /// # Safety
    ///
    /// `node` comes from [`into_raw`](Self::into_raw), and is used for one claim only.
    pub(crate) unsafe fn from_raw(node: NonNull<Waiter<P>>) -> Self {
        // SAFETY: its owner stays parked, so the node is alive, until the claim is used up.
        let parker = unsafe { node.as_ref() }.parker;
        Self { node, parker }
    }
}

/// A claimed waiter that has got all that it needs.
#[must_use = "a claimed waiter that nobody unparks sleeps for ever"]
pub(crate) struct Wake(Parker);

impl Wake {
    /// Lets the waiter run. Call it without the lock: the waiter's stack, and with it the object, may die at once.
    #[inline]
    pub(crate) fn unpark(self) {
        // SAFETY: a `Wake` exists once per claim, and this consumes it.
        unsafe { self.0.unpark() }
    }
}

/// Claimed waiters, linked through their own nodes, since no memory may be allocated under a spin lock.
#[must_use = "claimed waiters that nobody unparks sleep for ever"]
pub(crate) struct WakeAll<P> {
    /// The first and the last of them; the last one's `next` is empty.
    ends: Option<Ends<P>>,
}

type Ends<P> = (NonNull<Waiter<P>>, NonNull<Waiter<P>>);

impl<P> WakeAll<P> {
    pub(crate) const fn new() -> Self {
        Self { ends: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Tells a claimed waiter `selected`, and adds it behind ours.
    pub(crate) fn push(&mut self, claimed: Claimed<P>, selected: Selected) {
        // SAFETY: a claimed node belongs to us until we unpark its owner, and is on no other list.
        let node = unsafe { claimed.node.as_ref() };
        node.selected.set(selected);
        node.next.set(None);
        self.append(WakeAll { ends: Some((claimed.node, claimed.node)) });
    }

    /// Adds those of `others` behind ours.
    pub(crate) fn append(&mut self, others: Self) {
        self.ends = match (self.ends, others.ends) {
            (Some((first, middle)), Some((next, last))) => {
                // SAFETY: nodes on a list of this kind are claimed and their owners still parked.
                unsafe { middle.as_ref() }.next.set(Some(next));
                Some((first, last))
            }
            (ends, other_ends) => ends.or(other_ends),
        };
    }

    /// Lets them run, in the order of their coming. Call it without the lock, as [`Wake::unpark`].
    pub(crate) fn unpark(self) {
        let mut link = self.ends.map(|(first, _)| first);
        while let Some(this) = link {
            // SAFETY: each node on this list is claimed by us and its owner still parked. All is read before the
            // unpark, which may end the node's life; each parker is unparked once.
            unsafe {
                let node = this.as_ref();
                link = node.next.get();
                let parker = node.parker;
                parker.unpark();
            }
        }
    }
}

/// Which end of a queue a waiter joins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

/// Where in a lock's value a queue lies. Not a function pointer, which every wait would keep on its stack.
pub(crate) trait Place<S, P>: Fn(&mut S) -> &mut WaitQueue<P> + Copy {}

impl<S, P, Q: Fn(&mut S) -> &mut WaitQueue<P> + Copy> Place<S, P> for Q {}

/// Parks the caller as a node of one queue, and returns when a waker has selected it, or with [`Selected::Nothing`] when
/// the deadline has passed. Unwinds if the task is cancelled. The lock is released while the caller is parked, and
/// not taken again on return.
///
/// # Safety
///
/// - `guard` is a guard of `lock`.
/// - `queue` returns the same queue of the lock's value every time.
/// - `node` is in no queue, and made by the caller.
#[inline(always)]
pub(crate) unsafe fn wait_in<S, P>(
    lock: &SpinLock<S>,
    guard: SpinGuard<'_, S>,
    queue: impl Place<S, P>,
    node: &Waiter<P>,
    end: End,
    wait: Wait,
) -> Selected {
    // SAFETY: passed on.
    unsafe { wait_in_and_drop(lock, guard, queue, node, end, wait, ()) }
}

/// As [`wait_in`]; drops `then` when the node is queued and the lock released: those who are to learn of this waiter.
///
/// # Safety
///
/// As for [`wait_in`]. The destructor of `then` must not panic or park.
#[inline(always)]
pub(crate) unsafe fn wait_in_and_drop<S, P, D>(
    lock: &SpinLock<S>,
    mut guard: SpinGuard<'_, S>,
    queue: impl Place<S, P>,
    node: &Waiter<P>,
    end: End,
    wait: Wait,
    then: D,
) -> Selected {
    let leave = Leave { lock, queue, node };
    node.selected.set(Selected::Nothing);
    // SAFETY: by our contract the node is in no queue. It is borrowed, so it can't move while this function runs, and
    // `leave` takes it out on every way out of it. `park` begins the wait before it runs the closure below, which is
    // what releases the lock. Where it drops the closure unrun no wait has begun: a waker that meets the node then fails
    // to claim us, and we don't wait for anything else before `leave` has taken the node out.
    unsafe {
        match end {
            End::Back => queue(&mut guard).push_back(node),
            End::Front => queue(&mut guard).push_front(node),
        }
    }
    let commit = move || {
        drop(guard);
        drop(then);
        true
    };
    // SAFETY: by our contract the node is the caller's, and so has its parker.
    let outcome = unsafe { try_park_as(node.parker, wait, commit) };
    match outcome {
        Ok(Outcome::Woken) => {
            // The waker has popped the node, and told us so: the lock is not needed.
            if node.queued.get() {
                abort("a waiter was woken while its node stood in a queue");
            }
            std::mem::forget(leave);
            node.selected.get()
        }
        Ok(Outcome::TimedOut) => Selected::Nothing,
        Err(unwinding) => {
            drop(leave);
            unwinding.unwind()
        }
    }
}

/// Takes a node out of its queue when a wait ends by itself.
struct Leave<'a, S, P, Q: Place<S, P>> {
    lock: &'a SpinLock<S>,
    queue: Q,
    node: &'a Waiter<P>,
}

impl<S, P, Q: Place<S, P>> Drop for Leave<'_, S, P, Q> {
    fn drop(&mut self) {
        let mut guard = self.lock.lock();
        // SAFETY: the node is in this queue or has been popped from it.
        unsafe { (self.queue)(&mut guard).remove(self.node) }
    }
}

#[cfg(test)]
mod tests;
