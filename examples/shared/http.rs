//! As little HTTP as some examples need: one request for each connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;

use fibra::net::{TcpListener, TcpStream};

/// What the server answers to a GET of `path`. A plain function that blocks.
pub fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("GET {path}: the server answered {answer:?}"))),
    }
}

/// Starts a server in this program, with a task for each connection. `body_of` has the body for a path, or nothing where
/// there is no such path.
pub fn start(body_of: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    fibra::go!(for stream in listener.incoming() {
        let body_of = body_of.clone();
        fibra::go!(match stream.and_then(|stream| answer(&stream, body_of)) {
            Ok(()) => {}
            Err(error) => eprintln!("{}: a connection failed: {error}", env!("CARGO_BIN_NAME")),
        });
    });
    Ok(server)
}

fn answer(mut stream: &TcpStream, body_of: impl Fn(&str) -> Option<String>) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head ends with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match body_of(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", format!("there is no {path}")),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}
