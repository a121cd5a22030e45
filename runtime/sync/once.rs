//! Running something once, with everybody else waiting until it is done.
//!
//! | state | means |
//! | --- | --- |
//! | `NEW` | nobody has run it yet, or whoever tried did not finish |
//! | `RUNNING` | one runs it |
//! | `DONE` | it has run to its end; final |
//!
//! | bit | set | cleared |
//! | --- | --- | --- |
//! | `WAITERS` | by one who is about to queue, under the queues' lock | by a runner that fails, under that lock |
//! | `FAILED` | when a run unwinds | never, but `DONE` drops it |
//!
//! | transition | who | how |
//! | --- | --- | --- |
//! | `NEW` → `RUNNING` | anybody; the other bits stay | compare-and-swap |
//! | `RUNNING` → `DONE` | the runner, which then claims all who wait | swap |
//! | `RUNNING` → `NEW`, `FAILED` | the runner, when it unwinds; it wakes the first candidate | store, under that lock |
//!
//! The runner leaves its identity, so that one that comes back from inside its own run can be told: it would wait for
//! itself. A woken waiter that finds another one running queues again; so while there are waiters, one of them is on its
//! way or somebody runs.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::task::park::current_core;
use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::spin::SpinLock;

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const STATE: u8 = 3;
const WAITERS: u8 = 4;
const FAILED: u8 = 8;

/// Runs a closure once, whoever comes first: [`std::sync::Once`], without poisoning.
///
/// The closure may park. **Parks** those who come while it runs, until it is done; a task that is cancelled while it
/// waits unwinds.
///
/// **A closure that panics, or whose task is cancelled in it, has not run**: the next caller, or the first of those who
/// wait, runs its own. Where std's `Once` is poisoned and [`call_once`](Self::call_once) panics ever after, this one
/// goes on; [`call_once_force`](Self::call_once_force) is told of the failure, as in std.
///
/// **Cost** once it is done: one load.
///
/// # Examples
///
/// ```
/// use fibra::sync::Once;
///
/// static START: Once = Once::new();
///
/// assert!(!START.is_completed());
/// START.call_once(|| println!("this line comes once"));
/// START.call_once(|| unreachable!());
/// assert!(START.is_completed());
/// ```
pub struct Once {
    state: AtomicU8,
    /// Who runs the closure; 0 for nobody.
    runner: AtomicU64,
    waiters: SpinLock<Waiters>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

#[derive(Default)]
struct Waiters {
    /// Who would run their own closure, should the one that runs now fail.
    candidates: WaitQueue<()>,
    /// Who only want to see it done.
    onlookers: WaitQueue<()>,
}

/// What the closure of [`Once::call_once_force`] learns.
pub struct OnceState {
    failed: bool,
}

impl OnceState {
    /// Whether an earlier closure panicked, or was cancelled.
    pub fn is_poisoned(&self) -> bool {
        self.failed
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState").field("poisoned", &self.failed).finish()
    }
}

impl Once {
    /// Makes one that has not run.
    #[must_use]
    pub const fn new() -> Self {
        let waiters = Waiters { candidates: WaitQueue::new(), onlookers: WaitQueue::new() };
        Self { state: AtomicU8::new(NEW), runner: AtomicU64::new(0), waiters: SpinLock::new(waiters) }
    }

    /// Runs `f`, unless a closure has run to its end before; waits for one that runs now.
    ///
    /// What the closure wrote is visible to all whose call has returned.
    ///
    /// # Panics
    ///
    /// If `f` panics; and if it is called, directly or not, by the closure that runs now: it would wait for itself.
    #[inline]
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        self.call_once_force(|_| f());
    }

    /// As [`call_once`](Self::call_once); tells the closure whether an earlier one failed.
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    #[track_caller]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_completed()
            && let Some(run) = self.begin(true)
        {
            f(&OnceState { failed: run.failed });
            run.complete();
        }
    }

    /// Whether a closure has run to its end.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with the Release in `Run::complete`.
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Parks until a closure, which somebody else runs or will run, has run to its end.
    ///
    /// # Panics
    ///
    /// If the caller is inside of that closure: it would wait for itself.
    #[inline]
    #[track_caller]
    pub fn wait(&self) {
        if !self.is_completed() {
            let run = self.begin(false);
            debug_assert!(run.is_none());
        }
    }

    /// As [`wait`](Self::wait): without poisoning there is nothing to ignore.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait();
    }

    /// The right to run; `None` once it is done. One who does not want to run just waits for that.
    #[cold]
    #[track_caller]
    fn begin(&self, wants_to_run: bool) -> Option<Run<'_>> {
        checkpoint();
        // SAFETY: who runs is alive.
        let me = unsafe { current_core().as_ref() }.id.get();
        // Relaxed: only our own entry can equal us.
        if self.runner.load(Ordering::Relaxed) == me {
            panic!(
                "an initialiser uses the Once, OnceLock or LazyLock that it initialises: it would wait for itself"
            );
        }
        let node = Waiter::new(());
        let mut end = End::Back;
        loop {
            let waiters = self.waiters.lock();
            match self.announce(wants_to_run) {
                Announced::Done => return None,
                Announced::Waiter => {}
                Announced::Runner { failed } => {
                    self.runner.store(me, Ordering::Relaxed);
                    return Some(Run { once: self, failed });
                }
            }
            let wait = Wait { reason: Reason::Once, object: std::ptr::from_ref(self).cast(), deadline: None };
            let place: fn(&mut Waiters) -> &mut WaitQueue<()> = match wants_to_run {
                true => |waiters| &mut waiters.candidates,
                false => |waiters| &mut waiters.onlookers,
            };
            // SAFETY: the guard is of this lock, `place` is a plain field of its value, and the node has left it on every
            // return.
            if unsafe { wait_in(&self.waiters, waiters, place, &node, end, wait) } == Selected::Served {
                return None;
            }
            end = End::Front;
        }
    }

    /// Becomes the runner, or announces a waiter. Called under the waiters' lock.
    fn announce(&self, wants_to_run: bool) -> Announced {
        // Acquire, here and below: pairs with the Release in `Run`; we see what was done, or what a failed one left.
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (next, announced) = match state & STATE {
                DONE => return Announced::Done,
                NEW if wants_to_run => (state | RUNNING, Announced::Runner { failed: state & FAILED != 0 }),
                _ => (state | WAITERS, Announced::Waiter),
            };
            match self.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return announced,
                Err(actual) => state = actual,
            }
        }
    }

    /// The right to run, for those who run something that returns a value.
    #[inline]
    #[track_caller]
    pub(super) fn try_begin(&self) -> Option<Run<'_>> {
        if self.is_completed() { None } else { self.begin(true) }
    }

    /// With exclusive access: new again. Returns whether it was done.
    pub(super) fn reset(&mut self) -> bool {
        std::mem::take(self).is_completed()
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("is_completed", &self.is_completed()).finish_non_exhaustive()
    }
}

/// How somebody stands to the run.
enum Announced {
    Done,
    Runner { failed: bool },
    Waiter,
}

/// The right and the duty to run. Dropped, it has failed.
pub(super) struct Run<'a> {
    once: &'a Once,
    failed: bool,
}

impl Run<'_> {
    /// It has run to its end. What the runner wrote is visible to everybody who finds it done.
    pub(super) fn complete(self) {
        let once = std::mem::ManuallyDrop::new(self).once;
        once.runner.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `is_completed` and `announce`.
        if once.state.swap(DONE, Ordering::Release) & WAITERS != 0 {
            let mut waiters = once.waiters.lock();
            let mut all = waiters.candidates.claim_all(Selected::Served);
            all.append(waiters.onlookers.claim_all(Selected::Served));
            drop(waiters);
            all.unpark();
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let once = self.once;
        let mut waiters = once.waiters.lock();
        once.runner.store(0, Ordering::Relaxed);
        let first = waiters.candidates.claim_first();
        let left = !(waiters.candidates.is_empty() && waiters.onlookers.is_empty());
        // Release: pairs with the Acquire in `announce`. A plain store will do: only the runner leaves `RUNNING`, and
        // whoever would set `WAITERS` needs the lock.
        once.state.store(NEW | FAILED | if left { WAITERS } else { 0 }, Ordering::Release);
        let wake = first.map(|first| first.select(Selected::Retry));
        drop(waiters);
        if let Some(wake) = wake {
            wake.unpark();
        }
    }
}
