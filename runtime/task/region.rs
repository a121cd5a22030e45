//! Regions: stretches of a task's (or thread's) calls that a deadline or somebody else can end early.
//!
//! ```text
//! core.region ──▶ Region ──outer──▶ Region ──outer──▶ (null)      each lies in the frame of `run`
//!                 until: the earliest deadline of this and all outer ones
//!                 ended: set by whoever ends it
//! ```
//!
//! A wait in a region lasts no longer than `until`. When that passes, or when somebody has ended a region (which claims
//! the wait: see the [state word](super::state)), the wait unwinds to the outermost region that is over, and `run`
//! returns [`Over`] there. It is sticky, as a cancellation: code that swallows the unwinding meets it at its next wait.
//!
//! A [shield](super::cancel::shield) hides the regions around it, by taking the list away until it is left.
//!
//! | invariant | kept by |
//! | --- | --- |
//! | `core.region` lists the regions entered under the present shield, innermost first | `run` and `shield`, on every way out |
//! | a visible region that has been ended has `INTERRUPTED` set, or its ender is about to | `end` sets it after `ended`; who clears it looks at the list afterwards; a shield looks when it is left |

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::core::ThreadCore;

/// See the head of this file.
pub(crate) struct Region {
    core: NonNull<ThreadCore>,
    outer: *const Region,
    deadline: Option<Instant>,
    until: Option<Instant>,
    /// Under how many shields the region was entered.
    depth: u32,
    /// Which one of its owner it is: another may come to lie at the same address.
    number: u32,
    ended: AtomicBool,
}

/// The region was ended before the closure came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over;

/// The payload on its way to a region.
#[derive(PartialEq, Eq)]
struct Unwinding {
    address: usize,
    number: u32,
}

/// Runs `f` in a region until `deadline`. `core` is the running task's or thread's.
///
/// `enter` gets the region to tell others of it, who may then [`end`](Region::end) it. What it returns is dropped before
/// the region is left.
///
/// # Safety
///
/// - `core` is the running task's or thread's.
/// - From when the value that `enter` returns has been dropped, nobody uses the region's address any more.
#[inline]
pub(crate) unsafe fn run<R, G>(
    core: NonNull<ThreadCore>,
    deadline: Option<Instant>,
    enter: impl FnOnce(&Region) -> G,
    f: impl FnOnce() -> R,
) -> Result<R, Over> {
    // SAFETY: by the contract, it outlives this call.
    let owner = unsafe { core.as_ref() };
    let region = Region {
        core,
        outer: owner.region.get().cast(),
        deadline,
        until: [deadline, until(owner)].into_iter().flatten().min(),
        depth: owner.shield.get(),
        number: owner.entered.get(),
        ended: AtomicBool::new(false),
    };
    owner.entered.set(region.number.wrapping_add(1));
    owner.region.set(ptr::from_ref(&region).cast());
    let leave = Leave(&region);
    let outcome = {
        let _entered = enter(&region);
        catch_unwind(AssertUnwindSafe(f))
    };
    drop(leave);
    outcome.or_else(|payload| match payload.downcast_ref::<Unwinding>() {
        Some(unwinding) if *unwinding == region.unwinding() => Err(Over),
        _ => resume_unwind(payload),
    })
}

/// Takes the innermost region off the list.
struct Leave<'a>(&'a Region);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // SAFETY: the core outlives the region, which is in a frame of its task or thread.
        unsafe { self.0.core.as_ref() }.region.set(self.0.outer.cast());
    }
}

impl Region {
    /// Ends the region. True: the caller has claimed its owner's wait, and must end it as cancelled.
    ///
    /// Called by anybody, while the value that `enter` returned exists.
    pub(crate) fn end(&self) -> bool {
        // Relaxed: ordered by the Release in `interrupt`, for the Acquire in `take_interrupt`.
        self.ended.store(true, Ordering::Relaxed);
        // SAFETY: the region exists, so its owner does.
        unsafe { self.core.as_ref() }.state.interrupt(self.depth)
    }

    /// Whose region it is.
    pub(crate) fn core(&self) -> NonNull<ThreadCore> {
        self.core
    }

    /// What unwinds to this region.
    pub(crate) fn payload(&self) -> Box<dyn Any + Send> {
        Box::new(self.unwinding())
    }

    fn unwinding(&self) -> Unwinding {
        Unwinding { address: ptr::from_ref(self).addr(), number: self.number }
    }

    fn is_over(&self, now: Option<Instant>) -> bool {
        // Relaxed: see `end`.
        self.ended.load(Ordering::Relaxed)
            || now.is_some_and(|now| self.deadline.is_some_and(|deadline| deadline <= now))
    }
}

/// Owner only: until when the visible regions last.
#[inline]
pub(crate) fn until(core: &ThreadCore) -> Option<Instant> {
    // SAFETY: the regions of the list lie in frames below this one.
    unsafe { core.region.get().cast::<Region>().as_ref() }.and_then(|region| region.until)
}

/// Owner only: the outermost visible region that is over.
pub(crate) fn outermost_over(core: &ThreadCore) -> Option<&Region> {
    let mut next: *const Region = core.region.get().cast();
    let mut over = None;
    let now = until(core).map(|_| Instant::now());
    // SAFETY: the regions of the list lie in frames below this one.
    while let Some(region) = unsafe { next.as_ref() } {
        if region.is_over(now) {
            over = Some(region);
        }
        next = region.outer;
    }
    over
}

/// Whether this is the payload of an unwinding to a region.
pub(crate) fn is_unwinding(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Unwinding>()
}
