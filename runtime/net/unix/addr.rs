//! Addresses of Unix sockets, between std's type and that of the system calls.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;

use socket2::SockAddr;

pub(super) fn to_system(addr: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(name) = addr.as_abstract_name() {
        // A leading zero makes it abstract.
        SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))
    } else if let Some(path) = addr.as_pathname() {
        SockAddr::unix(path)
    } else {
        SockAddr::unix("")
    }
}

pub(super) fn from_system(addr: &SockAddr) -> io::Result<SocketAddr> {
    if let Some(name) = addr.as_abstract_namespace() {
        SocketAddr::from_abstract_name(name)
    } else if let Some(path) = addr.as_pathname() {
        SocketAddr::from_pathname(path)
    } else {
        // Unnamed: the kernel then writes no address at all, not even a family, for the sender of a datagram.
        SocketAddr::from_pathname("")
    }
}

/// An address as messages show it.
pub(super) struct Shown<'a>(pub(super) &'a SocketAddr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_pathname() {
            Some(path) => path.display().fmt(f),
            None => fmt::Debug::fmt(self.0, f),
        }
    }
}
