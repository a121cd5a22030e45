//! Sockets in the shape of [`std::net`] and [`std::os::unix::net`]: the same names, signatures, error kinds
//! and edge cases. Where std blocks the thread, these park the task; on a plain OS thread they block it.
//!
//! Beyond std there are deadlines ([`TcpStream::set_read_deadline`]), [`TcpStream::close`], which ends what
//! others wait for, [`TcpStream::into_split`], [`TcpStream::readable`], a [builder](TcpListener::builder) for
//! listeners, and a [`connect`](TcpStream::connect) that tries several addresses at once.
//!
//! # Names
//!
//! A [`ToSocketAddrs`] of our own resolves names on the pool for blocking calls, so that only the task waits.
//! Addresses that are written out never leave the worker.
//!
//! # Cancellation
//!
//! Every call that waits unwinds when its task is cancelled, between two system calls, never after one: a
//! byte or a connection that the kernel has handed out is returned, all others are still in the socket. A
//! `read_exact` or `write_all`, being several calls, leaves open how much it has moved; so does a cancelled
//! [`connect`](TcpStream::connect), whose sockets are closed.
//!
//! # Clones, timeouts and options
//!
//! `try_clone` shares the socket: it costs no descriptor and never fails. As with std's duplicated
//! descriptors timeouts, options and the position in the stream are common to all clones. Options without a
//! method of their own are within reach of [`socket2::SockRef`](https://docs.rs/socket2), since every type
//! here is [`AsFd`](std::os::fd::AsFd).
//!
//! # Blocking mode
//!
//! All sockets are in non-blocking mode and all calls behave as if they were not, until
//! `set_nonblocking(true)`. Conversions from and into std's types switch the mode: who takes a socket out
//! with `into` has one that blocks. While clones exist on our side, that conversion duplicates the
//! descriptor.

#[macro_use]
mod macros;

mod accept;
mod addr;
mod connect;
mod socket;
mod split;
mod tcp;
mod udp;
pub mod unix;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use addr::ToSocketAddrs;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError, Splittable};
pub use tcp::{Incoming, IntoIncoming, TcpListener, TcpListenerBuilder, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
