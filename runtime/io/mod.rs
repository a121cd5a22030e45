//! Waiting for file descriptors, in the shape of [`std::io`].

mod limit;
mod source;

pub(crate) use limit::Limit;
pub(crate) use source::Call;
pub use source::Source;
