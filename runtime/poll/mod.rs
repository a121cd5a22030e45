//! The I/O driver: what a worker sleeps in, and what tells it that descriptors are ready.
//!
//! Never schedules anything: [`Driver::poll`] returns those who are to be woken.

mod readiness;
mod registration;
mod selector;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use readiness::Seen;
pub(crate) use registration::{Direction, Ready, Registration};
pub(crate) use selector::Selector;

use crate::os::epoll::NO_EVENT;
use crate::os::eventfd::EventFd;

/// One worker's epoll instance, and the eventfd that ends its sleep. [`poll`](Self::poll) is for the worker alone,
/// [`wake`](Self::wake) for everybody.
pub(crate) struct Driver {
    selector: Arc<Selector>,
    waker: EventFd,
}

/// The key under which the eventfd reports; no slot has its index.
const WAKER: u64 = u64::MAX;

/// Events taken by one system call.
const BATCH: usize = 256;

/// Where the kernel writes events; kept, since it is too large to be cleared at every poll.
pub(crate) struct Events(Box<[libc::epoll_event; BATCH]>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(Box::new([NO_EVENT; BATCH]))
    }
}

impl Driver {
    pub(crate) fn new() -> io::Result<Self> {
        let driver = Self { selector: Arc::new(Selector::new()?), waker: EventFd::new()? };
        // Edge-triggered: each `wake` reports once, and nobody needs to read the counter back to zero.
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        driver.selector.epoll.add(driver.waker.as_raw_fd(), events, WAKER)?;
        Ok(driver)
    }

    /// Where descriptors register that this driver is to watch.
    pub(crate) fn selector(&self) -> &Arc<Selector> {
        &self.selector
    }

    /// Sleeps until something happens or somebody calls `wake`, at most for `timeout`, and returns who is to be woken.
    /// Returns early for no reason at times.
    pub(crate) fn poll(&self, timeout: Option<Duration>, events: &mut Events) -> Ready {
        let mut ready = Ready::new();
        match self.selector.epoll.wait(&mut events.0[..], timeout) {
            Ok(n) => {
                for event in &events.0[..n] {
                    let (key, events) = (event.u64, event.events);
                    if key != WAKER {
                        registration::deliver(key, events, &mut ready);
                    }
                }
            }
            // The descriptors are ours and stay open, the timeout is in range, and a signal is reported as no events.
            // Should the kernel refuse all the same, the worker polls instead of sleeping.
            Err(_) => std::thread::yield_now(),
        }
        ready
    }

    /// Ends the current or next sleep. A system call.
    pub(crate) fn wake(&self) {
        self.waker.signal();
    }

    /// Nobody will poll any more.
    pub(crate) fn abandon(&self) {
        registration::abandon(&self.selector);
    }
}
