//! What the tests of sockets need.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};

use super::support::within_patience;

/// Runs a test's body wherever sockets work: in a task of a runtime with one worker and with two, and on a
/// plain thread, whose tasks then belong to the global runtime.
#[track_caller]
pub fn everywhere(body: fn()) {
    for workers in [1, 2] {
        within_patience(move || {
            fibra::Builder::new().workers(workers).build().expect("a runtime can be built").run(body)
        });
    }
    within_patience(body);
}

/// Longer than a test runs. Who waits so long has found a hang.
pub const LONG: Duration = Duration::from_secs(1000);

/// Short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(20);

/// A listener at a port of its own.
pub fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Both ends of a connection.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Writes until there is no room; the stream is non-blocking for that long.
pub fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(n) = (&*stream).write(&[7; 1 << 16]) {
        sent += n;
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// An address where nobody listens, and where nobody else can: the port is taken as long as this lives.
pub struct ClosedPort {
    pub addr: SocketAddr,
    _taken: Socket,
}

impl ClosedPort {
    pub fn new() -> Self {
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { addr: taken.local_addr().unwrap().as_socket().unwrap(), _taken: taken }
    }
}
