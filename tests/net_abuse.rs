//! Peers that behave badly, and tasks that do: what one of them does must not stop the others.

mod support;

#[path = "support/net.rs"]
mod net;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use fibra::{Builder, Runtime, channel, thread};
use net::{everywhere, fill, listener, tcp_pair};
use support::{Drops, OnDrop, wait_until, within_patience};

/// A long line.
const LINE: [u8; 1024] = {
    let mut line = [b'x'; 1024];
    line[1023] = b'\n';
    line
};

/// Answers every line with itself, for as many clients as come. Ends when its listener is closed.
struct LineServer {
    listener: TcpListener,
    address: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl LineServer {
    fn start(runtime: &Runtime) -> Self {
        let listener = listener();
        let server = Self {
            listener: listener.try_clone().unwrap(),
            address: listener.local_addr().unwrap(),
            open: Arc::default(),
        };
        let open = server.open.clone();
        runtime.run(|| {
            fibra::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { return };
                    open.fetch_add(1, Ordering::SeqCst);
                    let open = open.clone();
                    fibra::spawn(move || {
                        let _gone = OnDrop::new(|| {
                            open.fetch_sub(1, Ordering::SeqCst);
                        });
                        let mut lines = BufReader::new(&stream);
                        let mut line = String::new();
                        while matches!(lines.read_line(&mut line), Ok(1..)) {
                            if (&stream).write_all(line.as_bytes()).is_err() {
                                return;
                            }
                            line.clear();
                        }
                    });
                }
            })
        });
        server
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// A client with manners.
    #[track_caller]
    fn answers(&self) {
        let stream = self.connect();
        (&stream).write_all(b"hello\n").unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "hello\n");
    }

    /// All clients have gone, and the server has noticed.
    fn end(self) {
        wait_until("every connection has ended", || self.open.load(Ordering::SeqCst) == 0);
        self.listener.close();
    }
}

fn with_server(body: fn(&LineServer)) {
    for workers in [1, 2] {
        within_patience(move || {
            let runtime = Builder::new().workers(workers).build().unwrap();
            let server = LineServer::start(&runtime);
            body(&server);
            server.end();
        });
    }
}

#[test]
fn a_hundred_peers_that_send_a_byte_at_a_time_all_get_their_answers() {
    with_server(|server| {
        let peers: Vec<_> = (0..100).map(|_| server.connect()).collect();
        for byte in *b"slow\n" {
            peers.iter().for_each(|mut peer| peer.write_all(&[byte]).unwrap());
            server.answers();
        }
        for mut peer in peers {
            let mut answer = [0; 5];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"slow\n");
        }
    });
}

#[test]
fn peers_that_never_read_keep_nobody_else_from_being_served() {
    with_server(|server| {
        let deaf: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for peer in &deaf {
            // Until nothing more goes in: the server is stuck with its answers, or will be soon.
            peer.set_nonblocking(true).unwrap();
            while (&*peer).write_all(&LINE).is_ok() {}
        }
        for _ in 0..10 {
            server.answers();
        }
        assert!(server.open.load(Ordering::SeqCst) >= 4);
        drop(deaf);
    });
}

#[test]
fn peers_that_reset_at_any_point_cost_only_themselves() {
    with_server(|server| {
        for round in 0..100 {
            let peer = server.connect();
            if round % 2 == 0 {
                (&peer).write_all(b"half a li").unwrap();
            }
            if round % 3 == 0 {
                (&peer).write_all(b"ne\nand more\n").unwrap();
            }
            // The close resets the connection, whatever is under way.
            peer.set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            if round % 10 == 0 {
                server.answers();
            }
        }
    });
}

#[test]
fn peers_that_half_close_get_their_answers_before_the_end() {
    with_server(|server| {
        for _ in 0..20 {
            let mut peer = server.connect();
            peer.write_all(b"one\ntwo\nno end of line").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut answers = String::new();
            peer.read_to_string(&mut answers).unwrap();
            assert_eq!(answers, "one\ntwo\nno end of line");
        }
    });
}

#[test]
fn connections_that_are_reset_in_the_queue_are_no_errors_of_accept() {
    everywhere(|| {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let peer = TcpStream::connect(address).unwrap();
            peer.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let mut last = TcpStream::connect(address).unwrap();
        last.write_all(b"x").unwrap();
        let mut accepted = 0;
        loop {
            let (mut stream, from) = listener.accept().unwrap();
            accepted += 1;
            if from == last.local_addr().unwrap() {
                assert_eq!(stream.read(&mut [0; 2]).unwrap(), 1);
                break;
            }
            assert!(stream.read(&mut [0; 2]).is_err());
        }
        assert!(accepted <= 21);
    });
}

#[test]
fn an_urgent_byte_disturbs_no_stream() {
    everywhere(|| {
        let (ours, theirs) = tcp_pair();
        let reader = fibra::spawn(move || {
            let mut got = Vec::new();
            (&ours).read_to_end(&mut got).unwrap();
            got
        });
        for round in 0..20 {
            (&theirs).write_all(b"ab").unwrap();
            socket2::SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
            if round % 2 == 0 {
                fibra::yield_now();
            }
            (&theirs).write_all(b"cd").unwrap();
        }
        drop(theirs);
        // An urgent byte that the next one overtakes becomes one of the stream's.
        let mut got = reader.join().unwrap();
        got.retain(|byte| *byte != b'!');
        assert_eq!(got, b"abcd".repeat(20));
    });
}

/// One task on each worker that never parks; it gives way only when its slice is over.
fn hog_all_workers(runtime: &Runtime, until: &Arc<AtomicBool>) -> Vec<fibra::JoinHandle<()>> {
    let hog = || {
        let until = until.clone();
        move || {
            let (_sender, empty) = channel::bounded::<()>(1);
            while !until.load(Ordering::Relaxed) {
                std::hint::black_box((0..1000).fold(1, |x: u64, n| x ^ (x << 13) ^ n));
                empty.try_recv().unwrap_err();
            }
        }
    };
    let spawn = |worker| thread::Builder::new().worker(worker).spawn(hog()).unwrap();
    (0..runtime.handle().workers()).map(|worker| runtime.run(|| spawn(worker))).collect()
}

#[test]
fn hogs_on_all_workers_stop_neither_sockets_nor_timers() {
    for workers in [1, 2] {
        within_patience(move || {
            let runtime = Builder::new().workers(workers).build().unwrap();
            let server = LineServer::start(&runtime);
            let done = Arc::new(AtomicBool::new(false));
            let hogs = hog_all_workers(&runtime, &done);
            // From a plain thread, which the hogs are no hindrance to.
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for round in 0..20 {
                writeln!(stream, "round {round}").unwrap();
                assert_eq!(lines.next().unwrap().unwrap(), format!("round {round}"));
            }
            runtime.run(|| {
                let (ours, _theirs) = tcp_pair();
                ours.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            });
            done.store(true, Ordering::Relaxed);
            hogs.into_iter().for_each(|hog| hog.join().unwrap());
            drop((stream, lines));
            server.end();
        });
    }
}

#[test]
fn a_task_whose_peer_always_has_more_lets_others_run() {
    for workers in [1, 2] {
        within_patience(move || {
            Builder::new()
                .workers(workers)
                .run(|| {
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    let done = AtomicBool::new(false);
                    fibra::scope(|s| {
                        // They never wait: on one worker each makes room for the other only when it is full, and
                        // on two never.
                        s.spawn(|| {
                            let go_on = || !done.load(Ordering::Relaxed);
                            while go_on() && matches!((&ours).write(&[0; 64]), Ok(1..)) {}
                        });
                        s.spawn(|| while matches!((&theirs).read(&mut [0; 4096]), Ok(1..)) {});
                        for _ in 0..10 {
                            fibra::sleep(Duration::from_millis(1));
                        }
                        done.store(true, Ordering::Relaxed);
                        ours.shutdown(Shutdown::Write).unwrap();
                    });
                })
                .unwrap();
        });
    }
}

#[test]
fn a_pool_full_of_blocked_calls_stops_neither_sockets_nor_timers() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).max_blocking_threads(2).build().unwrap();
        let server = LineServer::start(&runtime);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let blocked = blocked.clone();
                runtime.run(|| {
                    fibra::spawn(move || {
                        fibra::blocking(move || {
                            // A failure to receive is the end, too.
                            let _ = blocked.lock().unwrap().recv();
                        })
                    })
                })
            })
            .collect();
        wait_until("the pool is full and two calls wait", || {
            let stats = runtime.handle().blocking_stats();
            (stats.idle, stats.queued) == (0, 2)
        });
        runtime.run(|| {
            (0..20).for_each(|_| server.answers());
            fibra::sleep(Duration::from_millis(1));
        });
        drop(release);
        calls.into_iter().for_each(|call| call.join().unwrap());
        server.end();
    });
}

#[test]
fn a_runtime_ends_while_tasks_wait_in_every_call() {
    for workers in [1, 2, 8] {
        within_patience(move || {
            let drops = Drops::new();
            let runtime = Builder::new().workers(workers).build().unwrap();
            let peers = runtime.run(|| {
                let spawn = |call: Box<dyn FnOnce() + Send>| {
                    let counted = drops.counted();
                    fibra::spawn(move || {
                        let _counted = counted;
                        call();
                        unreachable!("nothing comes");
                    });
                };
                let mut peers = Vec::new();
                for _ in 0..20 {
                    let (reading, peer) = tcp_pair();
                    peers.push(peer);
                    spawn(Box::new(move || drop((&reading).read(&mut [0]))));
                    let (writing, peer) = tcp_pair();
                    peers.push(peer);
                    fill(&writing);
                    spawn(Box::new(move || drop((&writing).write_all(&[0; 1 << 24]))));
                    let accepting = listener();
                    spawn(Box::new(move || drop(accepting.accept())));
                    let receiving = UdpSocket::bind("127.0.0.1:0").unwrap();
                    spawn(Box::new(move || drop(receiving.recv_from(&mut [0]))));
                    let (peeking, peer) = tcp_pair();
                    peers.push(peer);
                    peeking.set_read_timeout(Some(net::LONG)).unwrap();
                    spawn(Box::new(move || drop(peeking.peek(&mut [0]))));
                    let full = full_listener();
                    let address = full.local_addr().unwrap();
                    spawn(Box::new(move || {
                        drop(TcpStream::connect(address));
                        drop(full);
                    }));
                }
                (0..3).for_each(|_| fibra::yield_now());
                peers
            });
            drop(runtime);
            assert_eq!(drops.get(), 120);
            // The sockets went with their tasks.
            for mut peer in peers {
                let end = std::io::copy(&mut peer, &mut std::io::sink());
                assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
            }
        });
    }
}

/// A listener whose queue is full: who connects to it waits.
fn full_listener() -> TcpListener {
    let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Kept open by the listener's queue.
    drop(TcpStream::connect(address).unwrap());
    listener
}

#[test]
fn streams_wander_from_runtime_to_runtime() {
    within_patience(|| {
        let (ours, theirs) = tcp_pair();
        for workers in [1, 2, 1, 8, 2] {
            Builder::new()
                .workers(workers)
                .run(|| {
                    fibra::scope(|s| {
                        let reader = s.spawn(|| {
                            let mut got = [0; 3];
                            (&ours).read_exact(&mut got).unwrap();
                            got
                        });
                        fibra::yield_now();
                        (&theirs).write_all(b"abc").unwrap();
                        assert_eq!(&reader.join().unwrap(), b"abc");
                    });
                })
                .unwrap();
            // And on a plain thread in between.
            (&theirs).write_all(b"d").unwrap();
            (&ours).read_exact(&mut [0]).unwrap();
        }
    });
}
