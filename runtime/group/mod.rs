//! Tasks that belong together: Go's `errgroup`, tokio's `JoinSet` and Python's `TaskGroup` in one.
//!
//! ```text
//! Group ─── Arc<Core>: the protocol, see `core`
//!   │           ▲  └─ members, finished ──▶ Node: handle, result
//!   │           │                            ▲
//!   └ spawn ── Job: the closure, then how it reports its end
//! ```
//!
//! **The group's end.** A group ends when it is consumed by a call that waits for all, or dropped, by an unwinding too.
//! Either way its tasks have ended before, really: `Core` joins each, so task-locals are gone as well. A drop cancels
//! what still runs and waits shielded, since nobody is left to be told of a cancellation.
//!
//! **A group that is forgotten** ([`std::mem::forget`]) leaves its tasks to themselves. It can't be unsound: tasks of a
//! group on its own borrow nothing, and those of a group [in a scope](Group::in_scope) are counted by the scope, each
//! with a `Loan` that it gives back as its last act. A forgotten group keeps its untaken results
//! for ever, and never drops what those may borrow.
//!
//! **A drop in one of its own tasks**, by way of an `Arc`, cancels that one too, but waits only for all the others. The
//! task's own node is dropped with the `Core`, which its job is then the last to hold.
//!
//! Rejected: `scoped(|group| …)`, a second function with a scope's lifetimes for groups alone. A group made in a scope
//! needs no lifetimes of its own, moves like any value, and ends before its scope does.

mod core;
mod error;
mod job;
mod node;
mod outcome;

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::{fmt, io, thread};

use crate::sched::{Options, WhenStopping, spawn, with_current};
use crate::sync::Semaphore;
use crate::task::checkpoint;
use crate::thread::{Lender, Scope};
use core::Core;
pub use error::TrySpawnError;
use job::Job;
use node::Node;

/// A number of tasks that are waited for, and cancelled, together. The closures return `T`, often a [`Result`].
///
/// **Nothing outlives its group.** Dropping it cancels the tasks that still run, and parks until they have ended; so does
/// a cancellation or panic that unwinds past it. Results that nobody has taken are dropped then.
///
/// **The first failure cancels the others**, as if [`cancel`](Self::cancel) were called. A panic is a failure; an `Err`
/// is one for [`wait`](Self::wait), and from the start on in a group made with
/// [`cancel_if(Result::is_err)`](Self::cancel_if). In an [`independent`](Self::independent) group no failure cancels
/// anybody.
///
/// **Results** are taken one by one in the order in which tasks end ([`next`](Self::next), [`iter`](Self::iter)), or all
/// at once in the order of spawning:
///
/// | | returns |
/// | --- | --- |
/// | [`wait`](Self::wait) | all `Ok` values, or the first `Err`; `errgroup`'s |
/// | [`values`](Self::values) | all values |
/// | [`join_all`](Self::join_all) | how each task ended, as [`JoinHandle::join`](crate::JoinHandle::join) would say |
/// | [`first_ok`](Self::first_ok) | the first `Ok`, when it has cancelled all others |
///
/// `wait`, `values` and `first_ok` resume the first panic.
///
/// **A member must not wait for its own end**: the last one that runs by calling `next`, or any one by dropping the last
/// handle of its group inside a [`blocking`](crate::blocking) call. Both wait for ever.
///
/// **Cost**: a spawn with one allocation more than [`fibra::spawn`](crate::spawn)'s. Ending and being taken takes a few
/// instructions, however many tasks there are; a result's memory is freed when it is taken.
///
/// # Examples
///
/// All must succeed:
///
/// ```
/// use fibra::task::Group;
///
/// fn fetch(page: u32) -> Result<String, std::io::Error> {
///     Ok(format!("page {page}"))
/// }
///
/// fibra::run(|| {
///     let group = Group::new();
///     for page in 0..3 {
///         group.spawn(move || fetch(page));
///     }
///     assert_eq!(group.wait()?, ["page 0", "page 1", "page 2"]);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Results as they come, at most ten tasks at once:
///
/// ```
/// use fibra::task::Group;
///
/// fibra::run(|| {
///     let group = Group::new().limit(10);
///     for i in 0..100u64 {
///         group.spawn(move || i * i);
///     }
///     let mut sum = 0;
///     for (index, square) in &group {
///         let square = square.unwrap();
///         assert_eq!(square, (index * index) as u64);
///         sum += square;
///     }
///     assert_eq!(sum, 328_350);
/// });
/// ```
#[must_use = "a group that is dropped cancels its tasks"]
pub struct Group<'scope, T> {
    core: Arc<Core<T>>,
    /// The scope whose tasks these are, if they are in one.
    lender: Option<Lender<'scope>>,
    // Invariant: a longer one would let tasks outlive what they borrow, and a shorter one let them borrow too little.
    scope: PhantomData<fn(&'scope ()) -> &'scope ()>,
}

// Nobody sees a broken state: the lock inside is held for a few instructions that don't unwind.
impl<T> UnwindSafe for Group<'_, T> {}
impl<T> RefUnwindSafe for Group<'_, T> {}

impl<T> Group<'static, T> {
    /// A group of tasks that borrow nothing.
    pub fn new() -> Self {
        Self { core: Arc::new(Core::new()), lender: None, scope: PhantomData }
    }
}

impl<T> Default for Group<'static, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'scope, T> Group<'scope, T> {
    /// A group of tasks that may borrow whatever outlives the scope.
    ///
    /// The scope waits for the tasks as for its own, should the group be forgotten. Their panics are the group's alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::task::Group;
    ///
    /// fibra::run(|| {
    ///     let text = String::from("one two three");
    ///     let lengths = fibra::scope(|s| {
    ///         let group = Group::in_scope(s);
    ///         for word in text.split(' ') {
    ///             group.spawn(move || word.len());
    ///         }
    ///         group.values()
    ///     });
    ///     assert_eq!(lengths, [3, 3, 5]);
    /// });
    /// ```
    ///
    /// Without a scope they can't borrow, and neither can they from inside of the scope:
    ///
    /// ```compile_fail
    /// let text = String::from("borrowed");
    /// let group = fibra::task::Group::new();
    /// group.spawn(|| text.len());
    /// ```
    ///
    /// ```compile_fail
    /// fibra::scope(|s| {
    ///     let text = &String::from("borrowed");
    ///     let group = fibra::task::Group::in_scope(s);
    ///     group.spawn(move || text.len());
    /// });
    /// ```
    pub fn in_scope(scope: &'scope Scope<'scope, '_>) -> Self {
        Self { core: Arc::new(Core::new()), lender: Some(scope.lender()), scope: PhantomData }
    }

    /// Lets at most `n` tasks run at once: [`spawn`](Self::spawn) waits for a place, which a task keeps until its closure
    /// and all that it owned are gone.
    ///
    /// A task that spawns into its own group while it is full waits for another one to end: if all do so, for ever.
    ///
    /// # Panics
    ///
    /// If `n` is 0, or the group has tasks already.
    pub fn limit(mut self, n: usize) -> Self {
        assert!(n > 0, "a group with a limit of 0 could never run a task");
        self.settings().limit = Some(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        self
    }

    /// Lets the first task cancel the others whose value `decisive` accepts, at once: when it has returned, and whether
    /// anybody waits or not.
    ///
    /// [`Result::is_err`] makes it `errgroup`'s, [`Result::is_ok`] a race. It is called in the task that returned the
    /// value; its panic counts as the task's.
    ///
    /// # Panics
    ///
    /// If the group has tasks already.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::{Cancelled, task::Group};
    ///
    /// fibra::run(|| {
    ///     let group = Group::new().cancel_if(Result::is_err);
    ///     group.spawn(|| Ok(fibra::thread::park()));
    ///     group.spawn(|| Err("no such host"));
    ///     let ends = group.join_all();
    ///     assert!(ends[0].as_ref().unwrap_err().is::<Cancelled>());
    ///     assert_eq!(*ends[1].as_ref().unwrap(), Err("no such host"));
    /// });
    /// ```
    pub fn cancel_if(mut self, decisive: fn(&T) -> bool) -> Self {
        self.settings().cancel_if = Some(decisive);
        self
    }

    /// Lets the others go on when a task fails. [`wait`](Self::wait) and its like still return the first failure, when
    /// all have ended; [`first_ok`](Self::first_ok) then sees a panic as just another failure, and resumes it only if
    /// nobody succeeds.
    ///
    /// # Panics
    ///
    /// If the group has tasks already.
    pub fn independent(mut self) -> Self {
        self.settings().independent = true;
        self
    }

    fn settings(&mut self) -> &mut core::Settings<T> {
        let core = Arc::get_mut(&mut self.core);
        let unused = core.filter(|core| core.is_unused());
        &mut unused.expect("a group is configured before its first task is spawned").settings
    }

    /// Spawns a task, as [`fibra::spawn`](crate::spawn) does, and returns its index: the group's tasks are counted from 0.
    ///
    /// Parks while as many tasks run as the [`limit`](Self::limit) allows; if the caller is cancelled then, `f` is dropped.
    /// Without a limit it never parks. In a cancelled group the task drops `f` unrun.
    ///
    /// # Panics
    ///
    /// As [`fibra::spawn`](crate::spawn).
    pub fn spawn<F>(&self, f: F) -> usize
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        if let Some(limit) = &self.core.settings.limit {
            limit.acquire().expect("a group's semaphore is never closed").forget();
        }
        self.launch(f).unwrap_or_else(|error| panic!("failed to spawn a task: {error}"))
    }

    /// As [`spawn`](Self::spawn), but returns an error where that parks or panics.
    ///
    /// # Errors
    ///
    /// [`AtLimit`](TrySpawnError::AtLimit), with `f` in it, if as many tasks run as the limit allows, or others wait in
    /// `spawn`; [`Failed`](TrySpawnError::Failed) if no task can be made, and `f` is dropped.
    pub fn try_spawn<F>(&self, f: F) -> Result<usize, TrySpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        if let Some(limit) = &self.core.settings.limit {
            match limit.try_acquire() {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(TrySpawnError::AtLimit(f)),
            }
        }
        self.launch(f).map_err(TrySpawnError::Failed)
    }

    /// Spawns a task that has its permit.
    fn launch<F>(&self, f: F) -> io::Result<usize>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let loan = self.lender.as_ref().map(|lender| lender.lend());
        let pending = Pending { core: &self.core, node: self.core.begin() };
        // SAFETY: the node is the core's, and new.
        let job = unsafe { Job::new(pending.node, Arc::clone(&self.core), loan, f) };
        // The result goes to the node, and not by way of the task's own.
        let options = Options { passing: size_of::<T>(), ..Options::default() };
        // SAFETY: closure and result are `Send`. In a scope they borrow nothing that ends before the scope, which the
        // job's loan keeps from ending until the job, the closure and, unless the group keeps it, the result are gone.
        // Else they borrow nothing. The task's own result is `()`.
        let task =
            with_current(|shared| unsafe { spawn(shared, options, WhenStopping::Cancel, move || job.run()) });
        let task = task??;
        // SAFETY: forgotten, `pending` does not discard the node.
        let (core, node) = (pending.core, pending.node);
        std::mem::forget(pending);
        // SAFETY: until it is attached the node is not freed.
        let index = unsafe { node.as_ref() }.index;
        // SAFETY: the node is this core's, and attached once.
        unsafe { core.attach(node, task) };
        Ok(index)
    }

    /// Takes the result of the task that has ended first, with the task's index; parks until there is one. `None` if all
    /// results have been taken.
    ///
    /// Several may wait at once, and tasks may be spawned meanwhile. If the caller is cancelled, no result is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::{channel, task::Group};
    ///
    /// fibra::run(|| {
    ///     let group = Group::new();
    ///     let (sender, receiver) = channel::bounded(0);
    ///     group.spawn(move || receiver.recv().unwrap());
    ///     group.spawn(|| 1);
    ///     assert_eq!(group.next().map(|(index, value)| (index, value.unwrap())), Some((1, 1)));
    ///     sender.send(2).unwrap();
    ///     assert_eq!(group.next().map(|(index, value)| (index, value.unwrap())), Some((0, 2)));
    ///     assert!(group.next().is_none());
    /// });
    /// ```
    pub fn next(&self) -> Option<(usize, thread::Result<T>)> {
        checkpoint();
        self.core.take()
    }

    /// As [`next`](Self::next), but `None` also if no task has ended whose result is still there. Never waits for a task's
    /// closure.
    pub fn try_next(&self) -> Option<(usize, thread::Result<T>)> {
        self.core.try_take()
    }

    /// [`next`](Self::next) as an iterator; so is `&group` in a `for` loop.
    pub fn iter(&self) -> Iter<'_, 'scope, T> {
        Iter { group: self }
    }

    /// Makes every task unwind at its current or next park, as [`JoinHandle::cancel`](crate::JoinHandle::cancel) does;
    /// tasks that have not started, or are spawned from now on, drop their closures unrun. Never parks; O(n).
    ///
    /// The results are still to be taken. Those of cancelled tasks are [`Cancelled`](crate::Cancelled) payloads.
    pub fn cancel(&self) {
        self.core.cancel();
    }

    /// Whether [`cancel`](Self::cancel) was called, or a task has cancelled the others.
    pub fn is_cancelled(&self) -> bool {
        self.core.is_cancelled()
    }

    /// How many results can still be taken, now or later.
    pub fn len(&self) -> usize {
        self.core.counts().0
    }

    /// Whether all results have been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Group<'_, T> {
    /// Cancels what still runs, and parks until it has ended. A result's destructor that panics does not keep the others
    /// from being dropped.
    fn drop(&mut self) {
        if let Some(payload) = self.core.close() {
            if thread::panicking() {
                // A second panic would abort. Its own destructor might be one.
                std::mem::forget(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

impl<T> fmt::Debug for Group<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, finished) = self.core.counts();
        let mut debug = f.debug_struct("Group");
        debug.field("running", &(len - finished)).field("finished", &finished);
        debug.field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// A node without its task; discarded if none comes, by a panic too.
struct Pending<'a, T> {
    core: &'a Core<T>,
    node: NonNull<Node<T>>,
}

impl<T> Drop for Pending<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the node is this core's. Where no task was made, its job has been dropped before.
        unsafe { self.core.discard(self.node) };
    }
}

/// Results in the order in which tasks end; see [`Group::iter`].
#[derive(Debug)]
pub struct Iter<'a, 'scope, T> {
    group: &'a Group<'scope, T>,
}

impl<T> Iterator for Iter<'_, '_, T> {
    type Item = (usize, thread::Result<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.group.next()
    }
}

impl<'a, 'scope, T> IntoIterator for &'a Group<'scope, T> {
    type Item = (usize, thread::Result<T>);
    type IntoIter = Iter<'a, 'scope, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
