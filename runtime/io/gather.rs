//! Waiting for any of several descriptors, without a task for each.
//!
//! An epoll instance watches them, and is itself a descriptor: a task parks on it, a plain thread polls it.
//!
//! Rejected: a registration with the worker's driver for each. A task would need a waiter in several queues,
//! and for a wait that is over in milliseconds four system calls more.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::source::{Call, Source};
use crate::os::epoll::{Epoll, NO_EVENT};

/// See the head of this file.
pub(crate) struct Gather {
    epoll: Source<Epoll>,
}

impl Gather {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Source::without_nonblocking(Epoll::new()?)? })
    }

    /// Watches for `events` (`EPOLLIN`, `EPOLLOUT`), errors and hang-ups, which are reported with `key`.
    /// Closing the descriptor ends it, if there are no duplicates.
    pub(crate) fn add(&self, fd: impl AsFd, events: libc::c_int, key: u64) -> io::Result<()> {
        // Level-triggered: what is not dealt with is reported again, so that one event may be taken at a
        // time.
        self.epoll.get_ref().add(fd.as_fd().as_raw_fd(), events as u32, key)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.epoll.get_ref().delete(fd.as_fd().as_raw_fd())
    }

    /// Waits until one is ready, and returns its key. They take turns. Parks the task, or blocks the thread.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the limit of `call` was reached.
    pub(crate) fn next(&self, call: Call<'_>) -> io::Result<u64> {
        self.epoll.run(call, |epoll| {
            let mut events = [NO_EVENT];
            match epoll.wait(&mut events, Some(Duration::ZERO))? {
                0 => Err(ErrorKind::WouldBlock.into()),
                _ => Ok(events[0].u64),
            }
        })
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;
    use crate::io::Limit;
    use std::io::{Read, Write};

    #[test]
    fn those_that_are_ready_take_turns_until_they_are_not() {
        let body = || {
            let gather = Gather::new().unwrap();
            let mut pipes = [io::pipe().unwrap(), io::pipe().unwrap()];
            for (key, (reader, writer)) in pipes.iter_mut().enumerate() {
                gather.add(&*reader, libc::EPOLLIN, key as u64).unwrap();
                writer.write_all(b"x").unwrap();
            }
            let within = |limit: Duration| gather.next(Call::read(&Limit::within(limit)));
            let mut keys = [(); 2].map(|()| within(Duration::MAX).unwrap());
            keys.sort();
            assert_eq!(keys, [0, 1]);
            pipes[0].0.read_exact(&mut [0]).unwrap();
            assert_eq!(within(Duration::MAX).unwrap(), 1);
            gather.remove(&pipes[1].0).unwrap();
            assert_eq!(within(Duration::from_millis(1)).unwrap_err().kind(), ErrorKind::TimedOut);
            pipes[0].1.write_all(b"x").unwrap();
            assert_eq!(within(Duration::MAX).unwrap(), 0);
        };
        body();
        crate::run(body);
    }
}
