//! Copying between sockets and pipes with `splice`.
//!
//! Its `EAGAIN` does not say which end was not ready. A wait for the wrong one would never end, and would
//! hide an event: so the end that is about to be waited for is polled first, and if it is ready, it is the
//! other one's turn.
//!
//! Nor is 0 always the end: the kernel also says it of a TCP socket with an urgent byte before the others, or
//! it says `EAGAIN` though the socket is readable. Only a read passes over that byte, and knows the end.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::io::{PipeReader, PipeWriter};
use crate::net::{TcpStream, UnixStream};
use crate::os;
use crate::os::signal::Action;
use crate::os::splice::splice;
use crate::poll::Direction;

/// What one call moves at most, so that it does not keep the worker for long. A pipe holds 64 KiB by default.
const MOST_AT_ONCE: usize = 256 << 10;

/// What came of an attempt to move bytes.
pub(super) enum Moved {
    /// So many, at least one.
    Bytes(usize),
    /// None, though the end that was asked about is ready.
    Nothing,
    /// It takes a buffer to go on, or to find that this is the end.
    GivenUp,
}

type Attempt<'a> = dyn FnMut() -> io::Result<Moved> + 'a;

/// A byte stream that can be waited for.
pub(super) trait Readable: AsFd {
    /// Makes an attempt until it answers anything but `WouldBlock`, and waits in between, as a read does.
    fn read_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved>;

    fn is_pipe(&self) -> bool;
}

/// As [`Readable`].
pub(super) trait Writable: AsFd {
    fn write_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved>;

    fn is_pipe(&self) -> bool;
}

macro_rules! sockets {
    ($($socket:ty),*) => {$(
        impl Readable for $socket {
            fn read_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved> {
                self.call(Direction::Read, "read", attempt)
            }

            fn is_pipe(&self) -> bool {
                false
            }
        }

        impl Writable for $socket {
            fn write_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved> {
                self.call(Direction::Write, "write", attempt)
            }

            fn is_pipe(&self) -> bool {
                false
            }
        }
    )*};
}

sockets!(TcpStream, UnixStream);

impl Readable for PipeReader {
    fn read_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved> {
        self.source().run(self.call(), |_| attempt())
    }

    fn is_pipe(&self) -> bool {
        true
    }
}

impl Writable for PipeWriter {
    fn write_by(&self, attempt: &mut Attempt<'_>) -> io::Result<Moved> {
        self.source().run(self.call(), |_| attempt())
    }

    fn is_pipe(&self) -> bool {
        true
    }
}

/// Whether `splice` behaves as reads and writes do here. Three system calls.
///
/// On a socket that somebody else has switched to blocking mode it would block the worker; and it raises
/// `SIGPIPE`, which our sends don't. Rust programs ignore that, others may die of it.
fn can_splice(from: &dyn Readable, to: &dyn Writable) -> bool {
    let is_nonblocking = |fd| os::fd::is_nonblocking(fd).unwrap_or(false);
    let is_harmless = Action::current(libc::SIGPIPE).is_ok_and(|action| !action.is_default());
    is_harmless && is_nonblocking(from.as_fd()) && is_nonblocking(to.as_fd())
}

/// Copies between two ends of which one is a pipe, until a buffer has to go on.
pub(super) fn directly(from: &dyn Readable, to: &dyn Writable, copied: &mut u64) -> io::Result<()> {
    if !can_splice(from, to) {
        return Ok(());
    }
    let mut idle = 0;
    loop {
        let mut moved = from
            .read_by(&mut || attempt(from.as_fd(), to.as_fd(), MOST_AT_ONCE, from.as_fd(), libc::POLLIN))?;
        if let Moved::Nothing = moved {
            moved = to.write_by(&mut || {
                attempt(from.as_fd(), to.as_fd(), MOST_AT_ONCE, to.as_fd(), libc::POLLOUT)
            })?;
        }
        match moved {
            Moved::Bytes(n) => {
                *copied += n as u64;
                idle = 0;
            }
            // Others may have been faster, once.
            Moved::Nothing if idle < 2 => idle += 1,
            Moved::Nothing | Moved::GivenUp => return Ok(()),
        }
    }
}

/// Copies between two sockets, until a buffer has to go on; with the bytes returned, which have left the one
/// and not reached the other.
pub(super) fn through_a_pipe(
    from: &dyn Readable,
    to: &dyn Writable,
    copied: &mut u64,
) -> io::Result<Vec<u8>> {
    if !can_splice(from, to) {
        return Ok(Vec::new());
    }
    let Ok((reader, writer)) = io::pipe() else {
        return Ok(Vec::new()); // There is no descriptor left: a buffer needs none.
    };
    loop {
        // The pipe is empty here, so it is the socket that has nothing.
        let mut left = match from.read_by(&mut || {
            attempt(from.as_fd(), writer.as_fd(), MOST_AT_ONCE, from.as_fd(), libc::POLLIN)
        })? {
            Moved::Bytes(n) => n,
            Moved::Nothing | Moved::GivenUp => return Ok(Vec::new()),
        };
        while left > 0 {
            match to.write_by(&mut || attempt(reader.as_fd(), to.as_fd(), left, to.as_fd(), libc::POLLOUT))? {
                Moved::Bytes(n) => {
                    left -= n;
                    *copied += n as u64;
                }
                Moved::Nothing | Moved::GivenUp => {
                    let mut bytes = vec![0; left];
                    (&reader).read_exact(&mut bytes)?;
                    return Ok(bytes);
                }
            }
        }
    }
}

/// Moves up to `len` bytes. `WouldBlock` if `asked` has to be waited for until it reports `events`.
fn attempt(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    len: usize,
    asked: BorrowedFd<'_>,
    events: libc::c_short,
) -> io::Result<Moved> {
    match splice(from, to, len) {
        Ok(0) => Ok(Moved::GivenUp),
        Ok(n) => Ok(Moved::Bytes(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            match os::poll::poll(asked, events, Some(Duration::ZERO))? {
                0 => Err(error),
                _ => Ok(Moved::Nothing),
            }
        }
        Err(error) if is_unsupported(&error) => Ok(Moved::GivenUp),
        Err(error) => Err(error),
    }
}

/// What the kernel says of descriptors that it won't splice, and what a sandbox says of calls that it
/// refuses.
fn is_unsupported(error: &io::Error) -> bool {
    let unsupported = [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM];
    error.raw_os_error().is_some_and(|error| unsupported.contains(&error))
}
