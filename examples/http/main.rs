//! An HTTP/1.1 server in code that blocks: a task reads requests and writes answers, and nowhere is a reactor seen.
//!
//! It keeps connections alive, answers pipelined requests in order, limits what a client may send and how long that may
//! take, and stops gracefully at ctrl-C or SIGTERM: what has begun is finished, what is idle is closed. `/` is there; a
//! body that is posted to it is counted and dropped. No TLS, no chunked bodies, no `Date`.
//!
//! ```text
//! $ cargo run --release --example http            # or with: -- --clients 200 --requests 1000000
//! 100000 requests answered in 0.89 s: 112360 a second
//!
//! $ cargo run --release --example http -- --self-test
//! ok  a GET
//! ...
//! all 13 checks passed
//!
//! $ cargo run --release --example http -- 127.0.0.1:8080
//! listening at http://127.0.0.1:8080/, ctrl-C stops
//! ^Cstopped by SIGINT
//! ```
//!
//! To read: `server` and `connection`, and what they use, `request`, `answer`, `wire`, `limits`; the rest visits them.

mod answer;
mod client;
mod connection;
mod limits;
#[path = "../shared/options.rs"]
mod options;
mod request;
mod self_test;
mod server;
mod visit;
mod wire;

use std::net::SocketAddr;
use std::{env, io, process};

use fibra::signal::Shutdown;

fn main() {
    let (mut clients, mut requests) = (64, 100_000);
    let done = if env::args().skip(1).eq(["--self-test"]) {
        fibra::run(self_test::check_all)
    } else {
        let expected = "an ADDRESS:PORT, or --self-test, or [--clients N] [--requests N]";
        let numbers = [("--clients", &mut clients), ("--requests", &mut requests)];
        let address = options::read(expected, numbers);
        fibra::run(|| match address {
            Some(address) => serve(address),
            None => visit::measure(clients, requests),
        })
    };
    if let Err(error) = done {
        eprintln!("http: {error}");
        process::exit(1);
    }
}

fn serve(address: SocketAddr) -> io::Result<()> {
    let shutdown = Shutdown::new()?;
    let server = server::Server::bind(address, limits::Limits::default(), shutdown.clone())?;
    println!("listening at http://{}/, ctrl-C stops", server.address()?);
    server.run()?;
    println!("stopped by {}", shutdown.signal().map_or("itself".to_owned(), |signal| signal.to_string()));
    Ok(())
}
