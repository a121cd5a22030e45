//! Ten thousand connections at once are ten thousand tasks that wait, each with a stack and a buffer of its own.
//!
//! The clients connect one by one, and each is answered; then all are idle, and the server's memory is measured; at last
//! all ask at once, and all are answered. Then the same with a tenth of the connections, and an OS thread for each. The
//! server is a process of its own, so its memory is that of the connections: what is resident, and page tables, but not
//! what the kernel keeps for sockets and threads.
//!
//! ```text
//! $ cargo run --release --example c10k           # or with another number of connections: -- 1000
//! 10000 connections, a task each: opened in 1.12 s, all answered in 0.34 s
//! 1000 connections, a thread each: opened in 0.35 s, all answered in 0.03 s
//! 10000 connections held and answered: a task takes 9.1 KiB, a thread 17.7 KiB
//! ```

#[path = "../shared/argument.rs"]
mod argument;
mod descriptors;
mod process;

use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

fn serve_by_tasks(address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = fibra::net::TcpListener::bind(address)?;
    let bound = listener.local_addr();
    let each = |stream| drop(fibra::spawn(|| echo(stream)));
    fibra::spawn(move || listener.incoming().for_each(each));
    bound
}

fn serve_by_threads(address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    let bound = listener.local_addr();
    let each = |stream| drop(std::thread::spawn(|| echo(stream)));
    std::thread::spawn(move || listener.incoming().for_each(each));
    bound
}

/// Blocks, be it a task or a thread. A client whose answer does not come will say so.
fn echo(stream: io::Result<impl Read + Write>) {
    let (mut stream, mut buf) = (stream.expect("there are descriptors for all"), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buf)
        && stream.write_all(&buf[..n]).is_ok()
    {}
}

/// Has such a server hold `count` connections, and returns the KiB of memory that each takes.
fn visit(kind: &str, count: usize) -> io::Result<f64> {
    let mut server = process::Server::start(kind)?;
    let addresses = server.listen_for(count)?;
    let (mut clients, mut buf) = (Vec::with_capacity(count), [0; 64]);
    let (start, before) = (Instant::now(), server.memory_kib()?);
    for address in addresses {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        client.write_all(&buf)?;
        client.read_exact(&mut buf)?;
        clients.push(client);
    }
    let (opened, memory) = (start.elapsed().as_secs_f64(), server.memory_kib()? - before);
    let start = Instant::now();
    clients.iter_mut().try_for_each(|client| client.write_all(&buf))?;
    clients.iter_mut().try_for_each(|client| client.read_exact(&mut buf))?;
    let answered = start.elapsed().as_secs_f64();
    println!("{count} connections, a {kind} each: opened in {opened:.2} s, all answered in {answered:.2} s");
    Ok(memory / count as f64)
}

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("task") => return process::serve(serve_by_tasks),
        Some("thread") => return process::serve(serve_by_threads),
        _ => {}
    }
    let count = argument::number("number of connections", 1..=1_000_000, 10_000) as usize;
    descriptors::allow(count as u64 + 200);
    let (task, thread) = (visit("task", count)?, visit("thread", (count / 10).clamp(1, 10_000))?);
    println!("{count} connections held and answered: a task takes {task:.1} KiB, a thread {thread:.1} KiB");
    Ok(())
}
