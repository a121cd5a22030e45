//! What all sockets have in common: one descriptor, the limits of its calls, and the calls themselves.
//!
//! Each call is one system call with `MSG_DONTWAIT`, so that none can block a worker, not even on a socket
//! whose open file somebody else has switched to blocking mode. The fast path takes no lock, reads no clock
//! and allocates nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use socket2::{MaybeUninitSlice, SockAddr, SockRef};

use crate::io::{Call, Limit, Source, retry};
use crate::poll::Direction;

/// `set_nonblocking(true)`: calls that would wait answer `WouldBlock`.
const NONBLOCKING: u8 = 1 << 0;
/// `close` was called. Never cleared.
const CLOSED: u8 = 1 << 1;

/// A socket of std's type `T`, which serves for its options, addresses and text.
pub(super) struct Socket<T: AsFd> {
    source: Source<T>,
    read: Limit,
    write: Limit,
    /// Relaxed everywhere: guards nothing. Whoever waits during `close` is woken through the source.
    flags: AtomicU8,
    /// How many times in a row `accept` has found no descriptor or no memory. Relaxed, as all uses: a lost
    /// count makes one pause shorter.
    shortages: AtomicU8,
}

impl<T: AsFd> Socket<T> {
    /// Takes a socket that is in non-blocking mode already.
    pub(super) fn nonblocking(io: T) -> io::Result<Self> {
        Ok(Self::over(Source::without_nonblocking(io)?))
    }

    /// Takes a socket that has just been made, in blocking mode.
    pub(super) fn fresh(io: T) -> io::Result<Self> {
        Ok(Self::over(Source::new(io)?))
    }

    /// Takes a socket in whatever mode it is, with the timeouts that it has.
    pub(super) fn adopt(io: T) -> io::Result<Self> {
        let socket = Self::fresh(io)?;
        let options = socket.options();
        // What has no timeouts has none to hand over.
        if let Some(timeout) = options.read_timeout().unwrap_or(None) {
            socket.read.set_timeout(Some(timeout))?;
        }
        if let Some(timeout) = options.write_timeout().unwrap_or(None) {
            socket.write.set_timeout(Some(timeout))?;
        }
        Ok(socket)
    }

    fn over(source: Source<T>) -> Self {
        Self {
            source,
            read: Limit::new(),
            write: Limit::new(),
            flags: AtomicU8::new(0),
            shortages: AtomicU8::new(0),
        }
    }

    #[inline]
    pub(super) fn get(&self) -> &T {
        self.source.get_ref()
    }

    /// For calls with a limit of their own.
    pub(super) fn source(&self) -> &Source<T> {
        &self.source
    }

    pub(super) fn options(&self) -> SockRef<'_> {
        SockRef::from(self.get())
    }

    pub(super) fn limit(&self, direction: Direction) -> &Limit {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    pub(super) fn call(&self, direction: Direction) -> Call<'_> {
        match direction {
            Direction::Read => Call::read(&self.read),
            Direction::Write => Call::write(&self.write),
        }
    }

    /// Tries `op` until it answers anything but `WouldBlock`, and waits in between. `what` names it in
    /// errors.
    #[inline]
    pub(super) fn run<R>(
        &self,
        direction: Direction,
        what: &'static str,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run_for(self.call(direction), what, op)
    }

    /// [`run`](Self::run), with a reason of its own.
    #[inline]
    pub(super) fn run_for<R>(
        &self,
        call: Call<'_>,
        what: &'static str,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.is_nonblocking() {
            return op(self.get());
        }
        self.source.run(call, op).map_err(|error| self.explain(error, call.direction, what))
    }

    /// [`run`](Self::run) for byte streams: see [`Source::run_stream`].
    #[inline]
    fn run_stream(
        &self,
        direction: Direction,
        what: &'static str,
        len: usize,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_nonblocking() {
            return op(self.get());
        }
        let call = self.call(direction);
        self.source.run_stream(call, len, op).map_err(|error| self.explain(error, direction, what))
    }

    /// Waits until a call in `direction` would not wait.
    pub(super) fn ready(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        self.source.ready(self.call(direction)).map_err(|error| self.explain(error, direction, what))
    }

    /// [`run`](Self::run) for a call of whose success the kernel gives no notice: see [`retry`].
    pub(super) fn run_with_pauses<R>(
        &self,
        direction: Direction,
        what: &'static str,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.is_nonblocking() {
            return op(self.get());
        }
        let op = || if self.is_closed() { Err(closed()) } else { op(self.get()) };
        retry(self.limit(direction), op).map_err(|error| self.explain(error, direction, what))
    }

    /// Gives the limit of a call that ran out of time the kind that std has for it, and names the call.
    #[cold]
    fn explain(&self, error: io::Error, direction: Direction, what: &'static str) -> io::Error {
        if self.is_closed() {
            // Whatever the kernel answers on a socket that has been shut down under the call.
            return io::Error::new(io::ErrorKind::NotConnected, format!("{what}: {}", closed()));
        }
        if error.raw_os_error().is_some() {
            return error; // The kernel's, also if it says that the connection timed out.
        }
        let limit = self.limit(direction);
        match error.kind() {
            io::ErrorKind::TimedOut if limit.deadline().is_some_and(|at| at <= Instant::now()) => {
                io::Error::new(io::ErrorKind::TimedOut, format!("{what}: the deadline has passed"))
            }
            io::ErrorKind::TimedOut => {
                let after = limit.timeout().map_or(String::new(), |timeout| format!(" of {timeout:?}"));
                io::Error::new(io::ErrorKind::WouldBlock, format!("{what}: the timeout{after} has passed"))
            }
            io::ErrorKind::NotConnected => io::Error::new(error.kind(), format!("{what}: {error}")),
            _ => error,
        }
    }

    pub(super) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        self.limit(direction).set_timeout(timeout)
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.limit(direction).timeout()
    }

    pub(super) fn set_deadline(&self, direction: Direction, deadline: Option<Instant>) {
        self.limit(direction).set_deadline(deadline);
        self.source.wake(direction);
    }

    pub(super) fn deadline(&self, direction: Direction) -> Option<Instant> {
        self.limit(direction).deadline()
    }

    #[inline]
    pub(super) fn is_nonblocking(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & NONBLOCKING != 0
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        if nonblocking {
            self.flags.fetch_or(NONBLOCKING, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!NONBLOCKING, Ordering::Relaxed);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & CLOSED != 0
    }

    pub(super) fn shortages(&self) -> u8 {
        self.shortages.load(Ordering::Relaxed)
    }

    pub(super) fn set_shortages(&self, shortages: u8) {
        self.shortages.store(shortages, Ordering::Relaxed);
    }

    /// Ends all waits and those to come, and shuts the socket down, which the other side sees and which wakes
    /// threads that are in `poll`.
    pub(super) fn close(&self) {
        self.flags.fetch_or(CLOSED, Ordering::Relaxed);
        self.source.close();
        // Fails for a socket without a peer, and even then wakes who polls it.
        let _ = self.options().shutdown(Shutdown::Both);
    }

    /// One message, or what a stream has now; `flags` as for `recv`. Says nothing about whether there is
    /// more.
    #[inline]
    pub(super) fn receive(&self, what: &'static str, buf: &mut [u8], flags: i32) -> io::Result<usize> {
        self.run(Direction::Read, what, |io| {
            SockRef::from(io).recv_with_flags(uninit(buf), flags | libc::MSG_DONTWAIT)
        })
    }

    #[inline]
    pub(super) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.run(Direction::Write, "send", |io| SockRef::from(io).send_with_flags(buf, SEND_FLAGS))
    }

    #[inline]
    pub(super) fn receive_from(
        &self,
        what: &'static str,
        buf: &mut [u8],
        flags: i32,
    ) -> io::Result<(usize, SockAddr)> {
        self.run(Direction::Read, what, |io| {
            SockRef::from(io).recv_from_with_flags(uninit(buf), flags | libc::MSG_DONTWAIT)
        })
    }
}

/// A socket of std's that moves bytes without boundaries.
pub(super) trait ByteStream: AsFd {
    /// A read that got less than it had room for has emptied the socket.
    const SHORT_READ_EMPTIES: bool;
}

impl ByteStream for std::net::TcpStream {
    const SHORT_READ_EMPTIES: bool = true;
}

impl ByteStream for std::os::unix::net::UnixStream {
    /// A read ends behind bytes that came with descriptors or credentials, though there may be more.
    const SHORT_READ_EMPTIES: bool = false;
}

impl<T: ByteStream> Socket<T> {
    /// A byte stream's read.
    #[inline]
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.run_read("read", buf.len(), |io| {
            SockRef::from(io).recv_with_flags(uninit(buf), libc::MSG_DONTWAIT)
        })
    }

    pub(super) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
            return self
                .run_empty(Direction::Read, "peek", |io| SockRef::from(io).recv_with_flags(&mut [], flags));
        }
        self.receive("peek", buf, libc::MSG_PEEK)
    }

    pub(super) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = bufs.len().min(MAX_VECTORS);
        let bufs = &mut bufs[..count];
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return self.run_empty(Direction::Read, "read", |_| Ok(0));
        }
        let bufs = uninit_vector(bufs);
        self.run_read("read", len, |io| {
            Ok(SockRef::from(io).recv_vectored_with_flags(bufs, libc::MSG_DONTWAIT)?.0)
        })
    }

    #[inline]
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let op = |io: &T| SockRef::from(io).send_with_flags(buf, SEND_FLAGS);
        if buf.is_empty() {
            return self.run_empty(Direction::Write, "write", op);
        }
        self.run_stream(Direction::Write, "write", buf.len(), op)
    }

    pub(super) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(MAX_VECTORS)];
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return self.run_empty(Direction::Write, "write", |_| Ok(0));
        }
        self.run_stream(Direction::Write, "write", len, |io| {
            SockRef::from(io).send_vectored_with_flags(bufs, SEND_FLAGS)
        })
    }

    #[inline]
    fn run_read(
        &self,
        what: &'static str,
        len: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if len == 0 {
            self.run_empty(Direction::Read, what, op)
        } else if T::SHORT_READ_EMPTIES {
            self.run_stream(Direction::Read, what, len, op)
        } else {
            self.run(Direction::Read, what, op)
        }
    }

    /// A call without bytes never waits: the kernel is asked, for its errors, where std asks it.
    #[cold]
    fn run_empty(
        &self,
        direction: Direction,
        what: &'static str,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_nonblocking() {
            return op(self.get());
        }
        let done = self.source.run_empty(self.call(direction), op);
        done.map_err(|error| self.explain(error, direction, what))
    }
}

#[cfg(feature = "futures")]
impl<T: ByteStream> Socket<T> {
    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        SockRef::from(self.get()).recv_with_flags(uninit(buf), libc::MSG_DONTWAIT)
    }

    pub(super) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        SockRef::from(self.get()).send_with_flags(buf, SEND_FLAGS)
    }
}

impl<T: AsFd + From<OwnedFd> + Into<OwnedFd>> Socket<T> {
    /// Takes the socket out, with its timeouts and in blocking mode, as std has it.
    pub(super) fn release(self: Arc<Self>) -> io::Result<T> {
        let (read, write) = (self.read.timeout(), self.write.timeout());
        let (io, shared) = match Arc::try_unwrap(self) {
            Ok(socket) => (socket.source.into_inner(), false),
            Err(shared) => (T::from(shared.get().as_fd().try_clone_to_owned()?), true),
        };
        let options = SockRef::from(&io);
        // The mode is common to all duplicates. The calls of the clones say that they don't want to block,
        // only `accept` can't.
        if !(shared && options.is_listener()?) {
            options.set_nonblocking(false)?;
        }
        options.set_read_timeout(read)?;
        options.set_write_timeout(write)?;
        Ok(io)
    }
}

#[cold]
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was closed while it was still in use")
}

/// Nothing raises `SIGPIPE`, nothing blocks.
pub(super) const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// More buffers than this the kernel refuses, so the rest waits for the next call.
const MAX_VECTORS: usize = libc::UIO_MAXIOV as usize;

/// A buffer as socket2 wants it: one that may hold uninitialised bytes.
#[inline]
fn uninit(buf: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the layouts are the same, and those who get it only let the kernel write to it, which writes
    // bytes.
    unsafe { &mut *(ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }
}

/// The same for a list of buffers.
fn uninit_vector<'a, 'b>(bufs: &'a mut [IoSliceMut<'b>]) -> &'a mut [MaybeUninitSlice<'b>] {
    // SAFETY: both types promise the layout of an `iovec`; and as above, only the kernel writes through it.
    unsafe { &mut *(ptr::from_mut(bufs) as *mut [MaybeUninitSlice<'b>]) }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_deadline_before_each_read_costs_no_call_that_finds_nothing() {
        crate::sched::run(|| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let socket = Socket::fresh(ours).unwrap();
            let mut calls = 0;
            for round in 1..=20 {
                socket.set_deadline(Direction::Read, Some(Instant::now() + Duration::from_secs(1000)));
                let writer = crate::thread::spawn(move || theirs.write(&[round]).map(|_| theirs));
                let mut buf = [0; 8];
                let n = socket.run_stream(Direction::Read, "read", buf.len(), |io| {
                    calls += 1;
                    SockRef::from(io).recv_with_flags(uninit(&mut buf), libc::MSG_DONTWAIT)
                });
                assert_eq!((n.unwrap(), buf[0]), (1, round));
                theirs = writer.join().unwrap().unwrap();
            }
            // The first call may have come before the first byte.
            assert!(calls <= 21, "{calls} calls for 20 reads");
        });
    }
}
