//! Copying from a reader to a writer, inside the kernel where both ends allow it.
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | socket or pipe | socket or pipe | `splice`; from socket to socket through a pipe of our own |
//! | file | socket or pipe | `sendfile`, on the blocking pool; the waits for the socket are the task's |
//! | file | file | `copy_file_range`, on the blocking pool |
//! | anything else | | a buffer |
//!
//! The ends are generic, and stable Rust has no specialisation; so their types are compared with those that we know.

use std::any::TypeId;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use super::pipe::{PipeReader, PipeWriter};
use crate::fs::File;
use crate::net::{TcpStream, UnixStream};
use crate::os::fd::is_nonblocking;
use crate::os::splice::{copy_file_range, sendfile, splice};
use crate::poll::Direction;
use crate::task::checkpoint;
use crate::thread::try_blocking;

/// What one call moves at most; with a pipe in between, what a pipe holds by default.
const CHUNK: usize = 64 << 10;

/// What one trip to the pool moves at most, so that a cancelled task need not wait for a whole disk.
const FILE_CHUNK: usize = 16 << 20;

/// Copies everything from `reader` to `writer`, and returns how many bytes that was: [`std::io::copy`].
///
/// Between [`TcpStream`], [`UnixStream`], the ends of a [`pipe`](super::pipe()) and [`File`], given as values or by
/// reference, the bytes stay inside the kernel, except from a socket or pipe to a file. Everything else, a `BufReader` of those included, goes through a buffer on the heap.
/// The writer is not flushed.
///
/// Parks where the ends do, and on a socket that was set to non-blocking too. A socket whose peer is gone raises `SIGPIPE`, which
/// Rust programs ignore.
///
/// # Cancellation
///
/// How much has been copied is unknown then. From socket to socket up to 64 KiB may have been read and not written, as is
/// true of a failed write and of any buffer.
///
/// # Errors
///
/// The first of either end; `Interrupted` is tried again.
///
/// # Examples
///
/// ```
/// use fibra::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// fibra::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     fibra::spawn(move || {
///         let (stream, _) = listener.accept().unwrap();
///         fibra::io::copy(&mut &stream, &mut &stream).unwrap() // an echo server
///     });
///     let mut stream = TcpStream::connect(addr)?;
///     stream.write_all(b"hello")?;
///     let mut answer = [0; 5];
///     stream.read_exact(&mut answer)?;
///     assert_eq!(&answer, b"hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut copied = 0;
    let done = match (End::of(reader), End::of(writer)) {
        (Some(End::Stream(from)), Some(End::Stream(to))) => between_streams(from, to, &mut copied)?,
        (Some(End::File(from)), Some(End::Stream(to))) => file_to_stream(from, to, &mut copied)?,
        (Some(End::File(from)), Some(End::File(to))) => file_to_file(from, to, &mut copied)?,
        _ => false,
    };
    if done { Ok(copied) } else { through_a_buffer(reader, writer, copied) }
}

fn through_a_buffer<R, W>(reader: &mut R, writer: &mut W, mut copied: u64) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..n])?;
        copied += n as u64;
    }
}

/// An end that the kernel can reach.
enum End<'a> {
    Stream(&'a dyn Stream),
    File(&'a File),
}

impl<'a> End<'a> {
    fn of<T: ?Sized>(end: &'a T) -> Option<Self> {
        let tcp = known::<_, TcpStream>(end).map(|stream| Self::Stream(stream));
        let unix = || known::<_, UnixStream>(end).map(|stream| Self::Stream(stream));
        let reader = || known::<_, PipeReader>(end).map(|pipe| Self::Stream(pipe));
        let writer = || known::<_, PipeWriter>(end).map(|pipe| Self::Stream(pipe));
        let file = || known::<_, File>(end).map(Self::File);
        tcp.or_else(unix).or_else(reader).or_else(writer).or_else(file)
    }
}

/// `value` as what it is, if it is a `U` or a reference to one.
fn known<T: ?Sized, U: 'static>(value: &T) -> Option<&U> {
    let id = typeid::of::<T>();
    let address = ptr::from_ref(value);
    if id == TypeId::of::<U>() {
        // SAFETY: `T` is `U`: the types have one identity, and `U`, without lifetimes, is the only one that has it.
        Some(unsafe { &*address.cast::<U>() })
    } else if id == TypeId::of::<&'static U>() || id == TypeId::of::<&'static mut U>() {
        // SAFETY: `T` is a reference to a `U`, with some lifetime that the reborrow here can't outlast: it is behind the
        // reference to `value`.
        Some(unsafe { &**address.cast::<*const U>() })
    } else {
        None
    }
}

/// What can be waited for.
trait Stream: AsFd {
    fn wait(&self, direction: Direction) -> io::Result<()>;

    fn is_pipe(&self) -> bool;
}

macro_rules! sockets {
    ($($socket:ty),*) => {$(
        impl Stream for $socket {
            fn wait(&self, direction: Direction) -> io::Result<()> {
                match direction {
                    Direction::Read => self.readable(),
                    Direction::Write => self.writable(),
                }
            }

            fn is_pipe(&self) -> bool {
                false
            }
        }
    )*};
}

macro_rules! pipes {
    ($($pipe:ty),*) => {$(
        impl Stream for $pipe {
            fn wait(&self, _: Direction) -> io::Result<()> {
                self.source().ready(self.call())
            }

            fn is_pipe(&self) -> bool {
                true
            }
        }
    )*};
}

sockets!(TcpStream, UnixStream);
pipes!(PipeReader, PipeWriter);

/// Whether everything was copied: false, as from the other functions here, if the kernel can't and a buffer has to go on.
fn between_streams(from: &dyn Stream, to: &dyn Stream, copied: &mut u64) -> io::Result<bool> {
    // The call itself asks no socket not to block, and the mode belongs to an open file that others may share.
    if !(is_nonblocking(from.as_fd())? && is_nonblocking(to.as_fd())?) {
        return Ok(false);
    }
    if from.is_pipe() || to.is_pipe() {
        splice_all(from, to, copied)
    } else {
        splice_through_a_pipe(from, to, copied)
    }
}

fn splice_all(from: &dyn Stream, to: &dyn Stream, copied: &mut u64) -> io::Result<bool> {
    loop {
        checkpoint();
        match splice(from.as_fd(), to.as_fd(), CHUNK) {
            Ok(0) => return Ok(true),
            Ok(n) => *copied += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // It does not say which.
                from.wait(Direction::Read)?;
                to.wait(Direction::Write)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_unsupported(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn splice_through_a_pipe(from: &dyn Stream, to: &dyn Stream, copied: &mut u64) -> io::Result<bool> {
    let Ok((pipe_reader, pipe_writer)) = io::pipe() else {
        return Ok(false); // There is no descriptor left: a buffer needs none.
    };
    loop {
        checkpoint();
        // The pipe is empty here, so it is the socket that has nothing.
        let mut left = match splice(from.as_fd(), pipe_writer.as_fd(), CHUNK) {
            Ok(0) => return Ok(true),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                from.wait(Direction::Read)?;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_unsupported(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        while left > 0 {
            match splice(pipe_reader.as_fd(), to.as_fd(), left) {
                Ok(n) => {
                    left -= n;
                    *copied += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => to.wait(Direction::Write)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn file_to_stream(from: &File, to: &dyn Stream, copied: &mut u64) -> io::Result<bool> {
    if !is_nonblocking(to.as_fd())? {
        return Ok(false); // As above.
    }
    let (from, fd) = (from.as_fd(), to.as_fd());
    loop {
        match on_pool(from, fd, CHUNK, sendfile) {
            // Some files, those in /proc for example, seem empty to the kernel: a read knows.
            Ok(0) => return Ok(*copied > 0),
            Ok(n) => *copied += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => to.wait(Direction::Write)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_unsupported(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn file_to_file(from: &File, to: &File, copied: &mut u64) -> io::Result<bool> {
    let (from, to) = (from.as_fd(), to.as_fd());
    loop {
        match on_pool(from, to, FILE_CHUNK, copy_file_range) {
            // As in `file_to_stream`.
            Ok(0) => return Ok(*copied > 0),
            Ok(n) => *copied += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_unsupported(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Calls `call` on the pool until it has nothing more to move for now, but not for more than [`FILE_CHUNK`].
fn on_pool(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    len: usize,
    call: fn(BorrowedFd<'_>, BorrowedFd<'_>, usize) -> io::Result<usize>,
) -> io::Result<usize> {
    try_blocking(|| {
        let mut moved = 0;
        while moved < FILE_CHUNK {
            match call(from, to, len) {
                Ok(0) => break,
                Ok(n) => moved += n,
                // What has been moved counts; the next call meets the error again.
                Err(_) if moved > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    })
    .flatten()
}

/// The kernel can't do it between these two, but a buffer can.
fn is_unsupported(error: &io::Error) -> bool {
    use libc::{EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, ESPIPE, EXDEV};
    let unsupported = [EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, ESPIPE, EXDEV];
    error.raw_os_error().is_some_and(|error| unsupported.contains(&error))
}
