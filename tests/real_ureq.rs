//! `ureq`, unchanged, over our sockets through its pluggable transport: an HTTP client whose calls park the task.

#[path = "support/net.rs"]
mod net;
mod support;

#[path = "../examples/shared/ureq_transport.rs"]
mod ureq_transport;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream};
use fibra::sync::Mutex;
use fibra::{channel, thread};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Error};
use ureq_transport::FibraConnector;

/// An HTTP server that answers with the path it was asked for, and counts.
#[derive(Default)]
struct Server {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Requests for `/held` end when this channel does.
    gate: Option<channel::Receiver<()>>,
    /// The most requests for `/held` at one time.
    waiting: Mutex<(usize, usize)>,
}

impl Server {
    /// Serves connections until none comes any more; those that are open go on by themselves.
    fn serve<'scope>(&'scope self, s: &'scope thread::Scope<'scope, '_>, listener: TcpListener) {
        s.spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if self.is_stopping(&stream) {
                    return;
                }
                self.connections.fetch_add(1, Ordering::Relaxed);
                s.spawn(move || self.converse(&stream));
            }
        });
    }

    /// The last connection sends an end instead of a request.
    fn is_stopping(&self, stream: &TcpStream) -> bool {
        stream.peek(&mut [0]).unwrap() == 0
    }

    fn converse(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        while let Some(request) = lines.next() {
            for header in lines.by_ref() {
                if header.is_empty() {
                    break;
                }
            }
            self.requests.fetch_add(1, Ordering::Relaxed);
            let path = request.split(' ').nth(1).unwrap();
            if path == "/held" {
                self.hold();
            }
            let body = if path == "/large" { "x".repeat(1 << 20) } else { path.to_owned() };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn hold(&self) {
        let mut waiting = self.waiting.lock();
        waiting.0 += 1;
        waiting.1 = waiting.1.max(waiting.0);
        drop(waiting);
        self.gate.as_ref().unwrap().recv().unwrap_err();
        self.waiting.lock().0 -= 1;
    }
}

/// An agent of ours, with a limit on each request.
fn agent(limit: Option<Duration>) -> Agent {
    let config = Agent::config_builder().proxy(None).timeout_global(limit).build();
    Agent::with_parts(config, FibraConnector, DefaultResolver::default())
}

fn get(agent: &Agent, address: SocketAddr, path: &str) -> String {
    agent.get(format!("http://{address}{path}")).call().unwrap().body_mut().read_to_string().unwrap()
}

fn with_server(server: &Server, f: impl FnOnce(SocketAddr) + Send) {
    fibra::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::scope(|s| {
            server.serve(s, listener);
            f(address);
            drop(TcpStream::connect(address).unwrap());
        });
    });
}

#[test]
fn an_agent_keeps_its_connection() {
    let server = Server::default();
    with_server(&server, |address| {
        let agent = agent(None);
        for i in 0..100 {
            let path = format!("/item/{i}");
            assert_eq!(get(&agent, address, &path), path);
        }
        assert_eq!(get(&agent, address, "/large").len(), 1 << 20);
    });
    assert_eq!((server.connections.into_inner(), server.requests.into_inner()), (1, 101));
}

#[test]
fn two_hundred_requests_wait_at_once() {
    const REQUESTS: usize = 200;
    let (open, gate) = channel::bounded(0);
    let server = Server { gate: Some(gate), ..Server::default() };
    with_server(&server, |address| {
        thread::scope(|s| {
            for _ in 0..REQUESTS {
                s.spawn(move || assert_eq!(get(&agent(None), address, "/held"), "/held"));
            }
            // With a thread for each they would be 400 threads; here two workers have them all.
            support::wait_until("all requests wait", || server.waiting.lock().0 == REQUESTS);
            drop(open);
        });
    });
    assert_eq!(server.waiting.lock().1, REQUESTS);
}

#[test]
fn a_limit_on_the_whole_request_is_kept() {
    let (open, gate) = channel::bounded::<()>(0);
    let server = Server { gate: Some(gate), ..Server::default() };
    with_server(&server, |address| {
        let limit = Duration::from_millis(50);
        let start = Instant::now();
        let error = agent(Some(limit)).get(format!("http://{address}/held")).call().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        assert!(start.elapsed() >= limit);
        drop(open);
    });
}

#[test]
fn a_closed_port_is_an_error_that_says_so() {
    fibra::run(|| {
        let closed = net::ClosedPort::new();
        let address = closed.addr;
        let error = agent(None).get(format!("http://{address}/")).call().unwrap_err();
        let Error::Io(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
