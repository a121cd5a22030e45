//! How connections are opened: to one address, to several, in time, and not at all.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream};
use net::{ClosedPort, SHORT, everywhere, listener};
use support::{PATIENCE, fd_count, in_child, wait_until};

/// An address that answers nothing: its listener's queue is full, so the kernel drops what comes. Works as
/// long as the value lives.
struct Blackhole {
    addr: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    fn new() -> Self {
        let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
            queued.push(stream);
        }
        assert!(queued.len() < 5);
        Self { addr, _listener: listener, _queued: queued }
    }
}

#[test]
fn a_refusal_has_stds_kind_and_names_the_address() {
    everywhere(|| {
        let closed = ClosedPort::new();
        let addr = closed.addr;
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let error = TcpStream::connect_timeout(&addr, PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn no_address_and_no_time_are_refused() {
    everywhere(|| {
        assert_eq!(TcpStream::connect(&[][..]).unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = TcpStream::connect_timeout(&ClosedPort::new().addr, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_connection_that_takes_no_time_is_made_within_any() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let mut one = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        one.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 4]).unwrap(), 1);
        // The limit was that of the connect alone.
        assert_eq!(one.read_timeout().unwrap(), None);
        assert_eq!(one.write_timeout().unwrap(), None);
    });
}

#[test]
fn connecting_to_a_blackhole_times_out() {
    everywhere(|| {
        let hole = Blackhole::new();
        let began = Instant::now();
        let error = TcpStream::connect_timeout(&hole.addr, SHORT).unwrap_err();
        assert!(began.elapsed() >= SHORT);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(&hole.addr.to_string()), "{error}");
    });
}

#[test]
fn the_next_address_is_tried_when_one_does_not_answer() {
    everywhere(|| {
        let hole = Blackhole::new();
        let listener = listener();
        let good = listener.local_addr().unwrap();
        let began = Instant::now();
        let stream = TcpStream::connect(&[hole.addr, good][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        // The first attempt had its 250 ms, and the kernel would have tried for minutes.
        assert!(began.elapsed() >= Duration::from_millis(250));
        assert!(began.elapsed() < PATIENCE);
    });
}

#[test]
fn the_next_address_is_tried_when_one_refuses() {
    everywhere(|| {
        let listener = listener();
        let good = listener.local_addr().unwrap();
        let closed = [(); 5].map(|()| ClosedPort::new());
        let addrs: Vec<_> = closed.iter().map(|closed| closed.addr).chain([good]).collect();
        let mut stream = TcpStream::connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        // What came out is a stream like any other.
        let (mut other, _) = listener.accept().unwrap();
        let echo = fibra::spawn(move || {
            let mut buf = [0; 5];
            other.read_exact(&mut buf).unwrap();
            other.write_all(&buf).unwrap();
        });
        stream.write_all(b"hello").unwrap();
        let mut buf = [0; 5];
        stream.read_exact(&mut buf).unwrap();
        echo.join().unwrap();
    });
}

#[test]
fn the_first_of_two_good_addresses_wins() {
    everywhere(|| {
        let (first, second) = (listener(), listener());
        let addrs = [first.local_addr().unwrap(), second.local_addr().unwrap()];
        for _ in 0..20 {
            assert_eq!(TcpStream::connect(&addrs[..]).unwrap().peer_addr().unwrap(), addrs[0]);
        }
        second.set_nonblocking(true).unwrap();
        assert_eq!(second.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn an_answer_that_comes_after_the_next_attempt_began_still_wins() {
    everywhere(|| {
        let hole = Blackhole::new();
        let other = Blackhole::new();
        let addrs = [hole.addr, other.addr];
        let task = fibra::spawn(move || TcpStream::connect(&addrs[..]).map(|stream| stream.peer_addr()));
        fibra::sleep(Duration::from_millis(300));
        // The kernel knocks again after a second; room is made for it in the first queue.
        hole._listener.accept().unwrap();
        assert_eq!(task.join().unwrap().unwrap().unwrap(), addrs[0]);
    });
}

#[test]
fn when_all_addresses_fail_each_is_named() {
    everywhere(|| {
        let closed = [(); 3].map(|()| ClosedPort::new());
        let addrs = closed.each_ref().map(|closed| closed.addr);
        let error = TcpStream::connect(&addrs[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for addr in addrs {
            assert!(error.to_string().contains(&addr.to_string()), "{error}");
        }
    });
}

#[test]
fn families_race_under_one_name() {
    everywhere(|| {
        // Whatever `localhost` means here: one of its addresses is IPv4's, the others refuse.
        let listener = listener();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("localhost", port)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    });
}

#[test]
fn attempts_leave_no_descriptor_behind_whether_won_lost_timed_out_or_cancelled() {
    let name = "attempts_leave_no_descriptor_behind_whether_won_lost_timed_out_or_cancelled";
    let output = in_child(name, &[], || {
        fibra::run(|| {
            let hole = Blackhole::new();
            let good = listener();
            let closed = [(); 2].map(|()| ClosedPort::new());
            let addrs = [closed[0].addr, hole.addr, good.local_addr().unwrap()];
            let before = fd_count();
            drop(TcpStream::connect(&addrs[..]).unwrap());
            drop(good.accept().unwrap());
            assert_eq!(fd_count(), before);
            TcpStream::connect(&closed.each_ref().map(|closed| closed.addr)[..]).unwrap_err();
            TcpStream::connect_timeout(&hole.addr, SHORT).unwrap_err();
            assert_eq!(fd_count(), before);
            // Several attempts have an epoll instance beside the first one's socket.
            for (addrs, opened) in [(vec![hole.addr], 1), (vec![hole.addr, hole.addr], 2)] {
                let task = fibra::spawn(move || TcpStream::connect(&addrs[..]).map(drop));
                wait_until("the attempt has begun", || fd_count() >= before + opened);
                task.cancel();
                assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
                assert_eq!(fd_count(), before);
            }
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn five_hundred_tasks_connect_at_once() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let server =
            fibra::spawn(move || listener.incoming().take(500).map(Result::unwrap).collect::<Vec<_>>());
        let clients: Vec<_> =
            (0..500).map(|_| fibra::spawn(move || TcpStream::connect(addr).unwrap())).collect();
        let streams: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(server.join().unwrap().len(), 500);
        for stream in &streams {
            // Without it hundreds of ports would linger.
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
}
