//! The mutual exclusion lock as its users see it.
//!
//! The [raw lock](RawMutex) does the work, and [`lock_api`] wraps its guards. [`Mutex`] is a type of its own for one reason:
//! `lock_api`'s `lock` and the guards' `unlocked` call the same method of the raw lock. A cancelled task must not unwind
//! out of the second, where a guard waits for what it is going to unlock, and should unwind out of the first.

mod raw;
mod word;

use std::fmt;
use std::ops::{Deref, DerefMut};

pub use raw::RawMutex;

/// A mutual exclusion lock with `parking_lot`'s API: no poisoning, and `const fn new`.
///
/// [`lock`](Mutex::lock) parks the task, or the thread if it is called from a plain OS thread; a guard may be held across
/// anything that parks. Guards stay on the thread that made them (they are not `Send`). The other methods, `try_lock`,
/// [`try_lock_for`](lock_api::Mutex::try_lock_for), [`try_lock_until`](lock_api::Mutex::try_lock_until),
/// [`get_mut`](lock_api::Mutex::get_mut) and so on, are those of [`lock_api::Mutex`], to which this type dereferences.
///
/// **Fairness.** A running task may take the lock ahead of those who wait. Once the first of them has waited for more
/// than a millisecond, the lock is handed over to it at the next unlock; [`MutexGuard::unlock_fair`](lock_api::MutexGuard::unlock_fair)
/// hands it over at once.
///
/// **Cancellation.** Waiting for the lock is a point where a task is cancelled or a [`timeout`](crate::timeout) ends it: the
/// call unwinds without the lock, and leaves the mutex as if it had never waited. A lock that was handed over just
/// before comes first: the call returns, and the cancellation comes at the next wait. The waits hidden in
/// `MutexGuard::unlocked`, `MutexGuard::bump` and [`Condvar::wait`](lock_api::Condvar::wait) always end with the lock held.
///
/// A task that parks *inside* its critical section can be cancelled there. Its guard then unlocks as it unwinds, and as
/// there is no poisoning, the next holder finds the data as it was left. Three ways to leave it whole: finish a change
/// before you park; undo it in a destructor; or run the critical section in [`cancel::shield`](crate::cancel::shield),
/// which holds the cancellation back until it is through. The third is a must where the park is in a callback that C code
/// calls: a cancellation would unwind out of an `extern "C"` function there, and that aborts the process. A destructor that
/// locks needs it too, unless it runs because of an unwinding, which nothing interrupts.
///
/// **Panics.** If the holder panics, its guard unlocks as usual. Locking twice from one task waits for ever.
///
/// **Cost.** One compare-and-swap to lock and one to unlock while nobody waits.
///
/// # Examples
///
/// ```
/// use fibra::sync::{Mutex, WaitGroup};
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// fibra::run(|| {
///     let wg = WaitGroup::new();
///     for i in 1..=10 {
///         wg.go(move || *TOTAL.lock() += i);
///     }
///     wg.wait();
///     assert_eq!(*TOTAL.lock(), 55);
/// });
/// ```
///
/// A change that parks halfway, and that nobody sees half done:
///
/// ```
/// use std::time::Duration;
/// use fibra::{cancel, sync::Mutex};
///
/// static ACCOUNTS: Mutex<(u32, u32)> = Mutex::new((100, 0));
///
/// fn transfer(amount: u32) {
///     let mut accounts = ACCOUNTS.lock(); // a cancellation here leaves them as they are
///     cancel::shield(|| {
///         accounts.0 -= amount;
///         fibra::sleep(Duration::from_millis(5)); // and one here comes at the next park
///         accounts.1 += amount;
///     });
/// }
///
/// fibra::run(|| {
///     let task = fibra::spawn(|| transfer(30));
///     fibra::sleep(Duration::from_millis(1));
///     task.cancel();
///     let _ = task.join();
///     let accounts = ACCOUNTS.lock();
///     assert_eq!(accounts.0 + accounts.1, 100);
/// });
/// ```
#[repr(transparent)]
pub struct Mutex<T: ?Sized>(lock_api::Mutex<RawMutex, T>);

/// Holds a [`Mutex`]; unlocks when dropped.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// Holds a [`Mutex`] of which it shows only a part, made by [`MutexGuard::map`](lock_api::MutexGuard::map).
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(lock_api::Mutex::new(value))
    }

    /// Gives the value back, whether or not a guard was forgotten.
    #[inline]
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, and waits for it if it is held; see [the type](Mutex) for who comes first.
    ///
    /// Parks while it waits. If the task is cancelled meanwhile it unwinds without the lock. Never returns to one who holds
    /// the lock already. Panics if it has to wait inside [`on_thread_stack`](crate::on_thread_stack).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = fibra::sync::Mutex::new(1);
    /// *lock.lock() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: nobody unlocks through this reference.
        let acquired = unsafe { self.0.raw() }.lock_cancellable();
        // SAFETY: the lock is held, this is the state of its acquisition, and no other guard is made for it.
        unsafe { self.0.make_guard_unchecked(acquired) }
    }
}

impl<T: ?Sized> Deref for Mutex<T> {
    type Target = lock_api::Mutex<RawMutex, T>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for Mutex<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
