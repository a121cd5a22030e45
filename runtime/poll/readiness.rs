//! What is known of one direction of a descriptor, in one word.
//!
//! An edge-triggered epoll reports a change once. So a call is tried first, and only when it has found nothing is the
//! direction *drained*: from then on it takes an event to try again. An event may come in between, and must not be
//! covered by what was true before it; therefore the word counts the events.
//!
//! | bits | set | cleared | by whom |
//! | --- | --- | --- | --- |
//! | `DRAINED` | `drain`, if no event came since the call was begun | `note_event` | callers set, the driver clears |
//! | `HUNG_UP` | `note_event` with a hang-up: what is left can be read without a further event | never | the driver |
//! | `CLOSED` | `close` | never | anybody |
//! | the rest | `note_event`, `note_change` add one [`EVENT`] | never | the driver; who changes a limit |
//!
//! `reset` begins anew, for the next descriptor in the same slot.
//!
//! ```text
//! caller                                      driver
//! look: the word ("seen")                     the kernel has data, and an event for it
//! the system call says EAGAIN                 note_event: clears DRAINED, counts
//! drain(seen): only if the word is "seen"     (under the lock) claim who waits
//! (under the lock) still DRAINED? wait
//! ```
//!
//! If the data came after the system call, so does the event. It either precedes the `drain`, which then finds another word,
//! or it follows; then it precedes the look under the lock, which finds the bit cleared, or it finds the waiter.
//!
//! A limit that changes is counted as well, but leaves `DRAINED` alone: a program that sets a deadline before each
//! read shall not pay for a call that finds nothing. A caller looks at the word first and at its limit then; under
//! the lock it finds another count if the limit has changed since.

use crate::util::atomic::{AtomicU32, Ordering};

const DRAINED: u32 = 1 << 0;
const HUNG_UP: u32 = 1 << 1;
const CLOSED: u32 = 1 << 2;
/// The number of events stands above the flags, and wraps. A call would have to last through half a billion events for
/// its `drain` to be fooled.
const EVENT: u32 = 1 << 3;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Readiness(AtomicU32);

/// The word at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u32);

impl Seen {
    /// A call now would find nothing.
    #[inline]
    pub(crate) fn is_drained(self) -> bool {
        self.0 & DRAINED != 0
    }

    /// The other side will send no more, or the connection is broken.
    #[inline]
    pub(crate) fn is_hung_up(self) -> bool {
        self.0 & HUNG_UP != 0
    }

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Nothing has been counted between the two looks.
    #[inline]
    pub(crate) fn is_as_recent_as(self, other: Seen) -> bool {
        self.0 / EVENT == other.0 / EVENT
    }
}

impl Readiness {
    #[inline]
    pub(crate) fn look(&self) -> Seen {
        // Acquire: the system call that follows is made after this load, so what it misses has its event counted later.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// The call that was made after `seen` found nothing, or took all there was.
    #[inline]
    pub(crate) fn drain(&self, seen: Seen) {
        // Release: the system call comes before this. A failure says that there is news, or that it is drained already.
        let _ = self.0.compare_exchange(seen.0, seen.0 | DRAINED, Ordering::Release, Ordering::Relaxed);
    }

    /// Something has happened: calls may succeed. Under the lock of those who wait.
    pub(crate) fn note_event(&self, hung_up: bool) {
        let flags = if hung_up { HUNG_UP } else { 0 };
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let next = (current & !DRAINED).wrapping_add(EVENT) | flags;
            // AcqRel: pairs with the Release in `drain`, so that its change comes wholly before ours or wholly after; and with
            // the Acquire in `look`.
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(actual) => current = actual,
            }
        }
    }

    /// Who is about to wait has to look again at what limits its wait. Under the lock of those who wait.
    pub(crate) fn note_change(&self) {
        // Release: pairs with the Acquire in `look`; who sees the count sees what has changed before it.
        self.0.fetch_add(EVENT, Ordering::Release);
    }

    /// From now on calls fail. Under the lock of those who wait.
    pub(crate) fn close(&self) {
        // Release: pairs with the Acquire in `look`.
        self.0.fetch_or(CLOSED, Ordering::Release);
    }

    /// Nobody uses the word any more.
    pub(crate) fn reset(&self) {
        // Relaxed: the slot changes hands through locks.
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_event_during_a_call_is_not_covered_by_its_result() {
        let word = Readiness::default();
        let seen = word.look();
        word.note_event(false);
        word.drain(seen);
        assert!(!word.look().is_drained());
        word.drain(word.look());
        assert!(word.look().is_drained());
        word.note_event(true);
        assert!(!word.look().is_drained() && word.look().is_hung_up());
    }

    #[test]
    fn a_change_is_counted_and_brings_no_news() {
        let word = Readiness::default();
        let seen = word.look();
        word.drain(seen);
        assert!(word.look().is_as_recent_as(seen));
        word.note_change();
        assert!(word.look().is_drained() && !word.look().is_as_recent_as(seen));
        // A call that was under way when it came is made once more.
        word.note_event(false);
        let seen = word.look();
        word.note_change();
        word.drain(seen);
        assert!(!word.look().is_drained());
    }

    #[test]
    fn closing_outlasts_events_until_the_reset() {
        let word = Readiness::default();
        word.drain(word.look());
        word.close();
        word.note_event(false);
        assert!(word.look().is_closed() && !word.look().is_drained());
        word.reset();
        assert!(!word.look().is_closed());
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A descriptor, its kernel buffer, and one place for a waiter.
    #[derive(Default)]
    struct World {
        word: Readiness,
        bytes: AtomicU32,
        waiting: Mutex<bool>,
        woken: AtomicU32,
    }

    /// As `Source::run`: true if a byte was read, false if the reader waits for its wake-up.
    fn read(world: &World) -> bool {
        loop {
            let seen = world.word.look();
            if !seen.is_drained() {
                if world.bytes.swap(0, Ordering::AcqRel) > 0 {
                    return true;
                }
                world.word.drain(seen);
            }
            let mut waiting = world.waiting.lock().unwrap();
            if world.word.look().is_drained() {
                *waiting = true;
                return false;
            }
        }
    }

    fn event(world: &World) {
        let mut waiting = world.waiting.lock().unwrap();
        world.word.note_event(false);
        if std::mem::take(&mut *waiting) {
            world.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the kernel and the driver do.
    fn deliver_a_byte(world: Arc<World>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            world.bytes.fetch_add(1, Ordering::AcqRel);
            event(&world);
        })
    }

    #[test]
    fn loom_no_edge_is_lost_between_a_call_and_its_wait() {
        loom::model(|| {
            let world = Arc::new(World::default());
            let driver = deliver_a_byte(world.clone());
            let got = read(&world);
            driver.join().unwrap();
            assert!(got || world.woken.load(Ordering::Relaxed) == 1, "the reader sleeps beside its data");
        });
    }

    #[test]
    fn loom_no_change_of_a_limit_is_missed() {
        loom::model(|| {
            let world = Arc::new(World::default());
            let limit = Arc::new(AtomicU32::new(0));
            let changer = {
                let (world, limit) = (world.clone(), limit.clone());
                thread::spawn(move || {
                    limit.store(1, Ordering::Relaxed);
                    let mut waiting = world.waiting.lock().unwrap();
                    world.word.note_change();
                    if std::mem::take(&mut *waiting) {
                        world.woken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            // As `Source::run_slow` and `Registration::wait`, with nothing to read.
            let knows = loop {
                let seen = world.word.look();
                world.word.drain(seen);
                let knows = limit.load(Ordering::Relaxed) == 1;
                let mut waiting = world.waiting.lock().unwrap();
                let now = world.word.look();
                if now.is_drained() && now.is_as_recent_as(seen) {
                    *waiting = true;
                    break knows;
                }
            };
            changer.join().unwrap();
            assert!(knows || world.woken.load(Ordering::Relaxed) == 1, "the reader waits under an old limit");
        });
    }

    #[test]
    fn loom_two_readers_and_one_byte() {
        loom::model(|| {
            let world = Arc::new(World::default());
            let other = {
                let world = world.clone();
                thread::spawn(move || {
                    let seen = world.word.look();
                    let got = world.bytes.swap(0, Ordering::AcqRel) > 0;
                    if !got {
                        world.word.drain(seen);
                    }
                    got
                })
            };
            let driver = deliver_a_byte(world.clone());
            let got = read(&world);
            driver.join().unwrap();
            let other_got = other.join().unwrap();
            assert!(got || other_got || world.woken.load(Ordering::Relaxed) == 1);
        });
    }
}
