//! What bounds a wait: its own deadline, the region that it is in, the shields around it.

use std::time::Instant;

use super::core::{Ended, Outcome, ThreadCore};
use super::region;
use super::state::{Begin, Kind, UNWINDING};
use super::unwind::{self, Unwinding};
use crate::util::abort;

/// See the head of this file.
pub(crate) struct Bounds {
    depth: u32,
    deadline: Option<Instant>,
    /// The deadline is a region's: when it passes, the wait unwinds.
    is_regions: bool,
}

impl Bounds {
    /// Those of a wait of the running task or thread, whose core this is, that begins now.
    #[inline(always)]
    pub(crate) fn of(core: &ThreadCore, own: Option<Instant>) -> Self {
        let depth = unwind::depth(core);
        if core.region.get().is_null() || depth == UNWINDING {
            return Self { depth, deadline: own, is_regions: false };
        }
        Self::in_region(core, depth, own)
    }

    fn in_region(core: &ThreadCore, depth: u32, own: Option<Instant>) -> Self {
        let until = region::until(core);
        let is_regions = until.is_some_and(|until| own.is_none_or(|own| until < own));
        Self { depth, deadline: if is_regions { until } else { own }, is_regions }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    #[inline]
    pub(crate) fn have_passed(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Begins the wait. `Interrupted` means that a region is over.
    #[inline(always)]
    pub(crate) fn begin(&self, core: &ThreadCore, kind: Kind) -> Begin {
        match core.state.begin_wait(kind, self.depth) {
            Begin::Interrupted => self.begin_after_interrupt(core, kind),
            begin => begin,
        }
    }

    #[cold]
    fn begin_after_interrupt(&self, core: &ThreadCore, kind: Kind) -> Begin {
        loop {
            core.state.take_interrupt();
            if region::outermost_over(core).is_some() {
                core.state.interrupt_self();
                return Begin::Interrupted;
            }
            // It was for a region that has been left, or that a shield hides.
            match core.state.begin_wait(kind, self.depth) {
                Begin::Interrupted => {}
                begin => return begin,
            }
        }
    }

    /// What the wait came to.
    #[inline(always)]
    pub(crate) fn outcome(&self, core: &ThreadCore) -> Result<Outcome, Unwinding> {
        match core.ended.get() {
            Ended::Woken => Ok(Outcome::Woken),
            Ended::TimedOut if !self.is_regions => Ok(Outcome::TimedOut),
            Ended::TimedOut | Ended::Cancelled => Err(self.unwinding(core)),
        }
    }

    /// What a wait comes to that does not begin, since its time is over.
    #[cold]
    pub(crate) fn outcome_without_wait(&self, core: &ThreadCore) -> Result<Outcome, Unwinding> {
        unwind::due(core, self.depth).map_or(Ok(Outcome::TimedOut), Err)
    }

    /// The unwinding that is due.
    #[cold]
    pub(crate) fn unwinding(&self, core: &ThreadCore) -> Unwinding {
        unwind::due(core, self.depth).unwrap_or_else(|| {
            abort("a wait was ended early, but neither its task was cancelled nor a region is over")
        })
    }
}
