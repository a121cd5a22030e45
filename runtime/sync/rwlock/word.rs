//! The state word of a [`RwLock`](super::RwLock).
//!
//! ```text
//! 63                 4        3           2          1          0
//! |     readers      | WRITER_WAITS | WAITERS | UPGRADABLE | WRITER |
//! ```
//!
//! | bit | means | who changes it |
//! | --- | --- | --- |
//! | `WRITER` | held exclusively | who takes or releases it so |
//! | `UPGRADABLE` | one reader may upgrade; it is not counted in `readers` | the same |
//! | `readers` | so many shared holders | the same |
//! | `WAITERS` | somebody queues: a holder must look into the queue when it releases | only under the queue's lock |
//! | `WRITER_WAITS` | a writer or upgrader queues: newcomers must not pass it as readers | only under the queue's lock |
//!
//! | mode | can be taken | becomes | a newcomer waits as well for |
//! | --- | --- | --- | --- |
//! | `Shared` | no `WRITER` | `readers` + 1 | no `WRITER_WAITS` |
//! | `Upgradable` | neither `WRITER` nor `UPGRADABLE` | `UPGRADABLE` | no `WRITER_WAITS` |
//! | `Exclusive` | no holder at all | `WRITER` | nothing: the lock may be barged into |
//! | `Upgrade` | no `readers`, and the caller has `UPGRADABLE` | `WRITER` instead of `UPGRADABLE` | nothing |
//!
//! `WRITER` excludes all other holders. A release is a plain compare-and-swap while nobody waits; else it is done by
//! [`settle`](Word::settle) under the queue's lock, so that nobody can slip in before a waiter that gets the lock
//! handed over. While `WAITERS` is set, then, all releases are ordered by that lock.

use crate::util::atomic::{AtomicU64, Ordering};

const WRITER: u64 = 1;
const UPGRADABLE: u64 = 1 << 1;
const WAITERS: u64 = 1 << 2;
const WRITER_WAITS: u64 = 1 << 3;
/// One reader. 60 bits can't overflow: not even by guards that are forgotten, a billion a second for 36 years.
const READER: u64 = 1 << 4;
const READERS: u64 = !(READER - 1);
const HELD: u64 = WRITER | UPGRADABLE | READERS;

/// What somebody wants to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Upgradable,
    Exclusive,
    /// From `Upgradable`, which the caller holds, to `Exclusive`.
    Upgrade,
}

impl Mode {
    /// Ends in exclusive access, so readers must not pass it.
    pub(super) const fn is_writer(self) -> bool {
        matches!(self, Self::Exclusive | Self::Upgrade)
    }

    /// What must not be set when the mode is taken.
    const fn blockers(self) -> u64 {
        match self {
            Self::Shared => WRITER,
            Self::Upgradable => WRITER | UPGRADABLE,
            Self::Exclusive => HELD,
            Self::Upgrade => READERS,
        }
    }

    /// What must not be set when somebody takes it who has not queued.
    const fn blockers_of_newcomers(self) -> u64 {
        match self {
            Self::Shared | Self::Upgradable => self.blockers() | WRITER_WAITS,
            Self::Exclusive | Self::Upgrade => self.blockers(),
        }
    }

    /// What taking it adds to the word.
    const fn share(self) -> u64 {
        match self {
            Self::Shared => READER,
            Self::Upgradable => UPGRADABLE,
            Self::Exclusive => WRITER,
            Self::Upgrade => WRITER.wrapping_sub(UPGRADABLE),
        }
    }
}

/// Whether the taker has waited its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Newcomer,
    /// It has been first in the queue, so those that queue now came later.
    First,
}

/// What a holder gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held(u64);

impl Held {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const SHARED: Self = Self(READER);
    pub(super) const UPGRADABLE: Self = Self(UPGRADABLE);
    pub(super) const EXCLUSIVE: Self = Self(WRITER);
    pub(super) const EXCLUSIVE_FOR_SHARED: Self = Self(WRITER.wrapping_sub(READER));
    pub(super) const EXCLUSIVE_FOR_UPGRADABLE: Self = Self(WRITER.wrapping_sub(UPGRADABLE));
    pub(super) const UPGRADABLE_FOR_SHARED: Self = Self(UPGRADABLE.wrapping_sub(READER));
}

/// Who queues, as the word shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) anybody: bool,
    pub(super) a_writer: bool,
}

impl Queued {
    fn bits(self) -> u64 {
        (if self.anybody { WAITERS } else { 0 }) | (if self.a_writer { WRITER_WAITS } else { 0 })
    }
}

/// See the head of this file.
pub(super) struct Word(AtomicU64);

impl Word {
    #[cfg(not(fibra_loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[cfg(fibra_loom)]
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The fast path of a writer: free, and nobody waits.
    #[inline]
    pub(super) fn try_take_free(&self) -> bool {
        // Acquire: as in `try_take`.
        self.0.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock if that is possible at once.
    #[inline]
    pub(super) fn try_take(&self, mode: Mode, taker: Taker) -> bool {
        let blockers = match taker {
            Taker::Newcomer => mode.blockers_of_newcomers(),
            Taker::First => mode.blockers(),
        };
        let mut state = self.0.load(Ordering::Relaxed);
        while state & blockers == 0 {
            let next = state.wrapping_add(mode.share());
            // Acquire: pairs with the Release of every release before; as those are read-modify-writes of one word,
            // this one sees them all.
            match self.0.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
        false
    }

    /// The fast path of a writer's release: nobody waits.
    #[inline]
    pub(super) fn try_release_exclusive(&self) -> bool {
        // Release: pairs with the Acquire of whoever takes the lock next.
        self.0.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Gives up what is held, unless somebody waits.
    #[inline]
    pub(super) fn try_release(&self, held: Held) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        while state & WAITERS == 0 {
            let next = state.wrapping_sub(held.0);
            // Release: pairs with the Acquire of whoever takes the lock next.
            match self.0.compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
        false
    }

    /// Announces a waiter, or takes the lock and returns false. Called under the queue's lock.
    pub(super) fn announce(&self, mode: Mode, taker: Taker) -> bool {
        let queued = WAITERS | if mode.is_writer() { WRITER_WAITS } else { 0 };
        while !self.try_take(mode, taker) {
            let state = self.0.load(Ordering::Relaxed);
            let blockers = match taker {
                Taker::Newcomer => mode.blockers_of_newcomers(),
                Taker::First => mode.blockers(),
            };
            if state & blockers == 0 {
                continue;
            }
            // Relaxed: the bits are for those who release later, which the word's own order decides.
            let next = state | queued;
            if self.0.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
        false
    }

    /// Whether `mode` could be taken by the first of the queue once `held` is given up. Called under the queue's lock.
    pub(super) fn would_admit(&self, mode: Mode, held: Held) -> bool {
        // Relaxed: `settle` looks again.
        self.0.load(Ordering::Relaxed).wrapping_sub(held.0) & mode.blockers() == 0
    }

    /// Gives up `held`, says who still queues, and takes the lock on behalf of a waiter of the mode `heir`, all at once.
    /// False: there is none, or somebody was faster. Called under the queue's lock.
    pub(super) fn settle(&self, held: Held, queued: Queued, heir: Option<Mode>) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let left = state.wrapping_sub(held.0) & !(WAITERS | WRITER_WAITS) | queued.bits();
            let heir = heir.filter(|heir| left & heir.blockers() == 0);
            let next = left.wrapping_add(heir.map_or(0, Mode::share));
            // Release: pairs with the Acquire of whoever takes the lock next. Acquire: pairs with the releases of other
            // readers, whose work the heir, which we unpark, must see.
            match self.0.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return heir.is_some(),
                Err(actual) => state = actual,
            }
        }
    }

    /// Somebody holds the lock in some mode.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        // Relaxed, here and below: the answer may be stale anyway.
        self.0.load(Ordering::Relaxed) & HELD != 0
    }

    #[inline]
    pub(super) fn is_held_exclusively(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WRITER != 0
    }

    #[inline]
    pub(super) fn has_waiters(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITERS != 0
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    const NOBODY: Queued = Queued { anybody: false, a_writer: false };

    #[test]
    fn which_modes_go_together() {
        use Mode::*;
        for (held, wanted, fits) in [
            (Shared, Shared, true),
            (Shared, Upgradable, true),
            (Shared, Exclusive, false),
            (Upgradable, Shared, true),
            (Upgradable, Upgradable, false),
            (Upgradable, Exclusive, false),
            (Exclusive, Shared, false),
            (Exclusive, Upgradable, false),
            (Exclusive, Exclusive, false),
        ] {
            let word = Word::new();
            assert!(word.try_take(held, Taker::Newcomer));
            assert_eq!(word.try_take(wanted, Taker::Newcomer), fits, "{held:?}, then {wanted:?}");
        }
    }

    #[test]
    fn changes_of_mode_add_up() {
        let word = Word::new();
        assert!(
            word.try_take(Mode::Upgradable, Taker::Newcomer) && word.try_take(Mode::Shared, Taker::Newcomer)
        );
        assert!(!word.try_take(Mode::Upgrade, Taker::Newcomer));
        assert!(word.try_release(Held::SHARED));
        assert!(word.try_take(Mode::Upgrade, Taker::Newcomer) && word.is_held_exclusively());
        assert!(word.try_release(Held::EXCLUSIVE_FOR_UPGRADABLE));
        assert!(word.try_take(Mode::Upgrade, Taker::Newcomer));
        assert!(word.try_release(Held::EXCLUSIVE_FOR_SHARED) && word.is_held());
        assert!(word.try_take(Mode::Upgradable, Taker::Newcomer));
        assert!(word.try_release(Held::UPGRADABLE_FOR_SHARED));
        assert!(word.try_release(Held::SHARED) && word.try_release(Held::SHARED));
        assert!(!word.is_held() && word.try_take_free() && word.try_release_exclusive());
    }

    #[test]
    fn a_queued_writer_holds_back_new_readers_and_no_old_ones() {
        let word = Word::new();
        assert!(word.try_take(Mode::Shared, Taker::Newcomer));
        assert!(word.announce(Mode::Exclusive, Taker::Newcomer) && word.has_waiters());
        assert!(!word.try_take(Mode::Shared, Taker::Newcomer));
        assert!(word.try_take(Mode::Shared, Taker::First));
        assert!(!word.try_release(Held::SHARED));
        assert!(!word.settle(Held::SHARED, Queued { anybody: true, a_writer: true }, Some(Mode::Exclusive)));
        assert!(word.settle(Held::SHARED, NOBODY, Some(Mode::Exclusive)) && word.is_held_exclusively());
        assert!(word.try_release_exclusive());
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A lock with its data and a queue of which only the length and the wakes are modelled.
    struct Lock {
        word: Word,
        /// Who queues, in order; and who has been let in or told to try again.
        queue: Mutex<(Vec<(usize, Mode)>, [Option<bool>; 3])>,
        data: UnsafeCell<u32>,
    }

    impl Lock {
        fn new() -> Arc<Self> {
            let queue = Mutex::new((Vec::new(), [None; 3]));
            Arc::new(Self { word: Word::new(), queue, data: UnsafeCell::new(0) })
        }

        fn lock(&self, id: usize, mode: Mode) {
            let mut taker = Taker::Newcomer;
            while !self.word.try_take(mode, taker) {
                let mut queue = self.queue.lock().unwrap();
                if !self.word.announce(mode, taker) {
                    return;
                }
                queue.0.push((id, mode));
                drop(queue);
                let served = loop {
                    if let Some(served) = self.queue.lock().unwrap().1[id].take() {
                        break served;
                    }
                    thread::yield_now();
                };
                if served {
                    return;
                }
                taker = Taker::First;
            }
        }

        fn unlock(&self, held: Held, hand_over: bool) {
            if self.word.try_release(held) {
                return;
            }
            let mut queue = self.queue.lock().unwrap();
            let first = queue.0.first().copied().filter(|&(_, mode)| self.word.would_admit(mode, held));
            if first.is_some() {
                queue.0.remove(0);
            }
            let a_writer = queue.0.iter().any(|(_, mode)| mode.is_writer());
            let queued = Queued { anybody: !queue.0.is_empty(), a_writer };
            let heir = first.map(|(_, mode)| mode).filter(|_| hand_over);
            let served = self.word.settle(held, queued, heir);
            if let Some((id, _)) = first {
                queue.1[id] = Some(served);
            }
        }

        fn write(&self, id: usize, hand_over: bool) {
            self.lock(id, Mode::Exclusive);
            self.data.with_mut(|data| {
                // SAFETY: loom checks it: the lock is held exclusively.
                unsafe { *data += 1 }
            });
            self.unlock(Held::EXCLUSIVE, hand_over);
        }

        fn read(&self, id: usize, hand_over: bool) -> u32 {
            self.lock(id, Mode::Shared);
            let value = self.data.with(|data| {
                // SAFETY: loom checks it: the lock is held shared.
                unsafe { *data }
            });
            self.unlock(Held::SHARED, hand_over);
            value
        }
    }

    fn two_threads(bodies: [fn(&Lock); 2]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let lock = Lock::new();
            let other = {
                let lock = lock.clone();
                thread::spawn(move || bodies[1](&lock))
            };
            bodies[0](&lock);
            other.join().unwrap();
            assert!(!lock.word.is_held() && !lock.word.has_waiters());
            assert!(lock.queue.lock().unwrap().0.is_empty());
        });
    }

    #[test]
    fn loom_writers_exclude_each_other_and_nobody_is_left_behind() {
        two_threads([|lock| lock.write(0, false), |lock| lock.write(1, false)]);
        two_threads([|lock| lock.write(0, true), |lock| lock.write(1, true)]);
    }

    #[test]
    fn loom_a_reader_and_a_writer_exclude_each_other() {
        two_threads([|lock| assert!(lock.read(0, false) < 2), |lock| lock.write(1, false)]);
        two_threads([|lock| assert!(lock.read(0, true) < 2), |lock| lock.write(1, true)]);
    }
}
