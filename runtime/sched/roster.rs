//! The join handles of the blocking pool's threads.
//!
//! A thread that ends by itself leaves its handle to the next that does, which joins it; the last one's is left to the
//! end of the runtime. So none is ever detached, and ended threads don't pile up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{io, mem};

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Roster(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// By the thread's number.
    serving: Vec<Option<JoinHandle<()>>>,
    ended: Option<JoinHandle<()>>,
}

impl Roster {
    /// Enters the thread that `start` starts, under the least number that is free.
    pub(crate) fn enter(&self, start: impl FnOnce(usize) -> io::Result<JoinHandle<()>>) -> io::Result<()> {
        // Held while the thread starts: it may want to leave before it stands here.
        let mut entries = self.lock();
        let vacant = entries.serving.iter().position(Option::is_none);
        let number = vacant.unwrap_or(entries.serving.len());
        let thread = start(number)?;
        match entries.serving.get_mut(number) {
            Some(place) => *place = Some(thread),
            None => entries.serving.push(Some(thread)),
        }
        Ok(())
    }

    /// The last act of the thread with this number.
    pub(crate) fn leave(&self, number: usize) {
        let mut entries = self.lock();
        // None: the end of the runtime has taken it, to join it.
        let Some(this) = entries.serving.get_mut(number).and_then(Option::take) else { return };
        let before = entries.ended.replace(this);
        drop(entries);
        join(before);
    }

    /// Joins all. To be called when they have been told to end, and nobody enters any more.
    pub(crate) fn join(&self) {
        let Entries { serving, ended } = mem::take(&mut *self.lock());
        serving.into_iter().chain([ended]).for_each(join);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // The entries are valid after every step, so a panic of another holder did no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    // A thread of the pool that panics outside of a call aborts the process, so there is no panic to pass on.
    let _ = thread.map(JoinHandle::join);
}
