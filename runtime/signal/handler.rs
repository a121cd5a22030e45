//! The signal handler, and what it shares with the dispatcher.
//!
//! ```text
//! handler, on any thread at any time             dispatcher, a thread of its own
//! PENDING gets the signal's bit                  EVENTS is read
//! EVENTS grows; wake                             PENDING is taken and handed out
//! the handler that was there before ours runs    sleep, if EVENTS still is what was read
//! ```
//!
//! The handler takes no lock and allocates nothing. It runs on the thread's alternate signal stack where there is one,
//! so that a task's small stack need not have room for it.
//!
//! The wake goes through a futex: it needs no descriptor, which a program that closes all of its descriptors would close,
//! and which a forked child would share with its parent.
//!
//! Rejected: the crate `signal-hook-registry`. Its handler runs on the stack of whatever was interrupted, here that of a
//! task, where the registers alone that the kernel saves can take 11 KiB; and it can't give the default action back.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::kind::Signal;
use crate::os::futex;
use crate::os::signal::{Action, Handler, keep_errno};

/// The signals that have come and wait for the dispatcher, by their bits.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// How often the dispatcher was to be woken; it sleeps on this word. Wraps.
static EVENTS: AtomicU32 = AtomicU32::new(0);

/// What the process did at each signal before us; set before our handler is installed.
static BEFORE: [OnceLock<Action>; 64] = [const { OnceLock::new() }; 64];

/// Has our handler called at `signal`, which must have a [bit](Signal::bit), unless it is already. One caller at a time.
pub(super) fn install(signal: Signal) -> io::Result<()> {
    let current = Action::current(signal.as_raw())?;
    if current.calls(on_signal as Handler) {
        return Ok(());
    }
    // One that is there already comes from an attempt that failed.
    let action = before(signal).get_or_init(|| current);
    let ours = if action.handler().is_some() {
        action.replaced_by(on_signal)
    } else {
        // Nobody here knows of interrupted calls, as nobody did before.
        action.replaced_by(on_signal).restarting()
    };
    // SAFETY: see `on_signal`.
    unsafe { ours.install(signal.as_raw()) }
}

/// The signal handler.
unsafe extern "C" fn on_signal(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let signal = Signal::from_raw(number);
    keep_errno(|| {
        // Relaxed: the Release in `wake` publishes it.
        PENDING.fetch_or(signal.bit(), Ordering::Relaxed);
        wake();
    });
    if let Some(handler) = before(signal).get().and_then(Action::handler) {
        // SAFETY: it was the process's handler for this signal, and these are the arguments that it would have got.
        unsafe { handler.call(number, info, context) };
    }
}

fn before(signal: Signal) -> &'static OnceLock<Action> {
    &BEFORE[signal.as_raw() as usize - 1]
}

/// Has the dispatcher look at everything again. Async-signal-safe.
pub(super) fn wake() {
    // Release: pairs with the Acquire in `events`.
    EVENTS.fetch_add(1, Ordering::Release);
    futex::wake_one(&EVENTS);
}

/// How often the dispatcher was to be woken. What was done before those calls is visible to who asks.
pub(super) fn events() -> u32 {
    // Acquire: pairs with the Release in `wake`.
    EVENTS.load(Ordering::Acquire)
}

/// Sleeps until the dispatcher is to be woken, if it was so no more often than `seen`. May return early.
pub(super) fn sleep(seen: u32) {
    futex::wait(&EVENTS, seen, None);
}

/// Takes the signals that have come, by their bits.
pub(super) fn take() -> u64 {
    // Relaxed: what else has to be seen was seen with `events`.
    PENDING.swap(0, Ordering::Relaxed)
}

/// Does at `signal`, which our handler has taken, what the process would have done without us: most signals end it. Called
/// on a thread that does not hold the signal back.
pub(super) fn give_way(signal: Signal) {
    let number = signal.as_raw();
    let Some(action) = before(signal).get() else { return };
    // A handler has been called already. And one installed over ours is listening, though it calls ours as well.
    let Ok(ours) = Action::current(number) else { return };
    if !action.is_default() || !ours.calls(on_signal as Handler) {
        return;
    }
    // SAFETY: the default action has no handler; `ours` was in force until now.
    unsafe {
        if action.install(number).is_ok() {
            // Ends the process, or stops it until it is told to go on, or does nothing, by the signal's default.
            let _ = signal.raise();
            let _ = ours.install(number);
        }
    }
}
