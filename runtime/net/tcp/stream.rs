//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::TcpKeepalive;

use crate::net::addr::ToSocketAddrs;
use crate::net::connect;
use crate::net::socket::Socket;
use crate::net::split::{OwnedReadHalf, OwnedWriteHalf, sealed, split};
use crate::poll::Direction;

/// A TCP connection: [`std::net::TcpStream`], parked instead of blocking.
///
/// Reads and writes through a shared reference too, so one task can read while another writes; see also
/// [`into_split`](Self::into_split). Several tasks may even wait in the same direction; each byte goes to one
/// of them. A call without any bytes to move never waits. Dropping the last handle closes the connection.
///
/// # Cancellation
///
/// A read that is cancelled has taken nothing; a write that is cancelled has sent nothing. `read_exact`,
/// `write_all` and the like are several calls: how many bytes they have moved is unknown afterwards.
///
/// # Cost
///
/// A read that finds data and a write that finds room make one system call each and nothing else: no lock, no
/// clock, no memory, with or without a timeout. After a read that got less than it had room for, the next one
/// parks without asking the kernel first. Beside the kernel's part a connection takes some 200 bytes.
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
///     let server = fibra::spawn(move || {
///         let (mut stream, _) = listener.accept()?;
///         let mut buf = [0; 5];
///         stream.read_exact(&mut buf)?;
///         stream.write_all(&buf)
///     });
///     let mut stream = TcpStream::connect(addr)?;
///     stream.write_all(b"hello")?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     assert_eq!(answer, "hello");
///     server.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    inner: Arc<Socket<std::net::TcpStream>>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// With several addresses this is RFC 8305, "happy eyeballs": they are tried in their order, but with
    /// IPv6 and IPv4 taking turns, and each attempt gets 250 ms before the next one joins it; the first to
    /// succeed wins, and the others are closed.
    ///
    /// Parks the task, or blocks the thread; for a name also while it is resolved. There is no limit of time
    /// but the kernel's, some two minutes; see [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Errors
    ///
    /// Names all addresses and what became of each; its kind is that of the last attempt, or of the last that
    /// reached a network. `InvalidInput` if there is no address.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
        Ok(Self::from_socket(connect::connect(&addrs)?))
    }

    /// Connects to one address, and waits at most for `timeout`. Parks the task, or blocks the thread.
    ///
    /// # Errors
    ///
    /// `TimedOut` if there was no answer in time, `InvalidInput` for a timeout of zero.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Ok(Self::from_socket(connect::connect_timeout(addr, timeout)?))
    }

    fn from_socket(socket: Socket<std::net::TcpStream>) -> Self {
        Self { inner: Arc::new(socket) }
    }

    /// Takes a connection that `accept4` has returned, in non-blocking mode.
    pub(super) fn accepted(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::from_socket(Socket::nonblocking(fd.into())?))
    }

    /// Splits the stream into a reading and a writing half, for two tasks. Needs no lock, and costs no
    /// descriptor.
    ///
    /// Dropping the writing half shuts writing down: the other side finds the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write, copy};
    ///
    /// fibra::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let addr = listener.local_addr()?;
    ///     fibra::go!({
    ///         let (stream, _) = listener.accept().unwrap();
    ///         copy(&mut &stream, &mut &stream).unwrap();
    ///     });
    ///     let (mut reading, mut writing) = TcpStream::connect(addr)?.into_split();
    ///     fibra::go!((0..1000).for_each(|i| writing.write_all(&[i as u8]).unwrap()));
    ///     let mut echoed = Vec::new();
    ///     reading.read_to_end(&mut echoed)?;
    ///     assert_eq!(echoed.len(), 1000);
    ///     std::io::Result::Ok(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf<Self>, OwnedWriteHalf<Self>) {
        split(Self { inner: self.inner.clone() }, self)
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`), instead of waiting for the answer to earlier
    /// ones.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.get().set_nodelay(nodelay)
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.get().nodelay()
    }

    /// The time to live of packets (`IP_TTL`).
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

    /// What happens at the close to bytes that are not sent yet (`SO_LINGER`, in whole seconds). With `None`,
    /// the default, the kernel goes on sending by itself; with zero it drops them and resets the connection.
    ///
    /// With any other time the *close*, that is, the drop of the last handle, blocks its thread until they
    /// are sent or the time is up, and with it a worker: shut the stream down and read to its end instead.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.inner.options().set_linger(linger)
    }

    /// What [`set_linger`](Self::set_linger) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.inner.options().linger()
    }

    /// After how much silence the kernel begins to ask whether the other side is still there (`SO_KEEPALIVE`,
    /// `TCP_KEEPIDLE`, in whole seconds); `None` for never.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        match idle {
            // Switches it on, too.
            Some(idle) => self.inner.options().set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => self.inner.options().set_keepalive(false),
        }
    }

    /// What [`set_keepalive`](Self::set_keepalive) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let options = self.inner.options();
        if options.keepalive()? { options.tcp_keepalive_time().map(Some) } else { Ok(None) }
    }

    stream_methods!();
    common_methods!();
    limit_methods!();
    call_method!();
}

splittable!(TcpStream);
stream_io!(TcpStream, &TcpStream);
conversions!(TcpStream, std::net::TcpStream);
