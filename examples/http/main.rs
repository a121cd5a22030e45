//! A small HTTP/1.1 server: one task for each connection, plain reads and writes, `httparse` for the heads.
//!
//! It keeps connections alive, answers pipelined requests in order, limits what a client may send and how long it may take,
//! and stops gracefully at ctrl-C or SIGTERM: what has begun is finished, what is idle is closed. `/` is there; a body
//! that is posted to it is counted and dropped. No TLS, no chunked bodies, no `Date`.
//!
//! ```text
//! $ cargo run --release --example http                        # or with another address: -- 127.0.0.1:80
//! listening at http://127.0.0.1:8080/, ctrl-C stops
//! ^Cstopped by SIGINT
//!
//! $ cargo run --release --example http -- --requests 200000   # 64 clients in the same program, without pipelining
//! 200000 requests answered in 1.39 s: 144243 a second
//!
//! $ cargo run --release --example http -- --self-test
//! ok  a GET, and another on the same connection
//! ok  HEAD has the length and no body
//! ...
//! all 22 checks passed
//! ```

mod client;
mod request;
mod self_test;
mod server;

use std::net::SocketAddr;
use std::{env, io, process};

use fibra::signal::Shutdown;
use server::{Limits, Server};

const USAGE: &str =
    "usage: http [ADDRESS:PORT] [--requests N | --self-test]   (N from 1 to 1000000000, 127.0.0.1:8080)";

enum Mode {
    Serve,
    Measure(u64),
    SelfTest,
}

fn main() {
    let (mut address, mut mode) = (None, Mode::Serve);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--self-test" => mode = Mode::SelfTest,
            "--requests" => mode = Mode::Measure(number(args.next())),
            _ => match arg.parse::<SocketAddr>() {
                Ok(given) if address.is_none() => address = Some(given),
                _ => fail(&format!("\"{arg}\" is not what is expected here")),
            },
        }
    }
    let any_port = ([127, 0, 0, 1], 0).into();
    let done = fibra::run(|| match mode {
        Mode::Serve => serve(address.unwrap_or(([127, 0, 0, 1], 8080).into())),
        Mode::Measure(requests) => self_test::measure(address.unwrap_or(any_port), requests),
        Mode::SelfTest => self_test::check_all(address.unwrap_or(any_port)),
    });
    if let Err(error) = done {
        eprintln!("http: {error}");
        process::exit(1);
    }
}

fn serve(address: SocketAddr) -> io::Result<()> {
    let shutdown = Shutdown::new()?;
    let server = Server::bind(address, Limits::default(), shutdown.clone())?;
    println!("listening at http://{}/, ctrl-C stops", server.address()?);
    server.run()?;
    println!("stopped by {}", shutdown.signal().map_or("itself".to_owned(), |signal| signal.to_string()));
    Ok(())
}

fn number(text: Option<String>) -> u64 {
    let text = text.unwrap_or_default();
    let number = text.parse().ok().filter(|n| (1..=1_000_000_000).contains(n));
    number.unwrap_or_else(|| fail(&format!("--requests needs a number from 1 to 1000000000, not \"{text}\"")))
}

fn fail(message: &str) -> ! {
    eprintln!("http: {message}\n{USAGE}");
    process::exit(2)
}
