//! A worker: one scheduler slot on one OS thread, and its loop.
//!
//! ```text
//!        ┌──────────────▶ pick ──none──▶ search ──none──▶ sleep ─┐
//!        │                  │ task          │ task               │
//!        └──────────────── run ◀────────────┘                    │
//!        └───────────────────────────────────────────────────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_deque::Worker as Deque;

use super::appetite::Appetite;
use super::cadence::Cadence;
use super::local::LocalQueue;
use super::placement::Placement;
use super::shared::{Remote, Shared};
use super::started::StartedList;
use crate::os::process;
use crate::poll::Events;
use crate::stack;
use crate::task::cells;
use crate::task::current::{Context, context};
use crate::task::header::TaskPtr;
use crate::time::TimerHeap;
use crate::util::AbortOnDrop;
use crate::util::rng::Rng;

/// What only the worker's own thread touches: its loop, and the runtime calls of the tasks that it runs.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// Ours among `shared.remotes`.
    remote: NonNull<Remote>,
    /// That of the worker's thread, which never changes: the loop need not ask for it.
    pub(super) context: &'static Context,
    /// The task that this worker woke last. It runs next and inherits the time slice.
    pub(super) next: Cell<Option<TaskPtr>>,
    /// How many tasks have come from `next` in a row.
    pub(super) in_a_row: Cell<u32>,
    /// Ready tasks of this worker, in order.
    pub(super) ready: LocalQueue,
    /// Unstarted tasks, which others may steal.
    pub(super) unstarted: Deque<TaskPtr>,
    /// Picks from `ready` since an unstarted task had its turn.
    pub(super) ready_picks: Cell<u32>,
    /// An unstarted task, the oldest, has a turn before the next ready one.
    pub(super) oldest_first: Cell<bool>,
    /// When unstarted tasks last had a turn because of the time.
    pub(super) last_turn: Cell<Instant>,
    pub(super) timers: RefCell<TimerHeap>,
    pub(super) events: RefCell<Events>,
    pub(super) stacks: stack::Cache,
    pub(super) started: StartedList,
    pub(super) placement: Placement,
    pub(super) cadence: Cadence,
    pub(super) appetite: Appetite,
    pub(super) rng: Rng,
    /// The started tasks have been told that the runtime ends.
    pub(super) told_to_stop: Cell<bool>,
}

impl Worker {
    /// Called on the worker's thread.
    pub(crate) fn new(shared: Arc<Shared>, index: usize, unstarted: Deque<TaskPtr>) -> Self {
        Self {
            remote: NonNull::from(&*shared.remotes[index]),
            shared,
            context: context(),
            next: Cell::new(None),
            in_a_row: Cell::new(0),
            ready: LocalQueue::new(),
            unstarted,
            ready_picks: Cell::new(0),
            oldest_first: Cell::new(false),
            last_turn: Cell::new(Instant::now()),
            timers: RefCell::new(TimerHeap::new()),
            events: RefCell::new(Events::new()),
            stacks: stack::Cache::new(),
            started: StartedList::new(),
            placement: Placement::default(),
            cadence: Cadence::new(),
            appetite: Appetite::new(),
            rng: Rng::new(index as u64 + 1),
            told_to_stop: Cell::new(false),
        }
    }

    /// The worker whose thread this is. For use until the next park, as all of the context.
    #[inline]
    pub(crate) fn current<'a>() -> Option<&'a Self> {
        let worker: *const Self = context().worker.get().cast();
        // SAFETY: the pointer is set while `main` below runs on this thread, and callers run inside of that.
        unsafe { worker.as_ref() }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    #[inline]
    pub(crate) fn remote(&self) -> &Remote {
        // SAFETY: `shared` keeps it alive as long as we are.
        unsafe { self.remote.as_ref() }
    }

    pub(crate) fn index(&self) -> usize {
        self.remote().index
    }

    /// The body of a worker's thread. Returns when the runtime has ended and this worker's tasks have too.
    pub(crate) fn main(self) {
        let bomb = AbortOnDrop("a worker panicked");
        process::set_timer_slack_to_minimum();
        // Without an alternate stack an overflow is still caught by its guard; the process then dies without a report.
        let _alternate = stack::AltStack::enter();
        self.context.worker.set(ptr::from_ref(&self).cast());
        loop {
            let mut found = self.pick_after_rise();
            while let Some(task) = found.or_else(|| self.search()) {
                self.run(task);
                found = self.pick();
            }
            if self.shared.is_stopping() && self.wind_up() {
                break;
            }
            self.sleep();
        }
        cells::flush();
        self.context.worker.set(ptr::null());
        self.remote().preempt.lower();
        // The stacks go back to the depot before anybody hears that the worker is gone.
        self.stacks.flush();
        self.report_exit();
        mem::forget(bomb);
    }
}
