//! Opening TCP connections: to one address, or to the first of several that answers.
//!
//! For several addresses this is RFC 8305, "happy eyeballs": an attempt that fails or has not succeeded
//! within 250 ms is joined by one to the next address, of the other family where there is one; the first to
//! succeed wins, and the others are closed. The attempts are no tasks: one task waits for all their sockets.
//!
//! A socket asks how its attempt stands by calling `connect` again, which on Linux says `EALREADY`, success,
//! or the error.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::addr::{failed, no_address};
use super::socket::Socket;
use crate::io::{Call, Gather, Limit};
use crate::poll::Direction;
use crate::task::Reason;

/// RFC 8305, section 5: the "Connection Attempt Delay".
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// Connects to the first of `addrs` that answers.
pub(super) fn connect(addrs: &[SocketAddr]) -> io::Result<Socket<TcpStream>> {
    match addrs {
        [] => Err(no_address()),
        [addr] => connect_to(addr, &Limit::new()).map_err(|error| failed("connect to", addr, error)),
        _ => race(interleaved(addrs)),
    }
}

/// Connects to one address, within a time.
pub(super) fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Socket<TcpStream>> {
    if timeout.is_zero() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    connect_to(addr, &Limit::within(timeout)).map_err(|error| match error.raw_os_error() {
        None if error.kind() == io::ErrorKind::TimedOut => {
            let message = format!("connect to {addr}: no answer within {timeout:?}");
            io::Error::new(io::ErrorKind::TimedOut, message)
        }
        _ => failed("connect to", addr, error),
    })
}

fn connect_to(addr: &SocketAddr, limit: &Limit) -> io::Result<Socket<TcpStream>> {
    let socket = Socket::nonblocking(open(addr)?)?;
    let addr = SockAddr::from(*addr);
    let call = Call { direction: Direction::Write, reason: Reason::Connect, limit };
    socket.source().run(call, |socket| go_on(socket, &addr))?;
    Ok(socket)
}

fn open(addr: &SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking();
    Ok(socket2::Socket::new(Domain::for_address(*addr), kind, Some(Protocol::TCP))?.into())
}

/// Begins to connect, or asks how it stands: `WouldBlock` if it takes longer.
fn go_on(socket: &TcpStream, addr: &SockAddr) -> io::Result<()> {
    match SockRef::from(socket).connect(addr) {
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS | libc::EALREADY) => Err(io::ErrorKind::WouldBlock.into()),
            Some(libc::EISCONN) => Ok(()),
            _ => Err(error),
        },
        done => done,
    }
}

/// Alternates between the families, beginning with that of the first address; keeps the order within each.
fn interleaved(addrs: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addrs.iter().copied().partition(|addr| addr.is_ipv4() == addrs[0].is_ipv4());
    let mut mixed = VecDeque::with_capacity(addrs.len());
    while !one.is_empty() || !other.is_empty() {
        mixed.extend(one.pop_front());
        mixed.extend(other.pop_front());
    }
    mixed
}

/// One address that is being tried.
struct Attempt {
    to: SocketAddr,
    socket: TcpStream,
}

fn race(mut addrs: VecDeque<SocketAddr>) -> io::Result<Socket<TcpStream>> {
    let gather = Gather::new()?;
    // The key of an attempt's events is its index.
    let mut attempts: Vec<Option<Attempt>> = Vec::new();
    let mut failures = Vec::new();
    let mut next_at = None;
    loop {
        if next_at.is_none_or(|at| at <= Instant::now())
            && let Some(to) = addrs.pop_front()
        {
            let key = attempts.len() as u64;
            match begin(&gather, to, key) {
                Ok((socket, true)) => return Socket::nonblocking(socket),
                Ok((socket, false)) => attempts.push(Some(Attempt { to, socket })),
                Err(error) => {
                    failures.push((to, error));
                    continue;
                }
            }
            next_at = Some(Instant::now() + NEXT_ATTEMPT);
        }
        if attempts.iter().all(Option::is_none) && addrs.is_empty() {
            return Err(all_failed(failures));
        }
        let limit = match next_at {
            Some(at) if !addrs.is_empty() => Limit::until(at),
            _ => Limit::new(),
        };
        let Some(attempt) = next_event(&gather, &limit)?.and_then(|key| attempts.get_mut(key as usize))
        else {
            continue;
        };
        let Some(Attempt { to, socket }) = attempt.take() else { continue };
        match go_on(&socket, &to.into()) {
            Ok(()) => return Socket::nonblocking(socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *attempt = Some(Attempt { to, socket })
            }
            Err(error) => {
                failures.push((to, error));
                next_at = None;
            }
        }
    }
}

/// Begins an attempt; true if it has succeeded at once.
fn begin(gather: &Gather, to: SocketAddr, key: u64) -> io::Result<(TcpStream, bool)> {
    let socket = open(&to)?;
    match go_on(&socket, &to.into()) {
        Ok(()) => Ok((socket, true)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            // Closing the socket ends the watch.
            gather.add(&socket, libc::EPOLLOUT, key)?;
            Ok((socket, false))
        }
        Err(error) => Err(error),
    }
}

/// The key of an attempt that has something to say; none if the limit came first.
fn next_event(gather: &Gather, limit: &Limit) -> io::Result<Option<u64>> {
    let call = Call { direction: Direction::Read, reason: Reason::Connect, limit };
    match gather.next(call) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
        Err(error) => Err(error),
    }
}

/// All errors in one, of the kind of the most telling: that a network can't be reached, as IPv6 often can't,
/// tells less than what a host has answered.
#[cold]
fn all_failed(failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    let tells_little = |error: &io::Error| {
        use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
        matches!(error.kind(), NetworkUnreachable | HostUnreachable | AddrNotAvailable)
    };
    let telling = failures.iter().rev().find(|(_, error)| !tells_little(error));
    let kind = telling.or(failures.last()).map_or(io::ErrorKind::InvalidInput, |(_, error)| error.kind());
    let mut message = "connect".to_owned();
    for (at, (addr, error)) in failures.iter().enumerate() {
        let before = if at == 0 { " " } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(message, "{before}to {addr}: {error}");
    }
    io::Error::new(kind, message)
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_the_first_goes_first() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let addrs = ["[::1]:1", "[::2]:2", "[::3]:3", "1.1.1.1:4", "1.1.1.1:5"].map(addr);
        let expected = ["[::1]:1", "1.1.1.1:4", "[::2]:2", "1.1.1.1:5", "[::3]:3"].map(addr);
        assert_eq!(interleaved(&addrs), expected);
        let addrs = ["1.1.1.1:1", "1.1.1.1:2", "[::1]:3"].map(addr);
        let expected = ["1.1.1.1:1", "[::1]:3", "1.1.1.1:2"].map(addr);
        assert_eq!(interleaved(&addrs), expected);
    }

    #[test]
    fn the_most_telling_error_gives_the_kind() {
        let error = |kind: io::ErrorKind| ("[::1]:1".parse().unwrap(), kind.into());
        use io::ErrorKind::{ConnectionRefused, NetworkUnreachable};
        let all = all_failed(vec![error(ConnectionRefused), error(NetworkUnreachable)]);
        assert_eq!(all.kind(), ConnectionRefused);
        assert_eq!(
            all.to_string(),
            "connect to [::1]:1: connection refused; to [::1]:1: network unreachable"
        );
        assert_eq!(all_failed(vec![error(NetworkUnreachable)]).kind(), NetworkUnreachable);
    }
}
