//! Ten thousand connections at once, each served by a task with a 4 KiB buffer of its own; and what one of them costs.
//!
//! The clients are a child process, so that the memory is the server's alone (without what the kernel keeps for its
//! sockets). They connect one after the other, each is answered, and then all are idle: that is when memory is measured. At
//! last every client sends a request, and all are answered. Then the same with a tenth of the connections and an OS
//! thread for each.
//!
//! ```text
//! $ cargo run --release --example c10k                    # or with another number: -- 1000, or only: -- --threads 500
//! 10000 connections with a task each opened in 0.98 s; idle they take 8.6 KiB of memory each
//! all 10000 clients were answered in 0.10 s
//! 1000 connections with an OS thread each opened in 0.16 s; idle they take 13.6 KiB of memory each
//! all 1000 clients were answered in 0.01 s
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// An address of the loopback network has some 28,000 ports for clients, so there is a listener for each so many.
const CLIENTS_PER_ADDRESS: usize = 20_000;

const USAGE: &str =
    "usage: c10k [COUNT] | c10k --threads COUNT   (COUNT from 1 to 1000000, 10000 with threads)";

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => with_tasks(10_000),
        ["--threads", count] => with_threads(number(count, 10_000)),
        ["--clients", count, ref servers @ ..] => clients(number(count, 1_000_000), servers),
        [count] => with_tasks(number(count, 1_000_000)),
        _ => fail(&format!("\"{}\" is not what is expected here", args.join(" "))),
    };
    if let Err(error) = done {
        eprintln!("c10k: {error}");
        process::exit(1);
    }
}

fn with_tasks(count: usize) -> io::Result<()> {
    allow_descriptors(count)?;
    fibra::run(|| {
        let listeners =
            addresses(count).map(fibra::net::TcpListener::bind).collect::<io::Result<Vec<_>>>()?;
        let servers =
            listeners.iter().map(|listener| listener.local_addr()).collect::<io::Result<Vec<_>>>()?;
        for listener in listeners {
            fibra::go!(for stream in listener.incoming() {
                fibra::go!(serve(stream));
            });
        }
        fibra::blocking(|| measure("a task", count, &servers))
    })?;
    // In a process of its own, which begins with no more memory than this one did.
    let threads = (count / 10).clamp(1, 10_000).to_string();
    let status = Command::new(env::current_exe()?).args(["--threads", &threads]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the run with threads: {status}"))) }
}

fn with_threads(count: usize) -> io::Result<()> {
    allow_descriptors(count)?;
    let listeners = addresses(count).map(std::net::TcpListener::bind).collect::<io::Result<Vec<_>>>()?;
    let servers = listeners.iter().map(|listener| listener.local_addr()).collect::<io::Result<Vec<_>>>()?;
    for listener in listeners {
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(|| serve(stream));
            }
        });
    }
    measure("an OS thread", count, &servers)
}

/// Echoes. The same for a task and a thread.
fn serve(stream: io::Result<impl Read + Write>) {
    let mut buf = [0; 4096];
    let served = stream.and_then(|mut stream| {
        loop {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n])?,
            }
        }
    });
    if let Err(error) = served {
        eprintln!("c10k: a connection failed: {error}");
    }
}

/// Has the clients connect, wait and ask, and tells what they and the memory say.
fn measure(server: &str, count: usize, addresses: &[SocketAddr]) -> io::Result<()> {
    let before = memory_kib();
    let mut clients = Command::new(env::current_exe()?)
        .args(["--clients", &count.to_string()])
        .args(addresses.iter().map(SocketAddr::to_string))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (to, from) = (clients.stdin.take(), clients.stdout.take());
    let (Some(mut to), Some(from)) = (to, from) else { unreachable!("both are piped") };
    let mut reports = BufReader::new(from).lines();
    let mut report = || reports.next().unwrap_or_else(|| Err(io::Error::other("the clients have given up")));

    let seconds = report()?;
    let each = memory_kib().saturating_sub(before) as f64 / count as f64;
    println!(
        "{count} connections with {server} each opened in {seconds} s; idle they take {each:.1} KiB of memory each"
    );
    writeln!(to, "ask")?;
    println!("all {count} clients were answered in {} s", report()?);
    drop(to);
    clients.wait().map(drop)
}

/// The child process: `count` connections, one after the other, then a request on each. Goes on when it is told so.
fn clients(count: usize, servers: &[&str]) -> io::Result<()> {
    let start = Instant::now();
    let mut streams = Vec::with_capacity(count);
    let mut buf = [0; 64];
    for i in 0..count {
        let mut stream = std::net::TcpStream::connect(servers[i / CLIENTS_PER_ADDRESS])?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(&buf)?;
        stream.read_exact(&mut buf)?;
        streams.push(stream);
    }
    println!("{:.2}", start.elapsed().as_secs_f64());

    io::stdin().read_line(&mut String::new())?;
    let start = Instant::now();
    streams.iter_mut().try_for_each(|stream| stream.write_all(&buf))?;
    streams.iter_mut().try_for_each(|stream| stream.read_exact(&mut buf))?;
    println!("{:.2}", start.elapsed().as_secs_f64());
    io::stdin().read_line(&mut String::new()).map(drop)
}

/// Addresses of the loopback network, enough for so many clients.
fn addresses(clients: usize) -> impl Iterator<Item = SocketAddr> {
    (1..=clients.div_ceil(CLIENTS_PER_ADDRESS)).map(|n| ([127, 0, 0, n as u8], 0).into())
}

/// Raises the number of descriptors that this process and its child may open, each one for every connection.
fn allow_descriptors(connections: usize) -> io::Result<()> {
    let needed = connections as u64 + 200;
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the first call fills in the limit; the other only reads one.
    let (done, most) = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) == -1 {
            return Err(io::Error::last_os_error());
        }
        let limit = limit.assume_init();
        let raised =
            libc::rlimit { rlim_cur: limit.rlim_cur.max(needed), rlim_max: limit.rlim_max.max(needed) };
        (libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0, limit.rlim_max)
    };
    if done {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{connections} connections need {needed} file descriptors, and this process may not open more than {most}: \
         have root raise that (`ulimit -Hn {needed}`, LimitNOFILE= of a systemd unit, or `hard nofile` in \
         /etc/security/limits.conf), or choose fewer connections"
    )))
}

/// The memory of this process that is in use.
fn memory_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = field.and_then(|text| text.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| fail("no VmRSS in /proc/self/status"))
}

fn number(text: &str, most: usize) -> usize {
    let number = text.parse().ok().filter(|n| (1..=most).contains(n));
    number.unwrap_or_else(|| fail(&format!("\"{text}\" is no number from 1 to {most}")))
}

fn fail(message: &str) -> ! {
    eprintln!("c10k: {message}\n{USAGE}");
    process::exit(2)
}
