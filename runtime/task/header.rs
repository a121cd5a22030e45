//! The head of a task's allocation: all of a task but its closure and its result.
//!
//! ```text
//! | Header                                             | closure, later result |
//! | core: state, refs, id, name | links | fiber | wait |                       |
//! ```
//!
//! Life of a task, and who may touch the plain (`Cell`) fields when:
//!
//! | stage | meaning | owner of the fields |
//! | --- | --- | --- |
//! | unstarted | a closure in a deque, the injector or an inbox | whoever took it out of there |
//! | started | has a stack and a home | the home worker's thread, which is also the task's own |
//! | finished | the result lies there, the stack is given back | who takes the result, see [`JoinWord`] |
//!
//! The runtime holds one reference from the spawn until the stack has been given back; handles hold their own.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::core::ThreadCore;
use super::fiber::{Fiber, Suspension};
use super::flag::Flag;
use super::join_word::JoinWord;
use super::local_table::Place;
use super::reason::Reason;
use crate::stack::{Class, Stack};
use crate::util::atomic::AtomicPtr;

/// What differs between tasks with different closures and results.
pub(crate) struct TaskVTable {
    /// Runs the closure and stores its result. On the task's own stack.
    pub(crate) run: unsafe fn(NonNull<Header>),
    /// Drops the closure unrun and stores the given payload as the error in its result. On the task's own stack, since
    /// destructors may park; elsewhere only where there is no such stack.
    pub(crate) abandon: unsafe fn(NonNull<Header>, Box<dyn Any + Send>),
    /// Moves the result to the address given, whose type is the `thread::Result<T>` that the handle knows.
    pub(crate) take_result: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the result.
    pub(crate) drop_result: unsafe fn(NonNull<Header>),
}

/// Where in the runtime's hands the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Unstarted,
    Started,
}

/// Whether the running task may suspend where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parking {
    Allowed,
    /// It runs a call on its worker's own stack, which other tasks need.
    OnThreadStack,
    /// It runs a panic hook, under std's lock on the hook.
    InPanicHook,
}

/// What a task waits for, for dumps and reports.
#[derive(Clone, Copy)]
pub(crate) struct WaitInfo {
    pub(crate) reason: Reason,
    /// The address of what is waited for, or the number of the file descriptor.
    pub(crate) object: *const (),
}

impl fmt::Display for WaitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_about_a_descriptor() {
            return write!(f, "{} fd {}", self.reason, self.object.addr());
        }
        write!(f, "{} ({:p})", self.reason, self.object)
    }
}

/// See the head of this file.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) core: ThreadCore,

    // What every switch touches stands together.
    pub(crate) stage: Cell<Stage>,
    pub(crate) parking: Cell<Parking>,
    pub(crate) class: Class,
    /// The slot of the timer entry for the current wait's deadline, while there is one. The timer structure keeps it.
    pub(crate) timer: Cell<u32>,
    /// How the task gets off its stack; set once it runs.
    pub(crate) suspension: Cell<Option<Suspension>>,
    pub(crate) fiber: UnsafeCell<Option<Fiber>>,

    /// The scheduler's worker that the task belongs to, or is meant for before it starts; null until it is placed. This
    /// layer only keeps it.
    pub(crate) home: Cell<*const ()>,
    /// The task may start at its home alone: it was placed by hand, or is not `Send`.
    pub(crate) bound: Cell<bool>,
    /// When the current wait times out, if it does.
    pub(crate) deadline: Cell<Option<Instant>>,
    pub(crate) wait: Cell<WaitInfo>,
    /// The task-local values, once there are some.
    pub(crate) locals: Place,
    /// The actor that the task is, as the layer `actor` knows it; null if it is none. This layer only keeps it.
    pub(crate) actor: Cell<*const ()>,
    pub(crate) join: JoinWord,
    pub(crate) vtable: &'static TaskVTable,
    /// Where the home worker is asked to take its turn back; set when the task starts.
    pub(crate) preempt: Cell<Option<NonNull<Flag>>>,
    /// Neighbours in the home worker's list of started tasks.
    pub(crate) started: Links,
    /// The next task in an inbox; meaningful only while the task is in one.
    pub(crate) inbox_link: AtomicPtr<Header>,
    /// A stack that was reserved at the spawn: tasks of an unusual size learn there whether it can be had.
    pub(crate) reserved: Cell<Option<Stack>>,
}

/// `Header::timer` of a task without a timer entry.
pub(crate) const NO_TIMER: u32 = u32::MAX;

/// The links of a doubly linked list.
pub(crate) struct Links {
    pub(crate) prev: Cell<*const Header>,
    pub(crate) next: Cell<*const Header>,
}

impl Header {
    #[inline(always)]
    pub(crate) fn new(core: ThreadCore, vtable: &'static TaskVTable, class: Class, detached: bool) -> Self {
        Self {
            core,
            inbox_link: AtomicPtr::new(ptr::null_mut()),
            home: Cell::new(ptr::null()),
            bound: Cell::new(false),
            vtable,
            stage: Cell::new(Stage::Unstarted),
            parking: Cell::new(Parking::Allowed),
            class,
            preempt: Cell::new(None),
            suspension: Cell::new(None),
            fiber: UnsafeCell::new(None),
            deadline: Cell::new(None),
            timer: Cell::new(NO_TIMER),
            wait: Cell::new(WaitInfo { reason: Reason::None, object: ptr::null() }),
            started: Links { prev: Cell::new(ptr::null()), next: Cell::new(ptr::null()) },
            locals: Cell::new(None),
            actor: Cell::new(ptr::null()),
            join: JoinWord::new(detached),
            reserved: Cell::new(None),
        }
    }
}

/// A task in the runtime's hands: queues, lists and timers hold these. Whoever holds one has, by the rules of the
/// queue it came from, the reference that the runtime keeps until the task is finished.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskPtr(NonNull<Header>);

// SAFETY: a `TaskPtr` changes threads only through the queues, each of which hands it to one owner; the plain fields
// follow the table at the head of this file.
unsafe impl Send for TaskPtr {}

impl TaskPtr {
    /// # Safety
    ///
    /// `header` points to a task that is alive for as long as this value is used.
    pub(crate) unsafe fn new(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// # Safety
    ///
    /// `core` is the core of a task, not of an OS thread.
    pub(crate) unsafe fn from_core(core: NonNull<ThreadCore>) -> Self {
        // The core is the first field of a `repr(C)` struct.
        Self(core.cast())
    }

    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    pub(crate) fn as_non_null(self) -> NonNull<Header> {
        self.0
    }
}

impl std::ops::Deref for TaskPtr {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: the contract of `new`.
        unsafe { self.0.as_ref() }
    }
}
