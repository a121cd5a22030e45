//! TCP streams: what they read and write, in tasks and on plain threads.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream};
use net::{everywhere, fill, listener, tcp_pair};
use support::{fd_count, in_child, within_patience};

#[test]
fn smoke() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        assert_eq!(addr.ip(), Ipv4Addr::LOCALHOST);
        let server = fibra::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), from);
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        });
        let mut stream = TcpStream::connect(addr).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        server.join().unwrap();
    });
}

#[test]
fn ipv6_works_as_ipv4_does() {
    everywhere(|| {
        // A machine may have no IPv6.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, from) = listener.accept().unwrap();
        assert_eq!(from, one.local_addr().unwrap());
        one.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 2]).unwrap(), 1);
        let only = TcpListener::builder().only_v6(true).bind("[::]:0").unwrap();
        assert!(only.only_v6().unwrap());
    });
}

#[test]
fn a_hundred_connections_at_once_each_get_their_own_bytes() {
    everywhere(|| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        fibra::spawn(move || {
            for stream in listener.incoming().take(100) {
                let mut stream = stream.unwrap();
                fibra::spawn(move || {
                    let mut buf = [0; 100];
                    while let Ok(n @ 1..) = stream.read(&mut buf) {
                        stream.write_all(&buf[..n]).unwrap();
                    }
                });
            }
        });
        let clients = (0..100).map(|i| {
            fibra::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                for round in 0..20 {
                    let sent = format!("{i} in round {round}");
                    stream.write_all(sent.as_bytes()).unwrap();
                    let mut got = vec![0; sent.len()];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, sent.as_bytes());
                }
            })
        });
        clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_hundred_megabytes_to_a_slow_reader_arrive_in_order() {
    const LEN: usize = 100 << 20;
    within_patience(|| {
        fibra::run(|| {
            let (mut one, mut other) = tcp_pair();
            let writer = fibra::spawn(move || {
                let data: Vec<u8> = (0..LEN).map(|at| (at / 4096) as u8).collect();
                one.write_all(&data).unwrap();
            });
            let mut buf = vec![0; 100_000];
            let mut at = 0_usize;
            while let n @ 1.. = other.read(&mut buf).unwrap() {
                // Every page once, to keep the test short.
                let first = at.next_multiple_of(4096) - at;
                for i in (first..n).step_by(4096) {
                    assert_eq!(buf[i], ((at + i) / 4096) as u8);
                }
                at += n;
                fibra::yield_now();
            }
            assert_eq!(at, LEN);
            writer.join().unwrap();
        })
    });
}

#[test]
fn half_closed_streams_go_on_in_the_other_direction() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
        for _ in 0..3 {
            other.write_all(b"still here").unwrap();
            let mut buf = [0; 10];
            one.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"still here");
        }
        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn shutting_reading_down_ends_a_read_that_waits() {
    everywhere(|| {
        let (one, _other) = tcp_pair();
        let reading = one.try_clone().unwrap();
        let task = fibra::spawn(move || (&reading).read(&mut [0; 8]));
        fibra::yield_now();
        one.shutdown(Shutdown::Read).unwrap();
        assert_eq!(task.join().unwrap().unwrap(), 0);
    });
}

#[test]
fn a_reset_is_reported_to_who_waits() {
    everywhere(|| {
        let (one, mut other) = tcp_pair();
        let task = fibra::spawn(move || other.read(&mut [0; 8]));
        fibra::yield_now();
        one.set_linger(Some(Duration::ZERO)).unwrap();
        drop(one);
        assert_eq!(task.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn writing_to_a_closed_peer_is_an_error_and_no_signal() {
    let output = in_child("writing_to_a_closed_peer_is_an_error_and_no_signal", &[], || {
        // As in a program whose main is not Rust's.
        // SAFETY: no handler is installed, and no other thread changes this signal.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        everywhere(|| {
            for vectored in [false, true] {
                let (mut one, other) = tcp_pair();
                drop(other);
                let mut put = || match vectored {
                    true => one.write_vectored(&[IoSlice::new(b"x")]),
                    false => one.write(b"x"),
                };
                let error = loop {
                    if let Err(error) = put() {
                        break error;
                    }
                    fibra::yield_now();
                };
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn peeking_leaves_the_bytes_and_waits_for_the_first() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        let task = fibra::spawn(move || {
            let mut buf = [0; 8];
            assert_eq!(other.peek(&mut buf).unwrap(), 3);
            assert_eq!(other.peek(&mut buf[..2]).unwrap(), 2);
            assert_eq!(other.read(&mut buf).unwrap(), 3);
            assert_eq!(&buf[..3], b"abc");
            other.set_nonblocking(true).unwrap();
            assert_eq!(other.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
        fibra::yield_now();
        one.write_all(b"abc").unwrap();
        task.join().unwrap();
    });
}

#[test]
fn vectored_calls_take_what_fits_even_from_thousands_of_buffers() {
    everywhere(|| {
        let (mut one, mut other) = tcp_pair();
        let bytes: Vec<u8> = (0..3000).map(|i| i as u8).collect();
        let bufs: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        assert_eq!(one.write_vectored(&bufs).unwrap(), 1024);
        let mut got = [0; 3000];
        let mut bufs: Vec<_> = got.chunks_mut(1).map(IoSliceMut::new).collect();
        let n = other.read_vectored(&mut bufs).unwrap();
        assert_eq!(got[..n], bytes[..n]);
        assert_eq!(n, 1024);
    });
}

#[test]
fn clones_share_one_descriptor_and_all_settings() {
    let output = in_child("clones_share_one_descriptor_and_all_settings", &[], || {
        fibra::run(|| {
            let (one, _other) = tcp_pair();
            let before = fd_count();
            let clones: Vec<_> = (0..100).map(|_| one.try_clone().unwrap()).collect();
            assert_eq!(fd_count(), before);
            clones[3].set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_millis(1)));
            drop(one);
            assert_eq!((&clones[7]).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(clones);
            assert_eq!(fd_count(), before - 1);
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_split_streams_halves_work_in_two_tasks_and_come_together_again() {
    everywhere(|| {
        let (one, other) = tcp_pair();
        let echo = fibra::spawn(move || std::io::copy(&mut &other, &mut &other).map(|n| (n, other)));
        let (mut reading, mut writing) = one.into_split();
        let writer = fibra::spawn(move || {
            writing.write_all(&[5; 100_000]).unwrap();
            writing
        });
        let mut buf = vec![0; 100_000];
        reading.read_exact(&mut buf).unwrap();
        assert!(buf.iter().all(|byte| *byte == 5));
        let writing = writer.join().unwrap();
        let (strange, _) = tcp_pair();
        let (strange, _forgotten) = strange.into_split();
        let error = strange.reunite(writing).unwrap_err();
        let one = reading.reunite(error.1).unwrap();
        (&one).write_all(b"together").unwrap();
        let mut buf = [0; 8];
        (&one).read_exact(&mut buf).unwrap();
        drop(one);
        assert_eq!(echo.join().unwrap().unwrap().0, 100_008);
    });
}

#[test]
fn dropping_the_writing_half_ends_the_stream_and_forgetting_it_does_not() {
    everywhere(|| {
        let (one, mut other) = tcp_pair();
        let (mut reading, writing) = one.into_split();
        let mut clone = reading.as_ref().try_clone().unwrap();
        writing.forget();
        clone.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);
        let (_, writing) = clone.into_split();
        drop(writing);
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
        other.write_all(b"yz").unwrap();
        assert_eq!(reading.read(&mut [0; 8]).unwrap(), 2);
    });
}

#[test]
fn options_are_those_of_the_kernel() {
    everywhere(|| {
        let (one, _other) = tcp_pair();
        assert!(!one.nodelay().unwrap());
        one.set_nodelay(true).unwrap();
        assert!(one.nodelay().unwrap());
        one.set_ttl(42).unwrap();
        assert_eq!(one.ttl().unwrap(), 42);
        assert_eq!(one.linger().unwrap(), None);
        one.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(one.linger().unwrap(), Some(Duration::from_secs(3)));
        one.set_linger(None).unwrap();
        assert_eq!(one.keepalive().unwrap(), None);
        one.set_keepalive(Some(Duration::from_secs(77))).unwrap();
        assert_eq!(one.keepalive().unwrap(), Some(Duration::from_secs(77)));
        one.set_keepalive(None).unwrap();
        assert_eq!(one.keepalive().unwrap(), None);
        assert!(one.take_error().unwrap().is_none());

        let listener = TcpListener::builder().nodelay(true).ttl(43).backlog(3).bind("127.0.0.1:0").unwrap();
        assert_eq!(listener.ttl().unwrap(), 43);
        listener.set_ttl(44).unwrap();
        assert!(listener.take_error().unwrap().is_none());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    });
}

#[test]
fn nonblocking_calls_say_so_instead_of_waiting() {
    everywhere(|| {
        let listener = listener();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(listener.incoming().next().unwrap().unwrap_err().kind(), ErrorKind::WouldBlock);
        listener.set_nonblocking(false).unwrap();
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        one.set_nonblocking(true).unwrap();
        assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(fill(&other) > 0);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(one.read(&mut [0; 100]).unwrap() > 0);
    });
}

fn is_nonblocking(fd: &impl AsFd) -> bool {
    // SAFETY: no pointers are passed.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}

#[test]
fn conversions_carry_the_descriptor_the_mode_and_the_timeouts() {
    everywhere(|| {
        let (one, mut other) = tcp_pair();
        assert!(is_nonblocking(&one));
        let number = one.as_raw_fd();
        one.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        let one = std::net::TcpStream::from(one);
        assert_eq!(one.as_raw_fd(), number);
        assert!(!is_nonblocking(&one));
        assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_millis(40)));
        one.set_write_timeout(Some(Duration::from_secs(9))).unwrap();
        let one = TcpStream::from(one);
        assert!(is_nonblocking(&one));
        assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_millis(40)));
        assert_eq!(one.write_timeout().unwrap(), Some(Duration::from_secs(9)));
        let one = TcpStream::from(OwnedFd::from(one));
        let raw = one.into_raw_fd();
        assert_eq!(raw, number);
        // SAFETY: just taken out.
        let mut one = unsafe { TcpStream::from_raw_fd(raw) };
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 1);
        assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);

        let listener = TcpListener::from(std::net::TcpListener::from(listener()));
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn taking_a_clone_out_leaves_the_others_waiting_as_before() {
    everywhere(|| {
        let (one, mut other) = tcp_pair();
        let taken = std::net::TcpStream::from(one.try_clone().unwrap());
        assert_ne!(taken.as_raw_fd(), one.as_raw_fd());
        assert!(!is_nonblocking(&taken));
        // Would the read block the worker, the write would never come.
        let task = fibra::spawn(move || (&one).read(&mut [0; 4]).map(|n| (n, one)));
        fibra::yield_now();
        other.write_all(b"x").unwrap();
        let (n, _one) = task.join().unwrap().unwrap();
        assert_eq!(n, 1);

        let listener = listener();
        let taken = std::net::TcpListener::from(listener.try_clone().unwrap());
        assert!(is_nonblocking(&taken));
        drop(taken);
        let addr = listener.local_addr().unwrap();
        let task = fibra::spawn(move || listener.accept().map(drop));
        fibra::yield_now();
        TcpStream::connect(addr).unwrap();
        task.join().unwrap().unwrap();
    });
}

#[test]
fn debug_prints_what_std_prints() {
    let (one, _other) = tcp_pair();
    let text = format!("{one:?}");
    assert_eq!(text, format!("{:?}", std::net::TcpStream::from(one)));
    let listener = listener();
    let text = format!("{listener:?}");
    assert_eq!(text, format!("{:?}", std::net::TcpListener::from(listener)));
}

#[test]
fn a_descriptor_number_that_is_used_again_gets_no_wake_up_of_the_old_one() {
    everywhere(|| {
        for _ in 0..100 {
            let (mut one, mut other) = tcp_pair();
            let reader = fibra::spawn(move || other.read(&mut [0; 4]).map(|_| ()));
            fibra::yield_now();
            one.write_all(b"x").unwrap();
            // The reader's descriptor is closed by now or soon, its event may still be on its way.
            reader.join().unwrap().unwrap();
            let (mut one, other) = tcp_pair();
            let mut reading = other.try_clone().unwrap();
            let reader = fibra::spawn(move || {
                let mut buf = [0; 4];
                let n = reading.read(&mut buf).unwrap();
                buf[..n].to_vec()
            });
            fibra::yield_now();
            one.write_all(b"yz").unwrap();
            assert_eq!(reader.join().unwrap(), b"yz");
        }
    });
}

#[test]
fn a_cancelled_read_takes_nothing() {
    everywhere(|| {
        let (mut one, other) = tcp_pair();
        let other = Arc::new(other);
        for round in 0..100u8 {
            let reading = other.clone();
            let task = fibra::spawn(move || {
                let mut buf = [0; 1];
                (&*reading).read_exact(&mut buf).map(|()| buf[0])
            });
            fibra::yield_now();
            // Whether the byte comes before the cancellation or after it: it is either returned or still
            // there.
            one.write_all(&[round]).unwrap();
            task.cancel();
            let got = match task.join() {
                Ok(got) => got.unwrap(),
                Err(payload) => {
                    assert!(payload.is::<fibra::Cancelled>());
                    let mut buf = [0; 1];
                    (&*other).read_exact(&mut buf).unwrap();
                    buf[0]
                }
            };
            assert_eq!(got, round);
        }
    });
}

#[test]
fn signals_do_not_disturb_a_read_that_waits() {
    extern "C" fn nothing(_: libc::c_int) {}
    everywhere(|| {
        // SAFETY: the action is zeroed but for a handler that does nothing; without SA_RESTART, so that calls
        // return EINTR.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        }
        let (mut one, mut other) = tcp_pair();
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            // SAFETY: has no conditions.
            sender.send(unsafe { libc::pthread_self() }).unwrap();
            other.read(&mut [0; 4])
        });
        let thread = receiver.recv().unwrap();
        for _ in 0..50 {
            // SAFETY: the thread runs: it waits for the byte that is written below.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
            fibra::sleep(Duration::from_micros(100));
        }
        one.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    });
}
