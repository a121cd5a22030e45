//! TCP: connections, and the listeners that accept them.

mod builder;
mod listener;
mod stream;

pub use builder::TcpListenerBuilder;
pub use listener::{Incoming, IntoIncoming, TcpListener};
pub use stream::TcpStream;
