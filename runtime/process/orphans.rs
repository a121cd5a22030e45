//! Children for whom nobody is left to wait: their wait was cut short, and the caller never had them in hand.
//!
//! Each stays in the system's table after its end until we have asked for its status. So we ask for that of
//! all of them whenever a process is started: there are then never more of the dead than there were orphans
//! at the last start.
//!
//! Rejected: killing them, since an `output` that is cancelled should no more undo what was begun than one
//! that is not; and a thread or a handler of `SIGCHLD` that waits for them, which is a lot for so rare a
//! thing.

use std::process::Child;
use std::sync::{Mutex, PoisonError};

static ORPHANS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Takes a child over, unless it has been waited for.
pub(super) fn adopt(child: Child) {
    if let Some(child) = still_running(child) {
        ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    }
}

/// Takes those out of the system's table who have ended. Waits for none.
pub(super) fn bury() {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    *orphans = orphans.drain(..).filter_map(still_running).collect();
}

fn still_running(mut child: Child) -> Option<Child> {
    // An error says that somebody else has waited for it.
    matches!(child.try_wait(), Ok(None)).then_some(child)
}
