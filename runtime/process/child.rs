//! A process that was started.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::{self, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::collect::read_both;
use super::orphans;
use crate::io::{Call, Limit, PipeReader, PipeWriter, Source, retry};
use crate::os;
use crate::poll::Direction;
use crate::task::Reason;

/// A child process: [`std::process::Child`].
///
/// As in std, dropping it neither ends nor awaits the process. One that has ended and was not waited for
/// stays in the system's table until we end.
///
/// # Cancellation
///
/// A task that is cancelled while it waits leaves the process alone: it runs on and can be waited for again.
#[derive(Debug)]
pub struct Child {
    inner: process::Child,
    /// Readable once the process has ended; opened by the first wait.
    ended: Option<Source<OwnedFd>>,
    /// The pipe to its standard input, if that was [`Stdio::piped`]. Take it and drop it to close it.
    pub stdin: Option<ChildStdin>,
    /// The pipe from its standard output, if that was [`Stdio::piped`].
    pub stdout: Option<ChildStdout>,
    /// The pipe from its standard error, if that was [`Stdio::piped`].
    pub stderr: Option<ChildStderr>,
}

/// Our ends of the pipes. They alone become non-blocking; the child's are other open files.
struct OurEnds {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl OurEnds {
    fn take(child: &mut process::Child) -> io::Result<Self> {
        let stdin = child.stdin.take().map(|pipe| PipeWriter::try_from(OwnedFd::from(pipe)));
        let stdout = child.stdout.take().map(|pipe| PipeReader::try_from(OwnedFd::from(pipe)));
        let stderr = child.stderr.take().map(|pipe| PipeReader::try_from(OwnedFd::from(pipe)));
        Ok(Self {
            stdin: stdin.transpose()?.map(|pipe| ChildStdin { pipe }),
            stdout: stdout.transpose()?.map(|pipe| ChildStdout { pipe }),
            stderr: stderr.transpose()?.map(|pipe| ChildStderr { pipe }),
        })
    }
}

impl Child {
    pub(super) fn new(mut inner: process::Child) -> io::Result<Self> {
        match OurEnds::take(&mut inner) {
            Ok(OurEnds { stdin, stdout, stderr }) => Ok(Self { inner, ended: None, stdin, stdout, stderr }),
            Err(error) => {
                // Nobody would ever talk to it. Whether it can be killed or not, it is not waited for here.
                let _ = inner.kill();
                orphans::adopt(inner);
                Err(error)
            }
        }
    }

    /// The number by which the system knows it. After the wait for its end another process may have it.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Ends it with `SIGKILL`. It has then still to be waited for.
    ///
    /// # Errors
    ///
    /// Those of `kill`; none if it has ended already.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// Closes the pipe to its standard input, if we still have that, and waits for its end. Returns the same
    /// status when called again. Parks the task, or blocks the thread.
    ///
    /// Its output is not read meanwhile: a process that fills a pipe never ends. See
    /// [`wait_with_output`](Self::wait_with_output).
    ///
    /// # Errors
    ///
    /// If there is no descriptor left to wait with, or the system says that there is no such child.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.wait_within(&Limit::new())
    }

    /// Waits for its end until `deadline`; `None` if it runs on.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        self.wait_unless_over(&Limit::until(deadline))
    }

    /// Waits for its end, at most for `timeout`; `None` if it runs on.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        self.wait_unless_over(&Limit::within(timeout))
    }

    /// Its status, if it has ended. Never parks.
    ///
    /// # Errors
    ///
    /// If the system says that there is no such child.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// Closes the pipe to its standard input, reads what it writes to those of its standard output and error
    /// that are pipes, both at once, until their ends, and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and those of reading. The process then runs on without its pipes, as it does
    /// if the task is cancelled, and is taken care of when it ends.
    pub fn wait_with_output(self) -> io::Result<Output> {
        let mut ward = Ward(Some(self));
        let child = ward.child();
        drop(child.stdin.take());
        let pipes = (child.stdout.take().map(|out| out.pipe), child.stderr.take().map(|err| err.pipe));
        let (stdout, stderr) = read_both(pipes)?;
        Ok(Output { status: child.wait()?, stdout, stderr })
    }

    /// [`wait`](Self::wait) for one that nobody can wait for again.
    pub(super) fn wait_once(self) -> io::Result<ExitStatus> {
        Ward(Some(self)).child().wait()
    }

    fn wait_unless_over(&mut self, limit: &Limit) -> io::Result<Option<ExitStatus>> {
        match self.wait_within(limit) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.try_wait(),
            Err(error) => Err(error),
        }
    }

    fn wait_within(&mut self, limit: &Limit) -> io::Result<ExitStatus> {
        if let Some(status) = self.inner.try_wait()? {
            return Ok(status);
        }
        // Nobody has waited for the process, so its number is still its own.
        if self.ended.is_none() {
            match os::pidfd::open(self.inner.id()) {
                Ok(pidfd) => self.ended = Some(Source::without_nonblocking(pidfd)?),
                // Old kernels lack the call, and some sandboxes refuse it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {}
                Err(error) => return Err(error),
            }
        }
        let inner = &mut self.inner;
        let mut status = || inner.try_wait()?.ok_or(io::ErrorKind::WouldBlock.into());
        match &self.ended {
            Some(ended) => {
                let call = Call { direction: Direction::Read, reason: Reason::Child, limit };
                ended.run(call, |_| status())
            }
            None => retry(limit, status),
        }
    }
}

/// A child that its caller has given out of hand. If the wait for it is cut short, it becomes an orphan.
struct Ward(Option<Child>);

impl Ward {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("only the drop takes it out")
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            orphans::adopt(child.inner);
        }
    }
}

/// One of our ends of the pipes to and from a child.
macro_rules! pipe_end {
    ($(#[$doc:meta])* $name:ident, $pipe:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pipe: $pipe,
        }

        impl $name {
            pub(crate) fn pipe(&self) -> &$pipe {
                &self.pipe
            }
        }

        /// The pipe by itself.
        impl From<$name> for $pipe {
            fn from(end: $name) -> Self {
                end.pipe
            }
        }

        /// Blocking again, for the standard stream of another process.
        impl From<$name> for Stdio {
            fn from(end: $name) -> Self {
                end.pipe.into()
            }
        }

        /// Blocking again.
        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                end.pipe.into()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.pipe.as_raw_fd()
            }
        }
    };
}

pipe_end! {
    /// The pipe to a child's standard input. Dropping it closes it: the child finds the end.
    ChildStdin, PipeWriter
}

pipe_end! {
    /// The pipe from a child's standard output.
    ChildStdout, PipeReader
}

pipe_end! {
    /// The pipe from a child's standard error.
    ChildStderr, PipeReader
}

macro_rules! pipe_io {
    ($($reader:ty),*; $($writer:ty),*) => {
        $(impl Read for $reader {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.pipe).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&self.pipe).read_vectored(bufs)
            }
        })*

        $(impl Write for $writer {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&self.pipe).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&self.pipe).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        })*
    };
}

pipe_io!(ChildStdout, &ChildStdout, ChildStderr, &ChildStderr; ChildStdin, &ChildStdin);
