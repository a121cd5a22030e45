//! A server's life, on its own stack.
//!
//! ```text
//! init ─▶ Err, or unwinds ─▶ (the root tells why)
//!   │
//!   ▼ Ok, and the starter is told
//! serve: one message, one handler ─▶ returns a reason, or unwinds: caught once, around the loop
//!   │
//!   ▼ shielded from cancellation
//! terminate, then the state's destructor ─▶ the reason, for the root to tell
//! ```
//!
//! The state lies outside of what is caught, so that it is there for `terminate` however the loop was left. Both last acts
//! run in [`Control::last_act`](crate::actor::control::Control::last_act): a kill ends them where they park. What one of
//! them throws is the new reason.
//!
//! Replies that are dropped from then on, with the state above all, are kept by [`Own`] until the reason is final: their
//! callers are told that the server has ended, and not that it did not answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Context, GenServer, Info, Letter};
use crate::actor::exit;
use crate::actor::mailbox::Mailbox;
use crate::actor::own::Own;
use crate::actor::pid::Pid;
use crate::actor::quiet::forget_panic;
use crate::actor::reason::ExitReason;
use crate::cancel;
use crate::channel::{RecvTimeoutError, oneshot};

/// The body of the actor. `parent` is the actor whose exit signals end this one even if it traps them.
pub(super) fn run<S: GenServer>(
    mailbox: &Mailbox<Letter<S>>,
    init: S::Init,
    begun: oneshot::Sender<()>,
    parent: Option<Pid>,
) -> ExitReason {
    let mut context = Context::new(mailbox);
    let mut state = match S::init(init, &mut context) {
        Ok(state) => state,
        Err(reason) => return reason,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // The starter may have gone. Then it has killed us.
        let _ = begun.send(());
        serve(&mut state, &mut context, parent.as_ref())
    }));
    let own = mailbox.own();
    own.ends.set(true);
    cancel::shield(|| {
        let reason = outcome.unwrap_or_else(|payload| reason_of(own, payload));
        let reason = last_act(own, reason, |reason| state.terminate(reason, &mut context));
        last_act(own, reason, move |_| drop(state))
    })
}

/// Handles messages until there is a reason to end.
fn serve<S: GenServer>(state: &mut S, context: &mut Context<'_, S>, parent: Option<&Pid>) -> ExitReason {
    loop {
        if let Some(reason) = context.stop.take() {
            return reason;
        }
        let letter = match context.patience {
            None => context.mailbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => context.mailbox.recv_timeout(patience),
        };
        match letter {
            Ok(Letter::Call(call)) => state.handle_call(call, context),
            Ok(Letter::Cast(cast)) => state.handle_cast(cast, context),
            Ok(Letter::Info(info)) => match *info {
                Info::Exit(exit) if parent.is_some() && exit.from.as_ref() == parent => return exit.reason,
                info => state.handle_info(info, context),
            },
            Ok(Letter::Stop) | Err(RecvTimeoutError::Disconnected) => return ExitReason::Normal,
            Err(RecvTimeoutError::Timeout) => state.handle_info(Info::Timeout, context),
        }
    }
}

/// Runs one of the two last acts, in which the actor is shielded, and returns the reason to end after it. An actor that
/// has been killed does not begin another one: what it would have done it with is dropped.
fn last_act(own: &Own, reason: ExitReason, act: impl FnOnce(&ExitReason)) -> ExitReason {
    let control = own.pid.control();
    match catch_unwind(AssertUnwindSafe(|| control.last_act(|| act(&reason)))) {
        Ok(Some(())) => reason,
        Ok(None) => ExitReason::Killed,
        Err(payload) => reason_of(own, payload),
    }
}

/// Why the actor ends that has unwound with this payload.
fn reason_of(own: &Own, payload: Box<dyn Any + Send>) -> ExitReason {
    let reason = exit::reason_of(&*payload);
    forget_panic(payload);
    reason.unwrap_or_else(|| own.pid.control().signalled())
}
