//! What a worker sleeps in: its epoll instance, and the eventfd that wakes it from outside.
//!
//! Never schedules anything: it returns, and the worker looks at its queues.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::os::epoll::Epoll;
use crate::os::eventfd::EventFd;

/// One worker's sleeping place. [`wait`](Self::wait) is for the worker alone, [`wake`](Self::wake) for everybody.
pub(crate) struct Driver {
    epoll: Epoll,
    waker: EventFd,
}

/// The key under which the eventfd reports.
const WAKER: u64 = 0;

/// Events taken by one system call.
const BATCH: usize = 64;

impl Driver {
    pub(crate) fn new() -> io::Result<Self> {
        let driver = Self { epoll: Epoll::new()?, waker: EventFd::new()? };
        // Edge-triggered: each `wake` reports once, and nobody needs to read the counter back to zero.
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        driver.epoll.add(driver.waker.as_raw_fd(), events, WAKER)?;
        Ok(driver)
    }

    /// Sleeps until `wake`, or at most for `timeout`. Returns early for no reason at times.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // The descriptors are ours and stay open, and the timeout is in range: what remains is a signal, reported as
        // no events. Should the kernel refuse all the same, the worker polls instead of sleeping.
        if self.epoll.wait(&mut events, timeout).is_err() {
            std::thread::yield_now();
        }
    }

    /// Ends the current or next [`wait`](Self::wait). A system call.
    pub(crate) fn wake(&self) {
        self.waker.signal();
    }
}
