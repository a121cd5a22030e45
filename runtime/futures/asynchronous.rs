//! Sockets and pipes for asynchronous code: `futures_io`'s traits.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use sealed::Place;

use crate::io::{PipeReader, PipeWriter, Source};
use crate::net::{OwnedReadHalf, OwnedWriteHalf, Shutdown, Splittable, TcpStream, UnixStream};
use crate::poll::{Direction, Registration};
use crate::sched::selector_for_future;
use crate::task::checkpoint;
use crate::task::waiter::Waiter;
use crate::task::watch::Watch;

/// What [`Async`] can wait for: streams, their halves, pipes, any [`Source`], and references to them.
pub trait Pollable: sealed::Pollable {}

impl<S: sealed::Pollable> Pollable for S {}

/// What [`Async`] can read from.
pub trait Readable: Pollable + sealed::Readable {}

impl<S: Pollable + sealed::Readable> Readable for S {}

/// What [`Async`] can write to.
pub trait Writable: Pollable + sealed::Writable {}

impl<S: Pollable + sealed::Writable> Writable for S {}

mod sealed {
    use std::io;
    use std::os::fd::BorrowedFd;

    use crate::poll::Registration;

    /// Where a descriptor's waiters are.
    pub struct Place<'a>(pub(super) &'a Registration);

    pub trait Pollable {
        fn place(&self) -> Place<'_>;
        fn fd(&self) -> BorrowedFd<'_>;
    }

    pub trait Readable: Pollable {
        /// One read that does not wait.
        fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    }

    pub trait Writable: Pollable {
        /// One write that does not wait.
        fn try_write(&self, buf: &[u8]) -> io::Result<usize>;

        /// Nothing more will be written.
        fn finish(&self) -> io::Result<()>;
    }
}

/// A stream of this crate with `futures_io`'s traits [`AsyncRead`] and [`AsyncWrite`].
///
/// Reading and writing return `Pending` where the stream itself would park. The timeouts and deadlines that are set on the
/// stream don't apply. Closing it shuts writing down, as dropping it does if it is the last handle.
///
/// One `Async` has one reader and one writer at a time: the last to be polled is woken. For more wrap clones, the
/// stream's halves, or references. In a task the descriptor is watched by its worker; elsewhere by the global runtime, which
/// starts with the first wait.
///
/// **Cancellation**: a read or write whose future is dropped has moved nothing.
///
/// # Examples
///
/// ```
/// use fibra::futures::Async;
/// use fibra::net::{TcpListener, TcpStream};
/// use futures_util::{AsyncReadExt, AsyncWriteExt};
/// use std::io::Read;
///
/// fibra::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     let server = fibra::go!({
///         let mut text = String::new();
///         listener.accept()?.0.read_to_string(&mut text)?;
///         std::io::Result::Ok(text)
///     });
///     let mut stream = Async::new(TcpStream::connect(addr)?);
///     fibra::block_on(async {
///         stream.write_all(b"hello").await?;
///         stream.close().await
///     })?;
///     assert_eq!(server.join().unwrap()?, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Async<S: Pollable> {
    stream: S,
    reading: Waiting,
    writing: Waiting,
}

/// One direction's wait.
struct Waiting {
    direction: Direction,
    /// Armed, and its node queued or popped by a waker.
    watch: Option<Watch<Waiter<()>>>,
}

impl<S: Pollable> Async<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, reading: Waiting::new(Direction::Read), writing: Waiting::new(Direction::Write) }
    }

    /// The stream. Whatever it can do parks as ever.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Gives the stream back.
    pub fn into_inner(mut self) -> S {
        self.leave();
        let this = ManuallyDrop::new(self);
        // SAFETY: taken once, since `this` is not dropped; what else it has is empty by now.
        unsafe { ptr::read(&this.stream) }
    }

    fn leave(&mut self) {
        let registration = self.stream.place().0;
        drop(self.reading.take_back(registration));
        drop(self.writing.take_back(registration));
    }

    /// Makes a call until it does not answer `WouldBlock`; else lets the waker be called when it is worth another poll.
    fn poll<R>(
        stream: &S,
        waiting: &mut Waiting,
        waker: &Waker,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        checkpoint();
        let registration = stream.place().0;
        let direction = waiting.direction;
        let mut idle = waiting.take_back(registration);
        loop {
            let seen = registration.look(direction);
            if seen.is_closed() {
                let message = "it was closed by this program while it was still in use";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, message)));
            }
            if !seen.is_drained() {
                match call() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        registration.drain(direction, seen);
                    }
                    done => return Poll::Ready(done),
                }
            }
            let fd = stream.fd();
            let selector = selector_for_future(fd.as_raw_fd() as usize)?;
            let mut watch = idle.take().unwrap_or_else(|| Watch::new(|parker| Waiter::of(parker, ())));
            watch.arm(waker.clone());
            // SAFETY: the node is in no queue, its wait has begun, and the watch keeps it in its place until the wait has
            // ended.
            match unsafe { registration.enqueue(fd, direction, selector, seen, watch.node()) } {
                Ok(true) => {
                    waiting.watch = Some(watch);
                    return Poll::Pending;
                }
                not_queued => {
                    // SAFETY: the node is in no queue.
                    idle = unsafe { watch.disarm() }.then_some(watch);
                    not_queued?;
                }
            }
        }
    }
}

impl Waiting {
    fn new(direction: Direction) -> Self {
        Self { direction, watch: None }
    }

    /// The watch, out of the queue, if it can serve again.
    fn take_back(&mut self, registration: &Registration) -> Option<Watch<Waiter<()>>> {
        let mut watch = mem::take(&mut self.watch)?;
        // SAFETY: its node has been given to `enqueue` of this registration: the stream is never exchanged.
        unsafe { registration.dequeue(self.direction, watch.node()) };
        // SAFETY: it has been taken out, here or by who has claimed it.
        unsafe { watch.disarm() }.then_some(watch)
    }
}

// Nothing is pinned: what stands in queues lies on the heap.
impl<S: Pollable> Unpin for Async<S> {}

impl<S: Readable> AsyncRead for Async<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Self { stream, reading, .. } = self.get_mut();
        Self::poll(stream, reading, cx.waker(), || stream.try_read(buf))
    }
}

impl<S: Writable> AsyncWrite for Async<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, writing, .. } = self.get_mut();
        Self::poll(stream, writing, cx.waker(), || stream.try_write(buf))
    }

    /// Does nothing: nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.finish())
    }
}

impl<S: Pollable> Drop for Async<S> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<S: Pollable + fmt::Debug> fmt::Debug for Async<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(&self.stream).finish()
    }
}

/// What the streams themselves can do, by methods of the same names.
macro_rules! pollable {
    ($([$($generics:tt)*] $stream:ty, |$this:ident| $registration:expr;)*) => {$(
        impl<$($generics)*> sealed::Pollable for $stream {
            fn place(&self) -> Place<'_> {
                let $this = self;
                Place($registration)
            }

            fn fd(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }
        }
    )*};
}

pollable! {
    [] TcpStream, |this| this.registration();
    [] UnixStream, |this| this.registration();
    [] PipeReader, |this| this.source().registration();
    [] PipeWriter, |this| this.source().registration();
    [T: AsFd] Source<T>, |this| this.registration();
}

macro_rules! socket {
    ($($socket:ty),*) => {$(
        impl sealed::Readable for $socket {
            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                Self::try_read(self, buf)
            }
        }

        impl sealed::Writable for $socket {
            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                Self::try_write(self, buf)
            }

            fn finish(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    )*};
}

socket!(TcpStream, UnixStream);

impl sealed::Readable for PipeReader {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source().get_ref().read(buf)
    }
}

impl sealed::Writable for PipeWriter {
    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source().get_ref().write(buf)
    }

    /// The reader finds the end when the writer is dropped.
    fn finish(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: AsFd> sealed::Readable for Source<T>
where
    for<'a> &'a T: Read,
{
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.get_ref().read(buf)
    }
}

impl<T: AsFd> sealed::Writable for Source<T>
where
    for<'a> &'a T: Write,
{
    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.get_ref().write(buf)
    }

    fn finish(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What does as another one does.
macro_rules! passed_on {
    (pollable: $([$($generics:tt)*] $stream:ty, |$this:ident| $other:expr;)*) => {$(
        impl<$($generics)*> sealed::Pollable for $stream {
            fn place(&self) -> Place<'_> {
                let $this = self;
                $other.place()
            }

            fn fd(&self) -> BorrowedFd<'_> {
                let $this = self;
                $other.fd()
            }
        }
    )*};
    (readable: $([$($generics:tt)*] $stream:ty, |$this:ident| $other:expr;)*) => {$(
        impl<$($generics)*> sealed::Readable for $stream {
            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                let $this = self;
                $other.try_read(buf)
            }
        }
    )*};
    (writable: $([$($generics:tt)*] $stream:ty, |$this:ident| $other:expr;)*) => {$(
        impl<$($generics)*> sealed::Writable for $stream {
            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                let $this = self;
                $other.try_write(buf)
            }

            fn finish(&self) -> io::Result<()> {
                let $this = self;
                $other.finish()
            }
        }
    )*};
}

passed_on! { pollable:
    [S: sealed::Pollable] &S, |this| **this;
    [S: Splittable + sealed::Pollable] OwnedReadHalf<S>, |this| this.as_ref();
    [S: Splittable + sealed::Pollable] OwnedWriteHalf<S>, |this| this.as_ref();
}
passed_on! { readable:
    [S: sealed::Readable] &S, |this| **this;
    [S: Splittable + sealed::Readable] OwnedReadHalf<S>, |this| this.as_ref();
}
passed_on! { writable:
    [S: sealed::Writable] &S, |this| **this;
    [S: Splittable + sealed::Writable] OwnedWriteHalf<S>, |this| this.as_ref();
}
