//! What a group knows of its tasks: who runs, whose result waits to be taken, and who waits for either.
//!
//! ```text
//! begin ──▶ being spawned ──attach──▶ member ──end──▶ finished ──take──▶ gone, its task joined
//!             │      └──────end, attach──────────────────▲
//!             └──discard──▶ gone: there was no task
//! ```
//!
//! | state of the group | from | until |
//! | --- | --- | --- |
//! | open | its making | `cancel`, or a decisive end of a task |
//! | cancelled | then, for good | its members are told to unwind; tasks that have not started drop their closures |
//!
//! A task's end is *decisive* if it panicked (unless the group is independent), if the user's predicate accepts its
//! value, or if the one who waits for all of the group watches for such values. The first of them is remembered. It
//! cancels the others by itself, right where it happens; nobody need be waiting.
//!
//! All of this is under one spin lock, held for a few instructions. Telling n members takes n steps, so it goes by
//! rounds of [`TOLD_AT_ONCE`], with the lock released and the members woken in between. It turns the list round: who
//! joins it meanwhile stands behind, and finds by itself that the group is cancelled.
//!
//! Rejected: a lock-free stack of finished nodes. It saves a task's end the lock, but waking one waiter for one result
//! needs a second word that is in step with it.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::node::{List, Node};
use crate::Cancelled;
use crate::sync::Semaphore;
use crate::task::core::CoreRef;
use crate::task::handle::TaskHandle;
use crate::task::park::current_core;
use crate::task::waiter::{End, Selected, WaitQueue, Waiter, WakeAll, wait_in};
use crate::task::{Reason, Wait, cancel};
use crate::util::spin::{SpinGuard, SpinLock};

/// See the head of this file.
const TOLD_AT_ONCE: usize = 32;

/// A task's number in the order of spawning, and how it ended.
pub(super) type Indexed<T> = (usize, thread::Result<T>);

/// See the head of this file.
pub(super) struct Core<T> {
    state: SpinLock<State<T>>,
    /// A hint outside of the lock; changes under it.
    cancelled: AtomicBool,
    /// Who made the group: it can't be one of its tasks.
    maker: CoreRef,
    pub(super) settings: Settings<T>,
}

/// What doesn't change once there are tasks.
pub(super) struct Settings<T> {
    /// One permit for each task that may still run at once.
    pub(super) limit: Option<Semaphore>,
    pub(super) cancel_if: Option<fn(&T) -> bool>,
    /// A panic cancels nobody, and neither does what one who waits for all watches for.
    pub(super) independent: bool,
}

// Invariant: `unfinished` counts the members, and those that are being spawned.
struct State<T> {
    members: List<T>,
    finished: List<T>,
    unfinished: usize,
    spawned: usize,
    /// The first task whose end was decisive.
    decisive: Option<usize>,
    /// What the one who waits for all looks out for. Called under the lock.
    watch: Option<fn(&T) -> bool>,
    waiters: WaitQueue<Want>,
}

// SAFETY: the nodes belong to the state or to a task that will end; what they own, results and handles, is `Send`.
unsafe impl<T: Send> Send for State<T> {}

/// What somebody waits for.
#[derive(Clone, Copy)]
enum Want {
    /// A result, or that there is none to come.
    Result,
    /// That no more than so many tasks are unfinished.
    End(usize),
}

impl<T> Core<T> {
    pub(super) fn new() -> Self {
        let state = State {
            members: List::new(),
            finished: List::new(),
            unfinished: 0,
            spawned: 0,
            decisive: None,
            watch: None,
            waiters: WaitQueue::new(),
        };
        // SAFETY: who runs is alive.
        let maker = unsafe { CoreRef::from_borrowed(current_core()) };
        let settings = Settings { limit: None, cancel_if: None, independent: false };
        Self { state: SpinLock::new(state), cancelled: AtomicBool::new(false), maker, settings }
    }

    /// Whether no task has ever been spawned.
    pub(super) fn is_unused(&self) -> bool {
        self.state.lock().spawned == 0
    }

    /// Counts a task that is about to be spawned. [`attach`](Self::attach) or [`discard`](Self::discard) must follow.
    pub(super) fn begin(&self) -> NonNull<Node<T>> {
        let mut state = self.state.lock();
        let index = state.spawned;
        state.spawned += 1;
        state.unfinished += 1;
        drop(state);
        Node::allocate(index)
    }

    /// The spawner's part: the task exists. It may have ended.
    ///
    /// # Safety
    ///
    /// `node` came from [`begin`](Self::begin), and neither this nor `discard` has been called for it. It may be gone
    /// afterwards.
    pub(super) unsafe fn attach(&self, node: NonNull<Node<T>>, task: TaskHandle<()>) {
        let mut state = self.state.lock();
        // SAFETY: a node without a handle is on no list, so nobody frees it.
        let this = unsafe { node.as_ref() };
        let late = self.is_cancelled().then(|| task.core().clone());
        // SAFETY: written under the lock, once.
        unsafe { *this.task.get() = Some(task) };
        if this.ended.get() {
            // SAFETY: both parties have done their part; it is on no list.
            let wake = unsafe { state.finish(node) };
            drop(state);
            wake.unpark();
        } else {
            // SAFETY: it is on no list; it is freed only when it has come out of `finished`.
            unsafe { state.members.push_back(node) };
            drop(state);
            if let Some(task) = late {
                task.cancel();
            }
        }
    }

    /// The spawner's part where no task could be made.
    ///
    /// # Safety
    ///
    /// As for [`attach`](Self::attach), and the task's part is done or will never be.
    pub(super) unsafe fn discard(&self, node: NonNull<Node<T>>) {
        let mut state = self.state.lock();
        let wake = state.one_less();
        drop(state);
        wake.unpark();
        // SAFETY: by the contract nobody else has the node.
        drop(unsafe { Node::free(node) });
    }

    /// The task's part: its closure is gone, its result, if any, stands in the node.
    ///
    /// # Safety
    ///
    /// `node` came from [`begin`](Self::begin), and this is called once for it. It may be gone afterwards.
    pub(super) unsafe fn end(&self, node: NonNull<Node<T>>, decisive: bool) {
        let mut state = self.state.lock();
        // SAFETY: a node whose task has not ended is not in `finished`, so nobody frees it.
        let this = unsafe { node.as_ref() };
        this.ended.set(true);
        // SAFETY: the task's own, until now.
        let value = unsafe { &*this.result.get() }.as_ref().and_then(|result| result.as_ref().ok());
        let decisive = decisive || value.zip(state.watch).is_some_and(|(value, watch)| watch(value));
        if decisive {
            state.decisive.get_or_insert(this.index);
            // Relaxed: see `is_cancelled`.
            self.cancelled.store(true, Ordering::Relaxed);
        }
        // SAFETY: written under the lock.
        let wake = if unsafe { &*this.task.get() }.is_some() {
            // SAFETY: attached and not ended until now, so it is a member; then both parties have done their part.
            unsafe {
                state.members.remove(node);
                state.finish(node)
            }
        } else {
            WakeAll::new()
        };
        drop(state);
        wake.unpark();
        if decisive {
            self.tell_members();
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        // Relaxed: under the lock it is exact, elsewhere a hint.
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Makes all tasks unwind at their current or next park, and those that have not started drop their closures.
    pub(super) fn cancel(&self) {
        let state = self.state.lock();
        // Relaxed: see `is_cancelled`.
        self.cancelled.store(true, Ordering::Relaxed);
        drop(state);
        self.tell_members();
    }

    fn tell_members(&self) {
        let mut left = self.state.lock().members.len();
        let mut round = [const { None::<CoreRef> }; TOLD_AT_ONCE];
        while left > 0 {
            let mut state = self.state.lock();
            for slot in round.iter_mut().take(left) {
                // SAFETY: a member is alive and has its handle, which nobody changes.
                *slot = state.members.rotate().and_then(|node| unsafe { core_of(node.as_ref()) }).cloned();
            }
            drop(state);
            left = left.saturating_sub(TOLD_AT_ONCE);
            round.iter_mut().filter_map(Option::take).for_each(|task| task.cancel());
        }
    }

    /// Those spawned whose results have not been taken, and how many of them are finished.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.unfinished + state.finished.len(), state.finished.len())
    }

    /// Takes the result that has waited for longest, if there is one.
    pub(super) fn try_take(&self) -> Option<Indexed<T>> {
        // SAFETY: it comes out of `finished`.
        self.pop().map(|node| unsafe { take(node) })
    }

    /// The first of the finished nodes; the lock is released.
    fn pop(&self) -> Option<NonNull<Node<T>>> {
        self.state.lock().finished.pop_front()
    }

    /// The same, but parks until there is one; `None` if there is none to come.
    pub(super) fn take(&self) -> Option<Indexed<T>> {
        loop {
            let mut state = self.state.lock();
            if let Some(node) = state.finished.pop_front() {
                drop(state);
                // SAFETY: it came out of `finished`.
                return Some(unsafe { take(node) });
            }
            if state.unfinished == 0 {
                return None;
            }
            self.wait(state, Want::Result);
        }
    }

    /// Parks until no more than `own` tasks are unfinished.
    pub(super) fn wait_for_end(&self, own: usize) {
        loop {
            let state = self.state.lock();
            if state.unfinished <= own {
                return;
            }
            self.wait(state, Want::End(own));
        }
    }

    fn wait(&self, state: SpinGuard<'_, State<T>>, want: Want) {
        let node = Waiter::new(want);
        let wait = Wait { reason: Reason::Group, object: ptr::from_ref(self).cast(), deadline: None };
        // SAFETY: the guard is of this lock, which has this one queue; the node is new.
        let selected =
            unsafe { wait_in(&self.state, state, |state| &mut state.waiters, &node, End::Back, wait) };
        debug_assert_eq!(selected, Selected::Retry);
    }

    /// From now on a value that `watch` accepts is decisive. Returns the first decisive task, among those that have
    /// finished already too, which it moves to `taken`.
    pub(super) fn watch(&self, watch: Option<fn(&T) -> bool>, taken: &mut Vec<Indexed<T>>) -> Option<usize> {
        let mut state = self.state.lock();
        state.watch = watch;
        let mut before = mem::replace(&mut state.finished, List::new());
        let decisive = state.decisive;
        let expected = before.len() + state.unfinished;
        drop(state);
        taken.reserve(expected);
        while let Some(node) = before.pop_front() {
            // SAFETY: it came out of `finished`.
            taken.push(unsafe { take(node) });
        }
        decisive.or_else(|| {
            let found = taken.iter().find(|(_, result)| {
                result.as_ref().ok().zip(watch).is_some_and(|(value, watch)| watch(value))
            });
            found.map(|&(index, _)| index)
        })
    }

    pub(super) fn decisive(&self) -> Option<usize> {
        self.state.lock().decisive
    }

    /// The end of the group: nothing of it goes on. Returns the payload of the first panic of a result's destructor.
    pub(super) fn close(&self) -> Option<Box<dyn Any + Send>> {
        if self.counts().0 == 0 {
            return None;
        }
        cancel::shield(|| {
            self.cancel();
            // The last handle of a shared group may be dropped in one of its tasks, which can't wait for itself.
            self.wait_for_end(usize::from(self.is_in_member()));
        });
        self.drop_results()
    }

    /// Whether a task of the group calls. O(n), except in the task that made the group.
    fn is_in_member(&self) -> bool {
        let me = current_core();
        me != self.maker.as_ptr()
            // SAFETY: a member has its handle, which nobody changes.
            && self.state.lock().members.any(|node| unsafe { core_of(node) }.is_some_and(|core| core.as_ptr() == me))
    }

    /// Drops what nobody has taken, the rest too if one destructor panics.
    fn drop_results(&self) -> Option<Box<dyn Any + Send>> {
        let mut panic = None;
        loop {
            let drop_one = || cancel::shield(|| self.try_take().is_some());
            match catch_unwind(AssertUnwindSafe(drop_one)) {
                Ok(true) => {}
                Ok(false) => return panic,
                // One can be handed on. Another's destructor might panic in turn, so it is leaked.
                Err(payload) if panic.is_none() => panic = Some(payload),
                Err(payload) => mem::forget(payload),
            }
        }
    }
}

impl<T> Drop for Core<T> {
    fn drop(&mut self) {
        // Something is left only where the group was dropped in one of its own tasks: that task's node. The task is this
        // one, which can't join itself.
        while let Some(node) = self.pop() {
            // SAFETY: it came out of `finished`.
            let node = unsafe { Node::free(node) };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| cancel::shield(|| drop(node)))) {
                mem::forget(payload);
            }
        }
    }
}

impl<T> State<T> {
    /// # Safety
    ///
    /// The node is attached and ended, and on no list.
    unsafe fn finish(&mut self, node: NonNull<Node<T>>) -> WakeAll<Want> {
        // SAFETY: by the contract; it is freed by who takes it out.
        unsafe { self.finished.push_back(node) };
        self.one_less()
    }

    /// One task less is unfinished: claims whoever has waited for that.
    fn one_less(&mut self) -> WakeAll<Want> {
        self.unfinished -= 1;
        if self.unfinished == 0 {
            return self.waiters.claim_all(Selected::Retry);
        }
        let mut wake = WakeAll::new();
        let unfinished = self.unfinished;
        // Who waits for the end owns the group, so nobody else waits then.
        let first = self.waiters.claim_first_where(|want| match want {
            Want::Result => true,
            Want::End(own) => unfinished <= *own,
        });
        if let Some(first) = first {
            wake.push(first, Selected::Retry);
        }
        wake
    }
}

/// # Safety
///
/// The node's handle is not being written.
unsafe fn core_of<T>(node: &Node<T>) -> Option<&CoreRef> {
    // SAFETY: by the contract.
    unsafe { &*node.task.get() }.as_ref().map(TaskHandle::core)
}

/// Joins a task of which nothing is left but its last few instructions and the destructors of its task-locals. One of
/// those may be who calls: no task can join itself, so it lets go of its handle.
///
/// # Safety
///
/// The node came out of `finished`, and this is called once for it.
unsafe fn take<T>(node: NonNull<Node<T>>) -> Indexed<T> {
    // SAFETY: by the contract the node is ours alone.
    let node = unsafe { Node::free(node) };
    let ended = node.task.into_inner().filter(|task| task.core().as_ptr() != current_core()).map(|task| {
        // Shielded where it may park: a result that is taken from the group must reach the caller.
        if task.is_finished() { task.join() } else { cancel::shield(|| task.join()) }
    });
    let result = node.result.into_inner().unwrap_or_else(|| {
        let payload = ended.and_then(Result::err);
        Err(payload.unwrap_or_else(|| Box::new(Cancelled)))
    });
    (node.index, result)
}
