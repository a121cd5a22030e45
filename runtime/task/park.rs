//! The one place that parks, for tasks and OS threads alike.
//!
//! ```text
//! the waiter                                   waker, timer or canceller
//! begin_wait: WAITING
//! (task: switch to the worker's stack)
//! commit: publish the wait ───────────────────▶ find it; claim: WAITING cleared
//! (task: the worker runs others)                write how it ended; schedule
//! resumed: read how it ended, clean up ◀──────── (nothing of the waiter is touched any more)
//! ```
//!
//! A park is committed after the switch, on the worker's stack, so that nobody can resume a task that still runs. While
//! started tasks stay home this would hold without it, since only the worker that is busy running the task could
//! resume it; it is the rule that a migrating task will rely on.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::bounds::Bounds;
use super::core::{Ended, Outcome, ThreadCore};
use super::current::{self, context};
use super::fiber::Commit;
use super::header::{Header, Parking, WaitInfo};
use super::panic_count;
use super::parker::Parker;
use super::reason::Reason;
use super::state::{Begin, Kind};
use super::thread_parker;
use super::unwind::Unwinding;
use crate::util::{AbortOnDrop, abort};

impl Parker {
    /// The running task, or the current OS thread on a plain thread.
    pub(crate) fn current() -> Self {
        Self::new(current_core())
    }
}

/// The core of the running task or the current OS thread, with access to all that follows it.
#[inline]
pub(crate) fn current_core() -> NonNull<ThreadCore> {
    match NonNull::new(context().task.get().cast_mut()) {
        // The core is the first field of a `repr(C)` header.
        Some(task) => task.cast(),
        None => thread_parker::current_core(),
    }
}

/// What is waited for.
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    /// The address of the object waited for, for dumps; may be null.
    pub(crate) object: *const (),
    /// When to give up; `None` waits for ever.
    pub(crate) deadline: Option<Instant>,
}

/// Parks the running task (or the OS thread) until somebody claims it.
///
/// `commit` publishes the wait, usually by unlocking a queue that a node is in. It returns true to stay parked, or
/// false if it has itself claimed this parker and wants it to go on at once. It must not panic.
///
/// Unwinds if the task is cancelled, or the [region](super::region) that it is in is over. `commit` may then have run, or been dropped
/// unrun; so the caller needs a guard whose `Drop` takes its node out of the queue on every way out.
#[inline(always)]
pub(crate) fn park(wait: Wait, commit: impl FnOnce() -> bool) -> Outcome {
    park_kind(Kind::Node, wait, commit).unwrap_or_else(|unwinding| unwinding.unwind())
}

/// [`park`] for a caller that cleans up by itself before it unwinds, which is cheaper than a destructor on the way. It has
/// its parker at hand: to ask once more who runs costs two per cent of a rendezvous.
///
/// # Safety
///
/// `parker` is the current one.
#[inline(always)]
pub(crate) unsafe fn try_park_as(
    parker: Parker,
    wait: Wait,
    commit: impl FnOnce() -> bool,
) -> Result<Outcome, Unwinding> {
    let core = parker.core();
    // SAFETY: by the contract it belongs to the running task or to the current thread, which keep it alive.
    if unsafe { core.as_ref() }.is_task {
        // SAFETY: as above; a task's core is the first field of its `repr(C)` header, and the pointer reaches all of it.
        park_task(unsafe { core.cast().as_ref() }, Kind::Node, wait, commit)
    } else {
        thread_parker::park(core, Kind::Node, wait.deadline, commit)
    }
}

/// Parks until the user's token is there, or the deadline has passed; consumes the token.
pub(crate) fn park_for_token(deadline: Option<Instant>) {
    let wait = Wait { reason: Reason::Park, object: ptr::null(), deadline };
    if let Err(unwinding) = park_kind(Kind::Token, wait, || true) {
        unwinding.unwind();
    }
}

#[inline(always)]
fn park_kind(kind: Kind, wait: Wait, commit: impl FnOnce() -> bool) -> Result<Outcome, Unwinding> {
    match current::task() {
        Some(task) => park_task(task, kind, wait, commit),
        None => thread_parker::park(thread_parker::current_core(), kind, wait.deadline, commit),
    }
}

#[inline(always)]
fn park_task(
    task: &Header,
    kind: Kind,
    wait: Wait,
    commit: impl FnOnce() -> bool,
) -> Result<Outcome, Unwinding> {
    if task.parking.get() != Parking::Allowed {
        // The caller's lock first: the panic runs hooks, and those may want the same object.
        drop(commit);
        refuse_to_park(task);
    }
    let bounds = Bounds::of(&task.core, wait.deadline);
    if bounds.have_passed() {
        // Too late to wait: neither a switch nor a timer, which a busy worker might come to much later.
        drop(commit);
        if kind == Kind::Token && task.core.state.take_token() {
            return Ok(Outcome::Woken);
        }
        return bounds.outcome_without_wait(&task.core);
    }
    #[cfg(all(test, not(fibra_loom)))]
    let commit = {
        use super::probe::{self, Moment};
        probe::tell(&task.core, Moment::About);
        move || {
            let stays = commit();
            if stays {
                probe::tell(&task.core, Moment::Parked);
            }
            stays
        }
    };
    // Before the wait begins: from then on the field is the claimer's.
    task.core.ended.set(Ended::Woken);
    match bounds.begin(&task.core, kind) {
        Begin::Begun => {}
        Begin::HadToken => return Ok(Outcome::Woken),
        Begin::Cancelled | Begin::Interrupted => {
            drop(commit);
            return Err(bounds.unwinding(&task.core));
        }
    }
    task.deadline.set(bounds.deadline());
    task.wait.set(WaitInfo { reason: wait.reason, object: wait.object });

    let mut pending = PendingCommit {
        base: Commit { call: run_commit(&commit) },
        commit: ManuallyDrop::new(commit),
        unwinding: std::thread::panicking(),
        share: Cell::new(None),
    };
    suspend(task, Some(NonNull::from(&mut pending).cast()));
    if pending.unwinding
        && let Some(share) = pending.share.take()
    {
        panic_count::put_back(share);
    }

    task.wait.set(WaitInfo { reason: Reason::None, object: ptr::null() });
    bounds.outcome(&task.core)
}

/// A commit on the parked stack; the worker knows only its first field.
#[repr(C)]
struct PendingCommit<F> {
    base: Commit,
    commit: ManuallyDrop<F>,
    /// The task parks in a destructor while it unwinds, and takes its share of the thread's panic count along: taken
    /// after the commit has released the caller's lock, put back after the park.
    unwinding: bool,
    share: Cell<Option<panic_count::Share>>,
}

/// The function that runs a commit of `F`'s type; the argument only names the type.
fn run_commit<F: FnOnce() -> bool>(_: &F) -> unsafe fn(NonNull<Commit>) -> bool {
    /// # Safety
    ///
    /// `this` is the first field of a `PendingCommit<F>` on a suspended stack, and is called once.
    unsafe fn call<F: FnOnce() -> bool>(this: NonNull<Commit>) -> bool {
        // The worker's stack has nobody who could catch a panic and put the queues right.
        let bomb = AbortOnDrop("a park's commit panicked");
        let pending: *mut PendingCommit<F> = this.cast().as_ptr();
        // SAFETY: by the contract above the closure is there, and is taken once.
        let commit = unsafe { ManuallyDrop::take(&mut (*pending).commit) };
        let stays = commit();
        // SAFETY: whoever claims the wait can't resume the task while its worker is here, so it is still suspended.
        let pending = unsafe { &*pending };
        if pending.unwinding {
            pending.share.set(Some(panic_count::take()));
        }
        std::mem::forget(bomb);
        stays
    }
    call::<F>
}

/// Gives the other tasks of this worker a turn. Returns at once on a plain thread's behalf: see `thread::yield_now`.
#[inline]
pub(crate) fn yield_task(task: &Header) {
    refuse_where_parking_is_impossible(task);
    if std::thread::panicking() {
        yield_unwinding(task);
    } else {
        suspend(task, None);
    }
}

/// The yield of a task that is in a destructor while it unwinds: as a park of one.
#[cold]
fn yield_unwinding(task: &Header) {
    let share = panic_count::take();
    suspend(task, None);
    panic_count::put_back(share);
}

/// The one switch from a task to its worker.
///
/// Inlined, with its callers, as far up as it goes: after a switch the processor predicts each `ret` wrongly, since the
/// calls that it remembers are another task's. One frame less between here and the user's code made a yield among
/// 1,000 tasks three times as fast.
#[inline(always)]
fn suspend(task: &Header, handover: Option<NonNull<Commit>>) {
    let suspension = task.suspension.get().expect("a running task has been entered");
    // SAFETY: `task` is the running task, so this is its stack; the commit is on it.
    unsafe { suspension.suspend(handover) }
}

/// To be called before something is lent to other tasks that a later wait must get back: a park that is refused there
/// would unwind and leave it lent.
pub(crate) fn assert_parking_is_possible() {
    if let Some(task) = current::task() {
        refuse_where_parking_is_impossible(task);
    }
}

#[inline]
fn refuse_where_parking_is_impossible(task: &Header) {
    if task.parking.get() != Parking::Allowed {
        refuse_to_park(task);
    }
}

#[cold]
fn refuse_to_park(task: &Header) -> ! {
    match task.parking.get() {
        Parking::OnThreadStack => panic!(
            "a task can't park inside `on_thread_stack`: its frames lie on the worker's stack, which other tasks need; \
             park before or after the call"
        ),
        // A panic here would abort without a word, since the thread is already in a hook.
        _ => abort(
            "a panic hook tried to park its task: std runs hooks under a lock that others then wait for",
        ),
    }
}
