//! What the current OS thread is doing: which task it runs, and for which worker.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use super::cell_cache::{CellCache, SIZES};
use super::core::ThreadCore;
use super::header::Header;
use super::local_table::Place;

/// The runtime's whole thread-local state. It has no destructor, so it can be used until a thread's very end.
pub(crate) struct Context {
    /// The task that runs now; null on a plain thread and between tasks.
    pub(crate) task: Cell<*const Header>,
    /// The worker that this thread is, as the scheduler knows it; null on a plain thread. This layer only keeps it.
    pub(crate) worker: Cell<*const ()>,
    /// The runtime that this thread makes blocking calls for, as the scheduler knows it; null on all other threads. This
    /// layer only keeps it.
    pub(crate) serves: Cell<*const ()>,
    /// The parker of a plain thread that waits after its thread-locals have been destroyed. Leaked.
    pub(crate) late_parker: Cell<Option<NonNull<ThreadCore>>>,
    /// The task-local values of a plain thread, once there are some.
    pub(crate) locals: Place,
    /// Where the values of a parked task are that this thread works for.
    pub(crate) lent_locals: Cell<Option<NonNull<Place>>>,
    /// Memory for new tasks, by size.
    pub(crate) cells: [CellCache; SIZES],
    /// Identifiers taken from the shared counter and not handed out yet: the next one, and how many.
    ids: Cell<(u64, u64)>,
}

thread_local! {
    static CONTEXT: Context = const {
        Context {
            task: Cell::new(ptr::null()),
            worker: Cell::new(ptr::null()),
            serves: Cell::new(ptr::null()),
            late_parker: Cell::new(None),
            locals: Cell::new(None),
            lent_locals: Cell::new(None),
            cells: [const { CellCache::new() }; SIZES],
            ids: Cell::new((0, 0)),
        }
    };
}

/// This thread's context. Ask again after every park, never keep it across one.
///
/// The empty `asm!` is why: without it the compiler may see that the function reads no memory, and merge two calls
/// around a park into one. Today a started task stays on its thread and would get away with it; one that migrates
/// would then use the state of the thread it left.
#[inline(never)]
pub(crate) fn context() -> &'static Context {
    let mut context = CONTEXT.with(ptr::from_ref);
    // SAFETY: the assembly is empty; the operand only makes the address unknown to the optimiser.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) context, options(nostack, preserves_flags)) };
    // SAFETY: the thread's storage lives as long as the thread, and callers don't keep it (see above).
    unsafe { &*context }
}

/// The running task, if this is one.
#[inline]
pub(crate) fn task<'a>() -> Option<&'a Header> {
    // SAFETY: the worker sets the pointer around the task's run and holds a reference to the task for that long; the
    // caller runs inside the task.
    unsafe { context().task.get().as_ref() }
}

/// An identifier that no other task or thread of this process has or had.
pub(crate) fn next_id() -> NonZeroU64 {
    /// So many are taken from the shared counter at once, to keep the spawn path off a contended cache line.
    const BATCH: u64 = 1 << 12;
    static NEXT: AtomicU64 = AtomicU64::new(1);

    let ids = &context().ids;
    let (mut next, mut left) = ids.get();
    if left == 0 {
        // Relaxed: only the numbers have to differ.
        next = NEXT.fetch_add(BATCH, Ordering::Relaxed);
        left = BATCH;
    }
    ids.set((next + 1, left - 1));
    // 64 bits last for a hundred years of spawning four billion tasks a second.
    NonZeroU64::new(next).expect("the counter starts at 1 and does not wrap")
}
