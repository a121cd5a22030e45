//! How an OS thread that is not a worker waits: a [`ThreadCore`] of its own and a futex.
//!
//! It is not `std::thread::park`, which would eat the tokens that the program hands around with `Thread::unpark`.
//!
//! ```text
//! waiter: signal = 0; begin_wait; commit; sleep while signal = 0
//! claimer: claim; signal = 1 (from here on the waiter may return and even exit); futex wake
//! ```

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::bounds::Bounds;
use super::core::{CoreRef, Ended, Outcome, ThreadCore};
use super::current::{self, context};
use super::state::{Begin, Kind};
use super::unwind::Unwinding;
use crate::os::futex;

/// An OS thread's parker. Counted, because `Thread` handles may outlive the thread.
#[repr(C)]
struct ThreadParker {
    core: ThreadCore,
    signal: AtomicU32,
}

thread_local! {
    static PARKER: CoreRef = new_parker();
}

fn new_parker() -> CoreRef {
    let name = std::thread::current().name().map(Box::from);
    let core = ThreadCore::new(schedule, free, 1, current::next_id(), name, false);
    let parker = Box::new(ThreadParker { core, signal: AtomicU32::new(0) });
    // SAFETY: the box's one reference is given to the `CoreRef`; the core is its first field.
    unsafe { CoreRef::from_owned(NonNull::from(Box::leak(parker)).cast()) }
}

/// The current OS thread's core. It lives at least as long as the thread.
pub(crate) fn current_core() -> NonNull<ThreadCore> {
    PARKER.try_with(CoreRef::as_ptr).unwrap_or_else(|_| late_core())
}

/// For destructors of thread-locals that wait: ours may be gone by then.
#[cold]
fn late_core() -> NonNull<ThreadCore> {
    let late = &context().late_parker;
    late.get().unwrap_or_else(|| {
        let core = ManuallyDrop::new(new_parker()).as_ptr();
        late.set(Some(core));
        core
    })
}

/// Parks the current OS thread, whose core this is; see [`park`](super::park::park).
pub(super) fn park(
    core: NonNull<ThreadCore>,
    kind: Kind,
    deadline: Option<Instant>,
    commit: impl FnOnce() -> bool,
) -> Result<Outcome, Unwinding> {
    // SAFETY: the thread keeps its own parker alive; the core is the first field of a `ThreadParker`.
    let parker: &ThreadParker = unsafe { core.cast().as_ref() };
    let bounds = Bounds::of(&parker.core, deadline);
    #[cfg(all(test, not(fibra_loom)))]
    super::probe::tell(&parker.core, super::probe::Moment::About);
    // Relaxed: the last claimer is done with the word, and the next one finds us only through `begin_wait`'s Release.
    parker.signal.store(0, Ordering::Relaxed);
    // Before the wait begins: from then on the field is the claimer's.
    parker.core.ended.set(Ended::Woken);
    match bounds.begin(&parker.core, kind) {
        Begin::Begun => {}
        Begin::HadToken => return Ok(Outcome::Woken),
        Begin::Cancelled | Begin::Interrupted => {
            drop(commit);
            return Err(bounds.unwinding(&parker.core));
        }
    }
    if commit() {
        #[cfg(all(test, not(fibra_loom)))]
        super::probe::tell(&parker.core, super::probe::Moment::Parked);
        parker.sleep(bounds.deadline());
    }
    bounds.outcome(&parker.core)
}

impl ThreadParker {
    /// Returns once the wait has been claimed, by a waker or (at the deadline) by this thread itself.
    fn sleep(&self, deadline: Option<Instant>) {
        // Acquire: pairs with the Release in `schedule`; the claimer's writes are visible.
        while self.signal.load(Ordering::Acquire) == 0 {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                if self.core.state.claim() {
                    self.core.ended.set(Ended::TimedOut);
                    return;
                }
                // A waker was faster; it is about to signal.
                return self.sleep(None);
            }
            futex::wait(&self.signal, 0, left);
        }
    }
}

/// # Safety
///
/// `core` belongs to a `ThreadParker` whose wait the caller has claimed.
unsafe fn schedule(core: NonNull<ThreadCore>) {
    let parker: *const ThreadParker = core.cast().as_ptr();
    // SAFETY: the thread sleeps until the store below, so its parker is alive until then.
    let signal = unsafe { &raw const (*parker).signal };
    // SAFETY: as above. Release: pairs with the Acquire in `sleep`.
    unsafe { (*signal).store(1, Ordering::Release) };
    // From here on the thread may be gone; the system call uses the address alone.
    futex::wake_one(signal);
}

/// # Safety
///
/// The last reference to the `ThreadParker` that begins with `core` is gone.
unsafe fn free(core: NonNull<ThreadCore>) {
    // SAFETY: it was allocated as a `Box<ThreadParker>`, and nobody else refers to it.
    drop(unsafe { Box::from_raw(core.cast::<ThreadParker>().as_ptr()) });
}
