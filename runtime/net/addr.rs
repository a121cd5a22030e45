//! What can be turned into socket addresses: std's trait, with names resolved off the worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

use socket2::SockAddr;

use crate::thread::try_blocking;

/// Something that names one or more socket addresses: [`std::net::ToSocketAddrs`], with the same
/// implementations.
///
/// A host name is resolved by the system's resolver on the pool for blocking calls: parks the task, or blocks
/// the thread. All other addresses are ready at once.
///
/// # Errors
///
/// `InvalidInput` for a string that is neither an address nor `host:port`; the resolver's errors otherwise,
/// with the name in the message.
///
/// # Examples
///
/// ```
/// use fibra::net::ToSocketAddrs;
///
/// let all: Vec<_> = ("127.0.0.1", 80).to_socket_addrs()?.chain("[::1]:443".to_socket_addrs()?).collect();
/// assert_eq!(all, ["127.0.0.1:80".parse().unwrap(), "[::1]:443".parse().unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they should be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses. Parks if a name must be resolved.
    ///
    /// # Errors
    ///
    /// See the [trait](ToSocketAddrs#errors).
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

impl ToSocketAddrs for SocketAddr {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(*self).into_iter())
    }
}

macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

one_address!(SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => resolve(host, port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address].into_iter());
        }
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {self:?}"));
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid("invalid socket address"))?;
        resolve(host, port.parse().map_err(|_| invalid("invalid port value"))?)
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Asks the system's resolver. May take as long as the network does.
fn resolve(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    let found = try_blocking(|| std::net::ToSocketAddrs::to_socket_addrs(&(host, port))).flatten();
    found.map_err(|error| io::Error::new(error.kind(), format!("can't resolve {host:?}: {error}")))
}

/// Calls `f` for one address after the other until it succeeds. The error is the last one, with its address.
pub(super) fn first_that_works<A: ToSocketAddrs, R>(
    what: &str,
    addrs: A,
    mut f: impl FnMut(&SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for addr in addrs.to_socket_addrs()? {
        match f(&addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(failed(what, addr, error)),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

/// The address of an internet socket, between the system calls' type and std's.
pub(super) fn from_system(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// The error for an empty list of addresses.
#[cold]
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
}

/// Names what failed, and to what, with the kind of the cause.
#[cold]
pub(super) fn failed(what: &str, object: impl std::fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {object}: {error}"))
}
