//! Waiting for file descriptors, in the shape of [`std::io`], whose traits and adapters work on top and are here too.
//!
//! # How a call waits
//!
//! It is tried first, as a non-blocking system call. Only when that finds nothing does the task park, and its worker's epoll
//! instance wakes it at the next event. On a plain OS thread the wait is `poll(2)`. [`Source`] gives this to any descriptor.

mod copy;
mod gather;
mod limit;
mod pipe;
mod reentrant;
mod retry;
mod source;
mod standard;
mod stdio;

pub use copy::copy;
pub(crate) use gather::Gather;
pub(crate) use limit::Limit;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub(crate) use retry::retry;
pub(crate) use source::Call;
pub use source::Source;
pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError, IoSlice,
    IoSliceMut, IsTerminal, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink, Split, Take,
    Write, WriterPanicked, empty, prelude, read_to_string, repeat, sink,
};
pub use stdio::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout};
