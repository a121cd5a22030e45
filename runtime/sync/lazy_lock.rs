//! A value that its first user makes: a [`OnceLock`] and the closure.
//!
//! The closure lies beside the value until that is made, since it may have to run again. Only the one who has the right to
//! initialise touches it, and after that nobody but the destructor.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once_lock::OnceLock;

/// A value that is made at its first use: [`std::sync::LazyLock`], whose closure may park.
///
/// **Parks** those who come while the closure runs, until it is done; a task that is cancelled while it waits unwinds.
///
/// **A closure that panics, or whose task is cancelled in it, is called again** by the next user, where std's poisons the
/// value. So the closure is [`FnMut`], as those without captures, and those that only borrow or copy from them, are.
///
/// A closure that uses its own value panics; std's deadlocks.
///
/// **Cost** once the value is there: one load.
///
/// # Examples
///
/// ```
/// use fibra::sync::LazyLock;
///
/// static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
///     (2..30).filter(|n| (2..*n).all(|d| n % d != 0)).collect()
/// });
///
/// fibra::run(|| assert_eq!(PRIMES.len(), 10));
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    closure: UnsafeCell<F>,
}

// SAFETY: `&T` is lent to several threads by the `OnceLock` (which asks for `Send` and `Sync`); the closure is called by
// one thread at a time, perhaps not the one that made it (`Send`), and never lent.
unsafe impl<T, F: Send> Sync for LazyLock<T, F> where OnceLock<T>: Sync {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnMut() -> T> LazyLock<T, F> {
    /// Makes one that will call `f` at its first use.
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self { value: OnceLock::new(), closure: UnsafeCell::new(f) }
    }

    /// The value; makes it if it is not there yet. The same as dereferencing.
    ///
    /// # Panics
    ///
    /// If the closure panics; and inside of the closure, which would wait for itself.
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        this.value.get_or_init(|| {
            // SAFETY: one initialiser of the cell runs at a time, and this is the only place that uses the closure.
            let closure = unsafe { &mut *this.closure.get() };
            closure()
        })
    }
}

impl<T, F: FnMut() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<uninit>")),
        };
        tuple.finish()
    }
}
