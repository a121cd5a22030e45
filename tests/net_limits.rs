//! Timeouts, deadlines and `close`: the behaviours of std's and Go's sockets.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use net::{LONG, SHORT, everywhere, fill, listener, tcp_pair};
use support::PATIENCE;

#[test]
fn a_read_timeout_fires_with_stds_kind_and_names_the_call() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        assert_eq!(one.read_timeout().unwrap(), None);
        one.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.read_timeout().unwrap(), Some(SHORT));
        for _ in 0..3 {
            let began = Instant::now();
            let error = one.read(&mut [0; 4]).unwrap_err();
            assert!(began.elapsed() >= SHORT);
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(error.to_string().contains("read") && error.to_string().contains("20ms"), "{error}");
        }
        other.write_all(b"abc").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 3);
        one.set_read_timeout(None).unwrap();
        other.write_all(b"abc").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 3);
    });
}

#[test]
fn a_write_timeout_fires_when_nobody_reads() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        one.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.write_timeout().unwrap(), Some(SHORT));
        fill(&one);
        let error = one.write_all(&vec![0; 16 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        // Reading has no timeout, and is not disturbed.
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 1);
    });
}

#[test]
fn a_timeout_of_zero_is_refused_and_changes_nothing() {
    everywhere(|| {
        let (one, _other) = tcp_pair();
        one.set_read_timeout(Some(LONG)).unwrap();
        for error in [one.set_read_timeout(Some(Duration::ZERO)), one.set_write_timeout(Some(Duration::ZERO))]
        {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(one.read_timeout().unwrap(), Some(LONG));
        assert_eq!(one.write_timeout().unwrap(), None);
        let zero = listener().set_accept_timeout(Some(Duration::ZERO));
        assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_deadline_in_the_past_ends_reads_at_once_and_data_waits_until_it_moves() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        other.write_all(b"abc").unwrap();
        for past in [Instant::now(), Instant::now() - Duration::from_secs(3600)] {
            one.set_read_deadline(Some(past));
            for _ in 0..2 {
                assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
                assert_eq!(one.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
            }
        }
        // Writing has a deadline of its own.
        one.write_all(b"x").unwrap();
        assert_eq!(one.write_deadline(), None);
        one.set_write_deadline(Some(Instant::now()));
        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        one.set_read_deadline(None);
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 3);
    });
}

#[test]
fn a_deadline_ends_one_call_after_the_other_until_it_moves() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        let at = Instant::now() + SHORT;
        one.set_read_deadline(Some(at));
        let set = one.read_deadline().unwrap();
        assert!(set <= at && at - set < Duration::from_micros(1));
        assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= at);
        assert_eq!(one.readable().unwrap_err().kind(), ErrorKind::TimedOut);
        one.set_read_deadline(Some(Instant::now() + LONG));
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 1);
    });
}

#[test]
fn a_deadline_that_is_set_or_moved_up_ends_a_call_that_waits() {
    everywhere(|| {
        for before in [None, Some(Instant::now() + LONG)] {
            let (one, _other) = tcp_pair();
            one.set_read_deadline(before);
            let mut reading = one.try_clone().unwrap();
            let task = fibra::spawn(move || reading.read(&mut [0; 4]));
            fibra::sleep(Duration::from_millis(1));
            one.set_read_deadline(Some(Instant::now()));
            assert_eq!(task.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        }
    });
}

#[test]
fn a_deadline_that_is_moved_away_lets_a_call_wait_on() {
    everywhere(|| {
        let (mut one, other) = tcp_pair();
        other.set_read_deadline(Some(Instant::now() + Duration::from_secs(5)));
        let mut reading = other.try_clone().unwrap();
        let task = fibra::spawn(move || reading.read(&mut [0; 4]));
        fibra::sleep(Duration::from_millis(1));
        other.set_read_deadline(None);
        fibra::sleep(Duration::from_millis(1));
        one.write_all(b"x").unwrap();
        assert_eq!(task.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn the_earlier_of_timeout_and_deadline_counts_and_gives_the_kind() {
    everywhere(|| {
        let (mut one, _other) = tcp_pair();
        one.set_read_timeout(Some(LONG)).unwrap();
        one.set_read_deadline(Some(Instant::now() + SHORT));
        assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
        one.set_read_timeout(Some(SHORT)).unwrap();
        one.set_read_deadline(Some(Instant::now() + LONG));
        assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn no_byte_is_lost_when_deadline_and_data_come_together() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        let writer = fibra::spawn(move || {
            for i in 0..200u8 {
                fibra::sleep(Duration::from_micros(300));
                one.write_all(&[i]).unwrap();
            }
        });
        let mut next = 0;
        while next < 200 {
            other.set_read_deadline(Some(Instant::now() + Duration::from_micros(300)));
            let mut buf = [0; 4];
            match other.read(&mut buf) {
                Ok(n) => {
                    for byte in &buf[..n] {
                        assert_eq!(*byte, next);
                        next += 1;
                    }
                    assert!(n > 0);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn hundreds_of_deadlines_fire_under_load() {
    everywhere(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let busy = fibra::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                fibra::yield_now();
            }
        });
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                fibra::spawn(move || {
                    let (mut one, other) = tcp_pair();
                    let at = Instant::now() + Duration::from_millis(i % 20);
                    one.set_read_deadline(Some(at));
                    assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
                    assert!(Instant::now() >= at);
                    drop(other);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        stop.store(true, Ordering::SeqCst);
        busy.join().unwrap();
    });
}

#[test]
fn accepting_has_a_timeout_and_a_deadline() {
    everywhere(|| {
        let listener = listener();
        listener.set_accept_timeout(Some(SHORT)).unwrap();
        assert_eq!(listener.accept_timeout(), Some(SHORT));
        let error = listener.accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains("accept"), "{error}");
        listener.set_accept_deadline(Some(Instant::now()));
        assert!(listener.accept_deadline().is_some());
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
        listener.set_accept_deadline(None);
        listener.set_accept_timeout(None).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn readable_and_writable_wait_and_take_nothing() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        one.writable().unwrap();
        one.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.readable().unwrap_err().kind(), ErrorKind::WouldBlock);
        one.set_read_timeout(None).unwrap();
        let task = fibra::spawn(move || {
            one.readable().unwrap();
            one.readable().unwrap();
            one.set_nonblocking(true).unwrap();
            one.read(&mut [0; 4]).map(|n| (n, one))
        });
        fibra::yield_now();
        other.write_all(b"abc").unwrap();
        let (n, one) = task.join().unwrap().unwrap();
        assert_eq!(n, 3);
        fill(&other);
        other.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(other.writable().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(one);
        // The end is an event, too.
        other.readable().unwrap();
    });
}

/// Three tasks and a plain thread wait; `close` ends all four waits, and the calls after it.
fn close_ends<S: Send + Sync + 'static>(socket: S, wait: fn(&S) -> std::io::Result<()>, close: fn(&S)) {
    let socket = Arc::new(socket);
    let begun = Arc::new(AtomicUsize::new(0));
    let call = || {
        let (socket, begun) = (socket.clone(), begun.clone());
        move || {
            begun.fetch_add(1, Ordering::SeqCst);
            wait(&socket)
        }
    };
    let tasks = [(); 3].map(|()| fibra::spawn(call()));
    let thread = std::thread::spawn(call());
    support::wait_until("all have begun", || begun.load(Ordering::SeqCst) == 4);
    // Most of them wait by now; for those that don't yet, the promise is the same.
    fibra::sleep(Duration::from_millis(1));
    close(&socket);
    for result in tasks.map(|task| task.join().unwrap()) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
    }
    // Has found out through the kernel or through us.
    thread.join().unwrap().unwrap_err();
    assert_eq!(wait(&socket).unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn closing_a_stream_ends_reads() {
    everywhere(|| {
        let (one, _other) = tcp_pair();
        let read = |stream: &TcpStream| match (&mut &*stream).read(&mut [0; 4])? {
            // A plain thread may find the end instead: it was in the system call when the socket was shut
            // down.
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        };
        close_ends(one, read, TcpStream::close);
    });
}

#[test]
fn closing_a_stream_ends_writes_and_shows_the_peer_the_end() {
    everywhere(|| {
        let (one, mut other) = tcp_pair();
        fill(&one);
        close_ends(one, |stream| (&mut &*stream).write_all(&[0; 1 << 20]), TcpStream::close);
        let mut buf = vec![0; 1 << 16];
        while let Ok(1..) = other.read(&mut buf) {}
    });
}

#[test]
fn closing_a_listener_ends_accepts_and_refuses_connections() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        close_ends(listener, |listener| listener.accept().map(drop), TcpListener::close);
        assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn closing_other_sockets_ends_their_calls() {
    everywhere(|| {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        close_ends(udp, |udp| nothing_is_an_error(udp.recv(&mut [0; 4])), UdpSocket::close);
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        close_ends(datagram, |datagram| nothing_is_an_error(datagram.recv(&mut [0; 4])), UnixDatagram::close);
        let (stream, _other) = UnixStream::pair().unwrap();
        close_ends(
            stream,
            |stream| nothing_is_an_error((&mut &*stream).read(&mut [0; 4])),
            UnixStream::close,
        );
        let path = std::env::temp_dir().join(format!("fibra-test-close-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        close_ends(listener, |listener| listener.accept().map(drop), UnixListener::close);
    });
}

/// What a plain thread finds that was in the system call when its socket was shut down.
fn nothing_is_an_error(result: std::io::Result<usize>) -> std::io::Result<()> {
    match result? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[test]
fn closing_ends_the_loop_over_incoming_connections() {
    everywhere(|| {
        let listener = listener();
        let stop = listener.try_clone().unwrap();
        let task = fibra::spawn(move || listener.into_incoming().map(Result::unwrap).count());
        fibra::sleep(Duration::from_millis(1));
        stop.close();
        assert_eq!(task.join().unwrap(), 0);
        assert!(stop.incoming().next().is_none());
    });
}

#[test]
fn the_limit_of_a_call_costs_no_more_than_it_says() {
    // A thousand reads with a timeout, each of which finds its data: none of the timeouts lingers on.
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..1000 {
            one.write_all(b"x").unwrap();
            assert_eq!(other.read(&mut [0; 4]).unwrap(), 1);
        }
    });
}
