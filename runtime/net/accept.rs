//! Accepting connections, for TCP and Unix listeners alike.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use socket2::{SockAddr, SockRef};

use super::socket::Socket;
use crate::io::Call;
use crate::poll::Direction;
use crate::task::Reason;
use crate::thread::sleep;

impl<T: AsFd> Socket<T> {
    /// The next connection, in non-blocking mode, and its other end.
    ///
    /// After a shortage the next call pauses before it tries: the connection is still in the queue, so a loop
    /// that only logs the error would spin.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, SockAddr)> {
        if self.shortages() != 0 && !self.is_nonblocking() {
            self.pause();
        }
        let call = Call { reason: Reason::Accept, ..self.call(Direction::Read) };
        let accepted = self.run_for(call, "accept", |io| {
            loop {
                match SockRef::from(io).accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) {
                    // It was reset while it lay in the queue, which is no fault of the listener's.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    done => return done,
                }
            }
        });
        match &accepted {
            Err(error) if is_shortage(error) => self.set_shortages(self.shortages().saturating_add(1)),
            // Written only when it changes, so that a listener that workers share stays in all their caches.
            Ok(_) if self.shortages() != 0 => self.set_shortages(0),
            _ => {}
        }
        accepted.map(|(socket, from)| (socket.into(), from))
    }

    /// What an iterator over connections makes of an accept: it ends after `close`, and only then.
    pub(super) fn unless_closed<R>(&self, accepted: io::Result<R>) -> Option<io::Result<R>> {
        (accepted.is_ok() || !self.is_closed()).then_some(accepted)
    }

    /// 1 ms at first, twice as long each time, 128 ms at most; not beyond the deadline.
    #[cold]
    fn pause(&self) {
        let pause = Duration::from_millis(1 << (self.shortages().saturating_sub(1)).min(7));
        let left = self.deadline(Direction::Read).map(|at| at.saturating_duration_since(Instant::now()));
        sleep(left.map_or(pause, |left| left.min(pause)));
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
