//! The server: a task for each connection, and a stop that cuts no answer off.
//!
//! ```text
//! request to stop: the listener closes ──▶ idle connections end ──▶ the others end with their answers
//!                                                                        └─ grace is over ──▶ cut off
//! ```

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use fibra::cancel::Token;
use fibra::net::{TcpListener, TcpStream};
use fibra::signal::{Shutdown, ShutdownGuard};

use crate::connection::Connection;
use crate::limits::Limits;

pub struct Server {
    listener: TcpListener,
    limits: Limits,
    /// The request to stop, and the count of the connections.
    shutdown: Shutdown,
    /// Cancelled to end connections that are idle.
    idle: Token,
    /// Cancelled to end all that are left.
    all: Token,
}

impl Server {
    pub fn bind(address: SocketAddr, limits: Limits, shutdown: Shutdown) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        Ok(Self { listener, limits, shutdown, idle: Token::new(), all: Token::new() })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the stop is requested and the last connection has ended.
    pub fn run(&self) -> io::Result<()> {
        fibra::scope(|s| {
            let stop = s.spawn(|| self.stop_when_requested());
            for stream in self.listener.incoming() {
                let counted = self.shutdown.guard();
                match stream {
                    Ok(stream) => drop(s.spawn(move || self.serve(&stream, counted))),
                    // Too many descriptors, perhaps: the listener itself takes a breath before the next try.
                    Err(error) => eprintln!("http: no connection accepted: {error}"),
                }
            }
            stop.join().expect("the stop does not panic")
        })
    }

    fn stop_when_requested(&self) -> io::Result<()> {
        self.shutdown.wait();
        self.listener.close();
        self.idle.cancel();
        self.shutdown.drain(self.limits.grace).map_err(|error| {
            self.all.cancel();
            io::Error::new(ErrorKind::TimedOut, format!("cut off at the stop: {error}"))
        })
    }

    fn serve(&self, stream: &TcpStream, _counted: ShutdownGuard) {
        let served = self.all.run(|| Connection::new(stream, &self.limits, &self.idle)?.serve());
        if let Ok(Err(error)) = served {
            // That the client has gone, or is as good as gone, is its own business.
            use ErrorKind::*;
            let kinds = [ConnectionReset, BrokenPipe, NotConnected, UnexpectedEof, TimedOut, WouldBlock];
            if !kinds.contains(&error.kind()) {
                eprintln!("http: a connection failed: {error}");
            }
        }
    }
}
