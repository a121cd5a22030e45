//! The choice between several operations.
//!
//! ```text
//! try each arm in a random order, keeping its lock ── one is ready ──▶ unlock, done
//!   │ none is                     └─ a lock is taken: unlock, take all in the order of their addresses, try again
//! push a node into each queue
//! park; the commit unlocks
//!   │ a waker, timer or canceller wins the claim
//! take the other nodes out of their queues
//! ```
//!
//! All locks are held together from the last look until the wait has begun: whoever comes to one of the channels later
//! finds the node, and can claim the wait. A first pass takes the locks as the order of trying wants them, and never
//! waits for one, so it can't deadlock; it is all that an undisturbed select needs, and a ready arm that is tried early
//! saves the locks of the others. Of waker, timer and canceller exactly one wins the claim, which serves one arm; nothing
//! is ever sent or taken by the others.
//!
//! Between unlocking and the removal of the last node nothing else may park: a node that is left in a queue would let a
//! waker claim a wait that it has nothing to do with.
//!
//! Rejected: always to lock all arms in the order of their addresses, as Go does: a sort before every choice, and all locks
//! for one ready arm.

use std::cell::Cell;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::time::Instant;

use super::arm::{Arm, Entry, Poll, Token};
use super::limit::{Limit, Until};
use super::packet::{Node, Packet, Role, Slot, Wakes, await_message};
use crate::task::park::try_park_as;
use crate::task::waiter::{Claimed, Selected};
use crate::task::{Outcome, Parker, Reason, Wait, checkpoint, current, park};
use crate::util::abort;
use crate::util::rng::Rng;
use crate::util::spin::RawSpin;

/// How to choose.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// The first of the ready arms, instead of any.
    pub(crate) biased: bool,
    /// Only find out which arm is ready.
    pub(crate) look: bool,
    /// It is not a choice: this is how one receiver waits.
    pub(crate) alone: bool,
}

/// The arm that was chosen, by its place among the entries.
pub(crate) struct Chosen {
    pub(crate) index: usize,
    pub(crate) token: Token,
}

/// Chooses one of the arms; `None` if none became ready in time. `order` has a place for each entry, and holds their
/// numbers in any order.
///
/// Parks if no arm is ready and the limit allows it. Unwinds if the task is cancelled while it is parked; then nothing has
/// been chosen.
pub(crate) fn choose(
    entries: &[Entry<'_>],
    order: &mut [u32],
    mut limit: Limit,
    mode: Mode,
) -> Option<Chosen> {
    debug_assert_eq!(entries.len(), order.len());
    if !matches!(limit, Limit::Now) {
        checkpoint();
    }
    // Thread-locals are asked once, not around a park.
    let rng = Rng::new(if mode.biased { 0 } else { seed() });
    let mut timed_out = false;
    loop {
        let mut wakes = Wakes::new();
        let locks = Locks(entries);
        let found = try_all(entries, order, &rng, mode, &mut wakes).unwrap_or_else(|Contended| {
            locks.release();
            take_all(entries, order);
            try_all(entries, order, &rng, mode, &mut wakes)
                .unwrap_or_else(|Contended| abort("a select holds all its locks and misses one"))
        });
        match found {
            Some((index, Poll::Ready(token))) => {
                drop(locks);
                return Some(Chosen { index, token });
            }
            Some((index, Poll::Promised(sender))) => {
                drop(locks);
                drop(wakes);
                if await_sender(&entries[index], sender) {
                    return Some(Chosen { index, token: Token::Message });
                }
                continue;
            }
            Some((_, Poll::Pending)) | None => {}
        }
        let deadline = match limit.fix() {
            None => {
                drop(locks);
                drop(wakes);
                checkpoint();
                return None;
            }
            Some(Some(deadline)) if timed_out && deadline <= Instant::now() => {
                drop(locks);
                return None;
            }
            Some(deadline) => deadline,
        };
        match wait(entries, order, mode, locks, wakes, deadline) {
            Waited::Chosen(chosen) => return Some(chosen),
            Waited::Again => {}
            Waited::TimedOut => timed_out = true,
        }
    }
}

/// Receives by one arm; `None` if it did not become ready in time.
///
/// # Safety
///
/// The arm receives an `M`; `result` is called once with a token that it has answered and with the slot that it was given.
pub(crate) unsafe fn receive<M, O>(
    arm: &dyn Arm,
    limit: Limit,
    result: unsafe fn(Token, &Slot<M>) -> O,
) -> Option<O> {
    let slot = Slot::empty();
    let entry = Entry::new(arm, slot.pointer(), ptr::null());
    let chosen = choose(&[entry], &mut [0], limit, Mode { biased: true, look: false, alone: true })?;
    // SAFETY: passed on.
    Some(unsafe { result(chosen.token, &slot) })
}

/// Waits for nothing but the end of `limit`: a select without arms.
pub(crate) fn wait_for_nothing(mut limit: Limit) {
    while let Some(deadline) = limit.fix() {
        let wait = Wait { reason: Reason::Select, object: ptr::null(), deadline };
        if park(wait, || true) == Outcome::TimedOut {
            return;
        }
    }
}

/// Somebody else holds the lock of an arm.
struct Contended;

/// Tries one arm after the other until one does not answer `Pending`. Takes their locks on the way, where they are not
/// held already.
#[inline]
fn try_all(
    entries: &[Entry<'_>],
    order: &mut [u32],
    rng: &Rng,
    mode: Mode,
    wakes: &mut Wakes,
) -> Result<Option<(usize, Poll)>, Contended> {
    for tried in 0..order.len() {
        let index = if mode.biased {
            tried
        } else {
            order.swap(tried, tried + rng.below(order.len() - tried));
            order[tried] as usize
        };
        let entry = &entries[index];
        if let Some(lock) = entry.lock
            && !entry.holds.get()
        {
            if lock.try_lock() {
                entry.holds.set(true);
            } else if !is_held(entries, lock) {
                return Err(Contended);
            }
        }
        if mode.look {
            // SAFETY: the lock is held, by this entry or by another one.
            if unsafe { entry.arm.is_ready() } {
                return Ok(Some((index, Poll::Ready(Token::Open))));
            }
            continue;
        }
        // SAFETY: the lock is held, by this entry or by another one. The slot is the entry's, and empty until we return
        // with an arm that is ready. `choose` drops the wakes without locks, and hands the answer out.
        match unsafe { entry.arm.poll(entry.slot.get(), wakes) } {
            Poll::Pending => {}
            answer => return Ok(Some((index, answer))),
        }
    }
    Ok(None)
}

/// Whether one of the entries holds this lock.
#[cold]
fn is_held(entries: &[Entry<'_>], lock: &RawSpin) -> bool {
    entries.iter().any(|entry| entry.holds.get() && entry.lock_address() == ptr::from_ref(lock).addr())
}

/// Takes the locks of all arms, each once, in the one order in which several may be waited for.
#[cold]
fn take_all(entries: &[Entry<'_>], order: &mut [u32]) {
    order.sort_unstable_by_key(|&index| entries[index as usize].lock_address());
    let mut last = 0;
    for &mut index in order {
        let entry = &entries[index as usize];
        if let Some(lock) = entry.lock
            && mem::replace(&mut last, entry.lock_address()) != entry.lock_address()
        {
            lock.lock();
            entry.holds.set(true);
        }
    }
}

/// The locks that the entries hold; released when dropped.
struct Locks<'e, 'a>(&'e [Entry<'a>]);

impl Locks<'_, '_> {
    fn release(&self) {
        for entry in self.0 {
            if entry.holds.replace(false)
                && let Some(lock) = entry.lock
            {
                // SAFETY: the entry holds it.
                unsafe { lock.unlock() };
            }
        }
    }
}

impl Drop for Locks<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

enum Waited {
    Chosen(Chosen),
    /// Somebody woke us to look again.
    Again,
    TimedOut,
}

/// Queues a node for each arm and parks.
fn wait(
    entries: &[Entry<'_>],
    order: &[u32],
    mode: Mode,
    locks: Locks<'_, '_>,
    wakes: Wakes,
    mut deadline: Option<Instant>,
) -> Waited {
    let parker = Parker::current();
    // On every way out, and before anything else can park.
    let leave = Leave { entries, except: Cell::new(usize::MAX) };
    for (place, &index) in order.iter().enumerate() {
        // In the order of trying: of two arms of one channel, the first in its queue will be served.
        let entry = &entries[if mode.biased { place } else { index as usize }];
        let role = if mode.look { Role::Look } else { entry.arm.role() };
        let slot = if role == Role::Message { entry.slot.get() } else { ptr::null_mut() };
        let place: *mut Node = entry.node.get().cast();
        // SAFETY: nobody else knows of the node yet: the last wait has taken it out of its queue. By a pointer and never by
        // a unique reference: the queue's pointers and ours are used in turn from now on.
        let node = unsafe {
            place.write(Node::of(parker, Packet::new(role, slot)));
            &*place
        };
        // SAFETY: the locks of all arms are held. The node is new, and stays in its place until `leave` has taken it out.
        // `park` begins the wait before it runs the commit, which is what releases the locks; where it drops the commit
        // unrun, a waker that meets the node fails to claim us, and we wait for nothing before `leave` is done.
        unsafe { entry.arm.enqueue(node) };
        deadline = [deadline, entry.arm.deadline()].into_iter().flatten().min();
    }
    let object = entries.first().map_or(ptr::null(), |entry| ptr::from_ref(entry.arm).cast());
    let reason = if mode.alone { Reason::ChannelReceive } else { Reason::Select };
    let commit = move || {
        drop(locks);
        drop(wakes);
        true
    };
    // SAFETY: it is the current one, as asked for above.
    match unsafe { try_park_as(parker, Wait { reason, object, deadline }, commit) } {
        Ok(Outcome::Woken) => {}
        Ok(Outcome::TimedOut) => return Waited::TimedOut,
        Err(unwinding) => {
            drop(leave);
            unwinding.unwind();
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        let selected = node(entry).selected();
        if selected == Selected::Nothing {
            continue;
        }
        // The waker has popped it.
        leave.except.set(index);
        let token = match selected {
            Selected::Served => entry.arm.served(node(entry)),
            Selected::Closed if !mode.look => Token::Closed,
            _ => return Waited::Again,
        };
        return Waited::Chosen(Chosen { index, token });
    }
    abort("a select was woken, but for none of its arms");
}

/// The node of an entry that waits or has waited.
fn node<'e>(entry: &'e Entry<'_>) -> &'e Node {
    let node: &MaybeUninit<Node> = {
        // SAFETY: only shared references exist while the entry waits.
        unsafe { &*entry.node.get() }
    };
    // SAFETY: `wait` has written it.
    unsafe { node.assume_init_ref() }
}

/// Takes the nodes out of their queues.
struct Leave<'e, 'a> {
    entries: &'e [Entry<'a>],
    /// The one that a waker has popped for us; its channel needs no visit.
    except: Cell<usize>,
}

impl Drop for Leave<'_, '_> {
    fn drop(&mut self) {
        for (index, entry) in self.entries.iter().enumerate() {
            if index == self.except.get() {
                continue;
            }
            if let Some(lock) = entry.lock {
                lock.lock();
                // SAFETY: we hold the lock, and release it; the node was queued behind it.
                unsafe {
                    entry.arm.dequeue(node(entry));
                    lock.unlock();
                }
            }
        }
    }
}

#[cold]
fn await_sender(entry: &Entry<'_>, sender: Claimed<Packet>) -> bool {
    let object = ptr::from_ref(entry.arm).cast();
    await_message(sender, entry.slot.get(), Wait { reason: Reason::Select, object, deadline: None })
}

/// A number that differs from call to call.
#[inline(never)]
fn seed() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    NEXT.with(|next| {
        let mut x = next.get();
        if x == 0 {
            x = current::next_id().get();
        }
        // xorshift: never comes back to 0, and not to where it was for 2^64 calls.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        next.set(x);
        x
    })
}
