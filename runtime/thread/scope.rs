//! Scoped tasks: std's semantics, exactly.
//!
//! ```text
//! scope ── Arc<ScopeData>: how many run, did one panic, who waits
//!   │            ▲
//!   └ spawn ── Arc<Packet<T>>: the result; one count is the task's, one the handle's
//! ```
//!
//! A task counts as running until its packet is gone, result included: the result may borrow what the scope guards.

use std::any::Any;
use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fmt, mem};

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
    data: Arc<ScopeData>,
    // Invariant in both, as in std: a scope must neither shrink nor grow.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

struct ScopeData {
    running: AtomicUsize,
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
    let data = Arc::new(ScopeData {
        running: AtomicUsize::new(0),
        unhandled_panic: AtomicBool::new(false),
        waiter: SpinLock::new(None),
    });
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
    fn begin(&self) {
        // Relaxed: the scope itself keeps `running` from being waited for meanwhile.
        if self.running.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            abort("too many tasks in a scope");
        }
    }

    fn end(&self, panicked: bool) {
        if panicked {
            // Relaxed: ordered by the Release below.
            self.unhandled_panic.store(true, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `is_over`; all that the task did is visible behind the scope.
        // SeqCst: pairs with the check in `wait`; either the waiter sees 0, or we see the waiter.
        if self.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            let mut waiter = self.waiter.lock();
            // SAFETY: a waiter clears its entry, under this lock, before it leaves.
            let claimed = waiter.take().filter(|waiter| unsafe { waiter.claim() });
            drop(waiter);
            if let Some(waiter) = claimed {
                // SAFETY: claimed above.
                unsafe { waiter.unpark() };
            }
        }
    }

    fn is_over(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    /// Waits for the end of all tasks. Not to be cancelled: they may use what lies on the caller's stack.
    fn wait(&self) {
        let bomb = AbortOnDrop("the wait for scoped tasks unwound while they may use its caller's stack");
        cancel::shield(|| {
            while !self.is_over() {
                let mut waiter = self.waiter.lock();
                // The last task takes the waiter under the lock; if it has been there already, there is none to come.
                if self.is_over() {
                    return;
                }
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

/// Where a scoped task leaves its result.
struct Packet<'scope, T> {
    data: Arc<ScopeData>,
    result: UnsafeCell<Option<Result<T>>>,
    scope: PhantomData<&'scope ()>,
}

// SAFETY: the task writes the result before it ends, the handle reads it after; the result goes from one to the other.
unsafe impl<T: Send> Sync for Packet<'_, T> {}

impl<T> Drop for Packet<'_, T> {
    fn drop(&mut self) {
        let unhandled = matches!(self.result.get_mut(), Some(Err(payload)) if !payload.is::<Cancelled>());
        // The result may borrow from outside of the scope, so it goes first. Nobody could take a panic of its
        // destructor, and the scope can't end without us: as in std, that is the end of the process.
        // Shielded, so that a cancellation is not taken for one.
        let result = self.result.get_mut();
        if catch_unwind(AssertUnwindSafe(|| cancel::shield(|| *result = None))).is_err() {
            abort("the result of a scoped task panicked when it was dropped");
        }
        self.data.end(unhandled);
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
        self.data.begin();
        let packet =
            Arc::new(Packet { data: self.data.clone(), result: UnsafeCell::new(None), scope: PhantomData });
        let task_packet = Arc::clone(&packet);
        let main = move || {
            let result = catch_unwind(AssertUnwindSafe(f)).map_err(cancel::public_payload);
            // SAFETY: the handle reads the result only after this task has ended.
            unsafe { *task_packet.result.get() = Some(result) };
            drop(task_packet);
        };
        // The result of `f` goes to the packet, and not by way of the task's own result.
        let options = Options { passing: size_of::<T>(), ..options };
        // SAFETY: closure and result are `Send`; the scope does not end before the packet that the closure holds is
        // gone, and with it all that it borrows. The task's own result is `()`.
        let task = with_current(|shared| unsafe { spawn(shared, options, when_stopping, main) });
        Ok(ScopedJoinHandle { task: task??, packet })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// For who spawns tasks of this scope in a way of its own.
    pub(crate) fn lender(&'scope self) -> Lender {
        Lender(Arc::clone(&self.data))
    }
}

/// Counts tasks of a scope. To be used while the scope has not ended, in its closure or its tasks.
pub(crate) struct Lender(Arc<ScopeData>);

impl Lender {
    pub(crate) fn lend(&self) -> Loan {
        self.0.begin();
        Loan(Arc::clone(&self.0))
    }
}

/// Keeps a scope from ending, until it is dropped.
pub(crate) struct Loan(Arc<ScopeData>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.end(false);
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
        let running = self.data.running.load(Ordering::Relaxed);
        f.debug_struct("Scope").field("running", &running).finish_non_exhaustive()
    }
}

/// Owns the permission to join a scoped task. Dropping it leaves the join to the end of the scope.
pub struct ScopedJoinHandle<'scope, T> {
    task: TaskHandle<()>,
    packet: Arc<Packet<'scope, T>>,
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
        let Self { task, mut packet } = self;
        let ended = task.join();
        // The task has dropped its count of the packet before it ended.
        let result = Arc::get_mut(&mut packet).and_then(|packet| mem::take(packet.result.get_mut()));
        result
            .unwrap_or_else(|| Err(ended.err().unwrap_or_else(|| Box::new(Cancelled) as Box<dyn Any + Send>)))
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
