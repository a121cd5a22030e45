//! Waiting for file descriptors, in the shape of [`std::io`].

mod copy;
mod limit;
mod pipe;
mod source;

pub use copy::copy;
pub(crate) use limit::Limit;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub(crate) use source::Call;
pub use source::Source;
