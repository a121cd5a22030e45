//! A lock for many readers or one writer that parks, as its users see it.
//!
//! The [word](word::Word) says who holds the lock, the [raw lock](RawRwLock) who waits and who comes next, and the
//! [traits] which of its operations [`lock_api`]'s guards call. [`RwLock`] is a type of its own for the same reason
//! as [`Mutex`](super::Mutex): a call of its own can be cancelled, a wait inside a guard's method can't.

mod raw;
mod traits;
mod word;

use std::fmt;
use std::ops::{Deref, DerefMut};

pub use raw::RawRwLock;
use word::Mode;

/// A lock for many readers or one writer, with `parking_lot`'s API: no poisoning, `const fn new`, upgradable reads.
///
/// [`read`](RwLock::read), [`write`](RwLock::write) and [`upgradable_read`](RwLock::upgradable_read) park the task, or the
/// thread if they are called from a plain OS thread; a guard may be held across anything that parks. Guards stay on the
/// thread that made them. The other methods, `try_read`, [`try_write_for`](lock_api::RwLock::try_write_for) and so on, are
/// those of [`lock_api::RwLock`], to which this type dereferences.
///
/// **Fairness.** Writers don't starve: once one waits, new readers queue behind it. A running task may take the lock
/// ahead of those who were just woken for it; one that has waited for more than a millisecond gets it handed over, and
/// `unlock_fair` hands it over at once. So a task that reads twice at a time waits for itself if a writer comes between
/// the two.
///
/// **Upgrading.** One reader at a time can be an upgradable one; [`upgrade`](lock_api::RwLockUpgradableReadGuard::upgrade)
/// waits for the other readers and lets no writer in between.
///
/// **Cancellation.** As with [`Mutex`](super::Mutex), waiting for the lock is a point where a task is cancelled: it unwinds
/// without the lock, and those whom it held back go on. What `Mutex` says of a cancellation *inside* a critical section
/// holds here too: there is no poisoning, and
/// [`cancel::shield`](crate::cancel::shield) holds it back. The waits of guards are no such
/// points: `bump`, `unlocked`, and the upgrades, of which
/// [`try_upgrade_for`](lock_api::RwLockUpgradableReadGuard::try_upgrade_for) has a limit of its own.
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
#[repr(transparent)]
pub struct RwLock<T: ?Sized>(lock_api::RwLock<RawRwLock, T>);

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

impl<T> RwLock<T> {
    /// A free lock around `value`.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(lock_api::RwLock::new(value))
    }

    /// Gives the value back, whether or not a guard was forgotten.
    #[inline]
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, and waits while somebody writes or waits to write.
    ///
    /// Parks while it waits. If the task is cancelled meanwhile it unwinds without the lock. Panics if it has to wait inside
    /// [`on_thread_stack`](crate::on_thread_stack).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = fibra::sync::RwLock::new(1);
    /// let (a, b) = (lock.read(), lock.read());
    /// assert_eq!((*a, *b), (1, 1));
    /// ```
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        // SAFETY: nobody unlocks through this reference.
        let acquired = unsafe { self.0.raw() }.lock_cancellable(Mode::Shared);
        // SAFETY: the lock is held so, this is the state of its acquisition, and no other guard is made for it.
        unsafe { self.0.make_read_guard_unchecked(acquired) }
    }

    /// Takes the lock for writing, and waits while anybody holds it.
    ///
    /// Parks, unwinds and panics as [`read`](RwLock::read).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = fibra::sync::RwLock::new(1);
    /// *lock.write() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        // SAFETY: nobody unlocks through this reference.
        let acquired = unsafe { self.0.raw() }.lock_exclusive_cancellable();
        // SAFETY: the lock is held so, this is the state of its acquisition, and no other guard is made for it.
        unsafe { self.0.make_write_guard_unchecked(acquired) }
    }

    /// Takes the lock for reading with the right to upgrade, and waits while somebody writes, waits to write, or has that
    /// right.
    ///
    /// Parks, unwinds and panics as [`read`](RwLock::read).
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::sync::{RwLock, RwLockUpgradableReadGuard};
    ///
    /// let lock = RwLock::new(vec![1]);
    /// let guard = lock.upgradable_read();
    /// if !guard.contains(&2) {
    ///     RwLockUpgradableReadGuard::upgrade(guard).push(2);
    /// }
    /// assert_eq!(*lock.read(), [1, 2]);
    /// ```
    #[inline]
    pub fn upgradable_read(&self) -> RwLockUpgradableReadGuard<'_, T> {
        // SAFETY: nobody unlocks through this reference.
        let acquired = unsafe { self.0.raw() }.lock_cancellable(Mode::Upgradable);
        // SAFETY: the lock is held so, this is the state of its acquisition, and no other guard is made for it.
        unsafe { self.0.make_upgradable_guard_unchecked(acquired) }
    }
}

impl<T: ?Sized> Deref for RwLock<T> {
    type Target = lock_api::RwLock<RawRwLock, T>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for RwLock<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
