//! Who a task or thread is.

use std::fmt;
use std::num::NonZeroU64;

use crate::task::core::CoreRef;
use crate::task::park::current_core;

/// A handle to a task or an OS thread: its identity, and the means to unpark it.
///
/// Cheap to clone. It may outlive what it stands for; [`unpark`](Self::unpark) does nothing then.
#[derive(Clone)]
#[repr(transparent)]
pub struct Thread(CoreRef);

impl Thread {
    pub(super) fn from_ref(core: &CoreRef) -> &Self {
        // SAFETY: `Thread` is a transparent wrapper of `CoreRef`.
        unsafe { &*std::ptr::from_ref(core).cast() }
    }

    /// The identifier, unique among all tasks and threads of the process, ended ones included.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id)
    }

    /// The name given by [`Builder::name`](super::Builder::name), or the OS thread's.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Ends the current or next [`park`](super::park) of the task or thread. Calls before one park add up to one.
    ///
    /// What the caller wrote before is visible to the parked one afterwards. Never parks.
    pub fn unpark(&self) {
        self.0.unpark();
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The identifier of a task or an OS thread; see [`Thread::id`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(NonZeroU64);

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.0)
    }
}

/// The running task, or the current OS thread.
///
/// # Examples
///
/// ```
/// fibra::run(|| assert_eq!(fibra::thread::current().name(), Some("main")));
/// ```
pub fn current() -> Thread {
    // SAFETY: who runs is alive.
    Thread(unsafe { CoreRef::from_borrowed(current_core()) })
}
