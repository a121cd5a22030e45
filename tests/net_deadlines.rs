//! Timeouts and deadlines in numbers: races with data, with each other, with cancellation and closing, in all kinds of sockets.
//! What one of them promises alone is in `net_limits.rs`.

mod support;

#[path = "support/net.rs"]
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use fibra::net::{TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use net::{everywhere, fill, listener, tcp_pair};
use support::{wait_until, within_patience};

fn in_runtimes(body: fn()) {
    for workers in [1, 2, 8] {
        within_patience(move || fibra::Builder::new().workers(workers).run(body).unwrap());
    }
}

/// Both kinds say that a limit was reached: std's for timeouts, the plain one for deadlines.
fn is_limit(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn deadlines_of_every_length_end_a_stream_that_never_ends() {
    // Shorter than a switch, shorter than a poll, longer than both; data is there at every moment.
    everywhere(|| {
        let lengths = [0, 1, 5, 50, 250, 1_000, 5_000, 25_000].map(Duration::from_micros);
        for length in lengths {
            let (ours, theirs) = tcp_pair();
            let writer = fibra::spawn(move || while (&theirs).write(&[0; 4096]).is_ok() {});
            let start = Instant::now();
            ours.set_read_deadline(Some(start + length));
            let error = loop {
                match (&ours).read(&mut [0; 1024]) {
                    Ok(n) => assert!(n > 0),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(start.elapsed() >= length);
            drop(ours);
            writer.join().unwrap();
        }
    });
}

#[test]
fn data_and_timeout_at_one_instant_lose_no_byte_on_any_socket() {
    fn race(
        receive: impl Fn(&mut [u8]) -> io::Result<usize> + Send + 'static,
        send: impl Fn(&[u8]) -> io::Result<usize> + Send + 'static,
        limit: impl Fn(Option<Duration>),
    ) {
        const BYTES: usize = 500;
        let pause = Duration::from_micros(100);
        limit(Some(pause));
        let sender = fibra::spawn(move || {
            for i in 0..BYTES {
                fibra::sleep(pause);
                assert_eq!(send(&[i as u8]).unwrap(), 1);
            }
        });
        let (mut next, mut late) = (0, 0);
        while next < BYTES {
            let mut byte = [0];
            match receive(&mut byte) {
                Ok(n) => {
                    assert_eq!((n, byte), (1, [next as u8]));
                    next += 1;
                }
                Err(error) => {
                    assert!(is_limit(&error), "{error}");
                    late += 1;
                }
            }
            assert!(late < 1_000_000);
        }
        sender.join().unwrap();
    }
    in_runtimes(|| {
        let (ours, theirs) = tcp_pair();
        theirs.set_nodelay(true).unwrap();
        let timeouts = ours.try_clone().unwrap();
        race(
            move |buf| (&ours).read(buf),
            move |buf| (&theirs).write(buf),
            |limit| timeouts.set_read_timeout(limit).unwrap(),
        );
        let (ours, theirs) = UnixStream::pair().unwrap();
        let timeouts = ours.try_clone().unwrap();
        race(
            move |buf| (&ours).read(buf),
            move |buf| (&theirs).write(buf),
            |limit| timeouts.set_read_timeout(limit).unwrap(),
        );
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let timeouts = ours.try_clone().unwrap();
        race(
            move |buf| ours.recv(buf),
            move |buf| theirs.send(buf),
            |limit| timeouts.set_read_timeout(limit).unwrap(),
        );
    });
}

#[test]
fn a_datagram_that_comes_at_the_deadline_is_received_then_or_next() {
    in_runtimes(|| {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        let (ask, asked) = fibra::channel::bounded::<Instant>(0);
        let sender = fibra::spawn(move || {
            for (i, at) in asked.iter().enumerate() {
                fibra::thread::sleep_until(at);
                theirs.send(&[i as u8]).unwrap();
            }
        });
        for i in 0..300 {
            let at = Instant::now() + Duration::from_micros(200);
            ours.set_read_deadline(Some(at));
            ask.send(at).unwrap();
            let mut byte = [0];
            if let Err(error) = ours.recv(&mut byte) {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                ours.set_read_deadline(None);
                ours.recv(&mut byte).unwrap();
            }
            assert_eq!(byte, [i as u8]);
        }
        drop(ask);
        sender.join().unwrap();
    });
}

#[test]
fn a_connection_that_comes_at_the_deadline_is_accepted_then_or_next() {
    in_runtimes(|| {
        let path = std::env::temp_dir().join(format!("fibra-deadline-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let ours = UnixListener::bind(&path).unwrap();
        let _remove = support::OnDrop::new(|| std::fs::remove_file(&path).unwrap());
        fibra::scope(|s| {
            let path = &path;
            for _ in 0..200 {
                let at = Instant::now() + Duration::from_micros(200);
                ours.set_accept_deadline(Some(at));
                let client = s.spawn(move || {
                    fibra::thread::sleep_until(at);
                    UnixStream::connect(path).unwrap()
                });
                let accepted = ours.accept().or_else(|error| {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    ours.set_accept_deadline(None);
                    ours.accept()
                });
                accepted.unwrap();
                client.join().unwrap();
            }
        });
    });
}

#[test]
fn deadlines_set_from_all_sides_while_calls_run_disturb_no_byte() {
    const BYTES: usize = 1 << 20;
    in_runtimes(|| {
        let (ours, theirs) = tcp_pair();
        let done = AtomicBool::new(false);
        fibra::scope(|s| {
            for setter in 0..3 {
                let (ours, theirs, done) = (&ours, &theirs, &done);
                s.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let soon = Instant::now() + Duration::from_micros(2 + setter);
                        ours.set_read_deadline(Some(soon));
                        theirs.set_write_deadline(Some(soon));
                        ours.set_read_timeout(Some(Duration::from_micros(1 + setter))).unwrap();
                        fibra::yield_now();
                        ours.set_read_deadline(None);
                        theirs.set_write_deadline(None);
                        fibra::yield_now();
                    }
                });
            }
            s.spawn(|| {
                let bytes: Vec<_> = (0..BYTES).map(|i| (i % 251) as u8).collect();
                let mut sent = 0;
                while sent < BYTES {
                    match (&theirs).write(&bytes[sent..]) {
                        Ok(n) => sent += n,
                        Err(error) => assert!(is_limit(&error), "{error}"),
                    }
                }
                theirs.shutdown(Shutdown::Write).unwrap();
            });
            let (mut got, mut buf) = (0, [0; 4096]);
            loop {
                match (&ours).read(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => {
                        assert!(
                            buf[..n].iter().zip(got..).all(|(byte, i)| usize::from(*byte) == i % 251),
                            "at {got}"
                        );
                        got += n;
                    }
                    Err(error) => assert!(is_limit(&error), "{error}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(got, BYTES);
        });
    });
}

#[test]
fn the_limit_of_one_direction_leaves_the_other_alone() {
    everywhere(|| {
        let (ours, theirs) = tcp_pair();
        let past = Instant::now() - Duration::from_secs(1);
        ours.set_write_deadline(Some(past));
        ours.set_write_timeout(Some(Duration::from_nanos(1))).unwrap();
        let mut reading = ours.try_clone().unwrap();
        let reader = fibra::spawn(move || {
            let mut byte = [0];
            reading.read_exact(&mut byte).map(|()| byte[0])
        });
        fibra::yield_now();
        assert_eq!((&ours).write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        (&theirs).write_all(b"a").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), b'a');

        ours.set_write_deadline(None);
        ours.set_read_deadline(Some(past));
        // Its own timeout is shorter than any write takes, and yet a write that needs no waiting succeeds.
        (&ours).write_all(b"b").unwrap();
        let mut byte = [0];
        (&theirs).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
        assert_eq!((&ours).read(&mut byte).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(ours.peek(&mut byte).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_write_that_times_out_says_how_far_the_bytes_went() {
    everywhere(|| {
        let (ours, theirs) = tcp_pair();
        ours.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut sent = 0;
        let error = loop {
            match (&ours).write(&[1; 100_000]) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(ours);
        let mut got = Vec::new();
        (&theirs).read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), sent);
    });
}

#[test]
fn a_write_that_finds_room_at_its_limit_lets_the_next_one_try() {
    everywhere(|| {
        let (ours, _theirs) = tcp_pair();
        let limit = Duration::from_millis(30);
        ours.set_write_timeout(Some(limit)).unwrap();
        // There may be room for this long before the kernel says so.
        let mut late_in_a_row = 0;
        loop {
            let start = Instant::now();
            if (&ours).write_all(&[0; 1024]).is_err() {
                break;
            }
            late_in_a_row = if start.elapsed() >= limit { late_in_a_row + 1 } else { 0 };
            assert!(late_in_a_row < 10, "each write waits for its limit, and then succeeds");
        }
    });
}

#[test]
fn three_readers_under_one_deadline_all_end_at_it_and_go_on_after_it() {
    everywhere(|| {
        let (ours, theirs) = tcp_pair();
        let ours = Arc::new(ours);
        let at = Instant::now() + Duration::from_millis(10);
        ours.set_read_deadline(Some(at));
        let ended = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (ours, ended) = (ours.clone(), ended.clone());
                fibra::spawn(move || {
                    assert_eq!((&*ours).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
                    assert!(Instant::now() >= at);
                    ended.fetch_add(1, Ordering::SeqCst);
                    wait_until("the deadline has moved", || ours.read_deadline().is_none());
                    (&*ours).read(&mut [0]).unwrap()
                })
            })
            .collect();
        wait_until("all have met it", || ended.load(Ordering::SeqCst) == 3);
        ours.set_read_deadline(None);
        (&theirs).write_all(b"abc").unwrap();
        assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<usize>(), 3);
    });
}

#[test]
fn thousands_of_limits_of_which_none_fires_leave_none_behind() {
    in_runtimes(|| {
        let (ours, theirs) = tcp_pair();
        let echo = fibra::spawn(move || {
            let mut byte = [0];
            while (&theirs).read(&mut byte).unwrap() == 1 {
                (&theirs).write_all(&byte).unwrap();
            }
        });
        ours.set_nodelay(true).unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
        for i in 0..3000 {
            ours.set_read_deadline((i % 2 == 0).then(|| Instant::now() + Duration::from_secs(1000 + i)));
            (&ours).write_all(&[i as u8]).unwrap();
            let mut byte = [0];
            (&ours).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [i as u8]);
        }
        drop(ours);
        echo.join().unwrap();
        // Were a timer left, the end of the runtime would touch the frame of a read that is long over.
    });
}

#[test]
fn closing_cancelling_timing_out_and_data_all_at_once() {
    in_runtimes(|| {
        for round in 0..300_u64 {
            let (ours, theirs) = tcp_pair();
            let ours = Arc::new(ours);
            ours.set_read_timeout(Some(Duration::from_micros(1 + round % 40))).unwrap();
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let ours = ours.clone();
                    fibra::spawn(move || {
                        loop {
                            match (&*ours).read(&mut [0; 2]) {
                                // Closing shuts the socket down, so a read that had begun finds the end.
                                Ok(0) => return,
                                Ok(_) => {}
                                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                                Err(error) => assert!(is_limit(&error), "{error}"),
                            }
                        }
                    })
                })
                .collect();
            (0..round % 4).for_each(|_| fibra::yield_now());
            (&theirs).write_all(b"abcd").unwrap();
            tasks[round as usize % 4].cancel();
            ours.close();
            for task in tasks {
                if let Err(payload) = task.join() {
                    assert!(payload.is::<fibra::Cancelled>());
                }
            }
        }
    });
}

#[test]
fn a_call_whose_socket_is_closed_at_its_deadline_ends_by_one_of_them() {
    in_runtimes(|| {
        let mut ends = [0; 2];
        for _ in 0..200 {
            let at = Instant::now() + Duration::from_micros(300);
            let (listener, (stream, _peer)) = (listener(), tcp_pair());
            listener.set_accept_deadline(Some(at));
            stream.set_read_deadline(Some(at));
            let (accepting, mut reading) = (listener.try_clone().unwrap(), stream.try_clone().unwrap());
            let accepts = fibra::spawn(move || accepting.accept().map(drop).unwrap_err());
            let reads =
                fibra::spawn(move || reading.read(&mut [0]).map(drop).expect_err("no data, and no end"));
            fibra::thread::sleep_until(at);
            listener.close();
            stream.close();
            for call in [accepts, reads] {
                match call.join().unwrap() {
                    error if error.kind() == ErrorKind::TimedOut => ends[0] += 1,
                    error if error.kind() == ErrorKind::NotConnected => ends[1] += 1,
                    other => panic!("{other}"),
                }
            }
        }
        assert_eq!(ends[0] + ends[1], 400);
    });
}

#[test]
fn connecting_with_a_limit_is_whole_or_nothing() {
    in_runtimes(|| {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let acceptor = {
            let listener = listener.try_clone().unwrap();
            fibra::spawn(move || listener.incoming().map_while(Result::ok).count())
        };
        let mut made = 0;
        for i in 0..300 {
            match TcpStream::connect_timeout(&address, Duration::from_nanos(1 + i * 200)) {
                Ok(stream) => {
                    made += 1;
                    assert_eq!(stream.peer_addr().unwrap(), address);
                    (&stream).write_all(b"x").unwrap();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
        // On loopback the handshake is over before the first look.
        assert!(made > 0);
        listener.close();
        acceptor.join().unwrap();
    });
}

#[test]
fn limits_on_plain_threads_hold_without_a_runtime_that_polls() {
    let (ours, theirs) = tcp_pair();
    let (ours, barrier) = (Arc::new(ours), Arc::new(Barrier::new(5)));
    let start = Instant::now();
    ours.set_read_timeout(Some(Duration::from_millis(15))).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (ours, barrier) = (ours.clone(), barrier.clone());
            std::thread::spawn(move || {
                let error = (&*ours).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                barrier.wait();
                ours.set_read_timeout(None).unwrap();
                (&*ours).read(&mut [0]).unwrap()
            })
        })
        .collect();
    barrier.wait();
    assert!(start.elapsed() >= Duration::from_millis(15));
    (&theirs).write_all(b"abcd").unwrap();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 4);
    fill(&ours);
    ours.set_write_deadline(Some(Instant::now() + Duration::from_millis(5)));
    assert_eq!((&*ours).write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
}
