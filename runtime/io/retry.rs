//! Waiting where the kernel gives no notice.
//!
//! Two calls on Unix sockets answer `EAGAIN` and no event ever says that they would succeed now: connecting
//! to a listener whose backlog is full, and sending a datagram to a receiver, not connected to, whose queue
//! is full. Blocking calls wait in a queue of the other socket, of which `epoll` knows nothing. And where there
//! is no pidfd, nothing tells of the end of a child. All of them are tried again after pauses.

use std::io;
use std::time::{Duration, Instant};

use super::limit::Limit;
use crate::task::checkpoint;
use crate::thread::sleep;

const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Calls `op` until it answers anything but `WouldBlock` or `Interrupted`, with growing pauses in between.
/// `TimedOut` when the limit is reached.
pub(crate) fn retry<R>(limit: &Limit, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    checkpoint();
    let mut began = None;
    let mut pause = FIRST_PAUSE;
    loop {
        if limit.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match op() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let left = limit.end_of_call(&mut began).map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(left.map_or(pause, |left| left.min(pause)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
