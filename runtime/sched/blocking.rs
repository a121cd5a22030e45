//! Calls on the blocking pool, and its threads.
//!
//! ```text
//! parked stack of the task:  | head: how to end it | closure, until it runs | result, once it has |
//! ```

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::{io, mem, thread};

use super::pool::Head;
use super::shared::Shared;
use super::worker::Worker;
use crate::task::current::context;
use crate::task::park::assert_parking_is_possible;
use crate::util::AbortOnDrop;

/// The record of a call.
#[repr(C)]
struct Record<F, T> {
    head: Head,
    // Touched by one side at a time: the task, until its park is published and again once it has been unparked, and in
    // between whoever has claimed the call.
    closure: Cell<Option<F>>,
    result: Cell<Option<io::Result<thread::Result<T>>>>,
}

/// Runs `f` on the pool of the running task's runtime, and returns its value. Unwinds if the task is cancelled before
/// a thread has begun.
///
/// # Errors
///
/// If the pool has no thread and can't get one.
///
/// # Panics
///
/// With the payload of `f`; and where nothing can park.
pub(crate) fn call_in_pool<F, T>(worker: &Worker, f: F) -> io::Result<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    assert_parking_is_possible();
    let shared = worker.shared();
    let record =
        Record { head: Head { end: end::<F, T> }, closure: Cell::new(Some(f)), result: Cell::new(None) };
    // SAFETY: the record is of the type that `end::<F, T>` expects, and stays where it is until the call below is over;
    // what it holds is `Send`.
    unsafe { shared.pool.call(NonNull::from(&record).cast(), || hire(shared))? };
    match record.result.take() {
        Some(Ok(Ok(value))) => Ok(value),
        Some(Ok(Err(payload))) => panic::resume_unwind(payload),
        Some(Err(refusal)) => Err(refusal),
        None => unreachable!("a blocking call has ended without a result"),
    }
}

/// # Safety
///
/// `head` begins a `Record<F, T>` that the caller has claimed, and has not been called for it before.
unsafe fn end<F: FnOnce() -> T, T>(head: NonNull<Head>, how: io::Result<()>) {
    // SAFETY: by the contract; nobody else touches it meanwhile.
    let record: &Record<F, T> = unsafe { head.cast().as_ref() };
    let result = how.map(|()| {
        let f = record.closure.take().expect("a call runs once");
        // Who takes the result is told of the panic, as with `join`.
        catch_unwind(AssertUnwindSafe(f))
    });
    record.result.set(Some(result));
}

/// Starts one more thread.
#[cold]
fn hire(shared: &Arc<Shared>) -> io::Result<()> {
    let started = shared.roster.enter(|number| {
        let name = format!("{}-block-{number}", shared.config.thread_name);
        let shared = Arc::clone(shared);
        thread::Builder::new().name(name).spawn(move || serve(&shared, number))
    });
    started.map_err(|error| {
        let message = format!("could not start a thread for a blocking call: {error}");
        io::Error::new(error.kind(), message)
    })
}

/// The body of a thread of the pool.
fn serve(shared: &Arc<Shared>, number: usize) {
    let bomb = AbortOnDrop("a thread of the blocking pool panicked");
    context().serves.set(ptr::from_ref(shared).cast());
    while let Some(call) = shared.pool.next_call() {
        call.run();
        shared.pool.finish(call);
    }
    context().serves.set(ptr::null());
    shared.roster.leave(number);
    mem::forget(bomb);
}

/// The runtime that the current thread works for: as a worker, or in a blocking call. For use until the next park.
#[inline]
pub(crate) fn current_runtime<'a>() -> Option<&'a Arc<Shared>> {
    if let Some(worker) = Worker::current() {
        return Some(worker.shared());
    }
    let serves: *const Arc<Shared> = context().serves.get().cast();
    // SAFETY: the pointer is set while `serve` above runs on this thread, and callers run inside of that.
    unsafe { serves.as_ref() }
}

/// Ends the pool's threads, and joins them if no call can be left: then every one of them is about to end.
pub(crate) fn end_pool(shared: &Shared, no_call_is_left: bool) {
    shared.pool.end();
    if no_call_is_left {
        shared.roster.join();
    }
}
