//! `pidfd`: a descriptor that is readable once a process has ended (Linux 5.3).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Opens a pidfd for a process that has not been waited for. It is closed on exec.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just opened `fd`, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
