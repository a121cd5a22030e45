//! A descriptor among those that a driver watches, and the tasks that wait for it.
//!
//! ```text
//! Registration ──▶ slot (leaked, reused)                         epoll instance of one worker
//!                  words: what is known of each direction  ◀──── event, key = generation | index
//!                  waiters, behind a spin lock: generation, one queue per direction
//!                  watched_by: whose epoll instance that is
//! ```
//!
//! An event that was taken from the kernel before its descriptor was given up may arrive late, when the slot serves another
//! one. Its key has the old generation, so it is dropped: the generation changes under the same lock under which events
//! are delivered.
//!
//! A descriptor is watched by the driver of the task that first waits for it. Later waits by tasks of other workers
//! are served from there, until [`FOREIGN_WAITS`] of them in a row have shown that it is in the wrong place.
//!
//! Rejected: a pointer as the key. The slot could then be freed only when no driver has an event for it in hand, which takes
//! a queue of the dead per driver. And one waiter's address in the readiness word instead of a lock: it saves two of four
//! atomic operations on a path that makes two system calls, and leaves the second waiter of a direction nowhere to stand.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, ptr};

use super::readiness::{Readiness, Seen};
use super::selector::Selector;
use crate::task::waiter::{End, Selected, WaitQueue, Waiter, WakeAll, wait_in};
use crate::task::{Outcome, Wait};
use crate::util::slots::Slots;
use crate::util::spin::SpinLock;

/// Reading or writing: each has its own readiness and its own waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read = 0,
    Write = 1,
}

/// So many waits in a row by tasks of other workers move the registration.
const FOREIGN_WAITS: u32 = 8;

const READ_EVENTS: u32 =
    (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const WRITE_EVENTS: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
/// After these a short count does not mean that nothing is left: the end, an error, or what follows an urgent byte.
const HANG_UPS: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI) as u32;

static SLOTS: Slots<Slot> = Slots::new();

/// What a driver and the users of a descriptor share.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    words: [Readiness; 2],
    waiters: SpinLock<Waiters>,
    /// Who watches the descriptor, as an address to compare with; null for none. Changed under the lock of `watched_by`.
    selector: AtomicPtr<Selector>,
    watched_by: Mutex<Option<Arc<Selector>>>,
    /// Waits in a row by tasks of other workers. Relaxed: a lost count only moves the registration later.
    foreign: AtomicU32,
}

#[derive(Default)]
struct Waiters {
    generation: u32,
    queues: [WaitQueue<()>; 2],
}

impl Waiters {
    fn reading(&mut self) -> &mut WaitQueue<()> {
        &mut self.queues[0]
    }

    fn writing(&mut self) -> &mut WaitQueue<()> {
        &mut self.queues[1]
    }
}

impl Slot {
    fn nudge(&self, direction: Direction) {
        let mut waiters = self.waiters.lock();
        // One that is about to wait under an old limit finds another count.
        self.words[direction as usize].note_change();
        let woken = waiters.queues[direction as usize].claim_all(Selected::Retry);
        drop(waiters);
        woken.unpark();
    }

    fn watched_by(&self) -> MutexGuard<'_, Option<Arc<Selector>>> {
        // Valid after every step.
        self.watched_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the head of this file. To be dropped before its descriptor is closed.
pub(crate) struct Registration {
    slot: &'static Slot,
    index: u32,
    generation: u32,
}

impl Registration {
    pub(crate) fn new() -> io::Result<Self> {
        let Some((index, slot)) = SLOTS.lend() else {
            return Err(io::Error::other(
                "four million descriptors are in use, and no more can be waited for",
            ));
        };
        let generation = slot.waiters.lock().generation;
        Ok(Self { slot, index, generation })
    }

    #[inline]
    fn word(&self, direction: Direction) -> &Readiness {
        &self.slot.words[direction as usize]
    }

    #[inline]
    pub(crate) fn look(&self, direction: Direction) -> Seen {
        self.word(direction).look()
    }

    /// See [`Readiness::drain`].
    #[inline]
    pub(crate) fn drain(&self, direction: Direction, seen: Seen) {
        self.word(direction).drain(seen);
    }

    /// A plain thread has learnt from the kernel that there is news.
    pub(crate) fn note_event(&self, direction: Direction) {
        let _waiters = self.slot.waiters.lock();
        self.word(direction).note_event(false);
    }

    /// Parks the running task until there is reason to look again: an event, or a changed limit, or the closing, which may
    /// all have come already. `selector` is that of its worker; `seen` is what [`look`](Self::look) returned before the
    /// caller took the deadline from its limit.
    ///
    /// # Errors
    ///
    /// The kernel won't watch the descriptor.
    pub(crate) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        selector: &Arc<Selector>,
        seen: Seen,
        wait: Wait,
    ) -> io::Result<Outcome> {
        // Acquire: pairs with the Release in `watch_by`; if it is our selector's address, that watches. Any other leads to the
        // lock. Should another worker take the registration over right now, its selector reports what holds from then on.
        if self.slot.selector.load(Ordering::Acquire) != Arc::as_ptr(selector).cast_mut() {
            self.watch_from_afar(fd, selector)?;
        } else if self.slot.foreign.load(Ordering::Relaxed) != 0 {
            self.slot.foreign.store(0, Ordering::Relaxed);
        }
        let node = Waiter::new(());
        let guard = self.slot.waiters.lock();
        // Under the lock: an event is either behind us, and seen here, or finds our node.
        let now = self.look(direction);
        if now.is_closed() || !now.is_drained() || !now.is_as_recent_as(seen) {
            return Ok(Outcome::Woken);
        }
        let queue = match direction {
            Direction::Read => Waiters::reading,
            Direction::Write => Waiters::writing,
        };
        // SAFETY: the guard is this lock's; each function returns one queue of it; the node is new.
        let selected = unsafe { wait_in(&self.slot.waiters, guard, queue, &node, End::Back, wait) };
        Ok(if selected == Selected::Nothing { Outcome::TimedOut } else { Outcome::Woken })
    }

    /// Queues the node of a future until there is reason to look again, as [`wait`](Self::wait) does. False: there is
    /// already, and the node is not queued. `selector` watches the descriptor if nobody does.
    ///
    /// # Errors
    ///
    /// The kernel won't watch the descriptor.
    ///
    /// # Safety
    ///
    /// The node is in no queue, its wait has begun, and it is as
    /// [`push_back`](crate::task::waiter::WaitQueue::push_back) wants it until a waker has popped it, or
    /// [`dequeue`](Self::dequeue) has.
    #[cfg(feature = "futures")]
    pub(crate) unsafe fn enqueue(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        selector: &Arc<Selector>,
        seen: Seen,
        node: &Waiter<()>,
    ) -> io::Result<bool> {
        self.watch_for_future(fd, selector)?;
        let mut waiters = self.slot.waiters.lock();
        // Under the lock, as in `wait`.
        let now = self.look(direction);
        if now.is_closed() || !now.is_drained() || !now.is_as_recent_as(seen) {
            return Ok(false);
        }
        // SAFETY: passed on.
        unsafe { waiters.queues[direction as usize].push_back(node) };
        Ok(true)
    }

    /// Takes a future's node out, unless a waker has popped it.
    ///
    /// # Safety
    ///
    /// The node has been given to [`enqueue`](Self::enqueue) of this registration and direction.
    #[cfg(feature = "futures")]
    pub(crate) unsafe fn dequeue(&self, direction: Direction, node: &Waiter<()>) {
        let mut waiters = self.slot.waiters.lock();
        // SAFETY: by the contract.
        unsafe { waiters.queues[direction as usize].remove(node) };
    }

    /// A future may be polled anywhere, so its wait says nothing about where the descriptor should be watched.
    #[cfg(feature = "futures")]
    fn watch_for_future(&self, fd: BorrowedFd<'_>, selector: &Arc<Selector>) -> io::Result<()> {
        let mut watched_by = self.slot.watched_by();
        match &*watched_by {
            Some(other) if !other.is_closed() => Ok(()),
            _ => self.watch_by(fd, selector, &mut watched_by),
        }
    }

    /// A wait by a task whose driver does not watch the descriptor.
    #[cold]
    fn watch_from_afar(&self, fd: BorrowedFd<'_>, selector: &Arc<Selector>) -> io::Result<()> {
        let mut watched_by = self.slot.watched_by();
        if let Some(other) = &*watched_by {
            let foreign = self.slot.foreign.load(Ordering::Relaxed) + 1;
            if foreign < FOREIGN_WAITS && !other.is_closed() {
                self.slot.foreign.store(foreign, Ordering::Relaxed);
                return Ok(());
            }
        }
        self.watch_by(fd, selector, &mut watched_by)
    }

    fn watch_by(
        &self,
        fd: BorrowedFd<'_>,
        selector: &Arc<Selector>,
        watched_by: &mut Option<Arc<Selector>>,
    ) -> io::Result<()> {
        // The new one first: should it fail, others that wait are still watched over. It reports what holds now, and what the
        // old one has reported and not delivered yet still is.
        selector.add(fd, READ_EVENTS | WRITE_EVENTS, self.key())?;
        self.unwatch(fd, watched_by);
        self.slot.foreign.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `wait`, for futures that are polled on other threads than the selector's.
        self.slot.selector.store(Arc::as_ptr(selector).cast_mut(), Ordering::Release);
        *watched_by = Some(Arc::clone(selector));
        Ok(())
    }

    fn unwatch(&self, fd: BorrowedFd<'_>, watched_by: &mut Option<Arc<Selector>>) {
        if let Some(selector) = watched_by.take() {
            self.slot.selector.store(ptr::null_mut(), Ordering::Relaxed);
            selector.delete(fd);
        }
    }

    fn key(&self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Lets the waiters of one direction look at their limits again.
    pub(crate) fn nudge(&self, direction: Direction) {
        self.slot.nudge(direction);
    }

    /// Ends all waits and those to come.
    pub(crate) fn close(&self) {
        let mut waiters = self.slot.waiters.lock();
        let [reading, writing] = Direction::BOTH.map(|direction| {
            self.word(direction).close();
            waiters.queues[direction as usize].claim_all(Selected::Closed)
        });
        drop(waiters);
        reading.unpark();
        writing.unpark();
    }

    /// Ends the watch, for a descriptor that lives on or is about to be closed.
    pub(crate) fn release(self, fd: BorrowedFd<'_>) {
        self.unwatch(fd, &mut self.slot.watched_by());
        let mut waiters = self.slot.waiters.lock();
        // Whoever waits holds the descriptor; only a future that was forgotten can have left its node behind.
        let forgotten = waiters.queues.each_mut().map(|queue| queue.claim_all(Selected::Closed));
        // From here on events with our key find another generation.
        waiters.generation = waiters.generation.wrapping_add(1);
        self.slot.words.iter().for_each(Readiness::reset);
        drop(waiters);
        forgotten.into_iter().for_each(WakeAll::unpark);
        self.slot.foreign.store(0, Ordering::Relaxed);
        SLOTS.give_back(self.index);
    }
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Read, Self::Write];
}

/// The worker that polls `selector` ends: tasks of other runtimes that wait for descriptors watched there go on, and register
/// them with selectors of their own.
pub(super) fn abandon(selector: &Arc<Selector>) {
    // Before the nudges: who waits after one of them sees it, through the lock of the waiters.
    selector.close();
    let here = Arc::as_ptr(selector).cast_mut();
    // Relaxed: those who have stored our address did so on this thread. (Futures that are polled on other threads use
    // selectors of the global runtime, which has no end.)
    for slot in SLOTS.iter().filter(|slot| slot.selector.load(Ordering::Relaxed) == here) {
        Direction::BOTH.into_iter().for_each(|direction| slot.nudge(direction));
    }
}

/// Whom an event wakes.
pub(crate) type Ready = WakeAll<()>;

/// Delivers an event that a driver has taken from the kernel.
pub(super) fn deliver(key: u64, events: u32, ready: &mut Ready) {
    let (generation, index) = ((key >> 32) as u32, key as u32);
    let Some(slot) = SLOTS.get(index) else { return };
    let mut waiters = slot.waiters.lock();
    if waiters.generation != generation {
        return;
    }
    for (direction, interest) in [(Direction::Read, READ_EVENTS), (Direction::Write, WRITE_EVENTS)] {
        if events & interest != 0 {
            slot.words[direction as usize].note_event(events & HANG_UPS != 0);
            ready.append(waiters.queues[direction as usize].claim_all(Selected::Retry));
        }
    }
}
