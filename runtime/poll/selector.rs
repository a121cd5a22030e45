//! The epoll instance of one worker, as those see it who register descriptors there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::os::epoll::Epoll;

/// Outlives its worker as long as descriptors are registered.
pub(crate) struct Selector {
    pub(super) epoll: Epoll,
    /// How many descriptors are watched.
    sources: AtomicU32,
    /// Nobody polls any more.
    closed: AtomicBool,
}

impl Selector {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, sources: AtomicU32::new(0), closed: AtomicBool::new(false) })
    }

    /// Watches `fd`; its events carry `key`.
    pub(super) fn add(&self, fd: BorrowedFd<'_>, events: u32, key: u64) -> io::Result<()> {
        let events = events | libc::EPOLLET as u32;
        self.epoll.add(fd.as_raw_fd(), events, key).map_err(|error| explain(fd, error))?;
        // Relaxed, as all uses: the number tells only whether a poll is worth its system call, and where few are.
        self.sources.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn delete(&self, fd: BorrowedFd<'_>) {
        self.sources.fetch_sub(1, Ordering::Relaxed);
        // It can't fail for a descriptor that is open and watched; should it, late events are dropped all the same.
        let _ = self.epoll.delete(fd.as_raw_fd());
    }

    /// How many descriptors are watched here.
    #[inline]
    pub(crate) fn sources(&self) -> u32 {
        self.sources.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        // Release: pairs with the Acquire in `is_closed`.
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[cold]
fn explain(fd: BorrowedFd<'_>, error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "it is a file or a directory, which are always ready; read and write them with fibra::fs"
        }
        Some(libc::EEXIST) => "it is being waited for through another value already; share that one",
        Some(libc::ENOSPC) => "the limit of watched descriptors is reached; raise fs.epoll.max_user_watches",
        _ => "the kernel has no room for it",
    };
    io::Error::new(
        error.kind(),
        format!("can't wait for file descriptor {}: {error}: {advice}", fd.as_raw_fd()),
    )
}
