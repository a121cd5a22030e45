//! Unix sockets: streams, listeners, datagrams; and the two waits of which the kernel gives no notice.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::net::unix::SocketAddr;
use fibra::net::{UnixDatagram, UnixListener, UnixStream};
use net::{SHORT, everywhere};
use support::{OnDrop, wait_until};

/// A path of its own, and what removes the file there.
fn path() -> (PathBuf, impl Drop) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("fibra-test-{}-{number}", std::process::id()));
    let remove = path.clone();
    (path, OnDrop::new(move || drop(std::fs::remove_file(remove))))
}

#[test]
fn smoke() {
    everywhere(|| {
        let (path, _remove) = path();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = fibra::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            assert!(from.is_unnamed());
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        });
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert!(stream.local_addr().unwrap().is_unnamed());
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        server.join().unwrap();
    });
}

#[test]
fn paths_that_can_not_be_are_refused_as_in_std() {
    everywhere(|| {
        for path in ["a\0b".to_owned(), "a".repeat(200)] {
            for error in [
                UnixStream::connect(&path).unwrap_err(),
                UnixListener::bind(&path).unwrap_err(),
                UnixDatagram::bind(&path).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        }
        let (path, _remove) = path();
        let error = UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(UnixListener::bind(&path).unwrap());
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn abstract_names_work() {
    everywhere(|| {
        let (path, _remove) = path();
        let addr = SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes()).unwrap();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let mut one = UnixStream::connect_addr(&addr).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        one.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 4]).unwrap(), 1);

        let name = [path.as_os_str().as_encoded_bytes(), b"-datagram"].concat();
        let addr = SocketAddr::from_abstract_name(&name).unwrap();
        let receiving = UnixDatagram::bind_addr(&addr).unwrap();
        let (sending, _other) = UnixDatagram::pair().unwrap();
        drop(sending);
        let sending = UnixDatagram::unbound().unwrap();
        sending.send_to_addr(b"abc", &addr).unwrap();
        let (n, from) = receiving.recv_from(&mut [0; 10]).unwrap();
        assert!(n == 3 && from.is_unnamed());
        receiving.connect_addr(&addr).unwrap();
        receiving.send(b"to myself").unwrap();
        let (n, from) = receiving.recv_from(&mut [0; 10]).unwrap();
        assert_eq!((n, from.as_abstract_name()), (9, Some(&name[..])));
    });
}

#[test]
fn pairs_carry_streams_both_ways() {
    everywhere(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let echo = fibra::spawn(move || std::io::copy(&mut &other, &mut &other).map(drop));
        let (mut reading, mut writing) = one.into_split();
        let writer = fibra::spawn(move || writing.write_all(&[9; 1_000_000]));
        let mut got = Vec::new();
        reading.read_to_end(&mut got).unwrap();
        assert!(got.len() == 1_000_000 && got.iter().all(|byte| *byte == 9));
        writer.join().unwrap().unwrap();
        echo.join().unwrap().unwrap();
    });
}

#[test]
fn streams_peek_time_out_and_say_when_the_other_side_is_gone() {
    everywhere(|| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(one.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"bc")]).unwrap(), 3);
        assert_eq!(other.peek(&mut [0; 10]).unwrap(), 3);
        assert_eq!(other.read(&mut [0; 10]).unwrap(), 3);
        other.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(other.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.set_read_deadline(Some(Instant::now()));
        assert_eq!(other.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::TimedOut);
        one.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.write_all(&[0; 10 << 20]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(other);
        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        // It had not read all; the error is told once.
        assert_eq!(one.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
        assert!(one.take_error().unwrap().is_none());
    });
}

#[test]
fn a_loop_over_connections_ends_at_the_close() {
    everywhere(|| {
        let (path, _remove) = path();
        let listener = Arc::new(UnixListener::bind(&path).unwrap());
        let looping = listener.clone();
        let server = fibra::spawn(move || {
            (&*looping).into_iter().map(|stream| stream.unwrap().write_all(b"x").unwrap()).count()
        });
        for _ in 0..20 {
            assert_eq!(UnixStream::connect(&path).unwrap().read(&mut [0; 4]).unwrap(), 1);
        }
        listener.close();
        assert_eq!(server.join().unwrap(), 20);
    });
}

#[test]
fn connecting_to_a_full_listener_waits_until_there_is_room() {
    everywhere(|| {
        let (path, _remove) = path();
        let listener = UnixListener::bind(&path).unwrap();
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let first = UnixStream::connect(&path).unwrap();
        let task = {
            let path = path.clone();
            fibra::spawn(move || UnixStream::connect(path).map(drop))
        };
        fibra::sleep(SHORT);
        assert!(!task.is_finished());
        listener.accept().unwrap();
        task.join().unwrap().unwrap();
        // And who waits can be cancelled.
        let task = fibra::spawn(move || UnixStream::connect(path).map(drop));
        fibra::yield_now();
        task.cancel();
        task.join().unwrap_err();
        drop(first);
    });
}

/// How many datagrams a receiver's queue takes from `sending`.
fn fill(sending: &UnixDatagram, path: Option<&Path>) -> usize {
    sending.set_nonblocking(true).unwrap();
    let put = || path.map_or_else(|| sending.send(b"x"), |path| sending.send_to(b"x", path));
    let sent = (0..).take_while(|_| put().is_ok()).count();
    sending.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn datagrams_to_a_full_receiver_wait_until_there_is_room() {
    everywhere(|| {
        for connected in [false, true] {
            let (path, _remove) = path();
            let receiving = UnixDatagram::bind(&path).unwrap();
            let sending = UnixDatagram::unbound().unwrap();
            if connected {
                sending.connect(&path).unwrap();
                assert_eq!(sending.peer_addr().unwrap().as_pathname(), Some(&*path));
            }
            let target = (!connected).then_some(&*path);
            let sent = fill(&sending, target);
            sending.set_write_timeout(Some(SHORT)).unwrap();
            let result = match target {
                Some(path) => sending.send_to(b"y", path),
                None => sending.send(b"y"),
            };
            assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
            sending.set_write_timeout(None).unwrap();
            let target = target.map(Path::to_owned);
            let task = fibra::spawn(move || match target {
                Some(path) => sending.send_to(b"z", path).unwrap(),
                None => sending.send(b"z").unwrap(),
            });
            fibra::sleep(Duration::from_millis(1));
            let mut buf = [0; 4];
            for _ in 0..sent {
                assert_eq!(receiving.recv(&mut buf).unwrap(), 1);
                assert_eq!(buf[0], b'x');
            }
            receiving.recv(&mut buf).unwrap();
            assert_eq!(buf[0], b'z');
            assert_eq!(task.join().unwrap(), 1);
        }
    });
}

#[test]
fn closing_and_cancelling_end_a_send_to_a_full_receiver() {
    everywhere(|| {
        let (path, _remove) = path();
        let _receiving = UnixDatagram::bind(&path).unwrap();
        let sending = Arc::new(UnixDatagram::unbound().unwrap());
        fill(&sending, Some(&path));
        let task = || {
            let (sending, path) = (sending.clone(), path.clone());
            fibra::spawn(move || sending.send_to(b"y", path))
        };
        let (cancelled, closed) = (task(), task());
        fibra::sleep(Duration::from_millis(1));
        cancelled.cancel();
        cancelled.join().unwrap_err();
        sending.close();
        // Shut down by the close, it may find that out before it looks whether it was closed.
        let error = closed.join().unwrap().unwrap_err();
        assert!([ErrorKind::NotConnected, ErrorKind::BrokenPipe].contains(&error.kind()), "{error}");
    });
}

#[test]
fn datagrams_say_who_sent_them() {
    everywhere(|| {
        let ((one_path, _one), (other_path, _other)) = (path(), path());
        let one = UnixDatagram::bind(&one_path).unwrap();
        let other = UnixDatagram::bind(&other_path).unwrap();
        one.send_to(b"hello", &other_path).unwrap();
        let mut buf = [0; 10];
        let (n, from) = other.peek_from(&mut buf).unwrap();
        assert_eq!((n, from.as_pathname()), (5, Some(&*one_path)));
        assert_eq!(other.peek(&mut buf).unwrap(), 5);
        let (n, from) = other.recv_from(&mut buf[..2]).unwrap();
        assert_eq!((n, from.as_pathname()), (2, Some(&*one_path)));
        let error = one.send_to(b"x", one_path.with_extension("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(".none"), "{error}");
        other.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(other);
        assert_eq!(one.send_to(b"x", &other_path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn conversions_carry_the_descriptor_and_the_timeouts() {
    everywhere(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        one.set_read_timeout(Some(SHORT)).unwrap();
        let text = format!("{one:?}");
        let std = std::os::unix::net::UnixStream::from(one);
        assert_eq!(text, format!("{std:?}"));
        assert_eq!(std.read_timeout().unwrap(), Some(SHORT));
        let mut one = UnixStream::from(OwnedFd::from(UnixStream::from(std)));
        assert_eq!(one.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0; 4]).unwrap(), 1);

        let (one, other) = UnixDatagram::pair().unwrap();
        let one = UnixDatagram::from(std::os::unix::net::UnixDatagram::from(one));
        one.send(b"x").unwrap();
        assert_eq!(other.recv(&mut [0; 4]).unwrap(), 1);

        let (path, _remove) = path();
        let listener = UnixListener::bind(&path).unwrap();
        let listener = UnixListener::from(std::os::unix::net::UnixListener::from(listener));
        listener.set_accept_timeout(Some(SHORT)).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        listener.set_accept_timeout(None).unwrap();
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = waiting.clone();
        let task = fibra::spawn(move || {
            seen.store(1, Ordering::SeqCst);
            listener.accept().map(drop)
        });
        wait_until("somebody accepts", || waiting.load(Ordering::SeqCst) == 1);
        UnixStream::connect(&path).unwrap();
        task.join().unwrap().unwrap();
    });
}

#[test]
fn bytes_behind_those_that_came_with_a_descriptor_are_read() {
    fibra::run(|| {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        send_with_descriptor(theirs.as_raw_fd(), b"one");
        (&theirs).write_all(b"two").unwrap();
        let mut buf = [0; 64];
        assert_eq!(ours.read(&mut buf).unwrap(), 3, "the kernel ends the read behind the descriptor");
        assert_eq!(ours.read(&mut buf).unwrap(), 3, "no event tells of the rest");
        assert_eq!(&buf[..3], b"two");
    });
}

/// Sends `bytes`, and with them standard error's descriptor.
fn send_with_descriptor(socket: i32, bytes: &[u8]) {
    let descriptor = 2;
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0_u64; 4];
    // SAFETY: the message refers to buffers that outlive the call; the control buffer is aligned and has room for one
    // header with one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(descriptor);
        assert_eq!(libc::sendmsg(socket, &message, 0), bytes.len() as isize);
    }
}
