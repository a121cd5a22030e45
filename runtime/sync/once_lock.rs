//! A cell that is written once: a [`Once`] and the value.
//!
//! The value is there exactly while the `Once` is done; whoever finds it done may read, and nobody writes any more.

use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;

/// A cell that can be written once, from a task or a thread: [`std::sync::OnceLock`], whose initialiser may park.
///
/// **Parks** those who come while an initialiser runs, until it is done. One that panics, fails, or whose task is
/// cancelled leaves the cell empty: the next caller, or the first of those who wait, runs its own.
///
/// An initialiser that uses its own cell panics; std's deadlocks.
///
/// **Cost** of a read: one load.
///
/// # Examples
///
/// ```
/// use fibra::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
///
/// fibra::run(|| {
///     let load = || {
///         fibra::sleep(std::time::Duration::from_millis(1));
///         "loaded once".to_owned()
///     };
///     let tasks: Vec<_> = (0..5).map(|_| fibra::spawn(move || CONFIG.get_or_init(load).len())).collect();
///     tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 11));
/// });
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
    /// It drops a `T`.
    owns: PhantomData<T>,
}

// SAFETY: sharing the cell lends `&T` to several threads (`Sync`), and may move a `T` from the one that writes to the one
// that drops it (`Send`).
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: the cell owns its `T` and nothing that is bound to a thread.
unsafe impl<T: Send> Send for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// Makes an empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self { once: Once::new(), value: UnsafeCell::new(MaybeUninit::uninit()), owns: PhantomData }
    }

    /// The value, if there is one. Never parks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: done, so the value is there and stays as it is.
        self.once.is_completed().then(|| unsafe { self.get_unchecked() })
    }

    /// The value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: done, so the value is there; the access is exclusive.
        self.once.is_completed().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Parks until there is a value.
    ///
    /// # Panics
    ///
    /// In the cell's own initialiser.
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait();
        // SAFETY: done, so the value is there and stays as it is.
        unsafe { self.get_unchecked() }
    }

    /// Writes the value. Waits for an initialiser that runs now.
    ///
    /// # Errors
    ///
    /// If there is a value already; `value` comes back.
    ///
    /// # Panics
    ///
    /// In the cell's own initialiser.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("the initialiser runs once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; if there is none yet, `f` makes it, or that of another caller who came first.
    ///
    /// A task that is cancelled while it waits for another's `f` unwinds.
    ///
    /// # Panics
    ///
    /// If `f` panics, which leaves the cell empty; and in the cell's own initialiser.
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(f())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value; if there is none yet, `f` makes it or fails, or that of another caller who came first makes it.
    ///
    /// # Errors
    ///
    /// That of `f`, which leaves the cell empty.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](Self::get_or_init).
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert!(cell.get_or_try_init(|| "many".parse::<u32>()).is_err());
    /// assert_eq!(cell.get_or_try_init(|| "3".parse::<u32>()), Ok(&3));
    /// assert_eq!(cell.get(), Some(&3));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        self.init(f)?;
        // SAFETY: done, so the value is there and stays as it is.
        Ok(unsafe { self.get_unchecked() })
    }

    /// The value, if there was one.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out, so that the cell is empty.
    pub fn take(&mut self) -> Option<T> {
        // SAFETY: it was done, so the value was there; it no longer counts as there.
        self.once.reset().then(|| unsafe { self.value.get_mut().assume_init_read() })
    }

    #[cold]
    #[track_caller]
    fn init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        if let Some(run) = self.once.try_begin() {
            let value = f()?;
            // SAFETY: we have the right to run: nobody reads before it is done, and nobody else writes.
            unsafe { (*self.value.get()).write(value) };
            run.complete();
        }
        Ok(())
    }

    /// # Safety
    ///
    /// It is done.
    #[inline]
    unsafe fn get_unchecked(&self) -> &T {
        // SAFETY: written before it was done, and by nobody afterwards but with exclusive access.
        unsafe { (*self.value.get()).assume_init_ref() }
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<uninit>")),
        };
        tuple.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        // It is new, so the value fits in.
        let _ = cell.set(value);
        cell
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
