//! The root of an actor: it runs the actor's code, and whatever becomes of that, tells everybody.
//!
//! ```text
//! start ─▶ the code ─▶ returned, panicked, exited, cancelled by an exit signal, or never begun
//!             │
//!             ▼  shielded from cancellation, in this order:
//!          the reason is final ─▶ names are free ─▶ mailbox closed, its messages dropped ─▶ monitors ─▶ links
//! ```
//!
//! The actor's state has been dropped before, by its own code. The reason comes first, so that whoever finds the mailbox
//! closed finds the reason too. Names are free before anybody is told of the end, so that who is told can start another
//! one by that name. Answers that the actor owed are given up behind the reason: with the messages, or from
//! [`Own`](super::own::Own) if the actor dropped them while it unwound.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use super::control::Relations;
use super::exit;
use super::inner::Inner;
use super::mailbox::Mailbox;
use super::pid::{Pid, Process};
use super::quiet::{forget_panic, quietly};
use super::reason::ExitReason;
use super::registry;
use crate::cancel;
use crate::task::core::CoreRef;
use crate::task::park::current_core;

/// What an actor's task runs. Dropped unrun, it ends the actor too.
pub(super) struct Root<M: Send + 'static, F> {
    // First, so that it is dropped before the end is told.
    body: F,
    end: End<M>,
}

impl<M: Send + 'static, F: FnOnce(&Mailbox<M>) -> ExitReason> Root<M, F> {
    pub(super) fn new(inner: Arc<Inner<M>>, body: F) -> Self {
        Self { body, end: End { inner } }
    }

    /// In the actor's task, once.
    pub(super) fn run(self) {
        let Self { body, end } = self;
        let mailbox = Mailbox::new(end.inner.clone());
        // SAFETY: the running task is alive.
        let core = unsafe { CoreRef::from_borrowed(current_core()) };
        if !end.inner.control().start(core) {
            return cancel::shield(|| drop(body));
        }
        let outcome = mailbox.own().run(|| catch_unwind(AssertUnwindSafe(|| body(&mailbox))));
        let reason = match outcome {
            Ok(reason) => Some(reason),
            Err(payload) => {
                let reason = exit::reason_of(&*payload);
                forget_panic(payload);
                reason
            }
        };
        let end = ManuallyDrop::new(end);
        // SAFETY: moved out once, since nobody drops it.
        let inner = unsafe { ptr::read(&raw const end.inner) };
        tell(&inner, reason, || mailbox.own().give_up_abandoned());
    }
}

/// Ends an actor that never began, when dropped.
struct End<M: Send + 'static> {
    inner: Arc<Inner<M>>,
}

impl<M: Send + 'static> Drop for End<M> {
    fn drop(&mut self) {
        tell(&self.inner, None, || ());
    }
}

/// The end: see the head of this file. `reason` is the actor's own, if it was not ended by others.
fn tell<M: Send + 'static>(
    inner: &Arc<Inner<M>>,
    reason: Option<ExitReason>,
    give_up_answers: impl FnOnce(),
) {
    cancel::shield(|| {
        let control = inner.control();
        let (reason, names) = control.end(reason);
        let pid = Pid::new(inner.clone());
        if !names.is_empty() {
            registry::forget(&names, &pid);
            control.show_reason();
        }
        inner.channel.close(|message| quietly(|| drop(message)));
        quietly(give_up_answers);
        let Some(relations) = control.finish() else { return };
        let Relations { links, watchers, monitors, .. } = *relations;
        watchers.into_iter().for_each(|(_, watcher)| watcher(&reason));
        links.into_iter().for_each(|(_, linked)| quietly(|| pid.break_link(&linked, reason.clone())));
        // Else an actor that lives long would keep what many short-lived ones have put on it.
        monitors.into_iter().for_each(|(number, target)| quietly(|| _ = target.unwatch(number)));
    });
}
