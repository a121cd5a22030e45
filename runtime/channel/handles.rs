//! How many handles one side of a channel has.
//!
//! The last one to be dropped closes the channel, under its lock. A side can come back from none: the receiver of a
//! mailbox makes senders out of nothing. So there are two steps to the end, and a way back:
//!
//! | senders | `senders_gone` | by | under the lock |
//! | --- | --- | --- | --- |
//! | n → n + 1, from 1 on | false | [`add`](Handles::add), [`try_add`](Handles::try_add) | no |
//! | n → n - 1, down to 1 | false | [`drop_one`](Handles::drop_one) | no |
//! | 1 → 0 | false | `drop_one`, whose caller now goes for the lock | no |
//! | 0 | false → true | that caller, if it finds [none](Handles::are_gone) still | yes |
//! | n → n + 1, from 0 on | → false | [`reopen`](super::core::Channel::reopen) | yes |
//!
//! Why it is right: the number leaves 0 by `reopen` alone, under the lock, which takes back what was concluded from the
//! 0. So whoever holds the lock and reads 0 may rely on it until the lock is free, and `senders_gone` implies that there
//! are none. And whenever the number has come to 0, somebody is under way who will look under the lock: that one or, if
//! the channel has been reopened and left again meanwhile, several, of whom the first to find 0 closes and the others
//! find nothing left to do. A weak handle never becomes one of none, so it can't reach a channel that is being closed.
//!
//! Rejected: to count under the lock. Handles are cloned and dropped from everywhere while messages pass.

use crate::util::atomic::{AtomicUsize, Ordering};

#[cfg(all(test, fibra_loom))]
mod model;

/// See the head of this file.
pub(crate) struct Handles(AtomicUsize);

impl Handles {
    pub(crate) fn one() -> Self {
        Self(AtomicUsize::new(1))
    }

    /// From a handle that exists; or, under the lock, from none.
    pub(crate) fn add(&self) {
        // Relaxed: nothing is read by it. Every handle also holds a reference of the `Arc` around the channel, whose own
        // check aborts before this counter can overflow.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// If there are any.
    pub(crate) fn try_add(&self) -> bool {
        // Relaxed: as in `add`.
        let add = |handles| if handles == 0 { None } else { Some(handles + 1) };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Whether it was the last.
    pub(crate) fn drop_one(&self) -> bool {
        // Release and Acquire: pair with each other. What the others did by their handles is done before the last one
        // closes; that they did it under the lock would do as well.
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether there are none: for sure under the lock, else a hint.
    pub(crate) fn are_gone(&self) -> bool {
        // Relaxed: under the lock we see at least the last `reopen`, by the lock; and a hint carries no data.
        self.0.load(Ordering::Relaxed) == 0
    }
}
