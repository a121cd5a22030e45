//! Ending an actor that a supervisor has started.
//!
//! ```text
//! begin: the exit signal ─▶ insist: wait, and kill it when its time is over ─▶ finish: wait for that
//!                                                                                │
//!                                          it never parks, or shields itself: report it, leave it alone
//! ```
//!
//! Three steps, so that many can be ended at once: each step is taken for all of them before the next one. Every time runs
//! from what it is counted from, the signal or the kill, and not from when the supervisor comes to that actor: many that
//! don't end take no longer than the most patient one of them.
//!
//! The end is awaited by a monitor. The message of the link comes besides, and is recognised by its being expected (see
//! [`Children`](super::children::Children)). Rejected: to unlink the actor first, as OTP does. If the supervisor is killed
//! while it waits, the link is what ends an actor that has not done so yet.

use std::time::{Duration, Instant};

use super::contact::START_GRACE;
use super::spec::Shutdown;
use crate::actor::pid::{Exit, Pid};
use crate::actor::reason::ExitReason;
use crate::cancel::Token;
use crate::util::report;

/// How long an actor that has been killed may take at least.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// See the head of this file.
pub(super) struct Ending<'a> {
    pid: &'a Pid,
    how: Shutdown,
    told: Instant,
    /// When it is killed; `None` for never.
    deadline: Option<Instant>,
    killed: Option<Instant>,
    /// If it is a supervisor: what interrupts the start that it is in.
    starts: Option<&'a Token>,
}

impl<'a> Ending<'a> {
    /// Tells the actor to end. `by` is the supervisor.
    pub(super) fn begin(pid: &'a Pid, how: Shutdown, starts: Option<&'a Token>, by: &Pid) -> Self {
        let told = Instant::now();
        let deadline = match how {
            Shutdown::Brutal => Some(told),
            Shutdown::Timeout(patience) => told.checked_add(patience),
            Shutdown::Infinity => None,
        };
        let mut ending = Self { pid, how, told, deadline, killed: None, starts };
        match how {
            Shutdown::Brutal => ending.kill(),
            _ => pid.signal(Exit { from: Some(by.clone()), reason: ExitReason::Shutdown }),
        }
        ending
    }

    fn kill(&mut self) {
        self.pid.kill();
        self.killed.get_or_insert_with(Instant::now);
    }

    /// When it is killed; `None` for never, which is last.
    pub(super) fn order(&self) -> (bool, Option<Instant>) {
        (self.deadline.is_none(), self.deadline)
    }

    /// Waits until the actor has ended, or its time is over: then kills it.
    pub(super) fn insist(&mut self) {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.pid.is_alive() && self.pid.wait_timeout(left).is_none() {
                self.kill();
            }
            return;
        }
        if let Some(starts) = self.starts
            && self.pid.wait_timeout(START_GRACE.saturating_sub(self.told.elapsed())).is_none()
        {
            starts.cancel();
        }
        self.pid.wait();
    }

    /// Waits for an actor that has been killed: no longer than it was given before, or a second. Then leaves it alone.
    pub(super) fn finish(self, id: &str, by: &Pid) {
        let grace = match self.how {
            Shutdown::Timeout(patience) => patience.max(KILL_GRACE),
            _ => KILL_GRACE,
        };
        let left = grace.saturating_sub(self.killed.map_or(Duration::ZERO, |killed| killed.elapsed()));
        if self.pid.is_alive() && self.pid.wait_timeout(left).is_none() {
            by.unlink(self.pid);
            let pid = self.pid;
            report!(
                "fibra: {pid}, the child '{id}' of {by}, did not stop within {grace:?} after it was killed: it computes \
                 without a runtime call, or is shielded from cancellation; it is left alone"
            );
        }
    }
}
