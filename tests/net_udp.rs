//! UDP sockets: datagrams whole or cut, connected and not.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fibra::net::UdpSocket;
use net::{SHORT, everywhere};

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[test]
fn smoke() {
    everywhere(|| {
        let ((one, one_addr), (other, other_addr)) = (socket(), socket());
        let task = fibra::spawn(move || {
            let mut buf = [0; 100];
            let (n, from) = other.recv_from(&mut buf).unwrap();
            assert_eq!(from, one_addr);
            other.send_to(&buf[..n], from).unwrap()
        });
        fibra::yield_now();
        assert_eq!(one.send_to(b"hello", other_addr).unwrap(), 5);
        let mut buf = [0; 100];
        assert_eq!(one.recv_from(&mut buf).unwrap(), (5, other_addr));
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(task.join().unwrap(), 5);
    });
}

#[test]
fn connected_sockets_hear_their_peer_alone() {
    everywhere(|| {
        let ((one, one_addr), (other, other_addr), (third, _)) = (socket(), socket(), socket());
        assert_eq!(one.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        one.connect(other_addr).unwrap();
        assert_eq!(one.peer_addr().unwrap(), other_addr);
        third.send_to(b"stranger", one_addr).unwrap();
        other.send_to(b"friend", one_addr).unwrap();
        let mut buf = [0; 100];
        assert_eq!(one.recv(&mut buf).unwrap(), 6);
        one.send(b"answer").unwrap();
        assert_eq!(other.recv_from(&mut buf).unwrap(), (6, one_addr));
        assert_eq!(one.connect(&[][..]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(one.send_to(b"x", &[][..]).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_port_where_nobody_listens_is_reported_to_a_connected_socket() {
    everywhere(|| {
        let (one, _) = socket();
        let (gone, addr) = socket();
        drop(gone);
        one.connect(addr).unwrap();
        one.send(b"x").unwrap();
        assert_eq!(one.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn peeking_leaves_the_datagram_and_a_short_buffer_cuts_it() {
    everywhere(|| {
        let ((one, one_addr), (other, addr)) = (socket(), socket());
        one.send_to(b"hello", addr).unwrap();
        one.send_to(b"", addr).unwrap();
        one.send_to(b"next", addr).unwrap();
        let mut buf = [0; 100];
        assert_eq!(other.peek_from(&mut buf).unwrap(), (5, one_addr));
        assert_eq!(other.peek(&mut buf[..3]).unwrap(), 3);
        assert_eq!(other.recv_from(&mut buf[..2]).unwrap(), (2, one_addr));
        // Empty datagrams are no end.
        assert_eq!(other.recv(&mut buf).unwrap(), 0);
        assert_eq!(other.recv(&mut buf).unwrap(), 4);
        let too_long = vec![0; 70_000];
        assert_eq!(one.send_to(&too_long, addr).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    });
}

#[test]
fn options_are_those_of_the_kernel() {
    everywhere(|| {
        let (one, _) = socket();
        let broadcast = "255.255.255.255:9";
        assert!(!one.broadcast().unwrap());
        assert_eq!(one.send_to(b"x", broadcast).unwrap_err().kind(), ErrorKind::PermissionDenied);
        one.set_broadcast(true).unwrap();
        assert!(one.broadcast().unwrap());
        one.set_ttl(33).unwrap();
        assert_eq!(one.ttl().unwrap(), 33);
        one.set_multicast_ttl_v4(5).unwrap();
        assert_eq!(one.multicast_ttl_v4().unwrap(), 5);
        assert!(one.multicast_loop_v4().unwrap());
        one.set_multicast_loop_v4(false).unwrap();
        assert!(!one.multicast_loop_v4().unwrap());
        assert!(one.take_error().unwrap().is_none());
        // A machine may have no IPv6.
        if let Ok(six) = UdpSocket::bind("[::1]:0") {
            six.set_multicast_loop_v6(false).unwrap();
            assert!(!six.multicast_loop_v6().unwrap());
            let not_a_group = six.join_multicast_v6(&Ipv6Addr::LOCALHOST, 0).unwrap_err();
            assert_eq!(not_a_group.kind(), ErrorKind::InvalidInput);
        }
        let not_a_group = one.join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::UNSPECIFIED).unwrap_err();
        assert_eq!(not_a_group.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_multicast_group_is_heard_from_joining_to_leaving() {
    everywhere(|| {
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        let addr = SocketAddr::from((group, member.local_addr().unwrap().port()));
        // A sandbox may have a loopback interface without multicast.
        if member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err() {
            return;
        }
        let (sender, sender_addr) = socket();
        socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        if sender.send_to(b"hello", addr).is_ok() {
            member.set_read_timeout(Some(support::PATIENCE)).unwrap();
            assert_eq!(member.recv_from(&mut [0; 10]).unwrap(), (5, sender_addr));
        }
        member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        assert!(member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err());
    });
}

#[test]
fn limits_end_calls_with_stds_kinds() {
    everywhere(|| {
        let (one, _) = socket();
        one.set_read_timeout(Some(SHORT)).unwrap();
        let error = one.recv_from(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains("recv_from"), "{error}");
        assert_eq!(one.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.set_read_deadline(Some(Instant::now()));
        assert_eq!(one.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(one.set_write_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        one.set_read_deadline(None);
        one.set_nonblocking(true).unwrap();
        assert_eq!(one.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn each_datagram_goes_to_one_of_the_tasks_that_receive() {
    everywhere(|| {
        let (receiving, addr) = socket();
        let receiving = Arc::new(receiving);
        let tasks = [(); 4].map(|()| {
            let receiving = receiving.clone();
            fibra::spawn(move || {
                let mut got = Vec::new();
                let mut buf = [0; 4];
                while let n @ 1.. = receiving.recv(&mut buf).unwrap() {
                    assert_eq!(n, 1);
                    got.push(buf[0]);
                }
                got
            })
        });
        let (sending, _) = socket();
        for i in 0..100 {
            sending.send_to(&[i], addr).unwrap();
        }
        for _ in 0..4 {
            sending.send_to(&[], addr).unwrap();
        }
        let mut got: Vec<_> = tasks.into_iter().flat_map(|task| task.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, (0..100).collect::<Vec<u8>>());
    });
}

#[test]
fn clones_and_conversions() {
    everywhere(|| {
        let (one, addr) = socket();
        let clone = one.try_clone().unwrap();
        assert_eq!(clone.as_raw_fd(), one.as_raw_fd());
        clone.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.read_timeout().unwrap(), Some(SHORT));
        drop(clone);
        let text = format!("{one:?}");
        let std = std::net::UdpSocket::from(one);
        assert_eq!(text, format!("{std:?}"));
        assert_eq!(std.read_timeout().unwrap(), Some(SHORT));
        let one = UdpSocket::from(OwnedFd::from(UdpSocket::from(std)));
        assert_eq!(one.local_addr().unwrap(), addr);
        assert_eq!(one.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_cancelled_receive_leaves_the_datagram() {
    everywhere(|| {
        let ((one, addr), (other, _)) = (socket(), socket());
        let one = Arc::new(one);
        for round in 0..50u8 {
            let receiving = one.clone();
            let task = fibra::spawn(move || {
                let mut buf = [0; 1];
                receiving.recv(&mut buf).map(|_| buf[0])
            });
            fibra::yield_now();
            other.send_to(&[round], addr).unwrap();
            task.cancel();
            let got = task.join().map(Result::unwrap).unwrap_or_else(|_| {
                let mut buf = [0; 1];
                one.recv(&mut buf).unwrap();
                buf[0]
            });
            assert_eq!(got, round);
        }
    });
}
