//! What can be set on a listener before it listens.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Settings of a [`TcpListener`](super::TcpListener), from
/// [`TcpListener::builder`](super::TcpListener::builder).
///
/// # Examples
///
/// ```
/// use fibra::net::TcpListener;
///
/// let one = TcpListener::builder().reuse_port(true).backlog(16).bind("127.0.0.1:0")?;
/// let other = TcpListener::builder().reuse_port(true).bind(one.local_addr()?)?;
/// assert_eq!(one.local_addr()?, other.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `bind` is called"]
pub struct TcpListenerBuilder {
    backlog: u32,
    reuse_addr: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    ttl: Option<u32>,
    nodelay: bool,
}

impl Default for TcpListenerBuilder {
    fn default() -> Self {
        Self { backlog: 4096, reuse_addr: true, reuse_port: false, only_v6: None, ttl: None, nodelay: false }
    }
}

impl TcpListenerBuilder {
    /// The settings of [`TcpListener::bind`](super::TcpListener::bind).
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections may wait for being accepted; 4,096 if not set. The kernel caps it at the sysctl
    /// `net.core.somaxconn`, which is 4,096 by default.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether the address may be used though connections of an earlier listener linger there
    /// (`SO_REUSEADDR`). On if not set, as in std.
    pub fn reuse_addr(mut self, reuse: bool) -> Self {
        self.reuse_addr = reuse;
        self
    }

    /// Whether several listeners share the address, among which the kernel spreads the connections
    /// (`SO_REUSEPORT`). All must have it set. Off if not set.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 listener leaves IPv4 alone (`IPV6_V6ONLY`); if not set the sysctl
    /// `net.ipv6.bindv6only` decides. Means nothing for an IPv4 address.
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// The time to live of packets, which the accepted connections inherit.
    pub fn ttl(mut self, ttl: u32) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// `TCP_NODELAY`, which the accepted connections inherit: saves the call of
    /// [`set_nodelay`](super::TcpStream::set_nodelay) for each. Off if not set.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// A socket that listens at one address, in non-blocking mode.
    pub(super) fn listen(&self, addr: &SocketAddr) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(*addr), kind, Some(Protocol::TCP))?;
        if self.reuse_addr {
            socket.set_reuse_address(true)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(ttl) = self.ttl {
            socket.set_ttl_v4(ttl)?;
        }
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(only) = self.only_v6
            && addr.is_ipv6()
        {
            socket.set_only_v6(only)?;
        }
        socket.bind(&(*addr).into())?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        Ok(socket)
    }
}
