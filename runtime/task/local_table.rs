//! The values that a task, or a plain thread, has of task-local keys.
//!
//! ```text
//! header or thread ──▶ Table ──▶ slots, by the keys' indices: | empty | ● | gone | ● |
//!                                                                   │
//!                                              box: | Head: how to drop and to inherit it | value |
//! ```
//!
//! | a slot is | from | until |
//! | --- | --- | --- |
//! | empty | the table's start | the first use of the key makes the value |
//! | alive | that moment, or the spawn for an inherited value | the owner's end |
//! | gone | just before its value is dropped | the table itself is freed |
//!
//! A value stays in its place while it is alive, so references to it survive the growth of `slots`. A table is used by
//! one thread at a time: the owner's, or for an unstarted task the one that has it, or one that works for its owner while
//! that is parked.
//!
//! Rejected: a map keyed by the key's address. An array costs a task 8 bytes for each key with a lower index, and a look-up
//! two loads and a comparison.

use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

/// What is known of a value without its type.
pub(super) struct Kind {
    /// Drops the value and frees its box.
    drop: unsafe fn(NonNull<Head>),
    /// The value for a task that its owner spawns; `None` if the key is not inherited.
    inherit: Option<unsafe fn(NonNull<Head>) -> NonNull<Head>>,
}

/// The beginning of a box with a value in it.
pub(super) struct Head {
    kind: &'static Kind,
    /// The thread that uses the value right now, and has perhaps parked while it does; null for none. Of use only where
    /// another thread works for the owner: a reference that the owner holds must not be doubled there.
    user: Cell<*const ()>,
}

/// A use of a value by one thread, within which that one may use it again.
pub(super) struct Use<'a> {
    head: &'a Head,
    before: *const (),
}

impl Head {
    /// Begins a use by this thread, unless the other one is in the middle of one: of the owner and of who works for it.
    #[inline]
    pub(super) fn begin_use(&self, thread: *const ()) -> Option<Use<'_>> {
        let before = self.user.get();
        if !before.is_null() && before != thread {
            return None;
        }
        self.user.set(thread);
        Some(Use { head: self, before })
    }
}

impl Drop for Use<'_> {
    #[inline]
    fn drop(&mut self) {
        self.head.user.set(self.before);
    }
}

#[repr(C)]
pub(super) struct Boxed<T> {
    head: Head,
    value: T,
}

impl<T: 'static> Boxed<T> {
    /// Values that stay with their owner.
    pub(super) const PRIVATE: &'static Kind = &Kind { drop: drop_boxed::<T>, inherit: None };

    #[inline]
    pub(super) fn make(kind: &'static Kind, value: T) -> NonNull<Head> {
        NonNull::from(Box::leak(Box::new(Self { head: Head { kind, user: Cell::new(ptr::null()) }, value })))
            .cast()
    }

    /// # Safety
    ///
    /// The box was made with this type, and is alive as long as the reference is used.
    #[inline]
    pub(super) unsafe fn value<'a>(head: NonNull<Head>) -> &'a T {
        // SAFETY: by the contract; the head is the first field of a `repr(C)` struct.
        unsafe { &head.cast::<Self>().as_ref().value }
    }
}

impl<T: Clone + Send + 'static> Boxed<T> {
    /// Values of which a spawned task gets a clone.
    pub(super) const INHERITED: &'static Kind =
        &Kind { drop: drop_boxed::<T>, inherit: Some(clone_boxed::<T>) };
}

/// # Safety
///
/// `head` begins a box of this type, which nobody uses any more.
unsafe fn drop_boxed<T>(head: NonNull<Head>) {
    // SAFETY: `Boxed::make` leaked it as a box of this type.
    drop(unsafe { Box::from_raw(head.cast::<Boxed<T>>().as_ptr()) });
}

/// # Safety
///
/// `head` begins a box of this type, which is alive.
unsafe fn clone_boxed<T: Clone + 'static>(head: NonNull<Head>) -> NonNull<Head> {
    // SAFETY: passed on from our caller.
    let (kind, value) = unsafe { (head.as_ref().kind, Boxed::<T>::value(head)) };
    Boxed::make(kind, value.clone())
}

/// What a key finds in its slot.
pub(super) enum Found {
    Empty,
    Alive(NonNull<Head>),
    Gone,
}

/// Where an owner keeps the pointer to its table; a leaked box.
pub(crate) type Place = Cell<Option<NonNull<Table>>>;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Table {
    // Borrowed for single accesses only, never while foreign code runs.
    slots: UnsafeCell<Vec<*mut Head>>,
    /// How many values were made that are inherited: mostly none, so that a spawn need not look.
    heirlooms: Cell<u32>,
}

#[cold]
#[track_caller]
pub(super) fn in_use_elsewhere() -> ! {
    panic!(
        "a task-local that the task uses while it is parked can't be used by a thread that works for it: end the \
         call of `with` before that of `blocking`"
    )
}

/// The content of a slot whose value is gone.
const GONE: *mut Head = ptr::without_provenance_mut(1);

impl Table {
    /// The value of the key with this index.
    #[inline]
    pub(super) fn find(&self, index: usize) -> Found {
        // SAFETY: no other reference to the vector exists (see the field).
        let slot = unsafe { &*self.slots.get() }.get(index).copied();
        match slot.unwrap_or(ptr::null_mut()) {
            GONE => Found::Gone,
            slot => NonNull::new(slot).map_or(Found::Empty, Found::Alive),
        }
    }

    /// Fills the slot of a key, which is empty.
    pub(super) fn put(&self, index: usize, value: NonNull<Head>) {
        // SAFETY: a live box.
        if unsafe { value.as_ref() }.kind.inherit.is_some() {
            self.heirlooms.set(self.heirlooms.get() + 1);
        }
        // SAFETY: no other reference to the vector exists (see the field).
        let slots = unsafe { &mut *self.slots.get() };
        if slots.len() <= index {
            slots.resize(index + 1, ptr::null_mut());
        }
        debug_assert!(slots[index].is_null());
        slots[index] = value.as_ptr();
    }

    fn len(&self) -> usize {
        // SAFETY: no other reference to the vector exists (see the field).
        unsafe { &*self.slots.get() }.len()
    }

    /// A table with what a task inherits that is spawned now; `None` if that is nothing.
    ///
    /// Runs `Clone`s, which may use the table.
    #[inline]
    pub(super) fn inherited(&self, thread: *const ()) -> Option<Box<Table>> {
        if self.heirlooms.get() == 0 { None } else { Some(self.inherited_slow(thread)) }
    }

    #[cold]
    fn inherited_slow(&self, thread: *const ()) -> Box<Table> {
        let heir = Box::<Table>::default();
        for index in 0..self.len() {
            let Found::Alive(head) = self.find(index) else { continue };
            // SAFETY: it is alive, and stays so: only the end of the owner, which runs this, ends it.
            let value = unsafe { head.as_ref() };
            if let Some(inherit) = value.kind.inherit {
                let Some(_use) = value.begin_use(thread) else { in_use_elsewhere() };
                // SAFETY: `inherit` is of the box's own kind, and the value is alive.
                heir.put(index, unsafe { inherit(head) });
            }
        }
        heir
    }

    /// Drops all values, and those that their destructors make. Destructors find the values that are not gone yet.
    pub(super) fn clear(&self) {
        loop {
            let mut found = false;
            for index in (0..self.len()).rev() {
                let Found::Alive(head) = self.find(index) else { continue };
                found = true;
                // SAFETY: no other reference to the vector exists (see the field).
                unsafe { (&mut *self.slots.get())[index] = GONE };
                // A destructor that panics has been reported by the panic hook; its payload might panic again.
                // SAFETY: of the box's own kind, and out of its slot, so nobody uses it any more.
                let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (head.as_ref().kind.drop)(head) }));
                if let Err(payload) = dropped {
                    std::mem::forget(payload);
                }
            }
            // A key that is gone stays gone, so there are only as many rounds as keys.
            if !found {
                return;
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.clear();
    }
}
