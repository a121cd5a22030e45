//! Waiting for file descriptors, in the shape of [`std::io`].

mod copy;
mod limit;
mod pipe;
mod source;
mod standard;
mod stdio;

pub use copy::copy;
pub(crate) use limit::Limit;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub(crate) use source::Call;
pub use source::Source;
pub use stdio::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout};
