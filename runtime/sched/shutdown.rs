//! How a runtime ends.
//!
//! ```text
//! ender                                   each worker
//! stopping = true; rouse everybody
//!                                         cancel all started tasks; start unstarted ones only to drop them
//! wait until nobody is alive              no task left, no push under way: exit
//! ── after shutdown_timeout ──
//! abandoned = true; rouse everybody
//! wait a moment for the reports           name what is left, leave it and this thread as they are
//! name the workers that gave no report: a task hogs them
//! ```
//!
//! What does not stop is leaked with its worker's thread and the runtime's memory. Its stack may hold references to
//! that thread's locals, and others may hold pointers into the stack; so nothing of it is ever freed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::shared::{self, Shared};
use super::worker::Worker;
use crate::task::Reason;
use crate::task::core::{Ended, ThreadCore};
use crate::task::header::TaskPtr;
use crate::util::report;

/// How long workers that are not stuck may take to name their tasks.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// So many tasks of a worker are named one by one.
const NAMED: usize = 16;

/// Ends the runtime: returns true when every task has ended and every worker's loop with it, false when some were
/// leaked. Parks the calling task, or blocks the calling thread.
pub(crate) fn shut_down(shared: &Arc<Shared>) -> bool {
    // SeqCst: see `Shared::enter`.
    shared.stopping.store(true, Ordering::SeqCst);
    shared.rouse();
    let deadline = Instant::now().checked_add(shared.config.shutdown_timeout);
    if shared.exits.wait(deadline) {
        return true;
    }
    shared::leak(shared);
    shared.abandoned.store(true, Ordering::SeqCst);
    shared.rouse();
    if !shared.exits.wait(Instant::now().checked_add(REPORT_TIMEOUT)) {
        name_hogs(shared);
    }
    false
}

/// Names the tasks that keep their workers from even answering.
fn name_hogs(shared: &Shared) {
    for remote in shared.remotes.iter().filter(|remote| !remote.answered.load(Ordering::Relaxed)) {
        let id = remote.running.load(Ordering::Relaxed);
        let name = shared.name_of(id).unwrap_or_else(|| "<unnamed>".into());
        report!(
            "fibra: task {id} '{name}' did not stop within {:?}: it runs on worker {} without a runtime call; it is \
             leaked with its worker and the worker's {} unfinished tasks",
            shared.config.shutdown_timeout,
            remote.index,
            remote.started.load(Ordering::Relaxed),
        );
    }
}

impl Worker {
    /// Cancels this worker's started tasks, once: each unwinds at its current or next park.
    pub(super) fn tell_to_stop(&self) {
        if self.told_to_stop.replace(true) {
            return;
        }
        let mut claimed: Vec<TaskPtr> = Vec::new();
        self.started.for_each(|task| {
            if task.core.state.cancel() {
                claimed.push(task);
            }
        });
        for task in claimed {
            let core = task.as_non_null().cast::<ThreadCore>();
            // SAFETY: `cancel` has claimed the wait.
            unsafe { ThreadCore::end_wait(core, Ended::Cancelled) };
        }
    }

    /// While the runtime ends and this worker has nothing to run: true when it has nothing left at all.
    pub(super) fn wind_up(&self) -> bool {
        self.tell_to_stop();
        self.give_up_if_abandoned();
        let idle = |worker: &Self| {
            worker.started.len() == 0
                && worker.next.get().is_none()
                && worker.ready.is_empty()
                && worker.remote().inbox.is_empty()
                && worker.unstarted.is_empty()
                && worker.shared().injector.is_empty()
        };
        if !idle(self) {
            return false;
        }
        // Pushes from outside that began before the end are short: an allocation is not part of them.
        while !self.shared().is_closed() {
            thread::yield_now();
        }
        idle(self)
    }

    /// After the timeout, also where tasks that only yield keep this worker busy.
    pub(super) fn give_up_if_abandoned(&self) {
        if self.shared().abandoned.load(Ordering::SeqCst) && self.started.len() > 0 {
            self.give_up();
        }
    }

    /// A worker's last act: its loop has ended, or it has given its tasks up.
    pub(super) fn report_exit(&self) {
        self.remote().driver.abandon();
        // Relaxed: ordered by the lock in `report`.
        self.remote().answered.store(true, Ordering::Relaxed);
        self.shared().exits.report();
    }

    /// Names the tasks that did not stop, and leaves them and this thread as they are.
    fn give_up(&self) -> ! {
        let timeout = self.shared().config.shutdown_timeout;
        let mut left = NAMED;
        self.started.for_each(|task| {
            if left > 0 {
                let name = task.core.name.as_deref().unwrap_or("<unnamed>");
                let (id, wait) = (task.core.id, task.wait.get());
                let state = match wait.reason {
                    Reason::None => "it is ready to run".to_owned(),
                    _ => format!("it waits for {wait}"),
                };
                report!("fibra: task {id} '{name}' did not stop within {timeout:?}: {state} and is leaked");
                left -= 1;
            }
        });
        let more = (self.started.len() as usize).saturating_sub(NAMED);
        if more > 0 {
            report!("fibra: … and {more} more tasks of worker {}", self.index());
        }
        self.report_exit();
        loop {
            thread::park();
        }
    }
}
