//! A started task's stack and the switch to and from it. The only file that names `corosensei`.
//!
//! ```text
//! worker's stack                         task's stack
//! Fiber::resume ───────────────────────▶ entry: run the closure
//!      ◀───── Some(commit) ───────────── Suspension::suspend (park)
//!      ◀───── None ───────────────────── Suspension::suspend (yield)
//!      ◀───── finished ───────────────── entry returns
//! ```

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::Stack;

/// What a resumed task is told to do.
#[derive(Clone, Copy)]
pub(crate) enum Command {
    /// Go on where you suspended.
    Run,
}

/// What a suspending task leaves for its worker to do: commit the park that it has prepared. `None` is a yield.
type Handover = Option<NonNull<Commit>>;

/// The part of a park that runs on the worker's stack, after the switch; see `park.rs`.
pub(crate) struct Commit {
    /// Returns whether the task stays parked. Called once, with the address of the `Commit` itself.
    pub(crate) call: unsafe fn(NonNull<Commit>) -> bool,
}

/// Why [`Fiber::resume`] came back.
pub(crate) enum Step {
    Yielded,
    Parked(NonNull<Commit>),
    Finished,
}

/// A stack with a task's frames on it.
pub(crate) struct Fiber(Coroutine<Command, Handover, (), TaskStack>);

impl Fiber {
    /// Prepares `entry` to run on `stack` at the first [`resume`](Self::resume). It must not unwind.
    ///
    /// `entry` is copied to the new stack, so it should be a pointer or two: a closure of a megabyte would not fit.
    pub(crate) fn new(stack: Stack, entry: impl FnOnce(Suspension) + 'static) -> Self {
        Self(Coroutine::with_stack(TaskStack(stack), move |yielder, command: Command| {
            let Command::Run = command;
            entry(Suspension(NonNull::from(yielder)));
        }))
    }

    /// Runs the task until it suspends or ends.
    #[inline]
    pub(crate) fn resume(&mut self, command: Command) -> Step {
        match self.0.resume(command) {
            CoroutineResult::Yield(None) => Step::Yielded,
            CoroutineResult::Yield(Some(commit)) => Step::Parked(commit),
            CoroutineResult::Return(()) => Step::Finished,
        }
    }

    /// The stack of a task that has ended.
    pub(crate) fn into_stack(self) -> Stack {
        self.0.into_stack().0
    }
}

/// A running task's way off its stack.
#[derive(Clone, Copy)]
pub(crate) struct Suspension(NonNull<Yielder<Command, Handover>>);

impl Suspension {
    /// Switches to the worker, and returns when it resumes the task.
    ///
    /// # Safety
    ///
    /// Called on the stack of the task that this belongs to. A `Commit` stays valid until it has been called.
    #[inline]
    pub(crate) unsafe fn suspend(self, handover: Handover) {
        // SAFETY: the yielder lives at the root of the stack that we run on.
        let Command::Run = unsafe { self.0.as_ref() }.suspend(handover);
    }

    /// Runs `f` on the stack of the worker that runs this task.
    ///
    /// # Safety
    ///
    /// Called on the stack of the task that this belongs to; `f` must not suspend it.
    pub(crate) unsafe fn on_thread_stack<F: FnOnce() -> R + Send, R>(self, f: F) -> R {
        // A panic can't pass the assembly between two stacks: it is carried over by hand.
        // SAFETY: as in `suspend`.
        let result = unsafe { self.0.as_ref() }.on_parent_stack(|| catch_unwind(AssertUnwindSafe(f)));
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// A computation with a stack of its own that belongs to no task and may be resumed on any thread: the tool of
/// [`panic_count`](super::panic_count).
pub(crate) struct Aside(Coroutine<(), (), (), TaskStack>);

// SAFETY: `Aside::new` demands that what lies on the stack may change threads.
unsafe impl Send for Aside {}

impl Aside {
    /// Prepares `f`, which gets a function that suspends it.
    ///
    /// # Safety
    ///
    /// All that `f` keeps on its stack across a suspension may go to another thread. `f` must not panic.
    pub(crate) unsafe fn new(stack: Stack, f: fn(&dyn Fn())) -> Self {
        Self(Coroutine::with_stack(TaskStack(stack), move |yielder, ()| f(&|| yielder.suspend(()))))
    }

    /// Runs it to its next suspension (true) or its end (false).
    pub(crate) fn resume(&mut self) -> bool {
        matches!(self.0.resume(()), CoroutineResult::Yield(()))
    }

    /// The stack of one that has ended.
    pub(crate) fn into_stack(self) -> Stack {
        self.0.into_stack().0
    }
}

/// Our [`Stack`] as corosensei wants to see it.
struct TaskStack(Stack);

// SAFETY: a `Stack` owns its slot, has a guard at its lower end, and at least `MIN_STACK_SIZE` usable bytes.
unsafe impl corosensei::stack::Stack for TaskStack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.0.base()
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.0.limit()
    }
}
