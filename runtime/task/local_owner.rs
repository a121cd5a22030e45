//! Whose task-local values are meant: the running task's, or on a plain thread that thread's own.
//!
//! | who runs | finds |
//! | --- | --- |
//! | a task | the table in its header, made at its first use, ended with the task on its own stack |
//! | a plain thread | its own table, ended with the thread |
//! | a thread that works for a parked task | the task's table for values that are `Send`, else its own |
//!
//! The task's or thread's pointer to its table is all that those pay who use no task-local.

use std::ptr::NonNull;

use super::cancel::shield;
use super::current::context;
use super::header::Header;
use super::local_table::{Place, Table};

/// The running task's or thread's table, if it has one. For values that are not `Send`, those of another thread that is
/// worked for don't count.
#[inline]
pub(super) fn table<'a>(is_send: bool) -> Option<&'a Table> {
    // SAFETY: a table lives as long as its owner, and the owner runs, or is parked and worked for by us.
    unsafe { (*place(is_send)).get().map(|table| table.as_ref()) }
}

#[inline]
fn place(is_send: bool) -> *const Place {
    let context = context();
    // SAFETY: the running task is alive.
    match unsafe { context.task.get().as_ref() } {
        Some(task) => &task.locals,
        None => match context.lent_locals.get() {
            Some(lent) if is_send => lent.as_ptr(),
            _ => &context.locals,
        },
    }
}

/// What tells the current OS thread from those that live at the same time.
#[inline]
pub(super) fn thread() -> *const () {
    std::ptr::from_ref(context()).cast()
}

/// As [`table`], but makes one if there is none; `None` where a plain thread has ended too far for that.
#[cold]
pub(super) fn table_or_new<'a>(is_send: bool) -> Option<&'a Table> {
    let place = place(is_send);
    // SAFETY: as in `table`.
    let table = unsafe { &*place };
    if table.get().is_none() {
        if std::ptr::eq(place, &context().locals) {
            AT_THREAD_EXIT.try_with(|_| ()).ok()?;
        }
        table.set(Some(NonNull::from(Box::leak(Box::default()))));
    }
    // SAFETY: as in `table`.
    table.get().map(|table| unsafe { table.as_ref() })
}

thread_local! {
    static AT_THREAD_EXIT: AtThreadExit = const { AtThreadExit };
}

/// Ends a plain thread's table.
struct AtThreadExit;

impl Drop for AtThreadExit {
    fn drop(&mut self) {
        end(&context().locals);
    }
}

/// Ends what the table of an owner that ends has left.
#[inline]
pub(crate) fn end(place: &Place) {
    if let Some(table) = place.get() {
        end_slow(place, table);
    }
}

#[cold]
fn end_slow(place: &Place, table: NonNull<Table>) {
    // The table stays in its place meanwhile: destructors use it. Those that park run to their end, as they do in a task
    // that is cancelled while it runs.
    // SAFETY: it is alive until we free it below.
    shield(|| unsafe { table.as_ref() }.clear());
    place.set(None);
    // SAFETY: it was leaked as a box, and nobody can find it any more.
    drop(unsafe { Box::from_raw(table.as_ptr()) });
}

/// What a task inherits that is spawned now.
pub(crate) struct Inherited(Option<Box<Table>>);

/// Looks what a task inherits that is spawned now. Runs the values' `Clone`s.
#[inline]
pub(crate) fn inherited() -> Inherited {
    Inherited(table(true).and_then(|table| table.inherited(thread())))
}

impl Inherited {
    /// Gives it to the new task, which is the caller's alone.
    #[inline]
    pub(crate) fn bestow(self, task: &Header) {
        if let Some(table) = self.0 {
            task.locals.set(Some(NonNull::from(Box::leak(table))));
        }
    }
}

/// The running task's values, for a thread that works for it while it is parked; nothing on a plain thread.
pub(crate) struct Lent(Option<NonNull<Place>>);

// SAFETY: `during` says when it may be used. Then only what is `Send` is found through it, and of that only what the task
// has no reference to (`Head::begin_use`): so nothing need be `Sync`.
unsafe impl Send for Lent {}

/// Lends the running task's values.
pub(crate) fn lend() -> Lent {
    // SAFETY: the running task is alive.
    Lent(unsafe { context().task.get().as_ref() }.map(|task| NonNull::from(&task.locals)))
}

impl Lent {
    /// Runs `f` with the values.
    ///
    /// # Safety
    ///
    /// This is another thread, which runs no task, and the task that lent the values is parked until `f` has returned or
    /// unwound.
    pub(crate) unsafe fn during<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<NonNull<Place>>);

        impl Drop for Restore {
            fn drop(&mut self) {
                context().lent_locals.set(self.0);
            }
        }

        let _restore = Restore(context().lent_locals.replace(self.0));
        f()
    }
}
