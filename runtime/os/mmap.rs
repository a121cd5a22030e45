//! `mmap` and its relatives: address space, what may be done with it, and what the kernel may take back.
//!
//! Everything here deals in addresses, not pointers: nobody in this process reads or writes the memory through what
//! these calls return, except stacks, which the processor reaches through its stack pointer.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check;

/// The kernel's names for these are too new for every `libc`.
const MADV_DONTNEED_LOCKED: libc::c_int = 24;
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

/// What [`advise`] tells the kernel about a range.
#[derive(Clone, Copy)]
pub(crate) enum Advice {
    /// Its contents are of no use any more: the memory goes back, the address space stays. Refused with `EINVAL` where
    /// the memory is locked.
    DontNeed,
    /// The same, for locked memory (Linux 5.18).
    DontNeedLocked,
    /// No huge pages: one touched byte shall cost one small page.
    NoHugePage,
    /// Every access shall fault, without a map entry of its own (Linux 6.13). Refused with `EINVAL` by older kernels and
    /// where the memory is locked.
    GuardInstall,
    /// Undoes `GuardInstall`; what is no guard stays as it is.
    GuardRemove,
}

/// What [`protect`] allows.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Nothing,
    ReadWrite,
}

/// The size of a page, of which every length and address here is a multiple.
#[inline]
pub(crate) fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed, both times: whoever asks the system gets the same number.
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: `sysconf` takes a number.
            let size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Takes `len` bytes of address space that nothing can be done with yet. They count towards no memory limit.
pub(crate) fn reserve(len: usize) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED a new mapping replaces nothing.
    let address = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(address.expose_provenance())
    }
}

/// Gives address space back.
///
/// # Safety
///
/// The range came from [`reserve`], and nothing in it is used any more.
pub(crate) unsafe fn unmap(address: usize, len: usize) {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::munmap(ptr::with_exposed_provenance_mut(address), len) };
    debug_assert_eq!(result, 0, "munmap refused: {}", io::Error::last_os_error());
}

/// Changes what may be done with a range.
///
/// # Safety
///
/// The range came from [`reserve`], and nobody counts on the access that it loses.
pub(crate) unsafe fn protect(address: usize, len: usize, access: Access) -> io::Result<()> {
    let access = match access {
        Access::Nothing => libc::PROT_NONE,
        Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    // SAFETY: the caller's promise.
    check(unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(address), len, access) }).map(drop)
}

/// Tells the kernel how a range is going to be used.
///
/// # Safety
///
/// The range came from [`reserve`], and nobody counts on the contents or the access that the advice takes away.
pub(crate) unsafe fn advise(address: usize, len: usize, advice: Advice) -> io::Result<()> {
    let advice = match advice {
        Advice::DontNeed => libc::MADV_DONTNEED,
        Advice::DontNeedLocked => MADV_DONTNEED_LOCKED,
        Advice::NoHugePage => libc::MADV_NOHUGEPAGE,
        Advice::GuardInstall => MADV_GUARD_INSTALL,
        Advice::GuardRemove => MADV_GUARD_REMOVE,
    };
    // SAFETY: the caller's promise.
    check(unsafe { libc::madvise(ptr::with_exposed_provenance_mut(address), len, advice) }).map(drop)
}

/// Locks a range's pages into memory, each when it is first touched and none before.
///
/// # Safety
///
/// The range came from [`reserve`].
pub(crate) unsafe fn lock_on_fault(address: usize, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::mlock2(ptr::with_exposed_provenance_mut(address), len, libc::MLOCK_ONFAULT) })
        .map(drop)
}

/// Whether the kernel can read the byte at `address` on our behalf.
pub(crate) fn is_readable(address: usize) -> bool {
    // The kernel reads a path there, and says so if it can't. Whatever the path is, looking for it changes nothing.
    // SAFETY: the kernel checks the address; we don't touch it.
    let result = unsafe { libc::access(ptr::without_provenance(address), libc::F_OK) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoke() {
        let len = 16 * page_size();
        let address = reserve(len).unwrap();
        let byte: *mut u8 = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range is ours; it is touched only while it may be.
        unsafe {
            protect(address, len, Access::ReadWrite).unwrap();
            byte.write(7);
            assert_eq!(byte.read(), 7);
            // EINVAL: this process has locked its memory.
            if advise(address, len, Advice::DontNeed).is_ok() {
                assert_eq!(byte.read(), 0);
            }
            unmap(address, len);
        }
    }

    #[test]
    fn an_impossible_reservation_is_an_error() {
        assert_eq!(reserve(1 << 60).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }
}
