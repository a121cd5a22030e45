//! The descriptors 0 to 2, without buffers and locks.
//!
//! They stay blocking, since `O_NONBLOCK` belongs to the open file, which the shell and other programs use too. So each
//! call is preceded by a `poll` that does not wait, and is made only if that says that it won't block.
//!
//! | descriptor | how a call waits |
//! | --- | --- |
//! | read, of a pipe, socket or terminal | `poll`, then parked until `epoll` reports an edge |
//! | write, of a pipe | the same, with no more at once than a pipe that is ready takes |
//! | read of a file; write of anything else | in the blocking pool: a file is always ready, and nobody says how much a terminal takes |
//! | closed | not at all: reads find the end, and writes vanish, as std has it |

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::source::Source;
use crate::os;
use crate::os::fd::Kind;
use crate::thread::try_blocking;

/// What a pipe takes without blocking once `poll` calls it writable: `PIPE_BUF`.
const AT_ONCE: usize = 4096;

/// One of the three.
struct Standard {
    fd: BorrowedFd<'static>,
    /// Made at the first call, which can say that it failed.
    source: OnceLock<Source<BorrowedFd<'static>>>,
    kind: OnceLock<Kind>,
}

static STANDARD: [Standard; 3] = [Standard::new(0), Standard::new(1), Standard::new(2)];

/// Set when the process exits and nothing may park any more.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Makes all later writes block their thread: within `exit` a task must neither switch nor unwind.
pub(super) fn stop_parking() {
    // Relaxed: it matters to the thread that exits, and others may learn of it late.
    EXITING.store(true, Ordering::Relaxed);
}

impl Standard {
    const fn new(fd: RawFd) -> Self {
        assert!(fd >= 0 && fd <= 2);
        // SAFETY: the number is not -1. The descriptors 0 to 2 count as open for ever, as they do for std; should one be
        // closed nevertheless, the calls fail, and that is taken care of.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Self { fd, source: OnceLock::new(), kind: OnceLock::new() }
    }

    fn source(&self) -> io::Result<&Source<BorrowedFd<'static>>> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let source = Source::without_nonblocking(self.fd)?;
        // One that comes second is dropped, and has watched nothing yet.
        Ok(self.source.get_or_init(|| source))
    }

    fn kind(&self) -> Kind {
        // One that can't be examined is closed, and the call itself will tell.
        *self.kind.get_or_init(|| os::fd::kind(self.fd).unwrap_or(Kind::Other))
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if self.kind() == Kind::Disk {
            return try_blocking(|| os::fd::read(self.fd, buf))?;
        }
        self.source()?.read_with(|fd| {
            ask(*fd, libc::POLLIN)?;
            os::fd::read(*fd, buf)
        })
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        // Relaxed: see `stop_parking`.
        if EXITING.load(Ordering::Relaxed) {
            return os::fd::write(self.fd, buf);
        }
        if self.kind() != Kind::Pipe {
            return try_blocking(|| os::fd::write(self.fd, buf))?;
        }
        self.source()?.write_with(|fd| {
            ask(*fd, libc::POLLOUT)?;
            os::fd::write(*fd, &buf[..buf.len().min(AT_ONCE)])
        })
    }
}

/// `WouldBlock` unless a call finds something at once: data or room, the end, or an error.
fn ask(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<()> {
    match os::poll::poll(fd, events, Some(Duration::ZERO))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

/// What a call on a closed descriptor answers is `closed`, since a program can't help how it was started.
fn unless_closed(result: io::Result<usize>, closed: usize) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(closed),
        other => other,
    }
}

/// Reads descriptor 0.
pub(super) struct Input;

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        unless_closed(STANDARD[0].read(buf), 0)
    }
}

/// Writes to descriptor 1.
pub(super) struct Output;

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        unless_closed(STANDARD[1].write(buf), buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to descriptor 2.
pub(super) struct Errors;

impl Write for Errors {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        unless_closed(STANDARD[2].write(buf), buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The descriptor itself.
pub(super) fn descriptor(number: usize) -> BorrowedFd<'static> {
    STANDARD[number].fd
}
