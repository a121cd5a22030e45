//! The load on a server: clients on one thread, in a process of their own, over an epoll and with no runtime.
//!
//! ```text
//! load <mode> <address> [--connections N] [--seconds N] [--pid N]
//! echo          each connection sends 64 bytes, waits for them to come back, and sends the next
//! http          each connection sends a GET, waits for the whole response, and sends the next
//! idle          they come in waves, each echoes once and stays; the server's memory after that
//! sequential    the same, each echoes before the next one comes
//! ```
//!
//! It prints one JSON line, whose value needs the server's process id: CPU µs per request for the first two modes, resident
//! bytes per connection for the others. Connections that fail in the first two are counted, and not replaced; in the others
//! the first failure ends it.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Response, Status};
use versus::epoll::Epoll;
use versus::histogram::Histogram;
use versus::{Report, http, proc, socket};

/// Comes before the seconds that are measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a server may take to put its memory in order after the last answer.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a connection may wait for its first answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that come at once: fewer than the 128 that a listener of std keeps until they are accepted; the kernel would
/// let the next ones try again after a second.
const WAVE: usize = 100;
/// Connections from one source address: fewer than the ephemeral ports.
const PER_SOURCE: usize = 16_384;
const ECHO: usize = 64;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";
const BATCH: usize = 256;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Echo,
    Http,
    Idle,
    Sequential,
}

struct Plan {
    mode: Mode,
    server: SocketAddrV4,
    connections: usize,
    seconds: u64,
    pid: Option<u32>,
}

fn main() {
    let plan = Plan::from_words(std::env::args().skip(1)).unwrap_or_else(|problem| {
        eprintln!("{problem}\nusage: load <mode> <address> [--connections N] [--seconds N] [--pid N]");
        std::process::exit(2)
    });
    proc::allow_open_files();
    let done = match plan.mode {
        Mode::Echo | Mode::Http => steady(&plan),
        Mode::Idle | Mode::Sequential => held(&plan),
    };
    match done {
        Ok(report) => report.print_fields(),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1)
        }
    }
}

impl Plan {
    fn from_words(mut words: impl Iterator<Item = String>) -> Result<Plan, String> {
        let mode = match words.next().as_deref() {
            Some("echo") => Mode::Echo,
            Some("http") => Mode::Http,
            Some("idle") => Mode::Idle,
            Some("sequential") => Mode::Sequential,
            other => return Err(format!("no mode is called {}", other.unwrap_or("nothing"))),
        };
        let server = words.next().ok_or("no address given")?;
        let server = server.parse().map_err(|_| format!("{server} is not IPv4:port"))?;
        let mut plan = Plan { mode, server, connections: 64, seconds: 3, pid: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            let value: u32 = value.parse().map_err(|_| format!("{word} needs a number, not {value}"))?;
            match word.as_str() {
                "--connections" => plan.connections = value as usize,
                "--seconds" => plan.seconds = value.into(),
                "--pid" => plan.pid = Some(value),
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        Ok(plan)
    }
}

/// Requests on all connections for as long as the plan says; the server's CPU time for each, and how long they took.
fn steady(plan: &Plan) -> io::Result<Report> {
    let mut load = Load::new(plan)?;
    load.run_for(WARM_UP)?;
    load.latencies = Histogram::default();
    let (start, cpu) = (Instant::now(), plan.pid.map(proc::cpu_seconds_of));
    load.run_for(Duration::from_secs(plan.seconds))?;
    let (seconds, requests) = (start.elapsed().as_secs_f64(), load.latencies.total() as f64);
    let mut report = Report::default();
    if let (Some(pid), Some(before)) = (plan.pid, cpu) {
        report = Report::new((proc::cpu_seconds_of(pid) - before) * 1e6 / requests, "µs");
    }
    let micros = |share| load.latencies.quantile(share) as f64 / 1e3;
    report = report
        .with("requests_per_s", requests / seconds)
        .with("p50_us", micros(0.5))
        .with("p99_us", micros(0.99))
        .with("max_us", load.latencies.max() as f64 / 1e3)
        .with("load_cpu_s", proc::cpu_seconds());
    Ok(load.failures.add_to(report))
}

/// Connections that echo once and stay; what each has added to the server's memory, and how long it took.
fn held(plan: &Plan) -> io::Result<Report> {
    let memory = |field| plan.pid.map_or(0, |pid| proc::status_bytes_of(pid, field));
    let (rss, pte) = (memory("VmRSS"), memory("VmPTE"));
    let start = Instant::now();
    let _clients = connect_all(plan)?;
    let each = start.elapsed().as_secs_f64() * 1e6 / plan.connections as f64;
    std::thread::sleep(SETTLE);
    let per_connection = |now: u64, before: u64| now.saturating_sub(before) as f64 / plan.connections as f64;
    let mut report = Report::default();
    if plan.pid.is_some() {
        report = Report::new(per_connection(memory("VmRSS"), rss), "B")
            .with("pte_per_connection", per_connection(memory("VmPTE"), pte));
    }
    Ok(report.with("us_per_arrival", each))
}

/// All clients, each with one request answered.
fn connect_all(plan: &Plan) -> io::Result<Vec<Client>> {
    let wave = if plan.mode == Mode::Sequential { 1 } else { WAVE };
    let mut clients = Vec::new();
    while clients.len() < plan.connections {
        let first = clients.len();
        for i in first..plan.connections.min(first + wave) {
            clients.push(Client::connect(plan, i)?);
        }
        clients[first..].iter_mut().try_for_each(Client::send)?;
        clients[first..].iter_mut().try_for_each(Client::receive_all)?;
    }
    Ok(clients)
}

/// How many connections failed, and how the first one did.
#[derive(Default)]
struct Failures {
    count: usize,
    first: Option<Error>,
}

impl Failures {
    fn note<T>(&mut self, result: io::Result<T>) {
        if let Err(error) = result {
            self.count += 1;
            self.first.get_or_insert(error);
        }
    }

    fn add_to(&self, report: Report) -> Report {
        match &self.first {
            None => report,
            Some(first) => report.with("errors", self.count).with("first_error", first.to_string()),
        }
    }
}

/// All clients of a measurement of time.
struct Load {
    epoll: Epoll,
    clients: Vec<Option<Client>>,
    latencies: Histogram,
    failures: Failures,
}

impl Load {
    /// Connects all, and sends the first request that counts of each.
    fn new(plan: &Plan) -> io::Result<Load> {
        let epoll = Epoll::new(BATCH)?;
        let mut clients = connect_all(plan)?;
        for (i, client) in clients.iter_mut().enumerate() {
            client.stream.set_nonblocking(true)?;
            epoll.add(&client.stream, i)?;
            client.send()?;
        }
        let clients = clients.into_iter().map(Some).collect();
        Ok(Load { epoll, clients, latencies: Histogram::default(), failures: Failures::default() })
    }

    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            for i in self.epoll.wait(Some(left))? {
                let client = self.clients[i].as_mut().expect("only live sockets are told of");
                match client.turn() {
                    Ok(Some(latency)) => self.latencies.add(latency),
                    Ok(None) => {}
                    Err(error) => {
                        self.failures.note::<()>(Err(error));
                        self.clients[i] = None;
                    }
                }
            }
        }
    }
}

/// One connection, with at most one request under way.
struct Client {
    stream: TcpStream,
    http: bool,
    /// Which request this is; an echo carries it.
    number: u64,
    sent: Instant,
    received: usize,
    buffer: [u8; 512],
}

impl Client {
    fn connect(plan: &Plan, i: usize) -> io::Result<Client> {
        // Not 127.0.0.1, whose ports are for servers.
        let source = Ipv4Addr::new(127, 0, 0, 2 + (i / PER_SOURCE) as u8);
        let stream = socket::connect(source, plan.server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let http = plan.mode == Mode::Http;
        // Each connection's numbers differ from all others', so that an answer to somebody else is not taken.
        let number = (i as u64) << 32;
        Ok(Client { stream, http, number, sent: Instant::now(), received: 0, buffer: [0; 512] })
    }

    fn send(&mut self) -> io::Result<()> {
        self.number += 1;
        self.received = 0;
        self.sent = Instant::now();
        let echo = self.echo();
        self.stream.write_all(if self.http { GET } else { &echo })
    }

    fn echo(&self) -> [u8; ECHO] {
        let mut bytes = [b'.'; ECHO];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// Reads what has come. Once the answer is whole, sends the next request, and returns how long this one took.
    /// The clock is read once.
    fn turn(&mut self) -> io::Result<Option<Duration>> {
        if !self.receive()? {
            return Ok(None);
        }
        let sent = self.sent;
        self.send()?;
        Ok(Some(self.sent - sent))
    }

    fn receive_all(&mut self) -> io::Result<()> {
        while !self.receive()? {}
        Ok(())
    }

    /// One read; true if the answer is whole, and right.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.buffer[self.received..])? {
            0 => return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            n => self.received += n,
        }
        let answer = &self.buffer[..self.received];
        let whole = if self.http { is_response(answer) } else { is_echo(answer, &self.echo()) };
        whole.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the answer is wrong"))
    }
}

/// `None` if `answer` is wrong, false if it is not whole.
fn is_echo(answer: &[u8], sent: &[u8]) -> Option<bool> {
    sent.starts_with(answer).then_some(answer.len() == sent.len())
}

/// The same for an answer to `GET`.
fn is_response(answer: &[u8]) -> Option<bool> {
    let mut headers = [EMPTY_HEADER; 16];
    let mut response = Response::new(&mut headers);
    let Status::Complete(head) = response.parse(answer).ok()? else { return Some(false) };
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"))?;
    let right = response.code == Some(200) && length.value == http::LENGTH.as_bytes();
    let whole = is_echo(&answer[head..], http::BODY.as_bytes())?;
    right.then_some(whole)
}
