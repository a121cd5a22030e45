//! Values of which every task has its own: [`task_local!`](crate::task_local!), as [`std::thread_local!`] for threads.
//!
//! A thread-local is shared by all the tasks that its thread runs; a task-local belongs to one task, wherever that runs.
//! The API is that of [`std::thread::LocalKey`].
//!
//! ```
//! use std::cell::Cell;
//!
//! fibra::task_local! {
//!     static STEPS: Cell<u32> = Cell::new(0);
//! }
//!
//! fibra::run(|| {
//!     let count = |steps| move || {
//!         (0..steps).for_each(|_| {
//!             STEPS.set(STEPS.get() + 1);
//!             fibra::yield_now(); // the others count in between, each for itself
//!         });
//!         STEPS.get()
//!     };
//!     let tasks: Vec<_> = (0..5).map(|steps| fibra::spawn(count(steps))).collect();
//!     tasks.into_iter().enumerate().for_each(|(i, task)| assert_eq!(task.join().unwrap(), i as u32));
//! });
//! ```
//!
//! **Life.** A value is made at its task's first use of the key, and dropped when the task ends: after its closure has
//! returned or unwound, before `join` returns, on the task's own stack. Destructors may park (cancellation is held back
//! from them), and may use other task-locals, which are made anew if need be; the key whose value is being or was dropped
//! gives an [`AccessError`]. They run in no particular order. One that panics is reported, and the others still run.
//!
//! **Plain OS threads** have values of their own, dropped when the thread ends. On a thread that runs a
//! [`blocking`](crate::blocking) call, a key whose type is `Send` finds the value of the calling task; a panic says so where
//! that one makes the call inside of the key's own `with`, since a value that is not `Sync` must not be seen by both.
//!
//! **Inheritance.** A key declared as `static inherit` hands its value down: a task that is spawned gets a clone of the
//! value that its spawner, task or thread, has at that moment; of an [`Arc`](std::sync::Arc) that is the same thing,
//! shared. What either of them sets later is its own business. If the spawner has none the task makes its own. This is for
//! what belongs to a whole request: its identity, its trace, its user; Java calls it a scoped value.
//!
//! ```
//! use std::cell::Cell;
//!
//! fibra::task_local! {
//!     /// The request that the task works for.
//!     static inherit REQUEST: Cell<u64> = Cell::new(0);
//! }
//!
//! fibra::run(|| {
//!     REQUEST.set(7);
//!     let helper = fibra::spawn(|| fibra::spawn(|| REQUEST.get()).join().unwrap());
//!     REQUEST.set(8);
//!     assert_eq!(helper.join().unwrap(), 7);
//! });
//! ```
//!
//! **Cost.** A pointer per task. A look-up takes a few nanoseconds; a value costs the task an allocation, and the first one
//! two more. A spawn clones the inherited values that its spawner has.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::local_owner::{table, table_or_new, thread};
use super::local_table::{Boxed, Found, Head, Kind, in_use_elsewhere};

/// A key to a value that every task has its own of; declared by [`task_local!`](crate::task_local!).
///
/// See the [module's page](self) for what a value's life is.
pub struct LocalKey<T: 'static> {
    /// One more than the index of the slot; 0 until the first use.
    number: AtomicUsize,
    init: fn() -> T,
    kind: &'static Kind,
    is_send: bool,
}

impl<T: 'static> LocalKey<T> {
    /// For the macro.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T, is_send: IsSend<T>) -> Self {
        Self { number: AtomicUsize::new(0), init, kind: Boxed::<T>::PRIVATE, is_send: is_send.0 }
    }

    /// For the macro.
    #[doc(hidden)]
    pub const fn inherited(init: fn() -> T) -> Self
    where
        T: Clone + Send,
    {
        Self { number: AtomicUsize::new(0), init, kind: Boxed::<T>::INHERITED, is_send: true }
    }

    /// Calls `f` with the task's value, which is made if it is not there yet.
    ///
    /// The reference stays valid if `f` parks.
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) returns an error, or panics.
    #[inline]
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => refuse(error),
        }
    }

    /// Calls `f` with the task's value, which is made if it is not there yet.
    ///
    /// # Errors
    ///
    /// If the value is being dropped or was, because the task ends; and in a plain thread that has dropped its
    /// thread-locals.
    ///
    /// # Panics
    ///
    /// In a [`blocking`](crate::blocking) call that was made inside of the key's own `with`.
    #[inline]
    #[track_caller]
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let head = match self.find() {
            Found::Alive(head) => head,
            Found::Empty => self.make(self.init)?,
            Found::Gone => return Err(AccessError(())),
        };
        Ok(Self::use_value(head, f))
    }

    /// Calls `f` with the value in a box of this key's slot.
    #[inline]
    #[track_caller]
    fn use_value<R>(head: NonNull<Head>, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: boxes live until the owner's end, which runs after all that runs in the task now, or on its behalf.
        let Some(_use) = unsafe { head.as_ref() }.begin_use(thread()) else { in_use_elsewhere() };
        // SAFETY: as above; boxes in the slot of this key were made with this type. What is not `Sync` is used by one
        // thread at a time, as `_use` sees to.
        f(unsafe { Boxed::<T>::value(head) })
    }

    /// Calls `f` with the task's value and `value`, or makes that the task's value if there is none yet.
    #[inline]
    #[track_caller]
    fn set_with(&'static self, value: T, f: impl FnOnce(&T, T)) {
        let made = match self.find() {
            Found::Alive(head) => return Self::use_value(head, |old| f(old, value)),
            // The value that `init` would make is never seen, so it is not made.
            Found::Empty => self.make(|| value).map(|_| ()),
            Found::Gone => Err(AccessError(())),
        };
        if let Err(error) = made {
            refuse(error);
        }
    }

    #[inline]
    fn find(&self) -> Found {
        // Relaxed: the number guards nothing. A key that has none yet is beyond the end of every table.
        let index = self.number.load(Ordering::Relaxed).wrapping_sub(1);
        table(self.is_send).map_or(Found::Empty, |table| table.find(index))
    }

    #[cold]
    fn make(&self, init: impl FnOnce() -> T) -> Result<NonNull<Head>, AccessError> {
        let index = self.number_slow() - 1;
        // Before the value: there may be no place for it.
        table_or_new(self.is_send).ok_or(AccessError(()))?;
        let value = init();
        // Asked again: `init` runs foreign code, which may have parked.
        let table = table_or_new(self.is_send).ok_or(AccessError(()))?;
        match table.find(index) {
            Found::Empty => {
                let head = Boxed::make(self.kind, value);
                table.put(index, head);
                Ok(head)
            }
            // `init` used its own key. That value is in use already, so this one goes.
            Found::Alive(head) => Ok(head),
            Found::Gone => Err(AccessError(())),
        }
    }

    fn number_slow(&self) -> usize {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only the numbers have to differ.
        let number = self.number.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        // One of those who are here at once wins; the other's number stays unused.
        match self.number.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => number,
            Err(winner) => winner,
        }
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the task's value. If there is none yet, the initialiser does not run.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.set_with(Cell::new(value), |cell, value| cell.set(value.into_inner()));
    }

    /// A copy of the task's value.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the task's value, and leaves the default.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the task's value, and returns the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the task's value, borrowed.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and if the value is mutably borrowed.
    #[track_caller]
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the task's value, mutably borrowed.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and if the value is borrowed.
    #[track_caller]
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the task's value. If there is none yet, the initialiser does not run.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and if the value is borrowed.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.set_with(RefCell::new(value), |cell, value| *cell.borrow_mut() = value.into_inner());
    }

    /// Takes the task's value, and leaves the default.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and if the value is borrowed.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the task's value, and returns the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and if the value is borrowed.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The value is being dropped, or was: its task or thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local value is being dropped or was dropped: its task or thread ends")
    }
}

impl Error for AccessError {}

#[cold]
#[track_caller]
fn refuse(error: AccessError) -> ! {
    panic!("cannot access a task-local: {error}; use `try_with` in destructors")
}

/// Whether a type is `Send`, found out by the macro: an associated constant of the type's own comes before one of a trait,
/// and this one's own is there only if `T: Send`.
#[doc(hidden)]
pub struct IsSend<T>(bool, std::marker::PhantomData<fn(T)>);

impl<T: Send> IsSend<T> {
    #[doc(hidden)]
    pub const PROBE: Self = Self(true, std::marker::PhantomData);
}

#[doc(hidden)]
pub trait NotSend {
    const PROBE: Self;
}

impl<T> NotSend for IsSend<T> {
    const PROBE: Self = Self(false, std::marker::PhantomData);
}

/// Declares [task-local](mod@crate::task_local) values, as [`std::thread_local!`] declares thread-local ones.
///
/// `inherit` after `static` makes the value of a spawned task begin as a clone of its spawner's; the type must be
/// [`Clone`] and [`Send`].
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
/// use std::sync::Arc;
///
/// fibra::task_local! {
///     static DEPTH: Cell<usize> = const { Cell::new(0) };
///     /// Names are shared with the tasks that this one spawns.
///     pub static inherit NAMES: RefCell<Arc<Vec<String>>> = RefCell::default();
/// }
///
/// fibra::run(|| {
///     NAMES.set(Arc::new(vec!["main".into()]));
///     fibra::spawn(|| NAMES.with_borrow(|names| assert_eq!(names[0], "main"))).join().unwrap();
///     assert_eq!(DEPTH.get(), 0);
/// });
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static inherit $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::task_local::LocalKey<$type> = {
            fn init() -> $type {
                $init
            }
            $crate::task_local::LocalKey::inherited(init)
        };
        $($crate::task_local! { $($rest)* })?
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::task_local::LocalKey<$type> = {
            fn init() -> $type {
                $init
            }
            #[allow(unused_imports)]
            use $crate::task_local::NotSend as _;
            $crate::task_local::LocalKey::new(init, $crate::task_local::IsSend::<$type>::PROBE)
        };
        $($crate::task_local! { $($rest)* })?
    };
}
