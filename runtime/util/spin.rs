//! A spin lock for a few instructions of work, the innermost lock of every primitive.
//!
//! ```text
//! free ──CAS (Acquire)──▶ held ──store (Release)──▶ free
//! ```
//!
//! One read-modify-write per critical section, where a futex lock needs two: its unlock must learn whether somebody
//! sleeps. The price is that a waiter can only spin, and after a few rounds give its time slice away; so nothing under
//! such a lock may block, allocate much, run foreign code or take a second one, except in the order that the caller
//! documents. A task may take the lock, switch away, and let its worker release it: both run on one OS thread.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::Backoff;

/// See the head of this file.
#[derive(Default)]
#[repr(C)]
pub(crate) struct SpinLock<T> {
    raw: RawSpin,
    value: UnsafeCell<T>,
}

/// The lock without its value: for who holds several at once, of values whose types it doesn't know.
#[derive(Default)]
pub(crate) struct RawSpin(AtomicBool);

// SAFETY: the lock hands out one reference at a time, so sharing it moves a `T` between threads and no more.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { raw: RawSpin(AtomicBool::new(false)), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        self.raw.lock();
        SpinGuard { lock: self }
    }

    pub(crate) fn raw(&self) -> &RawSpin {
        &self.raw
    }

    /// The value, for who has locked [`raw`](Self::raw).
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and no other reference to the value is in use while this one is.
    #[expect(clippy::mut_from_ref, reason = "as in a guard, the lock makes it unique")]
    pub(crate) unsafe fn locked(&self) -> &mut T {
        // SAFETY: by the contract.
        unsafe { &mut *self.value.get() }
    }
}

impl RawSpin {
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_slow();
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release in `unlock`; we see what the last holder wrote.
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// # Safety
    ///
    /// The caller holds the lock, and gives it up here.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        // Release: pairs with the Acquire in `try_lock` and `lock_slow`.
        self.0.store(false, Ordering::Release);
    }

    #[cold]
    fn lock_slow(&self) {
        let backoff = Backoff::new();
        loop {
            // A plain load keeps the cache line shared until the lock looks free.
            while self.0.load(Ordering::Relaxed) {
                backoff.snooze();
            }
            // Acquire: as in `try_lock`.
            if self.0.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }
}

/// Holds a [`SpinLock`]; released when dropped.
pub(crate) struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock, so no other reference exists.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, so no other reference exists; `&mut self` makes this one unique.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard holds the lock.
        unsafe { self.lock.raw.unlock() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stress_no_increment_is_lost() {
        let lock = SpinLock::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..20_000).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 80_000);
    }
}
