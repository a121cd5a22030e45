//! A lock for many readers or one writer that parks, as [`lock_api`]'s types want it.
//!
//! The [word](word::Word) says who holds the lock, and the [raw lock](RawRwLock) who waits and who comes next; this file only says
//! which of their operations is which of the traits'.

mod raw;
mod word;

use std::time::{Duration, Instant};

use lock_api::GuardNoSend;

pub use raw::RawRwLock;
use word::{Held, Mode};

/// A lock for many readers or one writer, with `parking_lot`'s API: no poisoning, `const fn new`, upgradable reads.
///
/// [`read`](lock_api::RwLock::read), [`write`](lock_api::RwLock::write) and
/// [`upgradable_read`](lock_api::RwLock::upgradable_read) park the task, or the thread if they are called from a plain
/// OS thread; a guard may be held across anything that parks. Guards stay on the thread that made them.
///
/// **Fairness.** Writers don't starve: once one waits, new readers queue behind it. A running task may take the lock
/// ahead of those who were just woken for it; one that has waited for more than a millisecond gets it handed over, and
/// `unlock_fair` hands it over at once. So a task that reads twice at a time waits for itself if a writer comes between
/// the two.
///
/// **Upgrading.** One reader at a time can be an upgradable one; [`upgrade`](lock_api::RwLockUpgradableReadGuard::upgrade)
/// waits for the other readers and lets no writer in between.
///
/// **Cancellation.** As with [`Mutex`](super::Mutex), waiting for the lock is not a point where a task is cancelled: it
/// gets the lock first, and unwinds at its next wait of another kind.
///
/// **Panics.** If a holder panics, its guard unlocks as usual.
///
/// **Cost.** One compare-and-swap to lock and one to unlock while nobody waits; readers of different workers share a
/// cache line.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use fibra::sync::{RwLock, RwLockUpgradableReadGuard};
///
/// static SQUARES: RwLock<Option<HashMap<u32, u32>>> = RwLock::new(None);
///
/// fn square(n: u32) -> u32 {
///     if let Some(&known) = SQUARES.read().as_ref().and_then(|map| map.get(&n)) {
///         return known;
///     }
///     let guard = SQUARES.upgradable_read(); // readers go on until the upgrade
///     *RwLockUpgradableReadGuard::upgrade(guard).get_or_insert_default().entry(n).or_insert(n * n)
/// }
///
/// fibra::run(|| {
///     let tasks: Vec<_> = (0..10).map(|n| fibra::spawn(move || square(n % 3))).collect();
///     assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<u32>(), 15);
/// });
/// ```
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// Holds an [`RwLock`] for reading; unlocks when dropped.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for writing; unlocks when dropped.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for reading, and can [upgrade](lock_api::RwLockUpgradableReadGuard::upgrade) to writing.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for reading and shows only a part, made by [`RwLockReadGuard::map`](lock_api::RwLockReadGuard::map).
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for writing and shows only a part, made by
/// [`RwLockWriteGuard::map`](lock_api::RwLockWriteGuard::map).
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

// SAFETY: `WRITER` is added to the word only where there is no other holder, and a reader only where there is no
// `WRITER`, by one compare-and-swap or on behalf of one claimed waiter. Taking is an Acquire and releasing a Release of
// the word, or goes through the queue's lock and the unpark for a hand-over. A wait is shielded, so it does not unwind;
// it panics only before it has begun, and then nothing is held. A forgotten guard leaves the lock held, which is safe;
// a held lock that is moved or dropped has no waiters, since those borrow it.
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[cfg(not(fibra_loom))]
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self::new();

    #[cfg(fibra_loom)]
    const INIT: Self = panic!("loom's atomics can't be made in a constant");

    type SharedGuard = GuardNoSend;
    type ExclusiveGuard = GuardNoSend;

    #[inline]
    fn lock_shared(&self) -> GuardNoSend {
        self.lock(Mode::Shared)
    }

    #[inline]
    fn try_lock_shared(&self) -> Option<GuardNoSend> {
        self.try_lock(Mode::Shared)
    }

    #[inline]
    unsafe fn unlock_shared(&self, _guard: GuardNoSend) {
        self.release(Held::SHARED, false);
    }

    #[inline]
    fn lock_exclusive(&self) -> GuardNoSend {
        Self::lock_exclusive(self)
    }

    #[inline]
    fn try_lock_exclusive(&self) -> Option<GuardNoSend> {
        self.try_lock(Mode::Exclusive)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, _guard: GuardNoSend) {
        self.release_exclusive();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.is_held()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.is_held_exclusively()
    }
}

// SAFETY: as above. A bump returns only with the lock held: its wait does not unwind, and a panic aborts.
unsafe impl lock_api::RawRwLockFair for RawRwLock {
    #[inline]
    unsafe fn unlock_shared_fair(&self, _guard: GuardNoSend) {
        self.release(Held::SHARED, true);
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self, _guard: GuardNoSend) {
        self.release(Held::EXCLUSIVE, true);
    }

    #[inline]
    unsafe fn bump_shared(&self, _guard: &mut GuardNoSend) {
        self.bump(Held::SHARED, Mode::Shared);
    }

    #[inline]
    unsafe fn bump_exclusive(&self, _guard: &mut GuardNoSend) {
        self.bump(Held::EXCLUSIVE, Mode::Exclusive);
    }
}

// SAFETY: as for `RawRwLock`; the release of the exclusive hold and the taking of the shared one are one step.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    #[inline]
    unsafe fn downgrade(&self, guard: GuardNoSend) -> GuardNoSend {
        self.release(Held::EXCLUSIVE_FOR_SHARED, false);
        guard
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl lock_api::RawRwLockTimed for RawRwLock {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_shared_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        self.try_lock_for(Mode::Shared, timeout)
    }

    #[inline]
    fn try_lock_shared_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        self.try_lock_until(Mode::Shared, deadline)
    }

    #[inline]
    fn try_lock_exclusive_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        self.try_lock_for(Mode::Exclusive, timeout)
    }

    #[inline]
    fn try_lock_exclusive_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        self.try_lock_until(Mode::Exclusive, deadline)
    }
}

// SAFETY: as for `RawRwLock`; `UPGRADABLE` has one owner, and an upgrade takes `WRITER` where there are no readers, in
// exchange for it. An upgrade that panics because its task can't park gives the lock up.
unsafe impl lock_api::RawRwLockUpgrade for RawRwLock {
    type UpgradableGuard = GuardNoSend;

    #[inline]
    fn lock_upgradable(&self) -> GuardNoSend {
        self.lock(Mode::Upgradable)
    }

    #[inline]
    fn try_lock_upgradable(&self) -> Option<GuardNoSend> {
        self.try_lock(Mode::Upgradable)
    }

    #[inline]
    unsafe fn unlock_upgradable(&self, _guard: GuardNoSend) {
        self.release(Held::UPGRADABLE, false);
    }

    #[inline]
    unsafe fn upgrade(&self, guard: GuardNoSend) -> GuardNoSend {
        self.upgrade_until(None);
        guard
    }

    #[inline]
    unsafe fn try_upgrade(&self, guard: GuardNoSend) -> Result<GuardNoSend, GuardNoSend> {
        if Self::try_upgrade(self) { Ok(guard) } else { Err(guard) }
    }
}

// SAFETY: as for `RawRwLockFair` and `RawRwLockUpgrade`.
unsafe impl lock_api::RawRwLockUpgradeFair for RawRwLock {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self, _guard: GuardNoSend) {
        self.release(Held::UPGRADABLE, true);
    }

    #[inline]
    unsafe fn bump_upgradable(&self, _guard: &mut GuardNoSend) {
        self.bump(Held::UPGRADABLE, Mode::Upgradable);
    }
}

// SAFETY: as for `RawRwLockDowngrade`.
unsafe impl lock_api::RawRwLockUpgradeDowngrade for RawRwLock {
    #[inline]
    unsafe fn downgrade_upgradable(&self, guard: GuardNoSend) -> GuardNoSend {
        self.release(Held::UPGRADABLE_FOR_SHARED, false);
        guard
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self, guard: GuardNoSend) -> GuardNoSend {
        self.release(Held::EXCLUSIVE_FOR_UPGRADABLE, false);
        guard
    }
}

// SAFETY: as for `RawRwLockUpgrade`.
unsafe impl lock_api::RawRwLockUpgradeTimed for RawRwLock {
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        self.try_lock_for(Mode::Upgradable, timeout)
    }

    #[inline]
    fn try_lock_upgradable_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        self.try_lock_until(Mode::Upgradable, deadline)
    }

    #[inline]
    unsafe fn try_upgrade_for(
        &self,
        guard: GuardNoSend,
        timeout: Duration,
    ) -> Result<GuardNoSend, GuardNoSend> {
        // A deadline beyond the clock's range never comes.
        if self.upgrade_until(Instant::now().checked_add(timeout)) { Ok(guard) } else { Err(guard) }
    }

    #[inline]
    unsafe fn try_upgrade_until(
        &self,
        guard: GuardNoSend,
        deadline: Instant,
    ) -> Result<GuardNoSend, GuardNoSend> {
        if self.upgrade_until(Some(deadline)) { Ok(guard) } else { Err(guard) }
    }
}
