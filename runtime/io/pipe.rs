//! Pipes whose ends park.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limit::Limit;
use super::source::{Call, Source};
use crate::os;
use crate::poll::Direction;

/// A new pipe: what is written to the one end is read from the other, in order. [`std::io::pipe`], parked.
///
/// The ends are not inherited by other programs, unless they are given to a [`Command`](crate::process::Command).
///
/// # Errors
///
/// `EMFILE`, `ENFILE` and the like, if there is no descriptor left.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// fibra::run(|| {
///     let (mut reader, mut writer) = fibra::io::pipe()?;
///     let task = fibra::spawn(move || {
///         let mut text = String::new();
///         reader.read_to_string(&mut text).map(|_| text)
///     });
///     writer.write_all(b"hello")?;
///     drop(writer); // the reader finds the end
///     assert_eq!(task.join().unwrap()?, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::new(reader)?, PipeWriter::new(writer)?))
}

/// The end of a pipe that is read. Reads through a shared reference too.
///
/// A read waits until there is something, and finds the end when all writers are gone. Parks the task, or blocks the
/// thread. One that is cancelled has taken nothing.
pub struct PipeReader {
    source: Source<io::PipeReader>,
    limit: Limit,
    /// Counts the clones, which share one open file.
    clones: Arc<()>,
}

/// The end of a pipe that is written. Writes through a shared reference too.
///
/// A write waits until there is room; up to 4,096 bytes go in as a whole or not at all. Parks the task, or blocks the
/// thread. One that is cancelled has written nothing; `write_all` is several writes.
///
/// When all readers are gone it fails with `BrokenPipe`. The kernel raises `SIGPIPE` then too, which Rust programs ignore; a
/// program in another language that this crate is part of has to ignore it by itself.
pub struct PipeWriter {
    source: Source<io::PipeWriter>,
    limit: Limit,
    /// Counts the clones, which share one open file.
    clones: Arc<()>,
}

impl PipeReader {
    pub(crate) fn new(pipe: io::PipeReader) -> io::Result<Self> {
        Ok(Self { source: Source::new(pipe)?, limit: Limit::new(), clones: Arc::default() })
    }
}

impl PipeWriter {
    pub(crate) fn new(pipe: io::PipeWriter) -> io::Result<Self> {
        Ok(Self { source: Source::new(pipe)?, limit: Limit::new(), clones: Arc::default() })
    }
}

/// What both ends have.
macro_rules! end {
    ($end:ident, $std:ty, $direction:expr, $call:ident, $set_timeout:ident, $set_deadline:ident, $verb:literal) => {
        impl $end {
            /// Another descriptor of the same end.
            ///
            /// # Errors
            ///
            /// If there is no descriptor left.
            pub fn try_clone(&self) -> io::Result<Self> {
                let clone = Self::new(self.source.get_ref().try_clone()?)?;
                Ok(Self { clones: Arc::clone(&self.clones), ..clone })
            }

            #[doc = concat!("How long a call that ", $verb, " may wait; `None`, the default, for ever. Its error is `TimedOut`.")]
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a timeout of zero.
            pub fn $set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.limit.set_timeout(timeout)
            }

            #[doc = concat!("Until when calls that ", $verb, " may wait. Afterwards they fail with `TimedOut`; one that")]
            /// waits takes notice at once.
            pub fn $set_deadline(&self, deadline: Option<Instant>) {
                self.limit.set_deadline(deadline);
                self.source.wake($direction);
            }

            pub(crate) fn call(&self) -> Call<'_> {
                Call::$call(&self.limit)
            }

            pub(crate) fn source(&self) -> &Source<$std> {
                &self.source
            }

            /// The end as std has it, which blocks.
            fn into_blocking(self) -> $std {
                let is_shared = Arc::strong_count(&self.clones) > 1;
                let mut pipe = self.source.into_inner();
                if is_shared && let Ok(own) = os::fd::reopen_pipe(pipe.as_fd(), $direction == Direction::Write) {
                    // An open file of its own: the clones' must not block.
                    pipe = own.into();
                }
                // It fails for no descriptor that is open.
                let _ = os::fd::set_nonblocking(pipe.as_fd(), false);
                pipe
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.source.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end)).field("fd", &self.as_raw_fd()).finish()
            }
        }

        /// Makes the descriptor non-blocking.
        impl TryFrom<$std> for $end {
            type Error = io::Error;

            fn try_from(pipe: $std) -> io::Result<Self> {
                Self::new(pipe)
            }
        }

        /// Makes the descriptor non-blocking.
        impl TryFrom<OwnedFd> for $end {
            type Error = io::Error;

            fn try_from(fd: OwnedFd) -> io::Result<Self> {
                Self::new(fd.into())
            }
        }

        /// Makes the descriptor blocking again.
        impl From<$end> for $std {
            fn from(end: $end) -> Self {
                end.into_blocking()
            }
        }

        /// Makes the descriptor blocking again.
        impl From<$end> for OwnedFd {
            fn from(end: $end) -> Self {
                end.into_blocking().into()
            }
        }

        /// Makes the descriptor blocking again, as other programs expect it.
        impl From<$end> for Stdio {
            fn from(end: $end) -> Self {
                end.into_blocking().into()
            }
        }
    };
}

end!(PipeReader, io::PipeReader, Direction::Read, read, set_read_timeout, set_read_deadline, "reads");
end!(PipeWriter, io::PipeWriter, Direction::Write, write, set_write_timeout, set_write_deadline, "writes");

// A short count does not say that a pipe is empty or full: one in packet mode (`O_DIRECT`) gives one packet a read. So
// these don't use `run_stream`.

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.source.run_empty(self.call(), |mut pipe| pipe.read(buf));
        }
        self.source.run(self.call(), |mut pipe| pipe.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return self.source.run_empty(self.call(), |mut pipe| pipe.read_vectored(bufs));
        }
        self.source.run(self.call(), |mut pipe| pipe.read_vectored(bufs))
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.source.run_empty(self.call(), |mut pipe| pipe.write(buf));
        }
        self.source.run(self.call(), |mut pipe| pipe.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return self.source.run_empty(self.call(), |mut pipe| pipe.write_vectored(bufs));
        }
        self.source.run(self.call(), |mut pipe| pipe.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
