//! TCP listeners: who gets a connection, which addresses can be had, and what becomes of descriptors.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream};
use net::{everywhere, listener};
use support::{fd_count, in_child, wait_until};

#[test]
fn several_tasks_accept_from_one_listener_each_connection_once() {
    everywhere(|| {
        let listener = Arc::new(listener());
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let servers = [(); 4].map(|()| {
            let (listener, accepted) = (listener.clone(), accepted.clone());
            fibra::spawn(move || {
                for stream in listener.incoming() {
                    stream.unwrap().write_all(b"x").unwrap();
                    accepted.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        for _ in 0..100 {
            assert_eq!(TcpStream::connect(addr).unwrap().read(&mut [0; 2]).unwrap(), 1);
        }
        listener.close();
        servers.into_iter().for_each(|server| server.join().unwrap());
        assert_eq!(accepted.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn a_port_in_use_is_refused_unless_it_is_shared() {
    everywhere(|| {
        let one = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").unwrap();
        let addr = one.local_addr().unwrap();
        let error = TcpListener::bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        let other = TcpListener::builder().reuse_port(true).bind(addr).unwrap();
        assert_eq!(other.local_addr().unwrap(), addr);
        // The first address of several that can be had.
        let third = TcpListener::bind(&[addr, "127.0.0.1:0".parse().unwrap()][..]).unwrap();
        assert_ne!(third.local_addr().unwrap(), addr);
        let nothing = TcpListener::bind(&[][..]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_port_can_be_bound_again_though_connections_linger() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(addr).unwrap();
        // The side that closes first is the one that lingers.
        drop((listener.accept().unwrap(), listener));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn accepting_without_descriptors_fails_without_spinning_and_recovers() {
    let name = "accepting_without_descriptors_fails_without_spinning_and_recovers";
    let output = in_child(name, &[], || {
        // Before descriptors are scarce: the global runtime needs some.
        fibra::spawn(|| ()).join().unwrap();
        let few = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
        // SAFETY: the limit lives through the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) }, 0);
        everywhere(|| {
            let listener = listener();
            let addr = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(addr).unwrap();
            let hoard: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            let began = std::time::Instant::now();
            let errors = Arc::new(AtomicUsize::new(0));
            let seen = errors.clone();
            let server = fibra::spawn(move || {
                for stream in listener.incoming() {
                    match stream {
                        Ok(mut stream) => return stream.write_all(b"x").unwrap(),
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                            seen.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
            wait_until("the shortage has been met ten times", || errors.load(Ordering::SeqCst) >= 10);
            // The nine pauses between them, of 1, 2, 4 … 128 and again 128 ms, are no shorter on a fast
            // machine.
            assert!(began.elapsed() >= Duration::from_millis(383), "{:?}", began.elapsed());
            drop(hoard);
            assert_eq!(client.read(&mut [0; 2]).unwrap(), 1);
            server.join().unwrap();
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn ten_thousand_connections_leave_no_descriptor_behind() {
    let output = in_child("ten_thousand_connections_leave_no_descriptor_behind", &[], || {
        fibra::run(|| {
            let listener = listener();
            let addr = listener.local_addr().unwrap();
            let stop = listener.try_clone().unwrap();
            let server = fibra::spawn(move || {
                for mut stream in listener.incoming().map(Result::unwrap) {
                    fibra::spawn(move || {
                        let _ = stream.read(&mut [0; 4]);
                    });
                }
            });
            TcpStream::connect(addr).unwrap();
            let before = fd_count();
            for i in 0..10_000 {
                let mut stream = TcpStream::connect(addr).unwrap();
                if i % 2 == 0 {
                    stream.write_all(b"x").unwrap();
                }
                // Without it ten thousand ports would linger.
                stream.set_linger(Some(Duration::ZERO)).unwrap();
            }
            // The server's last ones may still be on their way out.
            wait_until("all descriptors are closed", || fd_count() <= before);
            stop.close();
            server.join().unwrap();
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_cancelled_accept_leaves_the_connection_to_the_next() {
    everywhere(|| {
        let listener = Arc::new(listener());
        let addr = listener.local_addr().unwrap();
        let accepting = listener.clone();
        let task = fibra::spawn(move || accepting.accept().map(drop));
        fibra::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
        let client = TcpStream::connect(addr).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    });
}
