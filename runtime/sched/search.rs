//! Looking for other workers' unstarted tasks, and going to sleep when there are none.
//!
//! Searching has to be earned; see [`Appetite`](super::appetite::Appetite).
//!
//! A deque of at most [`SHORT_DEQUE`] tasks is left alone until its owner has not picked anything for [`RIPE`]: else it
//! probably runs them at once, and a thief would split a pair of tasks that talk to each other, for life.

use std::hint;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_deque::Steal;

use super::shared::{Remote, SHORT_DEQUE};
use super::sleep::Rise;
use super::worker::Worker;
use crate::task::header::TaskPtr;

/// A cold owner needs 10 to 20 µs to start the tasks that it has just spawned: stacks are guarded and touched for the
/// first time. A thief needs as long to wake up.
const RIPE: Duration = Duration::from_micros(20);

/// A sleep that another worker ends within this time cost both more than a search of the greatest length would have.
const NAP: Duration = Duration::from_micros(60);

/// At most so many tasks are stolen at once; never more than half of what there is.
const MAX_LOOT: usize = 32;

/// The searcher looks into its own inbox so many times before it looks at others' queues and the clock. Each look at a
/// deque takes a cache line from its owner, who may be filling it.
const LOOKS_PER_ROUND: u32 = 16;

/// A short deque that was seen and left alone.
struct Sighting {
    victim: usize,
    /// The victim's slice counter then. It moves when the victim picks tasks, so what lies there now is not what was
    /// seen.
    slice: u32,
    at: Instant,
}

impl Sighting {
    /// Whether what was seen still lies there.
    fn is_current(&self, victim: &Remote) -> bool {
        victim.slice.load(Ordering::Relaxed) == self.slice && !victim.stealer.is_empty()
    }
}

/// Whether the victim's short deque has lain untouched for long enough. If none is being watched, this one is now; one
/// at a time, else two victims in turn would never ripen.
fn is_ripe(victim: &Remote, sighting: &mut Option<Sighting>, now: Instant) -> bool {
    let slice = victim.slice.load(Ordering::Relaxed);
    match sighting {
        Some(seen) => seen.victim == victim.index && now.saturating_duration_since(seen.at) >= RIPE,
        None => {
            *sighting = Some(Sighting { victim: victim.index, slice, at: now });
            false
        }
    }
}

impl Worker {
    /// Looks for a task of others, or waits a little for one that is sent here. A worker that finds none stays a
    /// searcher in the census until it lies down.
    #[cold]
    pub(super) fn search(&self) -> Option<TaskPtr> {
        let appetite = &self.appetite;
        if !appetite.is_searching() {
            if !appetite.is_hungry() || !self.shared().census.start_search() {
                return None;
            }
            appetite.set_searching(true);
        }
        let found = self.look_for_a_while(appetite.duration());
        if found.is_some() {
            self.end_search();
        } else {
            appetite.miss();
        }
        self.note_search(found.is_some());
        found
    }

    /// The first task after getting up. A worker that was called counts as a searcher, and no longer when it finds work
    /// in its own queues or the injector.
    pub(super) fn pick_after_rise(&self) -> Option<TaskPtr> {
        let task = self.pick();
        if task.is_some() && self.appetite.is_searching() {
            self.end_search();
            self.note_search(true);
        }
        task
    }

    /// Tells those who call workers whether it is worth it.
    fn note_search(&self, paid: bool) {
        let futile = &self.shared().futile_calls;
        // Relaxed, and no exchange: a lost update changes when the next call is made, and nothing else.
        let count = if paid { 0 } else { futile.load(Ordering::Relaxed).saturating_add(1) };
        futile.store(count, Ordering::Relaxed);
    }

    fn end_search(&self) {
        self.appetite.hit();
        self.appetite.set_searching(false);
        // More work may have been announced to us alone. What was pushed by those who saw us searching is visible now:
        // their load of the census came before our change of it. To call somebody who then finds nothing would do harm:
        // it would take the first short-lived task that comes along, away from those it talks to.
        if self.shared().census.end_search() && self.is_work_for_anybody(0) {
            self.shared().call_somebody();
        }
    }

    fn look_for_a_while(&self, duration: Duration) -> Option<TaskPtr> {
        let start = Instant::now();
        let mut until = start + duration;
        let mut now = start;
        let mut sighting = None;
        loop {
            for _ in 0..LOOKS_PER_ROUND {
                if !self.remote().inbox.is_empty() {
                    self.empty_inbox();
                    return self.ready.pop_front().or_else(|| self.unstarted.pop());
                }
                hint::spin_loop();
            }
            let loot = self.rob_somebody(&mut sighting, now);
            if loot.is_some() {
                return loot;
            }
            if sighting.is_some() {
                // Long enough for a round after it has ripened.
                until = until.max(start + RIPE * 2);
            }
            now = Instant::now();
            if now > until || self.shared().is_stopping() {
                return None;
            }
        }
    }

    /// One round over the injector and the others' deques.
    fn rob_somebody(&self, sighting: &mut Option<Sighting>, now: Instant) -> Option<TaskPtr> {
        if let Steal::Success(task) = self.shared().injector.steal_batch_and_pop(&self.unstarted) {
            return Some(task);
        }
        let remotes = &self.shared().remotes;
        if sighting.as_ref().is_some_and(|seen| !seen.is_current(&remotes[seen.victim])) {
            *sighting = None;
        }
        let first = self.rng.below(remotes.len());
        for victim in remotes[first..].iter().chain(&remotes[..first]) {
            let loot = victim.stealer.len();
            if victim.index == self.index() || loot == 0 {
                continue;
            }
            if loot <= SHORT_DEQUE && !is_ripe(victim, sighting, now) {
                continue;
            }
            let stolen = victim.stealer.steal_batch_with_limit_and_pop(&self.unstarted, MAX_LOOT);
            if let Steal::Success(task) = stolen {
                return Some(task);
            }
        }
        None
    }

    /// Sleeps until there is something to do.
    #[cold]
    pub(super) fn sleep(&self) {
        let (shared, remote) = (self.shared(), self.remote());
        self.ready.trim();
        remote.bed.lie_down(&shared.census, self.appetite.is_searching());
        // The last look: whoever pushed before this had seen us awake. See `sleep.rs`.
        let seen = self.is_anything_to_do();
        let mut napped = false;
        if !seen {
            let next = self.timers.borrow().next_deadline();
            let start = Instant::now();
            // An announced end is not slept through: its wake-up call comes after the flag.
            self.poll_io(next.map(|at| at.saturating_duration_since(start)));
            napped = start.elapsed() < NAP;
        }
        let rise = remote.bed.rise(&shared.census);
        self.appetite.note_rise(seen || rise != Rise::Itself, rise == Rise::Called);
        if napped && rise == Rise::Summoned {
            self.appetite.regret();
        }
        shared.alarm.ring_if_asleep();
        if !self.timers.borrow().is_empty() {
            self.expire_timers(Instant::now());
        }
    }

    /// The last look before the sleep. What one worker would not announce another need not get up for.
    fn is_anything_to_do(&self) -> bool {
        let shared = self.shared();
        let boring = if shared.calls_are_futile() { SHORT_DEQUE } else { 0 };
        // `next` too: the end of the runtime cancels tasks after the last pick.
        self.next.get().is_some()
            || !self.ready.is_empty()
            || !self.remote().inbox.is_empty()
            || self.is_work_for_anybody(boring)
    }

    /// Whether there are unstarted tasks in the injector, or in a deque of more than `boring`.
    fn is_work_for_anybody(&self, boring: usize) -> bool {
        let shared = self.shared();
        !shared.injector.is_empty() || shared.remotes.iter().any(|remote| remote.stealer.len() > boring)
    }
}
