//! A task's allocation with its types: the header, then the closure, later the result in the same place.

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread;

use super::cancel;
use super::cells;
use super::core::{CoreFn, ThreadCore};
use super::current;
use super::header::{Header, TaskPtr, TaskVTable};
use super::local_owner;
use crate::stack::Class;

/// The closure until the task runs, its result from its end until somebody takes it.
union Content<F, T> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<thread::Result<T>>,
}

#[repr(C)]
struct TaskCell<F, T> {
    header: Header,
    content: UnsafeCell<Content<F, T>>,
}

/// What [`allocate`] needs to know of a task beside its closure.
pub(crate) struct Spec {
    pub(crate) name: Option<Box<str>>,
    /// An identifier that [`next_id`](current::next_id) has given; else it is asked now.
    pub(crate) id: Option<NonZeroU64>,
    pub(crate) class: Class,
    /// No handle will be made: the result is dropped when the task ends.
    pub(crate) detached: bool,
    /// The scheduler's function that makes a parked task of its runtime ready.
    pub(crate) schedule: CoreFn,
}

/// Makes an unstarted task. The pointer stands for the runtime's reference; unless the task is detached there is a
/// second one, for the handle.
///
/// # Safety
///
/// `f` and its result are used on another thread and later: the caller answers for `Send` and for lifetimes.
pub(crate) unsafe fn allocate<F: FnOnce() -> T, T>(spec: Spec, f: F) -> TaskPtr {
    // First, so that the compiler can build the cell in its place.
    let cell = cells::make::<TaskCell<F, T>>();
    let id = spec.id.unwrap_or_else(current::next_id);
    let refs = if spec.detached { 1 } else { 2 };
    let core = ThreadCore::new(spec.schedule, free::<F, T>, refs, id, spec.name, true);
    let header = Header::new(core, vtable::<F, T>(), spec.class, spec.detached);
    let content = UnsafeCell::new(Content::<F, T> { closure: ManuallyDrop::new(f) });
    // SAFETY: the memory is ours, and large enough.
    unsafe { cell.write(TaskCell { header, content }) };
    // SAFETY: the cell lives until its last reference is released.
    unsafe { TaskPtr::new(cell.cast()) }
}

fn vtable<F: FnOnce() -> T, T>() -> &'static TaskVTable {
    const {
        &TaskVTable {
            run: run::<F, T>,
            abandon: abandon::<F, T>,
            take_result: take_result::<F, T>,
            drop_result: drop_result::<F, T>,
        }
    }
}

/// The content of the cell that begins with `header`.
///
/// # Safety
///
/// `header` was allocated with these types.
unsafe fn content<F, T>(header: NonNull<Header>) -> *mut Content<F, T> {
    // SAFETY: by the contract the header is the first field of such a cell.
    unsafe { (*header.cast::<TaskCell<F, T>>().as_ptr()).content.get() }
}

/// # Safety
///
/// On the task's own stack, once; `header` was allocated with these types and its closure is still there.
unsafe fn run<F: FnOnce() -> T, T>(header: NonNull<Header>) {
    // SAFETY: passed on from our caller.
    let content = unsafe { content::<F, T>(header) };
    // Closure and result may be large: they go straight from and to their place, not through `catch_unwind`.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the closure is there, and we take it once.
        let f = unsafe { ManuallyDrop::take(&mut (*content).closure) };
        let value = f();
        // SAFETY: the closure is gone; writing to a union field drops nothing.
        unsafe { (*content).result = ManuallyDrop::new(Ok(value)) };
    }));
    if let Err(payload) = outcome {
        // SAFETY: the closure is gone, and there is no result.
        unsafe { (*content).result = ManuallyDrop::new(Err(cancel::public_payload(payload))) };
    }
    // SAFETY: passed on from our caller; the result is there.
    unsafe { conclude(header) };
}

/// # Safety
///
/// `header` was allocated with these types, its closure is still there, and the caller is the only one to have the
/// task.
unsafe fn abandon<F, T>(header: NonNull<Header>, reason: Box<dyn Any + Send>) {
    // SAFETY: passed on from our caller.
    let content = unsafe { content::<F, T>(header) };
    // Shielded: destructors that park run to their end, as they do in a task that is cancelled while it runs.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the closure is there, and we drop it once.
        cancel::shield(|| unsafe { ManuallyDrop::drop(&mut (*content).closure) });
    }));
    let payload = outcome.map_or_else(cancel::public_payload, |()| reason);
    // SAFETY: the closure is gone; writing to a union field drops nothing.
    unsafe { (*content).result = ManuallyDrop::new(Err(payload)) };
    // SAFETY: passed on from our caller; the result is there.
    unsafe { conclude(header) };
}

/// Ends the task-locals, and lets the joiner have the result, or drops it here if there is no handle.
///
/// # Safety
///
/// The task's result is there, and the caller is the only one to have the task.
unsafe fn conclude(header: NonNull<Header>) {
    // SAFETY: the caller's reference outlives this call.
    let task = unsafe { header.as_ref() };
    local_owner::end(&task.locals);
    if !task.join.finish() {
        // SAFETY: the result is there, and no handle can take it.
        unsafe { (task.vtable.drop_result)(header) };
        // What the result's destructor has made.
        local_owner::end(&task.locals);
    }
}

/// # Safety
///
/// `header` was allocated with these types, its result is there and belongs to the caller; `out` points to room for
/// a `thread::Result<T>`.
unsafe fn take_result<F, T>(header: NonNull<Header>, out: *mut ()) {
    // SAFETY: by the contract.
    let result = unsafe { ManuallyDrop::take(&mut (*content::<F, T>(header)).result) };
    // SAFETY: by the contract.
    unsafe { out.cast::<thread::Result<T>>().write(result) };
}

/// # Safety
///
/// `header` was allocated with these types; its result is there and belongs to the caller.
unsafe fn drop_result<F, T>(header: NonNull<Header>) {
    // SAFETY: by the contract.
    let content = unsafe { content::<F, T>(header) };
    // In place, since it may be large. A destructor that panics has been reported by the panic hook. There is nobody to
    // hand the payload to, and its own destructor might panic again, so it is leaked.
    // SAFETY: by the contract the result is there, and is dropped once.
    let drop_in_place = || cancel::shield(|| unsafe { ManuallyDrop::drop(&mut (*content).result) });
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_in_place)) {
        std::mem::forget(payload);
    }
}

/// # Safety
///
/// The core is that of a task of these types, the last reference to it is gone, and its content has been taken.
unsafe fn free<F, T>(core: NonNull<ThreadCore>) {
    // The core is the first field of the header, and the header that of the cell.
    let cell = core.cast::<TaskCell<F, T>>();
    // SAFETY: nobody else refers to the cell; a union drops nothing.
    unsafe { cell.drop_in_place() };
    // SAFETY: it came from `cells::make`.
    unsafe { cells::free(cell) };
}
