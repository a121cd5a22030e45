//! The peer `raw`: no runtime at all, the floor for servers. Each worker is a thread with an epoll and a listener of its
//! own on one address, over which the kernel spreads the connections by a hash.
//!
//! A client that leaves so much unread that its socket takes no more is dropped: an answer is written at once or never.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use versus::epoll::Epoll;
use versus::{Args, Report, http, server, socket};

/// Sockets that one wait tells of at most.
const BATCH: usize = 1024;

/// Serves what can be read; false if the client has no more.
type Turn<C> = fn(&mut TcpStream, &mut C, &mut [u8]) -> io::Result<bool>;

fn main() {
    let args = Args::from_env();
    let report = match args.workload.as_str() {
        "echo_server" => serve(args.workers, |stream, (), buffer| server::echo_once(stream, buffer)),
        "http_server" => serve(args.workers, |stream, connection: &mut http::Connection, _| {
            server::http_once(stream, connection)
        }),
        "echo_readable_server" => Report::skip("its buffer is one for all"),
        _ => Report::skip("no runtime"),
    };
    report.print("raw", &args);
}

fn serve<C: Default + 'static>(workers: usize, turn: Turn<C>) -> Report {
    let mut address = server::ADDRESS.parse().unwrap();
    for _ in 0..workers {
        let listener = socket::listen_shared(address).unwrap();
        // The first has asked for any port, the others want the same one.
        let SocketAddr::V4(bound) = listener.local_addr().unwrap() else { unreachable!("it is of IPv4") };
        address = bound;
        thread::spawn(move || worker(listener, turn).unwrap());
    }
    server::until_stdin_ends(address.into())
}

fn worker<C: Default>(listener: TcpListener, turn: Turn<C>) -> io::Result<()> {
    let mut epoll = Epoll::new(BATCH)?;
    listener.set_nonblocking(true)?;
    epoll.add(&listener, listener.as_raw_fd() as usize)?;
    let mut buffer = [0; server::BUFFER];
    // By file descriptor; those of the other workers' connections are empty places.
    let mut clients: Vec<Option<Box<(TcpStream, C)>>> = Vec::new();
    let mut accepted = Vec::new();
    loop {
        for fd in epoll.wait(None)? {
            if fd == listener.as_raw_fd() as usize {
                accepted.extend(listener.accept());
                continue;
            }
            let (stream, state) = &mut **clients[fd].as_mut().expect("only live sockets are told of");
            match turn(stream, state, &mut buffer) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(false) | Err(_) => clients[fd] = None,
            }
        }
        for (stream, _) in accepted.drain(..) {
            server::count_connection();
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let fd = stream.as_raw_fd() as usize;
            epoll.add(&stream, fd)?;
            clients.resize_with(clients.len().max(fd + 1), || None);
            clients[fd] = Some(Box::new((stream, C::default())));
        }
    }
}
