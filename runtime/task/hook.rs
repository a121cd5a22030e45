//! Panic reports that say which task it was.
//!
//! A hook is chained in front of the one that was there when the first runtime started: it prints one line with the
//! task's id and name, and then std's own message follows. It also marks the task, so that a hook that would park
//! its task is told so: std runs hooks under a lock, and every other panic of the process would wait for it.

use std::io::Write;
use std::panic;
use std::sync::Once;

use super::current;
use super::header::Parking;

/// Chains the hook, once per process.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let Some(task) = current::task() else { return previous(info) };
            let parking = task.parking.replace(Parking::InPanicHook);
            let name = task.core.name.as_deref().unwrap_or("<unnamed>");
            // Nobody is left to hand an error of stderr to.
            let _ = writeln!(std::io::stderr(), "\nfibra: task {} '{name}' panicked:", task.core.id);
            previous(info);
            task.parking.set(parking);
        }));
    });
}
