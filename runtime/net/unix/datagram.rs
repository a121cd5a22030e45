//! Messages between processes of one machine.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::addr::{Shown, from_system, to_system};
use crate::net::addr::failed;
use crate::net::socket::{SEND_FLAGS, Socket};
use crate::poll::Direction;

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`], parked instead of blocking.
///
/// Datagrams arrive whole, in order, and none is lost: who sends to a receiver that does not keep up waits.
/// All methods take `&self`: several tasks may send and receive at once, and each datagram goes to one of
/// them.
///
/// # Cancellation
///
/// A call that is cancelled has received or sent nothing.
///
/// # Examples
///
/// ```
/// use fibra::net::UnixDatagram;
///
/// fibra::run(|| {
///     let (here, there) = UnixDatagram::pair()?;
///     fibra::go!((0..1000).for_each(|i| drop(there.send(format!("message {i}").as_bytes()).unwrap())));
///     let mut buf = [0; 100];
///     for i in 0..1000 {
///         let n = here.recv(&mut buf)?;
///         assert_eq!(buf[..n], *format!("message {i}").as_bytes());
///     }
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    inner: Arc<Socket<std::os::unix::net::UnixDatagram>>,
}

impl UnixDatagram {
    /// A socket at a path, where it makes a file. Never parks.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket at an address, as [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::bind_addr(addr);
        Self::over(socket.map_err(|error| failed("bind to", Shown(addr), error))?)
    }

    /// A socket without an address: it can send and connect.
    ///
    /// # Errors
    ///
    /// Those of `socket`.
    pub fn unbound() -> io::Result<Self> {
        Self::over(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// Those of `socketpair`.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((Self::over(one)?, Self::over(other)?))
    }

    fn over(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        Ok(Self { inner: Arc::new(Socket::fresh(socket)?) })
    }

    /// Sets the receiver for [`send`](Self::send), the only one from which datagrams are received from now
    /// on. Never parks.
    ///
    /// # Errors
    ///
    /// Those of `connect`, with the path.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Sets the receiver by its address, as [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.inner.get().connect_addr(addr).map_err(|error| failed("connect to", Shown(addr), error))
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    /// The address to which this is connected.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().peer_addr()
    }

    /// Receives a datagram. What does not fit into the buffer is lost. Parks the task, or blocks the thread,
    /// until there is one.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive("recv", buf, 0)
    }

    /// As [`recv`](Self::recv), but the datagram stays in the queue.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive("peek", buf, libc::MSG_PEEK)
    }

    /// Sends a datagram to the socket at a path.
    ///
    /// Parks the task, or blocks the thread, while the receiver's queue is full, and tries again after pauses
    /// of up to 10 ms, since the kernel tells only a connected socket when there is room: prefer
    /// [`connect`](Self::connect) and [`send`](Self::send) for many.
    ///
    /// # Errors
    ///
    /// Those of `sendto`, with the path; as [`recv_from`](Self::recv_from).
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends a datagram to the socket at an address, as [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let to = to_system(addr)?;
        let sent = self.inner.run_with_pauses(Direction::Write, "send_to", |io| {
            SockRef::from(io).send_to_with_flags(buf, &to, SEND_FLAGS)
        });
        sent.map_err(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) | None => error,
            Some(_) => failed("send to", Shown(addr), error),
        })
    }

    /// Sends a datagram to the socket that [`connect`](Self::connect) has set. Parks the task, or blocks the
    /// thread, while its queue is full.
    ///
    /// # Errors
    ///
    /// Those of `send`, among them `ConnectionRefused` if the receiver is gone; as
    /// [`recv_from`](Self::recv_from).
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.send(buf)
    }

    /// Shuts down reading, writing or both, for all clones.
    ///
    /// # Errors
    ///
    /// Those of `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.get().shutdown(how)
    }

    receive_from_methods!();
    common_methods!();
    limit_methods!();
}

conversions!(UnixDatagram, std::os::unix::net::UnixDatagram);
