//! Flags of a file descriptor, and calls on one that somebody else owns.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::check;

/// One end of a pipe once more, as an open file of its own, non-blocking. Fails if the other end is gone, or
/// without `/proc`.
pub(crate) fn reopen_pipe(fd: BorrowedFd<'_>, for_writing: bool) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut options = std::fs::OpenOptions::new();
    options.read(!for_writing).write(for_writing).custom_flags(libc::O_NONBLOCK);
    Ok(options.open(path)?.into())
}

/// Whether `O_NONBLOCK` is set.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers are passed.
    Ok(check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })? & libc::O_NONBLOCK != 0)
}

/// Sets or clears `O_NONBLOCK`. The flag belongs to the open file, which duplicates of `fd` share.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let wanted = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    if wanted != flags {
        // SAFETY: as above.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) })?;
    }
    Ok(())
}

/// What a descriptor leads to, as far as waiting for it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pipe,
    /// A regular file or a block device: always ready for `poll`, and slow all the same.
    Disk,
    /// A terminal, a socket, and the like.
    Other,
}

/// What kind `fd` is of.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the structure may be written to.
    check(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call has filled it in.
    let mode = unsafe { stat.assume_init() }.st_mode;
    Ok(match mode & libc::S_IFMT {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFREG | libc::S_IFBLK => Kind::Disk,
        _ => Kind::Other,
    })
}

/// `read(2)`.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer may be written to throughout the call, up to its length.
    let read = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// `write(2)`.
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: the buffer may be read throughout the call, up to its length.
    let written = unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len()) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// `atexit(3)`: has `f` called when the process exits in an orderly way. False if there is no room for it.
pub(crate) fn at_exit(f: extern "C" fn()) -> bool {
    // SAFETY: a function lives as long as the program, whose code is not unloaded before its exit handlers
    // have run.
    unsafe { libc::atexit(f) == 0 }
}
