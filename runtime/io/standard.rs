//! The descriptors 0 to 2, without buffers and locks.
//!
//! They stay blocking, since `O_NONBLOCK` belongs to the open file, which the shell and other programs use
//! too. So the call itself asks not to wait (`RWF_NOWAIT`), where the kernel has that for this kind of file:
//! for pipes and sockets, since Linux 6.4. Where it has not, the call is preceded by a `poll` that does not
//! wait, and made only if that says that it won't block; a program that shares the file may then still be
//! faster.
//!
//! | descriptor | how a call waits |
//! | --- | --- |
//! | read, of a pipe, socket or terminal | tried as above, then parked until `epoll` reports an edge |
//! | write, of a pipe | the same |
//! | write, of a terminal or other device | tried once, then in the blocking pool: its room is unknown |
//! | read and write, of a file | in the blocking pool: for `poll` it is always ready |
//! | closed | not at all: reads find the end, and writes vanish, as std has it |

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::source::Source;
use crate::os;
use crate::os::fd::Kind;
use crate::os::file::{read_nowait, write_nowait};
use crate::thread::try_blocking;

/// What a pipe takes without blocking once `poll` calls it writable: `PIPE_BUF`.
const AT_ONCE: usize = 4096;

/// One of the three.
struct Standard {
    fd: BorrowedFd<'static>,
    /// Made at the first call, which can say that it failed.
    source: OnceLock<Source<BorrowedFd<'static>>>,
    kind: OnceLock<Kind>,
    /// The kernel can't be told not to wait. Relaxed everywhere: it guards nothing.
    must_ask: AtomicBool,
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
        // SAFETY: the number is not -1. The descriptors 0 to 2 count as open for ever, as they do for std;
        // should one be closed nevertheless, the calls fail, and that is taken care of.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Self { fd, source: OnceLock::new(), kind: OnceLock::new(), must_ask: AtomicBool::new(false) }
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
        self.source()?.read_with(|_| {
            match self.without_waiting(|fd| read_nowait(fd, &mut [IoSliceMut::new(buf)], None)) {
                Some(done) => done,
                None => ask(self.fd, libc::POLLIN).and_then(|()| os::fd::read(self.fd, buf)),
            }
        })
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        // Relaxed: see `stop_parking`.
        if EXITING.load(Ordering::Relaxed) {
            return self.write_blocking(buf);
        }
        let kind = self.kind();
        let write_nowait = || self.without_waiting(|fd| write_nowait(fd, buf));
        if kind == Kind::Pipe {
            return self.source()?.write_with(|_| match write_nowait() {
                Some(done) => done,
                None => {
                    ask(self.fd, libc::POLLOUT)?;
                    os::fd::write(self.fd, &buf[..buf.len().min(AT_ONCE)])
                }
            });
        }
        match if kind == Kind::Other { write_nowait() } else { None } {
            Some(Ok(written)) => Ok(written),
            _ => try_blocking(|| self.write_blocking(buf)).flatten(),
        }
    }

    /// Makes a call that does not wait, if the kernel has such for this descriptor.
    fn without_waiting(
        &self,
        call: impl FnOnce(BorrowedFd<'static>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        if self.must_ask.load(Ordering::Relaxed) {
            return None;
        }
        match call(self.fd) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                // If it is another error, the plain call meets it again.
                self.must_ask.store(true, Ordering::Relaxed);
                None
            }
            done => Some(done),
        }
    }

    /// Waits in the kernel, even if somebody has made the open file non-blocking.
    fn write_blocking(&self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match os::fd::write(self.fd, buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    os::poll::poll(self.fd, libc::POLLOUT, None)?;
                }
                done => return done,
            }
        }
    }
}

/// `WouldBlock` unless a call finds something at once: data or room, the end, or an error.
fn ask(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<()> {
    match os::poll::poll(fd, events, Some(Duration::ZERO))? {
        0 => Err(ErrorKind::WouldBlock.into()),
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
