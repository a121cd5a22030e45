//! Standard input, output and error, in the shape that std gives them.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, IsTerminal, LineWriter, Lines, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;

use super::reentrant::{Reentrant, ReentrantGuard};
use super::standard::{Errors, Input, Output, descriptor, stop_parking};
use crate::os;
use crate::sync::{Mutex, MutexGuard};

static STDIN: OnceLock<Mutex<BufReader<Input>>> = OnceLock::new();
static STDOUT: OnceLock<Reentrant<RefCell<LineWriter<Output>>>> = OnceLock::new();
static STDERR: Reentrant<RefCell<Errors>> = Reentrant::new(RefCell::new(Errors));

/// The process's standard input. [`std::io::stdin`], parked.
///
/// # Examples
///
/// ```no_run
/// fibra::run(|| {
///     for line in fibra::io::stdin().lines() {
///         println!("{}", line?.to_uppercase());
///     }
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> Stdin {
    Stdin(STDIN.get_or_init(|| Mutex::new(BufReader::new(Input))))
}

/// The process's standard output. [`std::io::stdout`], parked.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// fibra::run(|| {
///     let mut out = fibra::io::stdout().lock();
///     writeln!(out, "these lines")?;
///     writeln!(out, "stay together")
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdout() -> Stdout {
    Stdout(STDOUT.get_or_init(|| {
        // If it is refused, what is left in the buffer at the exit is lost.
        let _ = os::fd::at_exit(flush_at_exit);
        Reentrant::new(RefCell::new(LineWriter::new(Output)))
    }))
}

/// The process's standard error. [`std::io::stderr`], parked.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// fibra::run(|| writeln!(fibra::io::stderr(), "something went wrong"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stderr() -> Stderr {
    Stderr(&STDERR)
}

/// Writes what is left, and leaves no buffer that others could still fill.
extern "C" fn flush_at_exit() {
    stop_parking();
    let Some(out) = STDOUT.get() else { return };
    // Asked first, since `try_lock` may switch tasks when it fails. Who else holds the lock now may never let
    // go of it.
    if out.is_locked() && !out.is_owned_by_current_thread() {
        return;
    }
    let Some(out) = out.try_lock() else { return };
    // It is borrowed if the holder exits in the middle of a write.
    let Ok(mut out) = out.try_borrow_mut() else { return };
    // There is nobody left to tell.
    let _ = out.flush();
    *out = LineWriter::with_capacity(0, Output);
}

/// A handle on the process's standard input; see [`stdin`]. All handles share one buffer, which isn't that of
/// std.
///
/// A read parks the task, or blocks the thread, until there is something. The descriptor stays blocking,
/// since other programs share its open file; should one of them, on a terminal or before Linux 6.4, take what
/// `poll` has just promised, the read blocks its worker. A regular file is read in the blocking pool (see
/// [`blocking`](crate::blocking)). What kind of file it is, is found out at the first read, so replace the
/// descriptor before. If it is closed, a read finds the end.
///
/// # Cancellation
///
/// A read that waits unwinds if its task is cancelled, and has taken nothing then. A call that consists of
/// several, such as [`read_line`](Self::read_line) or `read_to_end`, loses what it has collected so far.
/// Waiting for the lock is no such point.
#[derive(Clone, Copy)]
pub struct Stdin(&'static Mutex<BufReader<Input>>);

/// The locked standard input. Made by [`Stdin::lock`]; it may be held while its task is parked.
pub struct StdinLock<'a>(MutexGuard<'a, BufReader<Input>>);

/// A handle on the process's standard output; see [`stdout`]. All handles share one buffer, which isn't that
/// of `println!`.
///
/// It is flushed at each end of a line, and when the process exits, unless somebody else holds the lock then.
/// `writeln!` and `write_all` hold the lock to their end, so lines of several tasks don't mix.
///
/// A write parks the task, or blocks the thread, until there is room. The descriptor stays blocking, since
/// other programs share its open file; should one of them, before Linux 6.4, fill the room in a pipe that
/// `poll` has just promised, the write blocks its worker. To anything but a pipe it is written in the
/// blocking pool (see [`blocking`](crate::blocking)). What kind of file it is, is found out at the first
/// write, so replace the descriptor before. If it is closed, what is written vanishes.
///
/// # Cancellation
///
/// A write that waits unwinds if its task is cancelled. A line may then have gone out in part; what was
/// already in the buffer stays there. Waiting for the lock is no such point.
#[derive(Clone, Copy)]
pub struct Stdout(&'static Reentrant<RefCell<LineWriter<Output>>>);

/// The locked standard output. Made by [`Stdout::lock`]; it may be held while its task is parked.
pub struct StdoutLock<'a>(ReentrantGuard<'a, RefCell<LineWriter<Output>>>);

/// A handle on the process's standard error; see [`stderr`]. Nothing is buffered.
///
/// It waits as [`Stdout`] does, and isn't synchronised with `eprintln!` either.
///
/// # Cancellation
///
/// A write that waits unwinds if its task is cancelled; a line may then have gone out in part. Waiting for
/// the lock is no such point.
#[derive(Clone, Copy)]
pub struct Stderr(&'static Reentrant<RefCell<Errors>>);

/// The locked standard error. Made by [`Stderr::lock`]; it may be held while its task is parked.
pub struct StderrLock<'a>(ReentrantGuard<'a, RefCell<Errors>>);

/// What all three have.
macro_rules! handle {
    ($handle:ident, $lock:ident, $number:literal, $again:literal) => {
        impl $handle {
            /// Keeps all others out until the guard is dropped.
            #[doc = concat!("A task or thread that holds the lock ", $again, ", as in std.")]
            pub fn lock(&self) -> $lock<'static> {
                $lock(self.0.lock())
            }
        }

        handle!(common, $handle, $number, $handle);
        handle!(common, $lock, $number, $lock<'_>);
    };
    (common, $name:ident, $number:literal, $type:ty) => {
        impl $type {
            /// Whether it is a terminal: what std's [`IsTerminal`] says, which can't be implemented outside
            /// of it.
            pub fn is_terminal(&self) -> bool {
                self.as_fd().is_terminal()
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                descriptor($number)
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                $number
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

handle!(Stdin, StdinLock, 0, "and takes it again waits for ever");
handle!(Stdout, StdoutLock, 1, "can take it again");
handle!(Stderr, StderrLock, 2, "can take it again");

impl Stdin {
    /// Appends a line with its end, and returns its length; 0 at the end of the input.
    ///
    /// # Errors
    ///
    /// Those of the read, and `InvalidData` if it is no UTF-8.
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        self.lock().read_line(line)
    }

    /// The lines without their ends. The input stays locked as long as this lives.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

/// `Read`, each call on what an expression of `self` gives.
macro_rules! read {
    ($type:ty, $this:ident => $inner:expr) => {
        impl Read for $type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let $this = self;
                $inner.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let $this = self;
                $inner.read_vectored(bufs)
            }

            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
                let $this = self;
                $inner.read_to_end(buf)
            }

            fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
                let $this = self;
                $inner.read_to_string(buf)
            }

            fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                let $this = self;
                $inner.read_exact(buf)
            }
        }
    };
}

read!(Stdin, this => this.lock());
read!(&Stdin, this => this.lock());
read!(StdinLock<'_>, this => this.0);

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// `Write`, each call on what an expression of `self` gives.
macro_rules! write {
    ($type:ty, $this:ident => $inner:expr $(, $write_fmt:item)?) => {
        impl Write for $type {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                let $this = self;
                $inner.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                let $this = self;
                $inner.write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                let $this = self;
                $inner.write_all(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                let $this = self;
                $inner.flush()
            }

            $($write_fmt)?
        }
    };
}

/// A handle locks once for all of `write_fmt`. Its lock borrows what is written to for each part anew, so
/// that what is being formatted may print as well.
macro_rules! write_by_handle {
    ($($handle:ty),*) => {$(
        write!($handle, this => this.lock(), fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
            self.lock().write_fmt(args)
        });
    )*};
}

write_by_handle!(Stdout, &Stdout, Stderr, &Stderr);
write!(StdoutLock<'_>, this => this.0.borrow_mut());
write!(StderrLock<'_>, this => this.0.borrow_mut());
