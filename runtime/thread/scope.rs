//! Scoped tasks: std's semantics, exactly.
//!
//! ```text
//! scope's frame: ScopeData: how many run, did one panic, who waits
//!                  ▲
//! task's cell:   Packet<T>: the result, and a loan of the scope; in the closure first, later the task's own result
//! ```
//!
//! A task counts as running until its packet is gone, result included: the result may borrow what the scope guards. Who
//! has the packet is who has the task's result: the task, then its handle, then the one who joins.
//!
//! The scope's frame may be gone right after the last loan was given back: see [`LoanCount`].
//!
//! Rejected: a packet behind an `Arc`, and `ScopeData` too, as in std. They cost as much as the task itself.

use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, mem};

use super::loan_count::LoanCount;
use super::spawn::unwrap_spawn;
use super::{Builder, Result, Thread};
use crate::Cancelled;
use crate::sched::{Options, WhenStopping, spawn, with_current};
use crate::task::handle::TaskHandle;
use crate::task::park::assert_parking_is_possible;
use crate::task::{Parker, Reason, Wait, cancel, park};
use crate::util::spin::SpinLock;
use crate::util::{AbortOnDrop, abort};

/// A scope to spawn tasks in that borrow from outside of it; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    // Invariant in both, as in std: a scope must neither shrink nor grow.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

// The waiter inside is claimed and cleared under its lock, which nobody unwinds from.
impl RefUnwindSafe for Scope<'_, '_> {}

struct ScopeData {
    running: LoanCount,
    unhandled_panic: AtomicBool,
    /// Who waits in `scope` for `running` to reach 0.
    waiter: SpinLock<Option<Parker>>,
}

/// Runs `f` with a [`Scope`], and returns when all tasks that were spawned in it have ended.
///
/// Parks (on a plain thread: blocks) until then. A cancellation of the caller meanwhile is delivered at its next park;
/// if `f` itself is cancelled, the unwinding goes on when the tasks have ended.
///
/// # Panics
///
/// With the payload of `f`, if it panics; if a task panicked that was not joined by hand; and, with advice, inside
/// [`on_thread_stack`](super::on_thread_stack), where nothing can park.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let mut numbers = vec![1, 2, 3];
///     let mut sum = 0;
///     fibra::scope(|s| {
///         s.spawn(|| sum = numbers.iter().sum());
///         s.spawn(|| println!("{} numbers", numbers.len()));
///     });
///     numbers.push(sum);
///     assert_eq!(numbers, [1, 2, 3, 6]);
/// });
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    assert_parking_is_possible();
    let data = ScopeData {
        running: LoanCount::new(),
        unhandled_panic: AtomicBool::new(false),
        waiter: SpinLock::new(None),
    };
    let scope = Scope { data, scope: PhantomData, env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.data.wait();
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.data.unhandled_panic.load(Ordering::Relaxed) => panic!("a scoped task panicked"),
        Ok(value) => value,
    }
}

impl ScopeData {
    fn lend(&self) -> Loan {
        self.running.add();
        Loan(NonNull::from(self))
    }

    /// Takes one loan back. Nothing of the scope may be touched afterwards.
    #[inline]
    fn take_back(&self) {
        if !self.running.remove_unless_last() {
            self.take_back_slow();
        }
    }

    #[cold]
    fn take_back_slow(&self) {
        let mut waiter = self.waiter.lock();
        let claimed = if self.running.remove_locked() {
            // SAFETY: a waiter clears its entry, under this lock, before it leaves.
            waiter.take().filter(|waiter| unsafe { waiter.claim() })
        } else {
            None
        };
        drop(waiter);
        if let Some(waiter) = claimed {
            // SAFETY: claimed above. It is parked, and not part of the scope.
            unsafe { waiter.unpark() };
        }
    }

    /// Waits for the end of all tasks. Not to be cancelled: they may use what lies on the caller's stack.
    fn wait(&self) {
        let bomb = AbortOnDrop("the wait for scoped tasks unwound while they may use its caller's stack");
        cancel::shield(|| {
            loop {
                let mut waiter = self.waiter.lock();
                if self.running.is_zero() {
                    return;
                }
                // The last task takes it.
                *waiter = Some(Parker::current());
                let wait = Wait { reason: Reason::Scope, object: ptr::from_ref(self).cast(), deadline: None };
                park(wait, move || {
                    drop(waiter);
                    true
                });
            }
        });
        mem::forget(bomb);
    }
}

/// Keeps a scope from ending, until it is dropped.
pub(crate) struct Loan(NonNull<ScopeData>);

// SAFETY: all of `ScopeData` may be used from any thread.
unsafe impl Send for Loan {}
// SAFETY: as above.
unsafe impl Sync for Loan {}

impl Loan {
    fn scope(&self) -> &ScopeData {
        // SAFETY: the scope does not end, and its data stays in its place, before this loan is given back.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // The reference may dangle before this returns: nothing but cells and atomics is behind it, so nobody assumes
        // that it does not.
        self.scope().take_back();
    }
}

/// A scoped task's closure and what it goes with.
struct Main<F, T> {
    // First: where it is dropped unrun, it may use what the scope guards.
    f: F,
    packet: Packet<T>,
}

impl<F: FnOnce() -> T, T> Main<F, T> {
    fn run(self) -> Packet<T> {
        let Self { f, mut packet } = self;
        packet.result = Some(catch_unwind(AssertUnwindSafe(f)).map_err(cancel::public_payload));
        packet
    }
}

/// A scoped task's result, once there is one.
struct Packet<T> {
    result: Option<Result<T>>,
    // Last: the result may borrow what the scope guards.
    loan: Loan,
}

impl<T> Drop for Packet<T> {
    #[inline]
    fn drop(&mut self) {
        match &self.result {
            None => {}
            Some(Ok(_)) if !mem::needs_drop::<T>() => {}
            Some(_) => self.drop_result(),
        }
    }
}

impl<T> Packet<T> {
    fn drop_result(&mut self) {
        if matches!(&self.result, Some(Err(payload)) if !payload.is::<Cancelled>()) {
            // Relaxed: ordered by the Release in `take_back`.
            self.loan.scope().unhandled_panic.store(true, Ordering::Relaxed);
        }
        // Nobody could take a panic of the result's destructor, and the scope can't end without us: as in std, that is the
        // end of the process. Shielded, so that a cancellation is not taken for one.
        if catch_unwind(AssertUnwindSafe(|| cancel::shield(|| self.result = None))).is_err() {
            abort("the result of a scoped task panicked when it was dropped");
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a task that may borrow whatever outlives the scope; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        unwrap_spawn(self.spawn_with(Options::default(), WhenStopping::Cancel, f))
    }

    pub(super) fn spawn_with<F, T>(
        &'scope self,
        options: Options,
        when_stopping: WhenStopping,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let main = Main { f, packet: Packet { result: None, loan: self.data.lend() } };
        // SAFETY: closure and result are `Send`; the scope does not end before the packet is gone, which is in one of them
        // until somebody takes it, and with it all that they borrow.
        let task =
            with_current(|shared| unsafe { spawn(shared, options, when_stopping, move || main.run()) });
        Ok(ScopedJoinHandle { task: task??, scope: PhantomData })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// For who spawns tasks of this scope in a way of its own.
    pub(crate) fn lender(&'scope self) -> Lender<'scope> {
        Lender(&self.data)
    }
}

/// Counts tasks of a scope that has not ended.
pub(crate) struct Lender<'scope>(&'scope ScopeData);

impl Lender<'_> {
    pub(crate) fn lend(&self) -> Loan {
        self.0.lend()
    }
}

impl Builder {
    /// Spawns the task in a scope; see [`Scope::spawn`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.spawn_with(self.options(), WhenStopping::Fail, f)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.data.running.get();
        f.debug_struct("Scope").field("running", &running).finish_non_exhaustive()
    }
}

/// Owns the permission to join a scoped task. Dropping it leaves the join to the end of the scope.
pub struct ScopedJoinHandle<'scope, T> {
    task: TaskHandle<Packet<T>>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// The task's identity.
    pub fn thread(&self) -> &Thread {
        Thread::from_ref(self.task.core())
    }

    /// Parks (on a plain thread: blocks) until the task has ended, and returns its result.
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    pub fn join(self) -> Result<T> {
        let mut packet = self.task.join()?;
        packet.result.take().unwrap_or_else(|| Err(Box::new(Cancelled)))
    }

    /// Whether the task has ended; [`join`](Self::join) then returns at once.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Makes the task unwind at its current or next park; see [`JoinHandle::cancel`](super::JoinHandle::cancel).
    pub fn cancel(&self) {
        self.task.core().cancel();
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}
