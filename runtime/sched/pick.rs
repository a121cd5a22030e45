//! What runs next: the one place that decides it.
//!
//! 1. `next`, the task that this worker woke last, at most [`MAX_IN_A_ROW`] times in a row. It inherits the slice.
//! 2. The ready queue, to which the inbox is appended first.
//! 3. The newest of its own unstarted tasks. Depth-first keeps a tree of a million tasks on a few stacks, where
//!    breadth-first would park a hundred thousand parents.
//! 4. The injector. Stealing comes after this, in [`search`](super::search).
//!
//! So that nobody starves, the *oldest* unstarted task comes before the ready queue after [`MAX_READY_PICKS`] picks
//! from that queue, after a yield, and once every [`TURN_EVERY`]. (Not at every n-th pick: that would turn
//! depth-first into breadth-first again.)
//!
//! Newly spawned tasks don't go through `next`: there they would be out of reach for other workers, or cost every
//! wake an atomic exchange. The deque is last-in-first-out anyway, and thieves leave a short one alone for a while.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_deque::Steal;

use super::worker::Worker;
use crate::task::core::Ended;
use crate::task::header::{Stage, TaskPtr};

const MAX_IN_A_ROW: u32 = 16;
const MAX_READY_PICKS: u32 = 64;
const TURN_EVERY: Duration = Duration::from_millis(10);

impl Worker {
    /// The next task to run from this worker's own queues or the injector.
    #[inline(always)]
    pub(super) fn pick(&self) -> Option<TaskPtr> {
        if self.cadence.tick() {
            self.read_clock();
        }
        if let Some(task) = self.next.take() {
            if self.in_a_row.get() < MAX_IN_A_ROW {
                self.in_a_row.set(self.in_a_row.get() + 1);
                return Some(task);
            }
            self.ready.push_back(task);
        }
        self.in_a_row.set(0);
        self.begin_slice();
        if !self.remote().inbox.is_empty() {
            self.empty_inbox();
        }
        if (self.oldest_first.get() || self.ready_picks.get() >= MAX_READY_PICKS)
            && let Some(task) = self.pick_oldest()
        {
            return Some(task);
        }
        if let Some(task) = self.ready.pop_front() {
            self.ready_picks.set(self.ready_picks.get() + 1);
            return Some(task);
        }
        self.ready_picks.set(0);
        self.pick_unstarted()
    }

    #[inline(never)]
    fn pick_unstarted(&self) -> Option<TaskPtr> {
        self.unstarted.pop().or_else(|| self.pick_injected())
    }

    /// Makes a task of this worker ready: it runs next, and whoever had that place queues up.
    #[inline]
    pub(super) fn make_ready(&self, task: TaskPtr) {
        if let Some(former) = self.next.replace(Some(task)) {
            self.ready.push_back(former);
        }
    }

    #[inline]
    fn begin_slice(&self) {
        let remote = self.remote();
        // Relaxed, and no read-modify-write: only this thread writes it, and the watchdog only compares.
        remote.slice.store(remote.slice.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        remote.preempt.lower();
    }

    pub(super) fn empty_inbox(&self) {
        self.remote().inbox.drain(|task| {
            // A task that was sent here to start waits its turn with the unstarted ones. In the ready queue it would
            // come before the children of those that run, which makes a tree of tasks grow in breadth.
            if task.stage.get() == Stage::Unstarted && !task.bound.get() {
                self.unstarted.push(task);
            } else {
                self.ready.push_back(task);
            }
        });
    }

    /// An unstarted task out of turn: the oldest of ours, or an injected one.
    #[inline(never)]
    fn pick_oldest(&self) -> Option<TaskPtr> {
        self.oldest_first.set(false);
        self.ready_picks.set(0);
        if self.unstarted.is_empty() {
            return None;
        }
        loop {
            match self.remote().stealer.steal() {
                Steal::Success(task) => return Some(task),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    fn pick_injected(&self) -> Option<TaskPtr> {
        let injector = &self.shared().injector;
        while !injector.is_empty() {
            match injector.steal_batch_and_pop(&self.unstarted) {
                Steal::Success(task) => return Some(task),
                Steal::Empty => break,
                Steal::Retry => {}
            }
        }
        None
    }

    #[cold]
    fn read_clock(&self) {
        let now = Instant::now();
        if self.cadence.read(now) {
            self.look_around(now);
        }
    }

    /// What even a busy worker looks at from time to time.
    pub(super) fn look_around(&self, now: Instant) {
        self.expire_timers(now);
        if self.remote().driver.selector().sources() > 0 {
            self.poll_io(Some(Duration::ZERO));
        }
        let injector = &self.shared().injector;
        if !injector.is_empty() {
            // One batch; whatever went wrong, the next look tries again.
            let _ = injector.steal_batch(&self.unstarted);
        }
        if now.saturating_duration_since(self.last_turn.get()) >= TURN_EVERY {
            self.last_turn.set(now);
            self.placement.forgive();
            self.oldest_first.set(true);
        }
        if self.shared().is_stopping() {
            self.tell_to_stop();
            self.give_up_if_abandoned();
        }
    }

    /// Takes what the I/O driver has, at most `timeout` later, and queues the tasks that it wakes, in the order of their
    /// events.
    pub(super) fn poll_io(&self, timeout: Option<Duration>) {
        let ready = self.remote().driver.poll(timeout, &mut self.events.borrow_mut());
        if ready.is_empty() {
            return;
        }
        // A woken task goes to `next`, and whoever was there to the queue: the last one has to follow.
        let next = self.next.take();
        ready.unpark();
        if let Some(last) = self.next.replace(next) {
            self.ready.push_back(last);
        }
    }

    /// Makes every task ready whose deadline has passed and whom nobody else has woken.
    pub(super) fn expire_timers(&self, now: Instant) {
        let mut timers = self.timers.borrow_mut();
        while let Some(task) = timers.pop_due(now) {
            if task.core.state.claim() {
                task.core.ended.set(Ended::TimedOut);
                self.ready.push_back(task);
            }
        }
    }
}
