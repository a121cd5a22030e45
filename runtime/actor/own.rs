//! What the running actor knows of itself.
//!
//! It lies in the frame of the actor's root, and the task's header points to it while the actor's own code runs:
//!
//! ```text
//! Header.actor ──▶ Own (in the root's frame): pid, whom it adopts, answers that it has abandoned
//! ```

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ptr;

use super::control::Control;
use super::pid::Pid;
use crate::task::current;

/// See the head of this file.
pub(super) struct Own {
    pub(super) pid: Pid,
    /// Actors that are spawned now are linked to this one, and noted in `adopted`.
    pub(super) adopts: Cell<bool>,
    adopted: RefCell<Vec<Pid>>,
    /// The actor is about to end: a reply that it drops now is one that it takes to its end.
    pub(super) ends: Cell<bool>,
    /// Replies that the actor owes, dropped while it unwound or ended. Whoever waits for them is told when the reason is
    /// known.
    abandoned: RefCell<Vec<Box<dyn Any>>>,
}

impl Own {
    pub(super) fn new(pid: Pid) -> Self {
        Self {
            pid,
            adopts: Cell::new(false),
            adopted: RefCell::new(Vec::new()),
            ends: Cell::new(false),
            abandoned: RefCell::new(Vec::new()),
        }
    }

    /// Runs `f` as this actor's code.
    pub(super) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave;

        impl Drop for Leave {
            fn drop(&mut self) {
                if let Some(task) = current::task() {
                    task.actor.set(ptr::null());
                }
            }
        }

        if let Some(task) = current::task() {
            task.actor.set(ptr::from_ref(self).cast());
        }
        let _leave = Leave;
        f()
    }

    /// Runs `f`; all actors that it spawns itself are linked to this one before anything else can happen, and
    /// [noted](Self::take_adopted).
    pub(super) fn adopt<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Cell<bool>);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }

        self.adopts.set(true);
        let _restore = Restore(&self.adopts);
        f()
    }

    /// An actor has been spawned here, and linked.
    pub(super) fn note_adopted(&self, pid: &Pid) {
        if self.adopts.get() {
            self.adopted.borrow_mut().push(pid.clone());
        }
    }

    /// Those that have been spawned in [`adopt`](Self::adopt), in their order.
    pub(super) fn take_adopted(&self) -> Vec<Pid> {
        self.adopted.take()
    }

    /// Drops the abandoned replies.
    #[inline]
    pub(super) fn give_up_abandoned(&self) {
        if !self.abandoned.borrow().is_empty() {
            self.give_up_abandoned_slow();
        }
    }

    #[cold]
    fn give_up_abandoned_slow(&self) {
        // A loop, since a destructor may abandon more.
        while !self.abandoned.borrow().is_empty() {
            drop(self.abandoned.take());
        }
    }
}

/// Calls `f` with the running actor, if this is one.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&Own) -> R) -> Option<R> {
    let own: *const Own = current::task()?.actor.get().cast();
    // SAFETY: `Own::run` has set the pointer, in a frame below this one, and resets it before that is left.
    unsafe { own.as_ref() }.map(f)
}

/// Whether the actor of this number runs.
#[inline]
pub(super) fn is(id: u64) -> bool {
    with(|own| own.pid.id() == id) == Some(true)
}

/// Runs `f`, in which the running actor waits for the answer of another one: for the reports of others.
#[inline]
pub(super) fn asking<R>(other: &Control<Pid>, f: impl FnOnce() -> R) -> R {
    let mut f = Some(f);
    let mut run = || f.take().map(|f| f());
    let result = with(|own| {
        let _asking = own.pid.control().asks(other);
        run()
    });
    result.unwrap_or_else(run).expect("it has not been run before")
}

/// Keeps a reply of the running actor, which unwinds or ends, until it is known why; or hands it back, where that is not
/// so.
#[cold]
pub(super) fn abandon<T: 'static>(reply: T) -> Option<T> {
    let mut reply = Some(reply);
    with(|own| {
        if (own.ends.get() || std::thread::panicking())
            && let Some(reply) = reply.take()
        {
            own.abandoned.borrow_mut().push(Box::new(reply));
        }
    });
    reply
}
