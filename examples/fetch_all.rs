//! Three GETs at once, their results in order: what `Promise.all` does, with threads that cost nothing.
//!
//! A server in the same program answers `/a` after 300 ms, `/b` after 200 ms and `/c` after 100 ms. Each fetch is a plain
//! function that blocks; the three of them together take as long as the slowest.
//!
//! ```text
//! $ cargo run --release --example fetch_all               # or with the slowest fetch's milliseconds: -- 1500
//! GET /a: "here is /a"
//! GET /b: "here is /b"
//! GET /c: "here is /c"
//! three fetches in 302 ms, the slowest alone takes 300 ms
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, process};

use fibra::net::{TcpListener, TcpStream};

fn main() {
    let slowest = Duration::from_millis(milliseconds(300));
    if let Err(error) = fibra::run(|| fetch_all(slowest)) {
        eprintln!("fetch_all: {error}");
        process::exit(1);
    }
}

fn fetch_all(slowest: Duration) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    fibra::spawn(move || serve(&listener, slowest));

    let paths = ["/a", "/b", "/c"];
    let start = Instant::now();
    let fetches = paths.map(|path| fibra::spawn(move || get(server, path)));
    let results = fetches.map(|fetch| fetch.join().expect("a fetch does not panic"));
    let took = start.elapsed().as_millis();

    for (path, result) in paths.into_iter().zip(results) {
        println!("GET {path}: {:?}", result?);
    }
    println!("three fetches in {took} ms, the slowest alone takes {} ms", slowest.as_millis());
    Ok(())
}

/// What the server answers to a GET of `path`.
fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("GET {path}: the server answered {answer:?}"))),
    }
}

/// A task for each connection.
fn serve(listener: &TcpListener, slowest: Duration) {
    for stream in listener.incoming() {
        fibra::go!(match stream.and_then(|stream| answer(&stream, slowest)) {
            Ok(()) => {}
            Err(error) => eprintln!("fetch_all: a connection failed: {error}"),
        });
    }
}

fn answer(mut stream: &TcpStream, slowest: Duration) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head ends with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    fibra::sleep(match path {
        "/a" => slowest,
        "/b" => slowest * 2 / 3,
        _ => slowest / 3,
    });
    let body = format!("here is {path}");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

/// The milliseconds on the command line, or `default`.
fn milliseconds(default: u64) -> u64 {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse().ok().filter(|n| (3..=60_000).contains(n)).unwrap_or_else(|| {
        eprintln!("fetch_all: expected one number of milliseconds from 3 to 60000, not \"{text}\"");
        process::exit(2)
    })
}
