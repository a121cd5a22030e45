//! What is the same word by word in several socket types. Each holds an `Arc<Socket<…>>` named `inner`.

/// Sharing, closing and the blocking mode.
macro_rules! common_methods {
    () => {
        /// Another handle of the same socket. Shares everything: timeouts, options, position.
        ///
        /// # Errors
        ///
        /// None: std's signature has room for one, but no descriptor is spent.
        pub fn try_clone(&self) -> io::Result<Self> {
            Ok(Self { inner: self.inner.clone() })
        }

        /// The error that the kernel keeps for this socket, which this clears (`SO_ERROR`).
        ///
        /// # Errors
        ///
        /// Those of `getsockopt`.
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.inner.get().take_error()
        }

        /// Whether calls that would have to wait return `WouldBlock` instead.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.inner.set_nonblocking(nonblocking);
            Ok(())
        }

        /// Ends the use of the socket, for all its clones: shuts it down in both directions, and makes all
        /// calls that wait and all that come fail with `NotConnected`, in tasks and on plain threads. The
        /// descriptor itself is closed with the last clone, so that nobody meets its number in another's
        /// hands. A read that is being made at this moment may still find the end instead of the error.
        ///
        /// Parks nowhere.
        pub fn close(&self) {
            self.inner.close();
        }
    };
}

/// Timeouts as in std, deadlines beside them.
macro_rules! limit_methods {
    () => {
        /// How long a call that reads may wait; `None`, the default, for ever. Applies to the calls that
        /// begin after it.
        ///
        /// As in std the error is of kind `WouldBlock` when the time is up. A timeout costs nothing while
        /// there is data.
        ///
        /// # Errors
        ///
        /// `InvalidInput` for a timeout of zero.
        pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.inner.set_timeout(Direction::Read, timeout)
        }

        /// How long a call that writes may wait, as [`set_read_timeout`](Self::set_read_timeout).
        ///
        /// # Errors
        ///
        /// `InvalidInput` for a timeout of zero.
        pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.inner.set_timeout(Direction::Write, timeout)
        }

        /// What [`set_read_timeout`](Self::set_read_timeout) has set, to the nanosecond.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.inner.timeout(Direction::Read))
        }

        /// What [`set_write_timeout`](Self::set_write_timeout) has set.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.inner.timeout(Direction::Write))
        }

        /// Until when calls may read, whenever they begin; `None`, the default, for no end.
        ///
        /// Afterwards they fail with `TimedOut`, even if there is data, until the deadline is moved. A task
        /// that waits takes notice at once, so a deadline in the past ends its call; a plain thread that is
        /// in the system call already goes by the deadline that it found. Costs no system call.
        pub fn set_read_deadline(&self, deadline: Option<Instant>) {
            self.inner.set_deadline(Direction::Read, deadline);
        }

        /// Until when calls may write, as [`set_read_deadline`](Self::set_read_deadline).
        pub fn set_write_deadline(&self, deadline: Option<Instant>) {
            self.inner.set_deadline(Direction::Write, deadline);
        }

        /// What [`set_read_deadline`](Self::set_read_deadline) has set.
        pub fn read_deadline(&self) -> Option<Instant> {
            self.inner.deadline(Direction::Read)
        }

        /// What [`set_write_deadline`](Self::set_write_deadline) has set.
        pub fn write_deadline(&self) -> Option<Instant> {
            self.inner.deadline(Direction::Write)
        }

        /// Waits until a read would not: there is data, the end, or an error. A task that waits here needs no
        /// buffer yet.
        ///
        /// Parks the task, or blocks the thread.
        ///
        /// # Errors
        ///
        /// As for a read that waits: timeout, deadline, [`close`](Self::close).
        pub fn readable(&self) -> io::Result<()> {
            self.inner.ready(Direction::Read, "readable")
        }

        /// Waits until a write would not, as [`readable`](Self::readable).
        ///
        /// # Errors
        ///
        /// As for a write that waits: timeout, deadline, [`close`](Self::close).
        pub fn writable(&self) -> io::Result<()> {
            self.inner.ready(Direction::Write, "writable")
        }
    };
}

/// The same for listeners, whose only direction is reading.
macro_rules! accept_limit_methods {
    () => {
        /// How long [`accept`](Self::accept) may wait; `None`, the default, for ever. The error is of kind
        /// `WouldBlock` when the time is up.
        ///
        /// # Errors
        ///
        /// `InvalidInput` for a timeout of zero.
        pub fn set_accept_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.inner.set_timeout(Direction::Read, timeout)
        }

        /// What [`set_accept_timeout`](Self::set_accept_timeout) has set.
        pub fn accept_timeout(&self) -> Option<Duration> {
            self.inner.timeout(Direction::Read)
        }

        /// Until when connections are accepted; `None`, the default, for no end. Afterwards
        /// [`accept`](Self::accept) fails with `TimedOut`. A task that waits takes notice at once; a plain
        /// thread that is in the system call already goes by the deadline that it found.
        pub fn set_accept_deadline(&self, deadline: Option<Instant>) {
            self.inner.set_deadline(Direction::Read, deadline);
        }

        /// What [`set_accept_deadline`](Self::set_accept_deadline) has set.
        pub fn accept_deadline(&self) -> Option<Instant> {
            self.inner.deadline(Direction::Read)
        }
    };
}

/// For calls that the streams here don't make themselves.
macro_rules! call_method {
    () => {
        /// Tries a call until it answers anything but `WouldBlock`, and waits in between, as a read or write does;
        /// `what` names it in errors.
        pub(crate) fn call<R>(
            &self,
            direction: Direction,
            what: &'static str,
            mut call: impl FnMut() -> io::Result<R>,
        ) -> io::Result<R> {
            self.inner.run(direction, what, |_| call())
        }

        /// For futures.
        #[cfg(feature = "futures")]
        pub(crate) fn registration(&self) -> &crate::poll::Registration {
            self.inner.source().registration()
        }

        /// One read that does not wait.
        #[cfg(feature = "futures")]
        pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.inner.try_read(buf)
        }

        /// One write that does not wait.
        #[cfg(feature = "futures")]
        pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
            self.inner.try_write(buf)
        }
    };
}

/// `Read` and `Write` for a stream and for a reference to it.
macro_rules! stream_io {
    ($($type:ty),*) => {$(
        impl Read for $type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.inner.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.inner.read_vectored(bufs)
            }
        }

        impl Write for $type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.inner.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.inner.write_vectored(bufs)
            }

            /// Does nothing: nothing is buffered here.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

/// Conversions from and to std's type `$std`, `OwnedFd` and raw descriptors, and std's text for `Debug`.
macro_rules! conversions {
    ($type:ident, $std:ty) => {
        /// Switches the socket to non-blocking mode, and takes its timeouts over.
        ///
        /// # Panics
        ///
        /// If four million pollable descriptors exist.
        impl From<$std> for $type {
            fn from(socket: $std) -> Self {
                match Socket::adopt(socket) {
                    Ok(socket) => Self { inner: Arc::new(socket) },
                    Err(error) => panic!("can't take over a socket of std's: {error}"),
                }
            }
        }

        /// Switches the socket back to blocking mode, with its timeouts. If clones exist the descriptor is
        /// duplicated.
        ///
        /// # Panics
        ///
        /// If clones exist and no descriptor is left for a duplicate.
        impl From<$type> for $std {
            fn from(socket: $type) -> Self {
                match socket.inner.release() {
                    Ok(socket) => socket,
                    Err(error) => panic!("can't turn a socket into one of std's: {error}"),
                }
            }
        }

        /// As from std's type.
        ///
        /// # Panics
        ///
        /// As there.
        impl From<OwnedFd> for $type {
            fn from(fd: OwnedFd) -> Self {
                <$std>::from(fd).into()
            }
        }

        /// As into std's type.
        ///
        /// # Panics
        ///
        /// As there.
        impl From<$type> for OwnedFd {
            fn from(socket: $type) -> Self {
                <$std>::from(socket).into()
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.get().as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.get().as_raw_fd()
            }
        }

        impl FromRawFd for $type {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: passed on to our caller: it is open, a socket, and nobody else's.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }

        impl IntoRawFd for $type {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        /// As std's.
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner.get().fmt(f)
            }
        }
    };
}

/// What streams have beside reading and writing.
macro_rules! stream_methods {
    () => {
        /// The address of the other side.
        ///
        /// # Errors
        ///
        /// `NotConnected` if there is no connection, or none any more.
        pub fn peer_addr(&self) -> io::Result<SocketAddr> {
            self.inner.get().peer_addr()
        }

        /// The address of our side.
        ///
        /// # Errors
        ///
        /// Those of `getsockname`.
        pub fn local_addr(&self) -> io::Result<SocketAddr> {
            self.inner.get().local_addr()
        }

        /// Shuts down reading, writing or both, for all clones. Calls that wait return: reads find the end,
        /// writes fail.
        ///
        /// # Errors
        ///
        /// `NotConnected` if there is no connection, or none any more.
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            self.inner.get().shutdown(how)
        }

        /// Reads without taking the bytes out: the next read finds them again. Waits as a read does.
        ///
        /// # Errors
        ///
        /// As a read.
        pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.inner.peek(buf)
        }
    };
}

/// What the halves need of a stream.
macro_rules! splittable {
    ($type:ident) => {
        impl sealed::Sealed for $type {
            fn shut_down(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }

            fn is_same(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.inner, &other.inner)
            }
        }
    };
}

/// Receiving from anybody; the caller has a function `from_system` for addresses of its kind.
macro_rules! receive_from_methods {
    () => {
        /// Receives a datagram, and says who sent it. What does not fit into the buffer is lost.
        ///
        /// Parks the task, or blocks the thread, until there is one.
        ///
        /// # Errors
        ///
        /// Those of `recvfrom`; `WouldBlock` at a timeout, `TimedOut` at a deadline, `NotConnected` after
        /// [`close`](Self::close).
        pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.receive_from("recv_from", buf, 0)
        }

        /// As [`recv_from`](Self::recv_from), but the datagram stays in the queue.
        ///
        /// # Errors
        ///
        /// As [`recv_from`](Self::recv_from).
        pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.receive_from("peek_from", buf, libc::MSG_PEEK)
        }

        fn receive_from(
            &self,
            what: &'static str,
            buf: &mut [u8],
            flags: i32,
        ) -> io::Result<(usize, SocketAddr)> {
            let (n, from) = self.inner.receive_from(what, buf, flags)?;
            Ok((n, from_system(&from)?))
        }
    };
}
