//! Address space for slots: arenas, and the table of them that a signal handler can read.
//!
//! ```text
//! TABLE   | arena 0 | arena 1 | arena 2 |   …   room for 16,384
//!           published ──────────┘ (LENGTH counts these)
//! arena   | slot 0 | slot 1 |      …      | slot n-1 |        n ≤ 4096
//!         base                                        base + n × slot size
//! ```
//!
//! An entry is written once, before it is published, and an arena is never unmapped: so whoever finds an address in an
//! arena may rely on it for ever. The first arena of a class takes 64 MiB, each further one twice the one before, up to
//! 1 GiB; address space costs nothing. Where the system does not give as much, smaller ones do.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::class::Class;
use super::error::StackError;
use super::guard::{self, Kind};
use super::slot_set;
use crate::os::mmap::{self, Access, Advice};

const MAX_ARENAS: usize = 1 << 14;
const FIRST_SIZE: usize = 64 << 20;
const MAX_SIZE: usize = 1 << 30;

/// One entry of the table.
// Once published, only the two flags change, from false to true.
pub(super) struct Arena {
    base: AtomicUsize,
    slots: AtomicU16,
    class: AtomicU8,
    /// The kernel has refused a guard marker here, or was not to be asked.
    mprotect: AtomicBool,
    /// The kernel has refused to take memory back here, since it is locked.
    locked: AtomicBool,
}

// Relaxed, in all of it: LENGTH publishes the fields that don't change, and a flag read too early costs one more
// refused system call.
impl Arena {
    const fn empty() -> Self {
        Self {
            base: AtomicUsize::new(0),
            slots: AtomicU16::new(0),
            class: AtomicU8::new(0),
            mprotect: AtomicBool::new(false),
            locked: AtomicBool::new(false),
        }
    }

    pub(super) fn class(&self) -> Class {
        Class::from_index(self.class.load(Ordering::Relaxed))
    }

    pub(super) fn slots(&self) -> u16 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Where a slot begins; for `slots()`, where the arena ends.
    pub(super) fn slot_start(&self, slot: u16) -> usize {
        self.base.load(Ordering::Relaxed) + usize::from(slot) * self.class().slot_size()
    }

    pub(super) fn guard_kind(&self) -> Kind {
        if self.mprotect.load(Ordering::Relaxed) { Kind::Mprotect } else { Kind::Marker }
    }

    /// Guards the slot at `limit`. Doing it twice does no harm.
    ///
    /// # Safety
    ///
    /// `limit` is where a slot of this arena begins, and nobody uses that slot.
    pub(super) unsafe fn guard(&self, limit: usize) -> io::Result<()> {
        let asked = self.guard_kind();
        // SAFETY: the caller's promise.
        let got = unsafe { guard::install(asked, limit) }?;
        if got != asked {
            self.mprotect.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives the memory of a range of idle slots back to the system; the guards between them stay.
    ///
    /// # Safety
    ///
    /// The range lies in slots of this arena that nobody uses.
    pub(super) unsafe fn release(&self, address: usize, len: usize) {
        if !self.locked.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            match unsafe { mmap::advise(address, len, Advice::DontNeed) } {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    self.locked.store(true, Ordering::Relaxed);
                }
                _ => return,
            }
        }
        // SAFETY: the caller's promise. A kernel that can't do it keeps the memory; the slots work all the same.
        let _ = unsafe { mmap::advise(address, len, Advice::DontNeedLocked) };
    }
}

static TABLE: [Arena; MAX_ARENAS] = [const { Arena::empty() }; MAX_ARENAS];
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Whoever adds an arena holds this.
static GROWTH: Mutex<()> = Mutex::new(());

/// The slot that an address lies in.
pub(super) struct Slot {
    pub(super) class: Class,
    /// Where the slot begins.
    pub(super) limit: usize,
}

/// Finds the slot that `address` lies in. Async-signal-safe.
pub(super) fn find(address: usize) -> Option<Slot> {
    // Acquire: pairs with the Release in `add`; the entries below are complete.
    let published = &TABLE[..LENGTH.load(Ordering::Acquire)];
    published.iter().find_map(|arena| {
        let start = arena.slot_start(0);
        let class = arena.class();
        (start..arena.slot_start(arena.slots()))
            .contains(&address)
            .then(|| Slot { class, limit: address - (address - start) % class.slot_size() })
    })
}

/// Maps the arena that follows `existing` ones of `class`, publishes it and hands it to `shelve`. Does nothing if
/// `unchanged` says no when it is this caller's turn: several workers may run short at the same time.
pub(super) fn add(
    class: Class,
    existing: usize,
    unchanged: impl FnOnce() -> bool,
    shelve: impl FnOnce(&'static Arena),
) -> Result<(), StackError> {
    let _turn = GROWTH.lock().unwrap_or_else(PoisonError::into_inner);
    if !unchanged() {
        return Ok(());
    }
    let kind = guard::preferred().ok_or(StackError::Setting)?;
    let index = LENGTH.load(Ordering::Relaxed);
    let Some(arena) = TABLE.get(index) else {
        return Err(StackError::Arena { size: class.usable(), errno: libc::ENOMEM });
    };
    let (base, slots, locked) = map_some(class, slots_wanted(class, existing)).map_err(|error| {
        StackError::Arena { size: class.usable(), errno: error.raw_os_error().unwrap_or(0) }
    })?;
    arena.base.store(base, Ordering::Relaxed);
    arena.slots.store(slots, Ordering::Relaxed);
    arena.class.store(class.index() as u8, Ordering::Relaxed);
    arena.mprotect.store(locked || kind == Kind::Mprotect, Ordering::Relaxed);
    arena.locked.store(locked, Ordering::Relaxed);
    // Release: pairs with the Acquire in `find`.
    LENGTH.store(index + 1, Ordering::Release);
    shelve(arena);
    Ok(())
}

/// How many slots the arena after `existing` ones shall have.
fn slots_wanted(class: Class, existing: usize) -> u16 {
    let size = (FIRST_SIZE << existing.min(8)).min(MAX_SIZE);
    (size / class.slot_size()).clamp(1, slot_set::CAPACITY) as u16
}

/// Maps `slots` slots, or as many as the system gives: address, number, whether the memory is locked.
fn map_some(class: Class, mut slots: u16) -> io::Result<(usize, u16, bool)> {
    loop {
        match map(usize::from(slots) * class.slot_size()) {
            Ok((base, locked)) => return Ok((base, slots, locked)),
            Err(error) if slots == 1 => return Err(error),
            Err(_) => slots /= 2,
        }
    }
}

/// Maps `len` bytes that can be read and written: address, and whether the memory is locked.
///
/// A process that locks all its future memory would fill an arena at once, all 64 MiB of it. So the range starts out
/// inaccessible, which can't be filled, and is told to lock pages as they are touched.
fn map(len: usize) -> io::Result<(usize, bool)> {
    let base = mmap::reserve(len)?;
    match prepare(base, len) {
        Ok(locked) => Ok((base, locked)),
        Err(error) => {
            // SAFETY: just reserved, and known to nobody.
            unsafe { mmap::unmap(base, len) };
            Err(error)
        }
    }
}

/// Makes a reserved range fit for stacks, and says whether its memory is locked.
fn prepare(base: usize, len: usize) -> io::Result<bool> {
    // SAFETY: in this and the calls below: the range is reserved, and known to nobody. This one only asks: the kernel
    // refuses it where memory is locked, and there is nothing yet to be lost.
    let refused = unsafe { mmap::advise(base, len, Advice::DontNeed) }.err();
    let locked = refused.is_some_and(|error| error.raw_os_error() == Some(libc::EINVAL));
    if locked {
        // SAFETY: see above.
        unsafe { mmap::lock_on_fault(base, len) }?;
    }
    // SAFETY: see above.
    unsafe { mmap::protect(base, len, Access::ReadWrite) }?;
    // SAFETY: see above. A kernel that has no huge pages refuses, and is right.
    let _ = unsafe { mmap::advise(base, len, Advice::NoHugePage) };
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{in_child, is_child, resident};
    use super::super::{Cache, Class};
    use super::*;

    #[test]
    fn arenas_double_up_to_a_gigabyte_and_hold_at_least_one_slot() {
        let sizes =
            (0..7).map(|n| (usize::from(slots_wanted(Class::DEFAULT, n)) * Class::DEFAULT.slot_size()) >> 20);
        assert_eq!(sizes.collect::<Vec<_>>(), [63, 127, 255, 511, 1023, 1023, 1023]);
        assert_eq!(slots_wanted(Class::for_size(32 << 30).unwrap(), 0), 1);
        assert_eq!(usize::from(slots_wanted(Class::for_size(1 << 14).unwrap(), 9)), slot_set::CAPACITY);
    }

    #[test]
    fn every_address_of_a_slot_is_found_and_no_other() {
        let cache = Cache::new();
        let stack = cache.lend(Class::for_size(1 << 20).unwrap()).unwrap();
        let limit = stack.limit().get();
        for address in [limit, limit + 1, stack.base().get() - 1, limit + stack.class().slot_size() - 1] {
            let place = find(address).unwrap();
            assert_eq!((place.limit, place.class), (limit, stack.class()));
        }
        assert!(find(0).is_none());
        assert!(find(&raw const stack as usize).is_none());
        cache.give_back(stack);
    }

    #[test]
    fn little_address_space_gives_small_arenas_and_then_an_error() {
        if !is_child() {
            let name = "stack::arena::tests::little_address_space_gives_small_arenas_and_then_an_error";
            let output = in_child(name, |_| {});
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && text.contains("RLIMIT_AS"), "{text}");
            return;
        }
        let pages: usize = {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').next().unwrap().parse().unwrap()
        };
        let allowed = (pages * mmap::page_size() + (40 << 20)) as libc::rlim_t;
        let limit = libc::rlimit { rlim_cur: allowed, rlim_max: allowed };
        // SAFETY: takes two numbers.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let cache = Cache::new();
        let mut stacks = Vec::with_capacity(1000);
        let error = loop {
            match cache.lend(Class::DEFAULT) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        assert!((100..160).contains(&stacks.len()), "{} stacks", stacks.len());
        println!("{error}");
        std::mem::forget(stacks);
    }

    /// Locks this process's memory as `flags` say, and uses a few hundred stacks.
    fn under_mlockall(name: &str, flags: libc::c_int) {
        if !is_child() {
            let output = in_child(name, |_| {});
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        // SAFETY: takes a number.
        if unsafe { libc::mlockall(flags) } == -1 {
            println!("skipped: mlockall: {}", io::Error::last_os_error());
            return;
        }
        let cache = Cache::new();
        let before = resident();
        let mut stacks: Vec<_> = (0..300).map(|_| cache.lend(Class::DEFAULT).unwrap()).collect();
        let place = TABLE[..LENGTH.load(Ordering::Relaxed)].last().unwrap();
        assert!(place.guard_kind() == Kind::Mprotect && place.locked.load(Ordering::Relaxed));
        for stack in &stacks {
            super::super::testing::touch(stack);
        }
        let grown = resident() - before;
        assert!(
            (1 << 20..8 << 20).contains(&grown),
            "300 touched stacks of a locked process took {grown} bytes"
        );
        stacks.drain(..).for_each(|s| cache.give_back(s));
        drop(cache);
        while super::super::trim() {}
        let kept = resident().saturating_sub(before);
        assert!(kept < grown / 2, "{kept} of {grown} bytes kept");
    }

    #[test]
    fn locked_memory_gets_mprotect_guards_and_is_locked_as_touched() {
        let name = "stack::arena::tests::locked_memory_gets_mprotect_guards_and_is_locked_as_touched";
        under_mlockall(name, libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT);
    }

    #[test]
    fn memory_locked_at_once_does_not_fill_an_arena() {
        let name = "stack::arena::tests::memory_locked_at_once_does_not_fill_an_arena";
        under_mlockall(name, libc::MCL_FUTURE);
    }
}
