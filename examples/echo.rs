//! A TCP server that sends back what it gets: a task for each connection, which reads and writes as a thread would.
//!
//! Serves until ctrl-C. With `--clients N` it is its own visitor: N tasks make round trips of 64 bytes, and it ends. The
//! figure is then that of server and clients together on the same processors.
//!
//! ```text
//! $ cargo run --release --example echo                    # or with another address: -- 127.0.0.1:7
//! echo listens at 127.0.0.1:7777, ctrl-C ends it
//!
//! $ cargo run --release --example echo -- --clients 100   # and with --round-trips 5000 each
//! 100 clients made 100000 round trips in 0.77 s: 130386 a second
//! ```

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, process};

use fibra::net::{TcpListener, TcpStream};
use fibra::signal::Shutdown;

const USAGE: &str =
    "usage: echo [ADDRESS:PORT] [--clients N] [--round-trips M]   (N and M from 1 to 1000000)";

fn main() {
    let (mut address, mut clients, mut round_trips) = (None, None, 1000);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--clients" => clients = Some(number(&arg, args.next())),
            "--round-trips" => round_trips = number(&arg, args.next()),
            _ => match arg.parse::<SocketAddr>() {
                Ok(given) if address.is_none() => address = Some(given),
                _ => fail(&format!("\"{arg}\" is not what is expected here")),
            },
        }
    }
    let done = fibra::run(|| match clients {
        Some(clients) => measure(address.unwrap_or(([127, 0, 0, 1], 0).into()), clients, round_trips),
        None => serve_until_ctrl_c(address.unwrap_or(([127, 0, 0, 1], 7777).into())),
    });
    if let Err(error) = done {
        eprintln!("echo: {error}");
        process::exit(1);
    }
}

/// A task for each connection. Ends when the listener is closed.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        match stream {
            // A visitor that breaks off is the visitor's business.
            Ok(stream) => drop(fibra::go!(echo(&stream))),
            Err(error) => eprintln!("echo: no connection accepted: {error}"),
        }
    }
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}

fn serve_until_ctrl_c(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let shutdown = Shutdown::new()?;
    println!("echo listens at {}, ctrl-C ends it", listener.local_addr()?);
    fibra::scope(|s| {
        s.spawn(|| serve(&listener));
        shutdown.wait();
        listener.close();
    });
    Ok(())
}

fn measure(address: SocketAddr, clients: u32, round_trips: u32) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let server = listener.local_addr()?;
    fibra::scope(|s| {
        s.spawn(|| serve(&listener));
        let start = Instant::now();
        let visitors: Vec<_> = (0..clients).map(|_| s.spawn(|| visit(server, round_trips))).collect();
        let visits = visitors.into_iter().map(|visitor| visitor.join().expect("a client does not panic"));
        let failures: Vec<_> = visits.filter_map(Result::err).collect();
        let seconds = start.elapsed().as_secs_f64();
        listener.close();
        if let Some(error) = failures.first() {
            let count = failures.len();
            return Err(io::Error::other(format!("{count} of {clients} clients failed: {error}")));
        }
        let total = u64::from(clients) * u64::from(round_trips);
        let rate = total as f64 / seconds;
        println!("{clients} clients made {total} round trips in {seconds:.2} s: {rate:.0} a second");
        Ok(())
    })
}

fn visit(server: SocketAddr, round_trips: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    for n in 0..round_trips {
        let (sent, mut got) = ([n as u8; 64], [0; 64]);
        stream.write_all(&sent)?;
        stream.read_exact(&mut got)?;
        if got != sent {
            return Err(io::Error::other("something else came back"));
        }
    }
    Ok(())
}

fn number(option: &str, text: Option<String>) -> u32 {
    let Some(text) = text else { fail(&format!("\"{option}\" needs a number")) };
    let number = text.parse().ok().filter(|n| (1..=1_000_000).contains(n));
    number.unwrap_or_else(|| fail(&format!("\"{option}\" needs a number from 1 to 1000000, not \"{text}\"")))
}

fn fail(message: &str) -> ! {
    eprintln!("echo: {message}\n{USAGE}");
    process::exit(2)
}
