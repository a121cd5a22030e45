//! Those who work on one map: the caller, and a helper task on each other worker.
//!
//! ```text
//! caller ── Arc<Crew>: ranges, gate, first panic          the work itself lies in the caller's frames
//!    └ calls up 1, 2;  1 calls up 3, 4; …                 a helper may touch it between enter and leave
//! ```
//!
//! A helper is spawned for its worker alone, so that a sleeping worker is woken for it, and one that is not taken by
//! whoever searches first. It may come late, so it holds only a count of the crew at first, and asks at the gate:
//!
//! | gate | a helper that comes | the caller |
//! | --- | --- | --- |
//! | open | enters, and will leave | works |
//! | closed | goes away | waits until all who have entered have left |
//!
//! The caller closes the gate when nothing is left to begin. So it does not wait for helpers whose worker is busy with other
//! things, which makes nested maps safe: whoever is waited for has begun, and its end depends on nobody who has not.
//!
//! Rejected: a scope with a task for each chunk. It waits for its last task to be started, however busy that worker is,
//! and needs a chunk size.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ranges::Ranges;
use crate::sched::{Options, Place, WhenStopping, Worker, spawn, with_current};
use crate::task::core::CoreRef;
use crate::task::park::{assert_parking_is_possible, current_core};
use crate::task::{Parker, Reason, Wait, cancel, checkpoint, park};
use crate::util::AbortOnDrop;
use crate::util::spin::SpinLock;

type Payload = Box<dyn Any + Send>;

/// So many pieces of work can be told apart by [`Ranges`], and are enough to share them out evenly: of more items,
/// several make one piece.
const MAX_PIECES: usize = 1 << 16;

/// See the head of this file.
struct Crew {
    ranges: Ranges,
    /// How many items there are, and how many make a piece.
    items: usize,
    piece: usize,
    /// Members besides the caller.
    helpers: usize,
    /// The worker for the helper of number 1; the others follow.
    first_worker: usize,
    /// The caller can't be cancelled, and so must not lose an item by the cancellation of a helper.
    shielded: bool,
    /// Nothing more is to be begun. Relaxed: who misses it begins one item more.
    stop: AtomicBool,
    /// The payload to unwind with.
    failure: SpinLock<Option<Payload>>,
    gate: SpinLock<Gate>,
}

#[derive(Default)]
struct Gate {
    closed: bool,
    inside: usize,
    /// All that have entered, to be cancelled if the caller is. Has room for all.
    helpers: Vec<CoreRef>,
    /// The caller, who waits for `inside` to be 0.
    waiter: Option<Parker>,
}

/// What is done with each item's number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Calls `work` once for each number below `items`, on all workers, and returns when all calls are over.
///
/// Unwinds with the payload of the first call that has panicked, or if the caller is cancelled; then not all calls have
/// been made, and none goes on.
pub(super) fn run(items: usize, work: &Work<'_>) {
    assert_parking_is_possible();
    checkpoint();
    if items == 0 {
        return;
    }
    let crew = Arc::new(Crew::new(items));
    // SAFETY: only the lifetime is changed. The pointer is used by this function, and by helpers that have entered: these
    // have left when `close_and_wait` returns, which this function calls on every way out.
    let work: NonNull<Work<'static>> = unsafe { mem::transmute(NonNull::from(work)) };
    let bomb = AbortOnDrop("a map unwound while others may use its caller's stack");
    // SAFETY: as above.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { crew.work(0, work) }));
    if let Err(payload) = outcome {
        crew.fail(payload);
    }
    crew.close_and_wait();
    mem::forget(bomb);
    let failure = crew.failure.lock().take();
    if let Some(payload) = failure {
        resume_unwind(payload);
    }
}

impl Crew {
    fn new(items: usize) -> Self {
        let piece = items.div_ceil(MAX_PIECES);
        let pieces = items.div_ceil(piece);
        // Without a runtime the caller works alone.
        let workers = with_current(|shared| shared.remotes.len()).unwrap_or(0);
        let (others, first_worker) = match Worker::current() {
            Some(worker) => (workers - 1, worker.index() + 1),
            None => (workers, 0),
        };
        let helpers = others.min(pieces - 1);
        Self {
            ranges: Ranges::new(helpers + 1, pieces as u32),
            items,
            piece,
            helpers,
            first_worker,
            shielded: cancel::is_masked(),
            stop: AtomicBool::new(false),
            failure: SpinLock::new(None),
            gate: SpinLock::new(Gate { helpers: Vec::with_capacity(helpers), ..Gate::default() }),
        }
    }

    /// What a member does.
    ///
    /// # Safety
    ///
    /// The caller is the one who began the map, or has entered and not left.
    unsafe fn work(self: &Arc<Self>, member: usize, work: NonNull<Work<'static>>) {
        let Some(mut piece) = self.ranges.next(member) else { return };
        self.call_up(member, work);
        // SAFETY: by the contract.
        let call = unsafe { work.as_ref() };
        loop {
            let first = piece as usize * self.piece;
            for item in first..self.items.min(first + self.piece) {
                checkpoint();
                // A map can be cancelled between any two items, also if none of them parks.
                cancel::deliver();
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                call(item);
            }
            let Some(next) = self.ranges.next(member) else { return };
            piece = next;
        }
    }

    /// Spawns those whom this member is to call. Each calls two, so that no single one makes all the system calls, and
    /// none is called for nothing.
    fn call_up(self: &Arc<Self>, member: usize, work: NonNull<Work<'static>>) {
        for helper in 2 * member + 1..=2 * member + 2 {
            if helper > self.helpers || !self.ranges.is_any_left() {
                return;
            }
            let ticket = Ticket { crew: Arc::clone(self), member: helper, work };
            let spawned = with_current(|shared| {
                let worker = (self.first_worker + helper - 1) % shared.remotes.len();
                let options = Options { place: Place::Worker(worker), ..Options::default() };
                // SAFETY: the ticket may go to another thread, and owns the crew; what it borrows it uses only between
                // `enter` and `leave`, while the map goes on. There is no result.
                unsafe { spawn(shared, options, WhenStopping::Fail, move || ticket.help()) }
            });
            // Whoever can't be called is done without: there may be no memory, too many tasks, or the runtime ends.
            let _ = spawned.flatten();
        }
    }

    /// A member's panic, or the caller's cancellation. The first one is kept.
    fn fail(&self, payload: Payload) {
        self.stop.store(true, Ordering::Relaxed);
        let superfluous = {
            let mut failure = self.failure.lock();
            match &*failure {
                None => failure.replace(payload),
                Some(_) => Some(payload),
            }
        };
        // Its destructor is foreign, and nobody could take a second panic; one that came of it is leaked.
        if let Some(payload) = superfluous
            && let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        {
            mem::forget(another);
        }
    }

    /// A helper begins. False: it has come too late, and must not touch the work.
    fn enter(&self) -> bool {
        // SAFETY: the running task's own core is alive.
        let core = unsafe { CoreRef::from_borrowed(current_core()) };
        let mut gate = self.gate.lock();
        if gate.closed {
            drop(gate);
            return false;
        }
        gate.inside += 1;
        gate.helpers.push(core);
        true
    }

    /// A helper that has entered ends. It does not touch the work any more.
    fn leave(&self) {
        let mut gate = self.gate.lock();
        gate.inside -= 1;
        let last = gate.inside == 0;
        // SAFETY: a waiter clears its entry, under this lock, before it goes on.
        let waiter = gate.waiter.take_if(|_| last).filter(|waiter| unsafe { waiter.claim() });
        drop(gate);
        if let Some(waiter) = waiter {
            // SAFETY: claimed above.
            unsafe { waiter.unpark() };
        }
    }

    /// Lets nobody in any more, and waits until all are out. If the caller is cancelled meanwhile, or was before, the
    /// helpers are too.
    fn close_and_wait(&self) {
        self.gate.lock().closed = true;
        // Looked at under the lock, since a helper may be about to write it.
        let cancelled = self.failure.lock().as_deref().is_some_and(cancel::is_cancellation);
        if !cancelled {
            match catch_unwind(AssertUnwindSafe(|| self.wait())) {
                Ok(()) => return,
                Err(payload) => self.fail(payload),
            }
        }
        let helpers = mem::take(&mut self.gate.lock().helpers);
        // One that has left already, and ends, may be cancelled too: it waits for nothing any more.
        helpers.iter().for_each(CoreRef::cancel);
        cancel::shield(|| self.wait());
    }

    fn wait(&self) {
        loop {
            let mut gate = self.gate.lock();
            if gate.inside == 0 {
                return;
            }
            gate.waiter = Some(Parker::current());
            let _withdraw = Withdraw(self);
            let wait = Wait { reason: Reason::PoolMap, object: ptr::from_ref(self).cast(), deadline: None };
            park(wait, move || {
                drop(gate);
                true
            });
        }
    }
}

/// Takes the waiter back on every way out of a wait.
struct Withdraw<'a>(&'a Crew);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.gate.lock().waiter = None;
    }
}

/// What a helper is called up with.
struct Ticket {
    crew: Arc<Crew>,
    member: usize,
    work: NonNull<Work<'static>>,
}

// SAFETY: the crew is shared, and the work is `Sync`; the contract of `Crew::work` says when it is there.
unsafe impl Send for Ticket {}

impl Ticket {
    fn help(self) {
        /// Leaves on every way out.
        struct Inside<'a>(&'a Crew);

        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }

        let Self { crew, member, work } = self;
        if !crew.enter() {
            return;
        }
        let _inside = Inside(&crew);
        // SAFETY: it has entered, and leaves when `_inside` is dropped.
        let help = || unsafe { crew.work(member, work) };
        let outcome =
            catch_unwind(AssertUnwindSafe(|| if crew.shielded { cancel::shield(help) } else { help() }));
        if let Err(payload) = outcome {
            crew.fail(payload);
        }
    }
}
