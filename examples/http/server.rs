//! The server: connections, answers, limits of time, and the graceful stop.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream};
use fibra::signal::Shutdown;
use fibra::sync::Mutex;

use crate::request::{Method, Request, parse};

/// What a client may ask of the server.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head; beyond: 431.
    pub head: usize,
    /// Bytes of its body; beyond: 413.
    pub body: u64,
    /// How long a connection may be idle, or take for a head, or stand still in a body or an answer; beyond: 408, or
    /// without a word if no request had begun.
    pub patience: Duration,
    /// How long what has begun may go on after the request to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (patience, grace) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { head: 8 << 10, body: 1 << 20, patience, grace }
    }
}

pub struct Server {
    listener: TcpListener,
    limits: Limits,
    shutdown: Shutdown,
    open: Mutex<HashMap<SocketAddr, Arc<Connection>>>,
}

impl Server {
    pub fn bind(address: SocketAddr, limits: Limits, shutdown: Shutdown) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        Ok(Self { listener, limits, shutdown, open: Mutex::default() })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the end is requested and the last connection has ended.
    pub fn run(&self) -> io::Result<()> {
        fibra::scope(|s| {
            let stop = s.spawn(|| self.stop_when_requested());
            while !self.shutdown.is_requested() {
                match self.listener.accept() {
                    Ok((stream, client)) => drop(s.spawn(move || self.serve(stream, client))),
                    Err(_) if self.shutdown.is_requested() => break,
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
        self.open.lock().values().for_each(|connection| connection.stop());
        let drained = self.shutdown.drain(self.limits.grace);
        // Whoever is still there hears nothing more. The scope waits for the ends of their tasks.
        self.open.lock().values().for_each(|connection| connection.stream.close());
        drained.map_err(|error| io::Error::new(ErrorKind::TimedOut, format!("cut off at the stop: {error}")))
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr) {
        let _guard = self.shutdown.guard();
        let connection = Arc::new(Connection { stream, stand: Mutex::default() });
        self.open.lock().insert(client, connection.clone());
        if self.shutdown.is_requested() {
            connection.stop(); // The list may have been read before we were on it.
        }
        let ended = Exchange::new(&connection, &self.limits).run();
        self.open.lock().remove(&client);
        match ended {
            Err(error) if !is_clients_business(&error) => eprintln!("http: {client}: {error}"),
            _ => {}
        }
    }
}

/// An error that says only that the client has gone, or is as good as gone.
fn is_clients_business(error: &io::Error) -> bool {
    use ErrorKind::*;
    let kinds = [ConnectionReset, BrokenPipe, NotConnected, UnexpectedEof];
    kinds.contains(&error.kind()) || is_timeout(error)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

struct Connection {
    stream: TcpStream,
    stand: Mutex<Stand>,
}

/// Where a connection stands. If both hold, its reading side is shut.
#[derive(Default)]
struct Stand {
    idle: bool,
    stopping: bool,
}

impl Connection {
    /// Ends it if it is idle, else when its request has been answered.
    fn stop(&self) {
        self.set(|stand| stand.stopping = true);
    }

    /// Returns whether it is to stop.
    fn set(&self, change: impl FnOnce(&mut Stand)) -> bool {
        let mut stand = self.stand.lock();
        change(&mut stand);
        if stand.idle && stand.stopping {
            // What has arrived can be read nevertheless; then comes the end. An error says that it has come already.
            let _ = self.stream.shutdown(net::Shutdown::Read);
        }
        stand.stopping
    }
}

/// The talk with one client.
struct Exchange<'a> {
    connection: &'a Connection,
    limits: &'a Limits,
    /// What has been received and not yet looked at.
    input: Vec<u8>,
    /// Answers that have not been sent: those of pipelined requests go together.
    output: Vec<u8>,
}

impl<'a> Exchange<'a> {
    fn new(connection: &'a Connection, limits: &'a Limits) -> Self {
        Self { connection, limits, input: Vec::new(), output: Vec::new() }
    }

    fn run(mut self) -> io::Result<()> {
        self.connection.stream.set_nodelay(true)?;
        self.connection.stream.set_write_timeout(Some(self.limits.patience))?;
        let mut begun = false; // Some of the next request has been looked for: its time runs.
        loop {
            match parse(&self.input, self.limits) {
                Ok(Some((request, length))) => {
                    begun = false;
                    self.input.drain(..length);
                    self.skip_body(&request)?;
                    if self.answer(&request) {
                        return self.flush();
                    }
                }
                Ok(None) => {
                    self.flush()?;
                    if !begun {
                        self.allow_patience();
                        begun = true;
                    }
                    match self.receive_next() {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) if is_timeout(&error) && !self.input.is_empty() => {
                            return self.refuse("408 Request Timeout");
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(status) => return self.refuse(status),
            }
        }
    }

    /// From now on the client has so much time. A deadline, not a timeout: else a byte now and then would do for ever.
    fn allow_patience(&self) {
        self.connection.stream.set_read_deadline(Instant::now().checked_add(self.limits.patience));
    }

    /// Receives some of the next request. Between requests a stop can end the connection here.
    fn receive_next(&mut self) -> io::Result<usize> {
        let idle = self.input.is_empty();
        if idle {
            self.connection.set(|stand| stand.idle = true);
        }
        let received = self.receive();
        if idle {
            self.connection.set(|stand| stand.idle = false);
        }
        received
    }

    fn receive(&mut self) -> io::Result<usize> {
        let before = self.input.len();
        self.input.resize(before + 4096, 0);
        let received = (&self.connection.stream).read(&mut self.input[before..]);
        self.input.truncate(before + received.as_ref().map_or(0, |n| *n));
        received
    }

    fn skip_body(&mut self, request: &Request) -> io::Result<()> {
        let mut left = request.body;
        if request.expects_continue && left > 0 && self.input.is_empty() {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        loop {
            let here = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.input.drain(..here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.flush()?;
            self.allow_patience();
            if self.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Puts the answer into the output, and returns whether it is the last.
    fn answer(&mut self, request: &Request) -> bool {
        let (status, body) = match (request.path.as_str(), request.method) {
            ("/", Method::Post) => ("200 OK", format!("{} bytes taken\n", request.body)),
            ("/", _) => ("200 OK", "hello\n".to_owned()),
            _ => ("404 Not Found", "there is nothing here\n".to_owned()),
        };
        // Requests that have arrived with this one still get their answers.
        let stopping = self.connection.set(|_| {}) && self.input.is_empty();
        let close = request.close || stopping;
        self.put(status, close, &body, request.method == Method::Head);
        close
    }

    fn put(&mut self, status: &str, close: bool, body: &str, head_only: bool) {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let kind = "Content-Type: text/plain";
        // Writing to memory does not fail.
        let _ = write!(
            self.output,
            "HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n{connection}\r\n"
        );
        if !head_only {
            self.output.extend_from_slice(body.as_bytes());
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            (&self.connection.stream).write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }

    /// Answers a request that makes no sense, or too many demands, and ends the connection.
    fn refuse(mut self, status: &str) -> io::Result<()> {
        self.put(status, true, &format!("{status}\n"), false);
        self.flush()?;
        // What the client still sends would be met with a reset, and that would overtake the answer. So hear it out, but
        // not for long.
        let stream = &self.connection.stream;
        stream.shutdown(net::Shutdown::Write)?;
        stream
            .set_read_deadline(Instant::now().checked_add(Duration::from_secs(1).min(self.limits.patience)));
        let mut heard = 0;
        while heard < 1 << 20 {
            self.input.clear();
            match self.receive()? {
                0 => break,
                n => heard += n,
            }
        }
        Ok(())
    }
}
