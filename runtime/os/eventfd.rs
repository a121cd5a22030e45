//! `eventfd`: a counter that wakes whoever polls it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// A non-blocking eventfd.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the call above has just opened `fd`, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds one to the counter. An edge-triggered watcher sees an event for each call, so nobody needs to read it.
    pub(crate) fn signal(&self) {
        let one = 1u64;
        // SAFETY: the eight bytes of `one` are valid for reads.
        let written = unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
        if written == -1 {
            // The counter stands at its maximum (nobody reads it): start it anew, then signal again.
            self.drain();
            // SAFETY: as above.
            unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: the eight bytes of `count` are valid for writes.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
