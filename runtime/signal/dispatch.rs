//! Who listens for which signals, and the thread that hands them out.
//!
//! The thread, one for the process, is started with the first listener and never ends. It depends on no runtime, so it
//! serves all of them and plain threads as well, and a runtime whose workers are all busy does not hold it up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::handler;
use super::kind::Signal;
use crate::os;

/// What a listener does with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It leaves it to the others. If all do, the process does what it does by default.
    Declined,
}

/// Somebody who listens for signals. Called under the lock of the registry, so it must neither wait nor come back here.
pub(super) trait Listener: Send {
    /// A signal has come.
    fn deliver(&mut self, signal: Signal) -> Answer;

    /// Whether nobody is interested any more.
    fn is_gone(&self) -> bool;
}

struct Registry {
    entries: Vec<Entry>,
    /// All signals that our handler was ever installed for.
    handled: u64,
    dispatcher_runs: bool,
}

struct Entry {
    /// The signals it wants, by their bits.
    wanted: u64,
    listener: Box<dyn Listener>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { entries: Vec::new(), handled: 0, dispatcher_runs: false });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `listener` called at each of these signals, until it [is gone](Listener::is_gone).
///
/// # Errors
///
/// `InvalidInput` if no program can listen for one of them; and what the system says if it refuses the dispatcher's
/// thread.
pub(super) fn listen(signals: &[Signal], listener: Box<dyn Listener>) -> io::Result<()> {
    let wanted =
        signals.iter().try_fold(0, |set, signal| Ok::<_, io::Error>(set | signal.listening_bit()?))?;
    let mut registry = registry();
    if !registry.dispatcher_runs {
        thread::Builder::new().name("fibra-signal".into()).spawn(dispatch).map_err(|error| {
            io::Error::new(error.kind(), format!("can't start the thread that hands out signals: {error}"))
        })?;
        registry.dispatcher_runs = true;
    }
    for signal in Signal::in_set(wanted & !registry.handled) {
        handler::install(signal).map_err(|error| {
            io::Error::new(error.kind(), format!("can't install a handler for {signal}: {error}"))
        })?;
        registry.handled |= signal.bit();
    }
    // Before the list grows: else those who listen for a moment, again and again, would fill it.
    registry.entries.retain(|entry| !entry.listener.is_gone());
    registry.entries.push(Entry { wanted, listener });
    drop(registry);
    // It may have to let a new signal through.
    handler::wake();
    Ok(())
}

/// The dispatcher.
fn dispatch() {
    let mut let_through = 0;
    loop {
        // First of all: whatever comes after this ends the sleep below.
        let events = handler::events();
        let handled = registry().handled;
        if handled != let_through {
            // A program that was started with a signal held back, or holds it back in all of its threads, gets it
            // nevertheless, through this thread.
            os::signal::let_through(Signal::in_set(handled).map(Signal::as_raw));
            let_through = handled;
        }
        hand_out(handler::take());
        handler::sleep(events);
    }
}

/// Hands the signals out. One that nobody takes does what it did before us.
fn hand_out(pending: u64) {
    let mut registry = registry();
    for signal in Signal::in_set(pending) {
        let mut taken = false;
        for entry in registry.entries.iter_mut().filter(|entry| entry.wanted & signal.bit() != 0) {
            taken |= entry.listener.deliver(signal) == Answer::Taken;
        }
        if !taken {
            // Under the lock: who begins to listen meanwhile returns when our handler is in its place again. If this
            // stops the process, everybody who could want the lock is stopped too.
            handler::give_way(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Receiver;
    use crate::signal::signal;

    #[test]
    fn those_who_are_gone_do_not_stay_on_the_list() {
        let kind = Signal::real_time(20).unwrap();
        let kept: Receiver<Signal> = signal(kind).unwrap();
        for _ in 0..1000 {
            drop(signal(kind).unwrap());
        }
        let wanting = registry().entries.iter().filter(|entry| entry.wanted == kind.bit()).count();
        assert!(wanting <= 2, "{wanting}");
        kind.raise().unwrap();
        assert_eq!(kept.recv(), Ok(kind));
    }
}
