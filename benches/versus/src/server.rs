//! What the servers share: how one is started and stopped, and what those with blocking sockets do with a connection.
//!
//! ```text
//! peer-<name> echo_server [--workers N]
//! listening 127.0.0.1:38771             it serves until its standard input ends
//! {"peer":"tokio","workload":"echo_server","cpu_seconds":3.1,"connections":64,"busiest_percent":51.6,…}
//! ```

use std::cell::OnceCell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::{Report, http, proc};

/// The servers: one that sends back what it gets, one that does so but has no buffer while it waits, and a web server.
pub const SERVERS: &[&str] = &["echo_server", "echo_readable_server", "http_server"];
/// Where they listen; the kernel picks a port.
pub const ADDRESS: &str = "127.0.0.1:0";
/// The buffer of an echoing task.
pub const BUFFER: usize = 4096;

/// Connections by the thread that began to serve them; threads come in the order of their first.
static COUNTS: Mutex<Vec<Arc<AtomicUsize>>> = Mutex::new(Vec::new());

thread_local! {
    static COUNT: OnceCell<Arc<AtomicUsize>> = const { OnceCell::new() };
}

/// The caller begins to serve a connection, on the worker that it will be served on.
pub fn count_connection() {
    COUNT.with(|count| {
        let count = count.get_or_init(|| {
            let count = Arc::default();
            COUNTS.lock().unwrap().push(Arc::clone(&count));
            count
        });
        count.fetch_add(1, Relaxed);
    });
}

/// Tells the world where the server listens, which other threads serve from now on; returns with what it has to report
/// when standard input ends.
pub fn until_stdin_ends(address: SocketAddr) -> Report {
    proc::allow_open_files();
    println!("listening {address}");
    io::copy(&mut io::stdin(), &mut io::sink()).expect("standard input can be read");
    let counts: Vec<_> = COUNTS.lock().unwrap().iter().map(|count| count.load(Relaxed)).collect();
    match counts.iter().max() {
        None => Report::default(),
        Some(&most) => {
            let all: usize = counts.iter().sum();
            let report = Report::default().with("connections", all);
            report.with("busiest_percent", most as f64 * 100.0 / all as f64)
        }
    }
}

/// Sends back what comes, until the client has no more.
pub fn echo(mut stream: impl Read + Write) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    while echo_once(&mut stream, &mut buffer)? {}
    Ok(())
}

/// False if the client has no more.
pub fn echo_once(stream: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<bool> {
    let n = stream.read(buffer)?;
    stream.write_all(&buffer[..n])?;
    Ok(n > 0)
}

/// Answers requests until the client has no more, or sends what is none.
pub fn http(mut stream: impl Read + Write) -> io::Result<()> {
    let mut connection = http::Connection::default();
    while http_once(&mut stream, &mut connection)? {}
    Ok(())
}

/// False if the client has no more, or has sent what is no request.
pub fn http_once(stream: &mut (impl Read + Write), connection: &mut http::Connection) -> io::Result<bool> {
    let n = stream.read(connection.space())?;
    match connection.answer(n) {
        Some(answers) if n > 0 => stream.write_all(answers).map(|()| true),
        _ => Ok(false),
    }
}
