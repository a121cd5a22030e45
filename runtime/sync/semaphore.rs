//! The public face of the semaphore: taking permits, and the permits, which give themselves back.
//!
//! How they are taken and who waits for them is the [raw semaphore](raw::RawSemaphore)'s business.

mod error;
mod raw;
mod word;

use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::task::checkpoint;

pub use error::{AcquireError, TryAcquireError};
use raw::RawSemaphore;
use word::MAX_PERMITS;

/// A number of permits of which tasks and threads take some and give them back, with `tokio`'s API.
///
/// **Parks**: [`acquire`](Self::acquire) and [`acquire_many`](Self::acquire_many), and those with a timeout or a
/// deadline. **Fairness**: requests are met in the order of coming; one for many permits is not starved by small ones,
/// which wait behind it. **Cancellation**: a task that is cancelled while it waits unwinds, with no permit taken.
/// **Cost**: one compare-and-swap to acquire and one to release while nobody waits.
///
/// # Examples
///
/// ```
/// use fibra::sync::Semaphore;
///
/// static CONNECTIONS: Semaphore = Semaphore::new(2); // at most two at a time
///
/// fibra::run(|| {
///     let tasks: Vec<_> = (0..10)
///         .map(|i| {
///             fibra::spawn(move || {
///                 let _permit = CONNECTIONS.acquire().unwrap();
///                 i * i
///             })
///         })
///         .collect();
///     assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<u32>(), 285);
///     assert_eq!(CONNECTIONS.available_permits(), 2);
/// });
/// ```
pub struct Semaphore {
    raw: RawSemaphore,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl Semaphore {
    /// The greatest number of permits.
    pub const MAX_PERMITS: usize = MAX_PERMITS;

    /// Makes a semaphore with so many permits.
    ///
    /// # Panics
    ///
    /// If `permits` exceeds [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[cfg(not(fibra_loom))]
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self { raw: RawSemaphore::new(permits) }
    }

    /// The same; loom's atomics can't be made in a constant.
    #[cfg(fibra_loom)]
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { raw: RawSemaphore::new(permits) }
    }

    /// How many permits are there to be acquired. The answer may be stale when it comes.
    pub fn available_permits(&self) -> usize {
        self.raw.available()
    }

    /// Takes one permit; parks until there is one.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or becomes so while the caller waits.
    #[inline]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1)
    }

    /// Takes `n` permits in one step; parks until there are so many.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        checkpoint();
        self.raw.take(n as usize, None).map_err(|_| AcquireError)?;
        Ok(SemaphorePermit::new(self, n as usize))
    }

    /// Takes one permit if there is one and nobody waits. Never parks.
    ///
    /// # Errors
    ///
    /// If there is none, or the semaphore is closed.
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if there are so many and nobody waits. Never parks.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let taken = self.raw.try_take(n as usize);
        if taken.is_err() {
            // A loop that tries for ever must not keep the others from running.
            checkpoint();
        }
        taken.map(|()| SemaphorePermit::new(self, n as usize))
    }

    /// Takes `n` permits; parks until there are so many, but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), when the time has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use fibra::sync::{Semaphore, TryAcquireError};
    ///
    /// let semaphore = Semaphore::new(1);
    /// let error = semaphore.try_acquire_many_for(2, Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error, TryAcquireError::NoPermits);
    /// assert!(semaphore.try_acquire_many_for(1, Duration::from_millis(1)).is_ok());
    /// ```
    pub fn try_acquire_many_for(
        &self,
        n: u32,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        checkpoint();
        // The clock is read only to wait. A deadline beyond its range never comes.
        if self.raw.try_take(n as usize).is_err() {
            self.raw.take(n as usize, Instant::now().checked_add(timeout))?;
        }
        Ok(SemaphorePermit::new(self, n as usize))
    }

    /// Takes `n` permits; parks until there are so many, but not beyond `deadline`.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), when the deadline has passed.
    pub fn try_acquire_many_until(
        &self,
        n: u32,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        checkpoint();
        self.raw.take(n as usize, Some(deadline))?;
        Ok(SemaphorePermit::new(self, n as usize))
    }

    /// [`try_acquire_many_for`](Self::try_acquire_many_for) with one permit.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_acquire_for(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many_for(1, timeout)
    }

    /// [`try_acquire_many_until`](Self::try_acquire_many_until) with one permit.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_acquire_until(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many_until(1, deadline)
    }

    /// As [`acquire`](Self::acquire); the permit shares the semaphore and can go anywhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Self::acquire_many); the permit shares the semaphore and can go anywhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn acquire_many_owned(self: Arc<Self>, n: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        let permits = self.acquire_many(n)?.defuse();
        Ok(OwnedSemaphorePermit::new(self, permits))
    }

    /// As [`try_acquire`](Self::try_acquire); the permit shares the semaphore and can go anywhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many); the permit shares the semaphore and can go anywhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_acquire_many_owned(self: Arc<Self>, n: u32) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.try_acquire_many(n)?.defuse();
        Ok(OwnedSemaphorePermit::new(self, permits))
    }

    /// Adds permits, also beyond the number that the semaphore began with. Never parks.
    ///
    /// # Panics
    ///
    /// If more than [`MAX_PERMITS`](Self::MAX_PERMITS) would be available. Nothing is added then.
    #[inline]
    pub fn add_permits(&self, n: usize) {
        self.raw.add(n);
    }

    /// Takes away up to `n` of the available permits for good, and returns how many. Never parks.
    pub fn forget_permits(&self, n: usize) -> usize {
        self.raw.remove(n)
    }

    /// Closes the semaphore: all who wait and all who come get an error. Permits that are out can be given back.
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether the semaphore is closed.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Semaphore");
        s.field("available_permits", &self.available_permits());
        s.field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`]; given back when dropped.
#[must_use = "a permit that is dropped at once is given back at once"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore, permits: usize) -> Self {
        Self { semaphore, permits }
    }

    /// Takes the permits out, so that nothing is given back.
    pub(super) fn defuse(mut self) -> usize {
        mem::take(&mut self.permits)
    }

    /// Keeps the permits for good: they are not given back.
    pub fn forget(self) {
        self.defuse();
    }

    /// How many permits this is.
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// Takes `n` permits out into one of their own; `None` if there are not so many.
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(Self::new(self.semaphore, n))
    }

    /// Adds the permits of another.
    ///
    /// # Panics
    ///
    /// If it is of another semaphore.
    pub fn merge(&mut self, other: Self) {
        assert!(std::ptr::eq(self.semaphore, other.semaphore), "merging permits from different semaphores");
        self.permits += other.defuse();
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.permits != 0 {
            self.semaphore.add_permits(self.permits);
        }
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("permits", &self.permits).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`] that share it, from [`Semaphore::acquire_owned`]; given back when dropped.
#[must_use = "a permit that is dropped at once is given back at once"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl OwnedSemaphorePermit {
    pub(super) fn new(semaphore: Arc<Semaphore>, permits: usize) -> Self {
        Self { semaphore, permits }
    }

    /// Keeps the permits for good: they are not given back.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// How many permits this is.
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// The semaphore that the permits are of.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// Takes `n` permits out into one of their own; `None` if there are not so many.
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(n)?;
        Some(Self::new(self.semaphore.clone(), n))
    }

    /// Adds the permits of another.
    ///
    /// # Panics
    ///
    /// If it is of another semaphore.
    pub fn merge(&mut self, mut other: Self) {
        assert!(Arc::ptr_eq(&self.semaphore, &other.semaphore), "merging permits from different semaphores");
        self.permits += mem::take(&mut other.permits);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        if self.permits != 0 {
            self.semaphore.add_permits(self.permits);
        }
    }
}

impl fmt::Debug for OwnedSemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSemaphorePermit").field("permits", &self.permits).finish_non_exhaustive()
    }
}
