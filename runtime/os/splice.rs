//! Moving bytes between descriptors inside the kernel: `splice`, `copy_file_range`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Moves up to `len` bytes from one descriptor to another, one of which is a pipe. Waits for neither pipe nor
/// non-blocking socket: `WouldBlock`. 0 is the end.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: null offsets mean the descriptors' own positions.
    count(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), len, flags) })
}

/// Copies up to `len` bytes from file to file, where the file system can without copying. 0 is the end.
pub(crate) fn copy_file_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: null offsets mean the files' own positions.
    count(unsafe { libc::copy_file_range(from, ptr::null_mut(), to, ptr::null_mut(), len, 0) })
}

fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
