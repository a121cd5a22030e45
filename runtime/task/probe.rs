//! Counts the parks of a task or thread, for tests that end each of them in turn. Only in the tests of this crate.
//!
//! ```text
//! park: ── About ── begin_wait ── switch ── commit ── Parked ── (the worker goes on)
//!          │                                          │
//!          the wait has not begun, and               it is published: who claims it ends it, though the
//!          ends before it does                       task has not been seen by anybody else yet
//! ```

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use super::core::ThreadCore;

/// Where in a park its watcher is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the wait begins. The caller of the park may hold a spin lock: don't touch what the task waits for.
    About,
    /// After it has been published. For a task, on the worker's stack: don't park.
    Parked,
}

type Watcher = Rc<dyn Fn(Moment)>;

thread_local! {
    /// Those watched on this thread. A started task stays on its own.
    static WATCHED: RefCell<Vec<(NonNull<ThreadCore>, Watcher)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f`, and calls `watcher` at each park of the running task or thread therein, whose core `core` is, also while it unwinds.
/// It must not panic.
pub(crate) fn watch<R>(
    core: NonNull<ThreadCore>,
    watcher: impl Fn(Moment) + 'static,
    f: impl FnOnce() -> R,
) -> R {
    struct Unwatch(NonNull<ThreadCore>);

    impl Drop for Unwatch {
        fn drop(&mut self) {
            let this = self.0;
            let ended = WATCHED.with_borrow_mut(|watched| {
                let place = watched.iter().rposition(|(core, _)| *core == this).expect("it was put there");
                watched.swap_remove(place)
            });
            drop(ended);
        }
    }

    WATCHED.with_borrow_mut(|watched| watched.push((core, Rc::new(watcher))));
    let _unwatch = Unwatch(core);
    f()
}

/// Tells who watches `core`, if anybody does.
pub(super) fn tell(core: &ThreadCore, moment: Moment) {
    // A thread-local's destructor may park when ours is gone.
    let watcher = WATCHED.try_with(|watched| {
        let watched = watched.borrow();
        let this = watched.iter().rev().find(|(watched, _)| *watched == NonNull::from(core));
        this.map(|(_, watcher)| watcher.clone())
    });
    if let Ok(Some(watcher)) = watcher {
        watcher(moment);
    }
}
