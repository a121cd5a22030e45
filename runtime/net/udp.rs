//! A UDP socket.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockAddr, SockRef};

use super::addr::{ToSocketAddrs, first_that_works, from_system};
use super::socket::{SEND_FLAGS, Socket};
use crate::poll::Direction;

/// A UDP socket: [`std::net::UdpSocket`], parked instead of blocking.
///
/// All methods take `&self`: several tasks may send and receive at once, and each datagram goes to one of
/// them.
///
/// # Cancellation
///
/// A call that is cancelled has received or sent nothing.
///
/// # Cost
///
/// One system call for each datagram, and one more that finds nothing before a call parks.
///
/// # Examples
///
/// ```
/// use fibra::net::UdpSocket;
///
/// fibra::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let addr = server.local_addr()?;
///     fibra::go!({
///         let mut buf = [0; 1500];
///         let (n, from) = server.recv_from(&mut buf).unwrap();
///         server.send_to(&buf[..n], from).unwrap();
///     });
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(addr)?;
///     client.send(b"ping")?;
///     let mut buf = [0; 16];
///     assert_eq!(client.recv(&mut buf)?, 4);
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    inner: Arc<Socket<std::net::UdpSocket>>,
}

/// Passes std's options on, which have names and errors of their own but no way to wait.
macro_rules! options {
    ($($(#[doc = $doc:literal])* $set:ident($type:ty), $get:ident;)*) => {$(
        $(#[doc = $doc])*
        ///
        /// # Errors
        ///
        /// Those of `setsockopt`.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            self.inner.get().$set(value)
        }

        #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
        ///
        /// # Errors
        ///
        /// Those of `getsockopt`.
        pub fn $get(&self) -> io::Result<$type> {
            self.inner.get().$get()
        }
    )*};
}

impl UdpSocket {
    /// A socket at the first of the addresses where that works; port 0 for one that the kernel chooses. Parks
    /// only while a name is resolved.
    ///
    /// # Errors
    ///
    /// Those of the last address, which it names; `InvalidInput` if there is no address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let socket = first_that_works("bind to", addr, |addr| std::net::UdpSocket::bind(addr))?;
        Ok(Self { inner: Arc::new(Socket::fresh(socket)?) })
    }

    /// Sends a datagram to the first of the addresses. Parks while a name is resolved and, rarely, until the
    /// kernel has room.
    ///
    /// # Errors
    ///
    /// Those of `sendto`; `InvalidInput` if there is no address; as [`recv_from`](Self::recv_from).
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"));
        };
        let addr = SockAddr::from(addr);
        self.inner.run(Direction::Write, "send_to", |io| {
            SockRef::from(io).send_to_with_flags(buf, &addr, SEND_FLAGS)
        })
    }

    /// Sets the address for [`send`](Self::send), the only one from which datagrams are received from now on:
    /// the first that works. Parks only while a name is resolved.
    ///
    /// # Errors
    ///
    /// Those of the last address, which it names; `InvalidInput` if there is no address.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that_works("connect to", addr, |addr| self.inner.get().connect(addr))
    }

    /// Sends a datagram to the address that [`connect`](Self::connect) has set. Parks, rarely, until the
    /// kernel has room.
    ///
    /// # Errors
    ///
    /// Those of `send`, among them `ConnectionRefused` for an earlier datagram that found no socket; as
    /// [`recv_from`](Self::recv_from).
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.send(buf)
    }

    /// Receives a datagram from the address that [`connect`](Self::connect) has set. What does not fit into
    /// the buffer is lost. Parks the task, or blocks the thread, until there is one.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from), and `ConnectionRefused` if nobody listens there.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive("recv", buf, 0)
    }

    /// As [`recv`](Self::recv), but the datagram stays in the queue.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive("peek", buf, libc::MSG_PEEK)
    }

    /// The address to which this is connected.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().peer_addr()
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    options! {
        /// Whether it may send to a broadcast address (`SO_BROADCAST`).
        set_broadcast(bool), broadcast;
        /// Whether it receives its own multicast datagrams, for IPv4 (`IP_MULTICAST_LOOP`).
        set_multicast_loop_v4(bool), multicast_loop_v4;
        /// How far multicast datagrams travel, for IPv4: 1, the default, for the own network
        /// (`IP_MULTICAST_TTL`).
        set_multicast_ttl_v4(u32), multicast_ttl_v4;
        /// Whether it receives its own multicast datagrams, for IPv6 (`IPV6_MULTICAST_LOOP`).
        set_multicast_loop_v6(bool), multicast_loop_v6;
        /// The time to live of packets (`IP_TTL`).
        set_ttl(u32), ttl;
    }

    /// Joins a multicast group of IPv4; `interface` is the address of a local one, or unspecified.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.get().join_multicast_v4(multiaddr, interface)
    }

    /// Joins a multicast group of IPv6; `interface` is the index of a local one, or 0 for any.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.get().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v4`](Self::join_multicast_v4) has joined.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.get().leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v6`](Self::join_multicast_v6) has joined.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.get().leave_multicast_v6(multiaddr, interface)
    }

    receive_from_methods!();
    common_methods!();
    limit_methods!();
}

conversions!(UdpSocket, std::net::UdpSocket);
