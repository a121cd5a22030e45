//! Which operation of the [raw lock](RawRwLock) is which of [`lock_api`]'s traits, by which guards call it.
//!
//! A wait in a method of a guard must hold cancellation back: where it unwinds, `lock_api` aborts, since the guard lacks what
//! its destructor would give up. The traits don't say who calls, so all waits here hold it back, except for those that no
//! guard calls: the timed ones of `RawRwLockTimed`, and `try_lock_upgradable_for` and `_until`.

use std::time::{Duration, Instant};

use lock_api::GuardNoSend;

use super::raw::RawRwLock;
use super::word::{Held, Mode};

// SAFETY: `WRITER` is added to the word only where there is no other holder, and a reader only where there is no
// `WRITER`, by one compare-and-swap or on behalf of one claimed waiter. Taking is an Acquire and releasing a Release of
// the word, or goes through the queue's lock and the unpark for a hand-over. A wait that unwinds, because it is cancelled
// or because its task can't park, leaves nothing held. A forgotten guard leaves the lock held, which is safe; a held lock
// that is moved or dropped has no waiters, since those borrow it.
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
        self.lock(Mode::Exclusive)
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

// SAFETY: as above. A bump returns only with the lock held: its wait is shielded, and a panic aborts.
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

// SAFETY: as for `RawRwLock`. No method of a guard calls these, so they may unwind.
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

// SAFETY: as for `RawRwLockUpgrade` and `RawRwLockTimed`.
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
