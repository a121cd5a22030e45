//! Work that only waits: ten users are fetched over HTTP from a server that takes half a second for each.
//!
//! One after the other they take five seconds; with a task for each, half a second, since ten tasks can wait at the same
//! time, and on one thread too. The code of a fetch is the same in both cases. The server is in the same program.
//!
//! ```text
//! $ cargo run --release --example io_bound                # or with the number of users: -- 3
//! one after the other: 10 users in 5.01 s, the last is "user 10"
//! a task for each:     10 users in 0.50 s, the last is "user 10"
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, process};

use fibra::net::{TcpListener, TcpStream};

/// What the server needs for an answer: its own database is slow.
const DELAY: Duration = Duration::from_millis(500);

fn main() {
    let users = users(10);
    if let Err(error) = fibra::run(|| compare(users)) {
        eprintln!("io_bound: {error}");
        process::exit(1);
    }
}

fn compare(users: u32) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    fibra::spawn(move || serve(&listener));

    report("one after the other:", || (1..=users).map(|id| fetch_user(server, id)).collect())?;
    report("a task for each:    ", || {
        let tasks: Vec<_> = (1..=users).map(|id| fibra::spawn(move || fetch_user(server, id))).collect();
        tasks.into_iter().map(|task| task.join().expect("a fetch does not panic")).collect()
    })
}

/// Runs `fetch_all` and tells how long it took.
fn report(how: &str, fetch_all: impl FnOnce() -> io::Result<Vec<String>>) -> io::Result<()> {
    let start = Instant::now();
    let names = fetch_all()?;
    let (seconds, last) = (start.elapsed().as_secs_f64(), names.last().map_or("nobody", |name| name));
    println!("{how} {} users in {seconds:.2} s, the last is {last:?}", names.len());
    Ok(())
}

/// The user's name. A plain function that blocks.
fn fetch_user(server: SocketAddr, id: u32) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    let request = format!("GET /users/{id} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, name)) if head.starts_with("HTTP/1.1 200 ") => Ok(name.to_owned()),
        _ => Err(io::Error::other(format!("user {id}: the server answered {answer:?}"))),
    }
}

/// A task for each connection.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        fibra::go!(match stream.and_then(|stream| answer(&stream)) {
            Ok(()) => {}
            Err(error) => eprintln!("io_bound: a connection failed: {error}"),
        });
    }
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head ends with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    fibra::sleep(DELAY);
    let (status, body) = match path.strip_prefix("/users/") {
        Some(id) => ("200 OK", format!("user {id}")),
        None => ("404 Not Found", format!("there is no {path}")),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

/// The number of users on the command line, or `default`.
fn users(default: u32) -> u32 {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse().ok().filter(|n| (1..=200).contains(n)).unwrap_or_else(|| {
        eprintln!("io_bound: expected one number of users from 1 to 200, not \"{text}\"");
        process::exit(2)
    })
}
