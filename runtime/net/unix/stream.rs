//! A connection between two processes of one machine.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Type};

use super::addr::{Shown, to_system};
use crate::io::{Limit, retry};
use crate::net::addr::failed;
use crate::net::socket::Socket;
use crate::net::split::{OwnedReadHalf, OwnedWriteHalf, sealed, split};
use crate::poll::Direction;

/// A Unix stream socket: [`std::os::unix::net::UnixStream`], parked instead of blocking.
///
/// What is said of a [`TcpStream`](crate::net::TcpStream) about sharing, cancellation and cost holds here
/// too. So does that calls without any bytes to move never wait; a read of std's into an empty buffer does here.
///
/// # Examples
///
/// ```
/// use fibra::net::UnixStream;
/// use std::io::{Read, Write};
///
/// fibra::run(|| {
///     let (mut here, mut there) = UnixStream::pair()?;
///     let task = fibra::go!({
///         let mut text = String::new();
///         there.read_to_string(&mut text).map(|_| text)
///     });
///     here.write_all(b"hello")?;
///     drop(here);
///     assert_eq!(task.join().unwrap()?, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    inner: Arc<Socket<std::os::unix::net::UnixStream>>,
}

impl UnixStream {
    /// Connects to the listener at a path.
    ///
    /// Returns at once unless the listener's backlog is full. Then it parks the task, or blocks the thread,
    /// and tries again after pauses of up to 10 ms, since the kernel doesn't tell when there is room.
    ///
    /// # Errors
    ///
    /// Those of `connect`, with the path: `NotFound`, `ConnectionRefused`, `PermissionDenied`; `InvalidInput`
    /// for a path that is too long (108 bytes) or has a zero in it.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at an address, as [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        let to = to_system(addr)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        retry(&Limit::new(), || socket.connect(&to))
            .map_err(|error| failed("connect to", Shown(addr), error))?;
        Self::ready_made(socket.into())
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// Those of `socketpair`.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socket2::Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        Ok((Self::ready_made(one.into())?, Self::ready_made(other.into())?))
    }

    /// Takes a socket in non-blocking mode.
    pub(super) fn ready_made(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { inner: Arc::new(Socket::nonblocking(fd.into())?) })
    }

    /// Splits the stream, as [`TcpStream::into_split`](crate::net::TcpStream::into_split).
    pub fn into_split(self) -> (OwnedReadHalf<Self>, OwnedWriteHalf<Self>) {
        split(Self { inner: self.inner.clone() }, self)
    }

    stream_methods!();
    common_methods!();
    limit_methods!();
    call_method!();
}

splittable!(UnixStream);
stream_io!(UnixStream, &UnixStream);
conversions!(UnixStream, std::os::unix::net::UnixStream);
