//! A socket that accepts TCP connections.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builder::TcpListenerBuilder;
use super::stream::TcpStream;
use crate::net::addr::{ToSocketAddrs, first_that_works, from_system};
use crate::net::socket::Socket;
use crate::poll::Direction;

/// A TCP socket that accepts connections: [`std::net::TcpListener`], parked instead of blocking.
///
/// Several tasks, of several workers too, may accept from one listener at a time.
///
/// # Running out of descriptors
///
/// As in std, [`accept`](Self::accept) returns the error when the process or the machine has no descriptor or
/// no memory left, and the connection stays in the queue. A server that goes on with its loop need not spin:
/// after such an error the next call pauses before it tries again, for 1 ms at first and up to 128 ms while
/// the shortage lasts.
///
/// ```no_run
/// # let listener = fibra::net::TcpListener::bind("127.0.0.1:0")?;
/// for stream in listener.incoming() {
///     match stream {
///         Ok(stream) => drop(fibra::spawn(move || drop(stream))),
///         Err(error) => eprintln!("{error}"), // and on with the loop
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Cancellation
///
/// A call that is cancelled has accepted nothing; the next one finds the connection.
///
/// # Examples
///
/// ```
/// use fibra::net::{TcpListener, TcpStream};
/// use std::io::Read;
///
/// fibra::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     let stop = listener.try_clone()?;
///     let server = fibra::spawn(move || listener.incoming().map(|stream| drop(stream.unwrap())).count());
///     for _ in 0..10 {
///         TcpStream::connect(addr)?.read(&mut [0])?;
///     }
///     stop.close();
///     assert_eq!(server.join().unwrap(), 10);
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    inner: Arc<Socket<std::net::TcpListener>>,
}

impl TcpListener {
    /// Listens at the first of the addresses where that works; port 0 for one that the kernel chooses.
    ///
    /// As std this sets `SO_REUSEADDR`; unlike std it leaves room for 4,096 connections that wait, not 128.
    /// Parks only while a name is resolved.
    ///
    /// # Errors
    ///
    /// Those of the last address, which it names: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` and the
    /// like; `InvalidInput` if there is no address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        Self::builder().bind(addr)
    }

    /// Settings to be made before the socket listens: the backlog, `SO_REUSEPORT` and others.
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::new()
    }

    /// The address at which this listens.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    /// The next connection, and the address of its other side. Parks the task, or blocks the thread, until
    /// there is one.
    ///
    /// A connection that is reset while it waits in the queue is passed over; std reports it as
    /// `ConnectionAborted`.
    ///
    /// # Errors
    ///
    /// Those of `accept`, see [above](Self#running-out-of-descriptors); `WouldBlock` at a timeout, `TimedOut`
    /// at a deadline; `NotConnected` after [`close`](Self::close).
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, from) = self.inner.accept()?;
        Ok((TcpStream::accepted(socket)?, from_system(&from)?))
    }

    /// The connections, one after the other, as [`accept`](Self::accept) returns them. Ends after
    /// [`close`](Self::close), and only then.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// As [`incoming`](Self::incoming), for an iterator that owns the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// The time to live of packets (`IP_TTL`), which accepted connections inherit.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.get().set_ttl(ttl)
    }

    /// What [`set_ttl`](Self::set_ttl) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.get().ttl()
    }

    /// Whether an IPv6 listener leaves IPv4 alone.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`, also for an IPv4 listener.
    pub fn only_v6(&self) -> io::Result<bool> {
        self.inner.options().only_v6()
    }

    fn next(&self) -> Option<io::Result<TcpStream>> {
        self.inner.unless_closed(self.accept().map(|(stream, _)| stream))
    }

    common_methods!();
    accept_limit_methods!();
}

impl TcpListenerBuilder {
    /// Listens at the first of the addresses where that works. Parks only while a name is resolved.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`], and those of the settings.
    pub fn bind<A: ToSocketAddrs>(&self, addr: A) -> io::Result<TcpListener> {
        let socket = first_that_works("listen at", addr, |addr| self.listen(addr))?;
        Ok(TcpListener { inner: Arc::new(Socket::nonblocking(socket.into())?) })
    }
}

conversions!(TcpListener, std::net::TcpListener);

/// The connections of a [`TcpListener`]: see [`incoming`](TcpListener::incoming).
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        self.listener.next()
    }
}

impl FusedIterator for Incoming<'_> {}

/// The connections of a [`TcpListener`], which it owns: see [`into_incoming`](TcpListener::into_incoming).
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        self.listener.next()
    }
}

impl FusedIterator for IntoIncoming {}
