//! A socket that accepts connections from the same machine.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::addr::{Shown, from_system};
use super::stream::UnixStream;
use crate::net::addr::failed;
use crate::net::socket::Socket;
use crate::poll::Direction;

/// A Unix socket that accepts connections: [`std::os::unix::net::UnixListener`], parked instead of blocking.
///
/// What is said of a [`TcpListener`](crate::net::TcpListener) about sharing, cancellation and running out of
/// descriptors holds here too. As in std the file stays when the listener is dropped, and binding to a file
/// that exists fails.
///
/// # Examples
///
/// ```
/// use fibra::net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// let path = std::env::temp_dir().join(format!("fibra-example-{}", std::process::id()));
/// fibra::run(|| {
///     let listener = UnixListener::bind(&path)?;
///     let server = fibra::go!(listener.accept()?.0.write_all(b"hello"));
///     let mut text = String::new();
///     UnixStream::connect(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     std::fs::remove_file(&path)?;
///     server.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    inner: Arc<Socket<std::os::unix::net::UnixListener>>,
}

impl UnixListener {
    /// Listens at a path, where it makes a file. Never parks.
    ///
    /// # Errors
    ///
    /// Those of `bind`, with the path: `AddrInUse` if it exists, `NotFound` if its directory doesn't;
    /// `InvalidInput` for a path that is too long (108 bytes) or has a zero in it.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address, as [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::bind_addr(addr)
            .map_err(|error| failed("listen at", Shown(addr), error))?;
        Ok(Self { inner: Arc::new(Socket::fresh(listener)?) })
    }

    /// The next connection, and the address of its other side. Parks the task, or blocks the thread, until
    /// there is one.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`](crate::net::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, from) = self.inner.accept()?;
        Ok((UnixStream::ready_made(socket)?, from_system(&from)?))
    }

    /// The address at which this listens.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    /// The connections, one after the other, as [`accept`](Self::accept) returns them. Ends after
    /// [`close`](Self::close), and only then.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    common_methods!();
    accept_limit_methods!();
}

conversions!(UnixListener, std::os::unix::net::UnixListener);

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`]: see [`incoming`](UnixListener::incoming).
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        self.listener.inner.unless_closed(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
