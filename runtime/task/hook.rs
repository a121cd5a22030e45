//! Panic reports that say which task it was.
//!
//! A hook is chained in front of the one that was there when the first runtime started: it prints one line with the
//! task's id and name, and then std's own message follows. It also marks the task, so that a hook that would park
//! its task is told so: std runs hooks under a lock, and every other panic of the process would wait for it.

use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::current;
use super::header::Parking;
use crate::util::report;

/// Chains the hook, once per process. A thread that unwinds can't change hooks, and leaves it to the next runtime.
pub(crate) fn install() {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed && !thread::panicking() {
        *installed = true;
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let Some(task) = current::task() else { return previous(info) };
            let parking = task.parking.replace(Parking::InPanicHook);
            let name = task.core.name.as_deref().unwrap_or("<unnamed>");
            report!("\nfibra: task {} '{name}' panicked:", task.core.id);
            previous(info);
            task.parking.set(parking);
        }));
    }
}
