//! The two halves of a stream, each with an owner of its own.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;

/// A stream that can be split: [`TcpStream`](super::TcpStream) and [`UnixStream`](super::UnixStream).
pub trait Splittable: sealed::Sealed {}

impl<S: sealed::Sealed> Splittable for S {}

/// What the halves need of a stream.
pub(super) mod sealed {
    use super::{Shutdown, io};

    pub trait Sealed: Sized {
        fn shut_down(&self, how: Shutdown) -> io::Result<()>;
        fn is_same(&self, other: &Self) -> bool;
    }
}

/// The reading half of a stream, from `into_split`.
///
/// Reads as the stream does; whatever else the stream can do is in reach through [`as_ref`](AsRef::as_ref).
/// Needs no lock: the two directions of a socket are independent.
#[derive(Debug)]
pub struct OwnedReadHalf<S: Splittable> {
    stream: S,
}

/// The writing half of a stream, from `into_split`.
///
/// When it is dropped, the other side sees the end of the stream: the direction is shut down, for all clones
/// of the stream. [`forget`](Self::forget) leaves it open.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Splittable> {
    /// Empty once the half has been forgotten or reunited.
    stream: Option<S>,
}

/// The two halves of a stream. Both arguments are handles of one socket.
pub(super) fn split<S: Splittable>(reading: S, writing: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    (OwnedReadHalf { stream: reading }, OwnedWriteHalf { stream: Some(writing) })
}

impl<S: Splittable> OwnedReadHalf<S> {
    /// Puts the two halves together again.
    ///
    /// # Errors
    ///
    /// They are not of one stream; the error hands both back.
    pub fn reunite(self, other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if self.stream.is_same(other.as_ref()) {
            other.forget();
            Ok(self.stream)
        } else {
            Err(ReuniteError(self, other))
        }
    }
}

impl<S: Splittable> OwnedWriteHalf<S> {
    /// Puts the two halves together again.
    ///
    /// # Errors
    ///
    /// They are not of one stream; the error hands both back.
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        other.reunite(self)
    }

    /// Drops the half without shutting its direction down.
    pub fn forget(mut self) {
        self.stream = None;
    }

    fn stream(&self) -> &S {
        self.stream.as_ref().expect("only methods that consume the half empty it")
    }
}

impl<S: Splittable> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Fails if the connection is gone, and then there is nobody to tell.
            let _ = stream.shut_down(Shutdown::Write);
        }
    }
}

impl<S: Splittable> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Splittable> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.stream()
    }
}

macro_rules! half_io {
    ($($reader:ty, $writer:ty;)*) => {$(
        impl<S: Splittable> Read for $reader
        where
            for<'a> &'a S: Read,
        {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.stream).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&self.stream).read_vectored(bufs)
            }
        }

        impl<S: Splittable> Write for $writer
        where
            for<'a> &'a S: Write,
        {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.stream().write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream().write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

half_io!(OwnedReadHalf<S>, OwnedWriteHalf<S>; &OwnedReadHalf<S>, &OwnedWriteHalf<S>;);

/// The halves that were to be put together belong to different streams. Hands them back.
#[derive(Debug)]
pub struct ReuniteError<S: Splittable>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Splittable> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves belong to different streams")
    }
}

impl<S: Splittable + fmt::Debug> Error for ReuniteError<S> {}
