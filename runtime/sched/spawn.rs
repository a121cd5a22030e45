//! The one place that creates tasks.

use std::io;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::schedule::schedule;
use super::shared::Shared;
use super::worker::Worker;
use crate::stack::{self, Class};
use crate::task::cancel::Cancelled;
use crate::task::cell::{Spec, allocate};
use crate::task::core::ThreadCore;
use crate::task::handle::TaskHandle;
use crate::task::header::TaskPtr;
use crate::task::local_owner;

/// How a task differs from the ordinary.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Box<str>>,
    /// The identifier, if the spawner has taken it already.
    pub(crate) id: Option<NonZeroU64>,
    /// Stack size in bytes; `None` is the runtime's.
    pub(crate) stack_size: Option<usize>,
    pub(crate) place: Place,
    /// Bytes that pass through the task's stack beside its closure and its result.
    pub(crate) passing: usize,
}

/// Where a task starts.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On whichever worker comes to it first.
    #[default]
    Anywhere,
    /// On the worker that the caller runs on.
    Here,
    /// On the worker of this index.
    Worker(usize),
}

/// What becomes of a task that its runtime can't take any more, because it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenStopping {
    /// The spawn fails.
    Fail,
    /// The task is cancelled at once: its closure is dropped, and `join` returns `Cancelled`.
    Cancel,
}

/// Closures and results larger than this together get a larger stack: they pass through it.
const LARGE: usize = 8 << 10;

/// So many copies of a large closure and its result a build without optimisation may have on the stack at once. It is
/// address space: pages that are not touched cost nothing.
const COPIES: usize = 16;

/// Spawns a task of `shared`'s runtime.
///
/// # Safety
///
/// `f` runs later, and unless it is placed `Here`, perhaps on another thread: the caller answers for its being `Send`,
/// and for all that it and its result borrow.
pub(crate) unsafe fn spawn<F: FnOnce() -> T, T>(
    shared: &Arc<Shared>,
    options: Options,
    when_stopping: WhenStopping,
    f: F,
) -> io::Result<TaskHandle<T>> {
    // SAFETY: passed on to our caller.
    let created = unsafe { create(shared, options, false, f) }?;
    // SAFETY: the task was allocated with this result type, not detached, and this is its only handle.
    let handle = unsafe { TaskHandle::new(created.task) };
    created.check(when_stopping)?;
    Ok(handle)
}

/// Spawns a task whose result nobody wants. In a runtime that is ending its closure is dropped, whatever is returned.
///
/// # Safety
///
/// As for [`spawn`].
pub(crate) unsafe fn spawn_without_handle<F: FnOnce() -> T, T>(
    shared: &Arc<Shared>,
    options: Options,
    when_stopping: WhenStopping,
    f: F,
) -> io::Result<()> {
    // SAFETY: passed on to our caller.
    let created = unsafe { create(shared, options, true, f) }?;
    created.check(when_stopping)
}

/// A task that [`create`] has made.
struct Created {
    /// Dangles if the task is detached: it may have run and ended by now.
    task: TaskPtr,
    /// The runtime ends and did not take it: its closure has been dropped, its result says `Cancelled`.
    refused: bool,
}

impl Created {
    fn check(&self, when_stopping: WhenStopping) -> io::Result<()> {
        if self.refused && when_stopping == WhenStopping::Fail {
            return Err(io::Error::other("the runtime is shutting down and takes no new tasks"));
        }
        Ok(())
    }
}

/// # Safety
///
/// As for [`spawn`]; a handle must be made for the task exactly if it is not `detached`.
unsafe fn create<F: FnOnce() -> T, T>(
    shared: &Arc<Shared>,
    options: Options,
    detached: bool,
    f: F,
) -> io::Result<Created> {
    if const { size_of::<F>() > LARGE } {
        // To the heap at once: every move from here to there would be another copy on the caller's stack.
        let f = Box::new(f);
        let options = Options { passing: size_of::<F>() + options.passing, ..options };
        // SAFETY: passed on to our caller.
        unsafe { create_cell(shared, options, detached, f) }
    } else {
        // SAFETY: passed on to our caller.
        unsafe { create_cell(shared, options, detached, f) }
    }
}

/// # Safety
///
/// As for [`create`].
unsafe fn create_cell<F: FnOnce() -> T, T>(
    shared: &Arc<Shared>,
    options: Options,
    detached: bool,
    f: F,
) -> io::Result<Created> {
    // First, since it runs foreign code, which may panic.
    let locals = local_owner::inherited();
    let passing = size_of::<F>() + size_of::<T>() + options.passing;
    let class = match options.stack_size {
        None if passing <= LARGE => shared.config.class,
        None => Class::for_size(shared.config.class.usable() + COPIES * passing)?,
        Some(size) => {
            Class::for_size(if passing <= LARGE { size } else { size.saturating_add(COPIES * passing) })?
        }
    };
    if let Place::Worker(index) = options.place
        && index >= shared.remotes.len()
    {
        let message =
            format!("worker({index}): the runtime has {} workers, counted from 0", shared.remotes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // A stack of an unusual size is reserved now: whether it can be had is the spawner's business. So is any stack when
    // they have run out.
    let starved = shared.starved.load(Ordering::Relaxed);
    let reserved = if class == shared.config.class && !starved { None } else { Some(reserve(class)?) };
    if starved {
        shared.starved.store(false, Ordering::Relaxed);
    }
    let admission = match shared.admit() {
        Ok(admission) => admission,
        Err(error) => {
            reserved.into_iter().for_each(stack::give_back);
            return Err(error);
        }
    };
    let spec = Spec { name: options.name, id: options.id, class, detached, schedule };
    // SAFETY: passed on to our caller.
    let task = unsafe {
        match admission {
            None => allocate(spec, f),
            Some(admission) => allocate(spec, move || {
                let _admission = admission;
                f()
            }),
        }
    };
    locals.bestow(&task);
    task.reserved.set(reserved);
    shared.remember_name(&task.core);
    let refused = !enqueue(shared, task, options.place);
    if refused {
        refuse(shared, task);
    }
    Ok(Created { task, refused })
}

fn reserve(class: Class) -> io::Result<stack::Stack> {
    let stack = match Worker::current() {
        Some(worker) => worker.stacks.lend(class),
        None => stack::lend(class),
    };
    stack.map_err(io::Error::from)
}

/// Puts a new task where it will be found. False: the runtime ends, and the task is still the caller's alone.
fn enqueue(shared: &Arc<Shared>, task: TaskPtr, place: Place) -> bool {
    let here = Worker::current().filter(|worker| ptr::eq(worker.shared().as_ref(), shared.as_ref()));
    match (place, here) {
        (Place::Anywhere, Some(worker)) => {
            if shared.is_stopping() {
                return false;
            }
            worker.unstarted.push(task);
            shared.offer_local(|| worker.unstarted.len());
        }
        (Place::Anywhere, None) => {
            let Some(_entrant) = shared.enter() else { return false };
            shared.injector.push(task);
            shared.offer();
        }
        (Place::Here, worker) => {
            let Some(worker) = worker else { return false };
            if shared.is_stopping() {
                return false;
            }
            task.bound.set(true);
            worker.remote().adopt(task);
            worker.ready.push_back(task);
        }
        (Place::Worker(index), here) => {
            let Some(_entrant) = shared.enter() else { return false };
            let remote = &shared.remotes[index];
            task.bound.set(true);
            remote.adopt(task);
            match here.filter(|worker| worker.index() == index) {
                Some(worker) => worker.ready.push_back(task),
                None => remote.deliver(task, shared),
            }
        }
    }
    true
}

/// Drops the closure of a task that came too late.
#[cold]
fn refuse(shared: &Shared, task: TaskPtr) {
    if let Some(stack) = task.reserved.take() {
        stack::give_back(stack);
    }
    // SAFETY: the task is ours alone and never ran.
    unsafe { (task.vtable.abandon)(task.as_non_null(), Box::new(Cancelled)) };
    shared.forget_name(&task.core);
    // SAFETY: the runtime's reference; no queue has the task.
    unsafe { ThreadCore::release(task.as_non_null().cast()) };
}
