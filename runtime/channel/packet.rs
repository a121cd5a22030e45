//! What waits in a channel's queues, and how a message passes between two waiters.
//!
//! ```text
//! sender's stack                          receiver's stack
//! node ── packet ── slot ──▶ message      node ── packet ── slot ──▶ room for one
//! ```
//!
//! The packet says where the message is, not what it is: nodes of all channels have one type, so a select can stand in
//! the queues of many, and one list can hold all whom it wakes. Who claims a waiter may use its slot; the channel that
//! the node stands in knows the message's type.
//!
//! | role | who | when claimed by the other side |
//! | --- | --- | --- |
//! | `Message` | a receiver; a sender with its message | gets or gives the message, and has been served |
//! | `Later` | a sending arm of a select, whose message is made when it has been chosen | is served: it has a reserved place in the buffer, or a `partner` |
//! | `Look` | whoever waits for an operation to be possible | is told to look, and nothing else |
//!
//! A *partner* is a receiver whose claim the chosen sender holds. It stays parked, beyond the reach of timers and
//! cancellation, until that sender has handed its message over ([`Claimed::select`] with `Served`), or has failed to make
//! one (`Retry`: the receiver begins anew). A receiver that comes upon a waiting `Later` makes itself a partner:
//!
//! | state | receiver | sender |
//! | --- | --- | --- |
//! | claimed | holds the sender's claim | parked |
//! | [`promised`](await_message) | parked shielded, its own claim given to the sender | runs, makes its message |
//! | served | has the message | done |
//! | retry | looks at the channel again | its `select!` has unwound, or left the message's expression |
//!
//! Rejected: to evaluate the messages of all arms before the choice, as Go does. It is faster here, but `select!` of
//! crossbeam-channel evaluates the chosen one alone, and two arms may move the same value. Rejected: to wake the waiting
//! `Later` and let it find the receiver waiting. Then a `try_recv` could never meet a select.

use std::cell::{Cell, UnsafeCell};
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

use crate::task::cancel::shield;
use crate::task::waiter::{Claimed, Selected, WaitQueue, Waiter, WakeAll};
use crate::task::{Wait, park};
use crate::util::abort;

/// See the head of this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Message,
    Later,
    Look,
}

/// What a waiter shows to who claims it.
pub(crate) struct Packet {
    pub(crate) role: Role,
    /// With [`Role::Message`], a pointer to a message of the channel's type: a sender's is full, a receiver's is empty,
    /// until they are served. With [`Role::Later`], null, or the partner, set by the receiver that has claimed it.
    slot: Cell<*mut ()>,
}

/// All waiters in channels.
pub(crate) type Node = Waiter<Packet>;

// SAFETY: a packet is used by one party at a time, as its claim tells. Queues lie in channels, which are `Sync` only if
// their messages are `Send`; so what moves through the slot may.
unsafe impl Send for Packet {}

impl Packet {
    pub(crate) fn new(role: Role, slot: *mut ()) -> Self {
        debug_assert!(role != Role::Later || slot.is_null());
        Self { role, slot: Cell::new(slot) }
    }

    /// Gives a receiver its message.
    ///
    /// # Safety
    ///
    /// The packet is a receiver's with [`Role::Message`], of a channel of `T`; the caller has claimed it, and puts one
    /// message.
    #[inline]
    pub(crate) unsafe fn put<T>(&self, message: T) {
        debug_assert_eq!(self.role, Role::Message);
        // SAFETY: by the contract the slot is there, empty, and ours.
        unsafe { self.slot.get().cast::<T>().write(message) }
    }

    /// Takes a sender's message.
    ///
    /// # Safety
    ///
    /// The packet is a sender's with [`Role::Message`], of a channel of `T`; the caller has claimed it, takes once, and
    /// selects it as `Served`.
    #[inline]
    pub(crate) unsafe fn take<T>(&self) -> T {
        debug_assert_eq!(self.role, Role::Message);
        // SAFETY: by the contract the slot is there, full, and ours.
        unsafe { self.slot.get().cast::<T>().read() }
    }

    /// [`take`](Self::take) into a slot.
    ///
    /// # Safety
    ///
    /// As for `take`; the slot is empty, and nobody waits by it now.
    #[inline]
    pub(crate) unsafe fn take_into<T>(&self, slot: &Slot<T>) {
        debug_assert_eq!(self.role, Role::Message);
        // SAFETY: by the contract; the two slots are different parties'.
        unsafe { ptr::copy_nonoverlapping(self.slot.get().cast::<T>(), slot.pointer().cast::<T>(), 1) };
    }

    /// The receiver whose claim a chosen sender has been given.
    pub(crate) fn partner(&self) -> Option<NonNull<Node>> {
        debug_assert_eq!(self.role, Role::Later);
        NonNull::new(self.slot.get().cast())
    }
}

/// Room for a message on the stack of who waits; never drops it.
pub(crate) struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

impl<T> Slot<T> {
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    pub(crate) fn pointer(&self) -> *mut () {
        self.0.get().cast()
    }

    /// # Safety
    ///
    /// The slot is empty, and nobody waits by it now.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, message: T) {
        // SAFETY: by the contract.
        unsafe { self.0.get().cast::<T>().write(message) }
    }

    /// # Safety
    ///
    /// A message has been put into this slot, and has not been taken.
    #[inline]
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: by the contract.
        unsafe { self.pointer().cast::<T>().read() }
    }
}

/// The message of a sender, in a slot; dropped with this unless it has been sent.
pub(crate) struct Unsent<'a, T>(&'a Slot<T>);

impl<'a, T> Unsent<'a, T> {
    /// Puts the message into a new slot.
    #[inline(always)]
    pub(crate) fn put(slot: &'a mut Slot<T>, message: T) -> Self {
        // SAFETY: nobody knows of a slot that is borrowed alone. (What it may have held is leaked.)
        unsafe { slot.put(message) };
        Self(slot)
    }

    #[inline(always)]
    pub(crate) fn pointer(&self) -> *mut () {
        self.0.pointer()
    }

    #[inline]
    pub(crate) fn take(self) -> T {
        // SAFETY: it is full from the beginning, and is not dropped as well.
        let message = unsafe { self.0.take() };
        mem::forget(self);
        message
    }

    /// Gives the message to a receiver.
    ///
    /// # Safety
    ///
    /// As for [`Packet::put`].
    #[inline]
    pub(crate) unsafe fn give_to(self, packet: &Packet) {
        debug_assert_eq!(packet.role, Role::Message);
        // SAFETY: as in `take`; by the contract the receiver's slot is there, empty, and ours.
        unsafe { ptr::copy_nonoverlapping(self.pointer().cast::<T>(), packet.slot.get().cast::<T>(), 1) };
        mem::forget(self);
    }

    /// Gives the message back.
    #[inline(never)]
    pub(crate) fn fail<E>(self, wrap: fn(T) -> E) -> Result<(), E> {
        Err(wrap(self.take()))
    }

    /// Somebody else has taken the message.
    #[inline(always)]
    pub(crate) fn forget(self) {
        mem::forget(self);
    }
}

impl<T> Drop for Unsent<'_, T> {
    fn drop(&mut self) {
        // SAFETY: whoever has taken the message has also had this forgotten.
        unsafe { ptr::drop_in_place(self.pointer().cast::<T>()) }
    }
}

/// Claimed waiters, who run when this is dropped: do so without the lock.
pub(crate) struct Wakes(WakeAll<Packet>);

impl Wakes {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self(WakeAll::new())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, claimed: Claimed<Packet>, selected: Selected) {
        self.0.push(claimed, selected);
    }

    pub(crate) fn append(&mut self, others: WakeAll<Packet>) {
        self.0.append(others);
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            mem::replace(&mut self.0, WakeAll::new()).unpark();
        }
    }
}

/// The first in the queue that takes or gives a message; on the way, tells those that only look.
#[inline(always)]
pub(crate) fn claim_partner(queue: &mut WaitQueue<Packet>, wakes: &mut Wakes) -> Option<Claimed<Packet>> {
    let first = queue.claim_first()?;
    if first.packet().role == Role::Look { claim_behind(first, queue, wakes) } else { Some(first) }
}

#[cold]
fn claim_behind(
    mut looker: Claimed<Packet>,
    queue: &mut WaitQueue<Packet>,
    wakes: &mut Wakes,
) -> Option<Claimed<Packet>> {
    loop {
        wakes.push(looker, Selected::Retry);
        looker = queue.claim_first()?;
        if looker.packet().role != Role::Look {
            return Some(looker);
        }
    }
}

/// Whether somebody is in the queue who takes or gives a message.
pub(crate) fn has_partner(queue: &WaitQueue<Packet>) -> bool {
    queue.any(|packet| packet.role != Role::Look)
}

/// Parks until a claimed [`Role::Later`] has made its message and put it into `slot`, which is for one message of its
/// channel's type. False: there will be none, and the caller looks again. Neither a timer nor a cancellation ends this
/// wait, since the message must not be lost; call it without the lock.
#[inline(never)]
pub(crate) fn await_message(sender: Claimed<Packet>, slot: *mut (), wait: Wait) -> bool {
    /// Sends the sender back to its choice if this wait is refused.
    struct Chosen(Option<Claimed<Packet>>);

    impl Drop for Chosen {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.select(Selected::Retry).unpark();
            }
        }
    }

    debug_assert_eq!(sender.packet().role, Role::Later);
    debug_assert!(wait.deadline.is_none());
    let node = Node::new(Packet::new(Role::Message, slot));
    let mut chosen = Chosen(Some(sender));
    shield(|| {
        park(wait, || {
            if let Some(sender) = chosen.0.take() {
                // SAFETY: this is the commit of a wait that is shielded and has no deadline, of a node in no queue.
                let own = unsafe { node.claim_own() };
                sender.packet().slot.set(own.into_raw().as_ptr().cast());
                sender.select(Selected::Served).unpark();
            }
            true
        })
    });
    match node.selected() {
        Selected::Served => true,
        Selected::Retry => false,
        _ => abort("a receiver was woken that had been promised a message"),
    }
}
