//! What the threads of one runtime share.
//!
//! ```text
//! Arc<Shared> ── remotes[i]: what others may touch of worker i (inbox, bed, stealer, counters)
//!    │  └─────── injector, census, lifecycle, blocking pool
//!    └ held by: every worker thread, the watchdog, the pool's threads, every Handle and Runtime, and for a moment by whoever wakes a
//!      task from outside of the runtime
//! ```

use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use std::{io, mem};

use crossbeam_deque::{Injector, Stealer};
use crossbeam_utils::CachePadded;

use super::alarm::Alarm;
use super::exits::Exits;
use super::inbox::{Inbox, Linked};
use super::pool::Pool;
use super::roster::Roster;
use super::sleep::{Bed, Census};
use crate::poll::Driver;
use crate::stack::Class;
use crate::task::core::ThreadCore;
use crate::task::flag::Flag;
use crate::task::header::{Header, TaskPtr};
use crate::util::atomic::AtomicPtr;

/// A deque of at most so many tasks is left to its owner for a while.
pub(crate) const SHORT_DEQUE: usize = 2;

/// So many searches in a row without a hit make calls futile.
const FUTILE_ENOUGH: u32 = 4;

/// The settings of a runtime, checked.
pub(crate) struct Config {
    pub(crate) workers: usize,
    pub(crate) class: Class,
    pub(crate) thread_name: String,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) max_tasks: Option<usize>,
    pub(crate) max_blocking_threads: usize,
    pub(crate) blocking_keep_alive: Duration,
}

/// See the head of this file.
pub(crate) struct Shared {
    pub(crate) remotes: Box<[CachePadded<Remote>]>,
    pub(crate) injector: Injector<TaskPtr>,
    pub(crate) census: Census,
    pub(crate) config: Config,
    pub(crate) alarm: Alarm,
    /// How many searches in a row found nothing; see [`Shared::offer_local`].
    pub(crate) futile_calls: AtomicU32,
    /// Set when the runtime ends: started tasks are cancelled, and nothing new starts.
    pub(crate) stopping: AtomicBool,
    /// Set when the ending took too long: workers name what they still have, and stop for good.
    pub(crate) abandoned: AtomicBool,
    /// The last task that was about to start found no stack: until one can be had, spawns reserve theirs, and so learn of
    /// it.
    pub(crate) starved: AtomicBool,
    /// How many spawns from outside of their target's thread are under way; see [`Shared::enter`].
    entrants: AtomicUsize,
    /// Unfinished tasks; counted only where `max_tasks` limits them.
    live: AtomicUsize,
    /// Names of unfinished tasks by id, so that a task that hogs its worker for good can be named.
    names: Mutex<HashMap<u64, Box<str>>>,
    pub(crate) exits: Exits,
    pub(crate) pool: Pool,
    pub(crate) roster: Roster,
}

/// What others may touch of a worker.
pub(crate) struct Remote {
    pub(crate) inbox: Inbox<TaskPtr>,
    pub(crate) bed: Bed,
    pub(crate) driver: Driver,
    pub(crate) stealer: Stealer<TaskPtr>,
    /// Started, unfinished tasks. Written by the worker alone.
    pub(crate) started: AtomicU32,
    /// Unstarted tasks that were adopted: they are meant for this worker.
    arriving: AtomicU32,
    /// Counts the time slices. Written by the worker alone; the watchdog sees whether it moves.
    pub(crate) slice: AtomicU32,
    /// The id of the task that ran last. Written by the worker alone.
    pub(crate) running: AtomicU64,
    pub(crate) preempt: Flag,
    /// The worker's loop has ended, or has given its tasks up: it needs no report by others.
    pub(crate) answered: AtomicBool,
    pub(crate) index: usize,
    pub(crate) shared: Weak<Shared>,
}

impl Linked for TaskPtr {
    type Target = Header;

    fn into_ptr(self) -> *mut Header {
        self.as_ptr()
    }

    unsafe fn from_ptr(ptr: *mut Header) -> Self {
        // SAFETY: by the contract the pointer came from a live `TaskPtr`.
        unsafe { TaskPtr::new(NonNull::new_unchecked(ptr)) }
    }

    fn link(&self) -> &AtomicPtr<Header> {
        &self.inbox_link
    }
}

impl Shared {
    /// Opens the workers' sleeping places. The stealers belong to the workers' deques, in order.
    pub(crate) fn new(config: Config, stealers: Vec<Stealer<TaskPtr>>) -> io::Result<Arc<Self>> {
        let drivers = stealers.iter().map(|_| Driver::new()).collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new_cyclic(|shared| {
            let remote = |(index, (stealer, driver))| {
                CachePadded::new(Remote {
                    inbox: Inbox::new(),
                    bed: Bed::new(),
                    driver,
                    stealer,
                    started: AtomicU32::new(0),
                    arriving: AtomicU32::new(0),
                    slice: AtomicU32::new(0),
                    running: AtomicU64::new(0),
                    preempt: Flag::new(),
                    answered: AtomicBool::new(false),
                    index,
                    shared: shared.clone(),
                })
            };
            Self {
                remotes: stealers.into_iter().zip(drivers).enumerate().map(remote).collect(),
                injector: Injector::new(),
                census: Census::new(config.workers),
                alarm: Alarm::new(),
                futile_calls: AtomicU32::new(0),
                stopping: AtomicBool::new(false),
                abandoned: AtomicBool::new(false),
                starved: AtomicBool::new(false),
                entrants: AtomicUsize::new(0),
                live: AtomicUsize::new(0),
                names: Mutex::default(),
                exits: Exits::new(config.workers),
                pool: Pool::new(config.max_blocking_threads, config.blocking_keep_alive),
                roster: Roster::default(),
                config,
            }
        }))
    }

    /// Announces work in the injector: calls a sleeper unless somebody searches.
    pub(crate) fn offer(&self) {
        if self.census.needs_call() {
            self.call_somebody();
        }
    }

    /// Announces a task in the deque of the calling worker, which holds `unstarted` of them.
    ///
    /// A program that spawns one task at a time and joins it needs no second worker, and would pay a system call per
    /// spawn for one that comes too late. So after a few futile calls one or two tasks are not announced; they run where they
    /// are, or, should that worker hog, the watchdog announces them within 5 ms. A search that pays resets the count.
    ///
    /// No fence either: a worker that lies down at this very moment may be missed, and it may miss the task. Nothing is
    /// lost by that, since the caller runs the task itself; the watchdog sees to it that it need not for long.
    #[inline]
    pub(crate) fn offer_local(&self, unstarted: impl FnOnce() -> usize) {
        if self.census.seems_to_need_call() && (!self.calls_are_futile() || unstarted() > SHORT_DEQUE) {
            self.call_somebody();
        }
    }

    /// Whether the last few workers that searched found nothing.
    pub(crate) fn calls_are_futile(&self) -> bool {
        self.futile_calls.load(Ordering::Relaxed) >= FUTILE_ENOUGH
    }

    /// Wakes a sleeping worker to search.
    #[cold]
    pub(crate) fn call_somebody(&self) {
        if let Some(remote) = self.remotes.iter().find(|remote| remote.bed.call(&self.census)) {
            remote.driver.wake();
        }
    }

    /// Registers a push into a queue that the caller's thread does not own, or refuses it because the runtime ends.
    ///
    /// The caller's increment and load, and the worker's store of `stopping` and load of `entrants` at its end, are
    /// all SeqCst: either the caller sees that the runtime ends, or the worker waits for the caller's push.
    pub(crate) fn enter(&self) -> Option<Entrant<'_>> {
        self.entrants.fetch_add(1, Ordering::SeqCst);
        let entrant = Entrant(self);
        (!self.stopping.load(Ordering::SeqCst)).then_some(entrant)
    }

    /// At a worker's end: whether no push can come any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) && self.entrants.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // Relaxed: whoever must not miss it asks after an acquire or in a loop.
        self.stopping.load(Ordering::Relaxed)
    }

    /// Wakes all workers, for a change of the lifecycle.
    pub(crate) fn rouse(&self) {
        for remote in &self.remotes {
            // Whether or not it sleeps by its own account: the signal ends its next wait at once.
            remote.bed.summon(&self.census);
            remote.driver.wake();
        }
    }

    /// Counts a new task, or refuses it. Where the tasks are not counted there is nothing to hold.
    #[inline]
    pub(crate) fn admit(self: &Arc<Self>) -> io::Result<Option<Admission>> {
        self.config.max_tasks.map(|max| self.admit_counted(max)).transpose()
    }

    #[cold]
    fn admit_counted(self: &Arc<Self>, max: usize) -> io::Result<Admission> {
        // Relaxed, here and below: only the number matters.
        if self.live.fetch_add(1, Ordering::Relaxed) < max {
            return Ok(Admission(Arc::clone(self)));
        }
        self.live.fetch_sub(1, Ordering::Relaxed);
        let message = format!(
            "the runtime's limit of {max} unfinished tasks is reached (Builder::max_tasks): join some, or raise it"
        );
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, message))
    }

    /// A task with a name has ended.
    #[inline]
    pub(crate) fn forget_name(&self, core: &ThreadCore) {
        if core.name.is_some() {
            self.names().remove(&core.id.get());
        }
    }

    /// Remembers the name of a task that has one.
    #[inline]
    pub(crate) fn remember_name(&self, core: &ThreadCore) {
        if let Some(name) = &core.name {
            self.names().insert(core.id.get(), name.clone());
        }
    }

    pub(crate) fn name_of(&self, id: u64) -> Option<Box<str>> {
        self.names().get(&id).cloned()
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Box<str>>> {
        // The map is valid after every step, so a panic of another holder did no harm.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the `max_tasks`. The task's closure holds it, so that it is free before anybody can know of the
/// task's end.
pub(crate) struct Admission(Arc<Shared>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stands for a push under way; see [`Shared::enter`].
pub(crate) struct Entrant<'a>(&'a Shared);

impl Drop for Entrant<'_> {
    fn drop(&mut self) {
        self.0.entrants.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Remote {
    /// The number of tasks that live here, or will once they arrive: what the placement compares.
    pub(crate) fn load(&self) -> u32 {
        // Relaxed: a picture of a moment ago, good enough to choose by.
        self.started.load(Ordering::Relaxed).saturating_add(self.arriving.load(Ordering::Relaxed))
    }

    /// Means an unstarted task for this worker. It counts here at once: a worker that is slow to wake would else look
    /// empty for as long, and be flooded.
    pub(crate) fn adopt(&self, task: TaskPtr) {
        task.home.set(ptr::from_ref(self).cast());
        self.arriving.fetch_add(1, Ordering::Relaxed);
    }

    /// A task that was adopted starts, here or with a thief.
    pub(crate) fn release(task: TaskPtr) {
        let remote: *const Self = task.home.get().cast();
        // SAFETY: `adopt` has set it, and the workers of a runtime live as long as its tasks.
        if let Some(remote) = unsafe { remote.as_ref() } {
            remote.arriving.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Hands `task` to this worker from another thread of its runtime, and wakes it if it sleeps.
    pub(crate) fn deliver(&self, task: TaskPtr, shared: &Shared) {
        self.inbox.push(task);
        if self.bed.summon(&shared.census) {
            self.driver.wake();
        }
    }
}

/// Keeps a runtime's memory for good: a leaked task's stack refers to it.
pub(crate) fn leak(shared: &Arc<Shared>) {
    mem::forget(Arc::clone(shared));
}
