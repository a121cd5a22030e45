//! Two kinds of TCP sockets that std can't make.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::epoll::check;

/// Connects to `to` from the address `from`; the kernel picks the port at the connect, when it knows both ends, so that
/// each pair of addresses has all the ephemeral ports.
pub fn connect(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = tcp_socket()?;
    set(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)?;
    bind(&socket, SocketAddrV4::new(from, 0))?;
    let (address, len) = raw(to);
    // SAFETY: the pointer is to a live address of `len` bytes.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(socket.into())
}

/// A listener that shares its address with others; the kernel spreads the connections over them.
pub fn listen_shared(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = tcp_socket()?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
    bind(&socket, address)?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), 1024) })?;
    Ok(socket.into())
}

fn tcp_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set(socket: &OwnedFd, level: i32, option: i32) -> io::Result<()> {
    let (on, len) = (1i32, size_of::<i32>() as u32);
    // SAFETY: the pointer is to a live integer of `len` bytes.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), len) })?;
    Ok(())
}

fn bind(socket: &OwnedFd, address: SocketAddrV4) -> io::Result<()> {
    let (address, len) = raw(address);
    // SAFETY: the pointer is to a live address of `len` bytes.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

fn raw(address: SocketAddrV4) -> (libc::sockaddr_in, u32) {
    let sin_addr = libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) };
    let sin_port = address.port().to_be();
    let raw = libc::sockaddr_in { sin_family: libc::AF_INET as u16, sin_port, sin_addr, sin_zero: [0; 8] };
    (raw, size_of::<libc::sockaddr_in>() as u32)
}
