//! What can be turned into addresses, and what is said of what can't.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use fibra::net::ToSocketAddrs;
use net::everywhere;

/// What ours gives, checked against std.
fn all<A: ToSocketAddrs + std::net::ToSocketAddrs + ?Sized>(addr: &A) -> Vec<SocketAddr> {
    let ours: Vec<_> = ToSocketAddrs::to_socket_addrs(addr).unwrap().collect();
    let stds: Vec<_> = std::net::ToSocketAddrs::to_socket_addrs(addr).unwrap().collect();
    assert_eq!(ours, stds);
    ours
}

#[test]
fn addresses_of_all_types_are_taken_as_they_are() {
    everywhere(|| {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 443));
        assert_eq!(all(&v4), [v4]);
        assert_eq!(all(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80)), [v4]);
        assert_eq!(all(&SocketAddrV6::new(Ipv6Addr::LOCALHOST, 443, 0, 0)), [v6]);
        assert_eq!(all(&(IpAddr::from(Ipv6Addr::LOCALHOST), 443)), [v6]);
        assert_eq!(all(&(Ipv4Addr::LOCALHOST, 80)), [v4]);
        assert_eq!(all(&(Ipv6Addr::LOCALHOST, 443)), [v6]);
        assert_eq!(all(&("127.0.0.1", 80)), [v4]);
        assert_eq!(all(&("::1".to_owned(), 443)), [v6]);
        assert_eq!(all("127.0.0.1:80"), [v4]);
        assert_eq!(all(&&"[::1]:443".to_owned()), [v6]);
        assert_eq!(all(&&[v6, v4][..]), [v6, v4]);
        assert_eq!(all(&&[][..]), []);
    });
}

#[test]
fn strings_that_are_no_address_are_refused_as_in_std_and_shown() {
    everywhere(|| {
        for text in ["localhost", "localhost:", "localhost:99999", "localhost:-1", "", "::1"] {
            let ours = ToSocketAddrs::to_socket_addrs(text).unwrap_err();
            let stds = std::net::ToSocketAddrs::to_socket_addrs(text).unwrap_err();
            // `::1` has the host `:`, of which resolvers think what they like.
            if text != "::1" {
                assert_eq!((ours.kind(), stds.kind()), (ErrorKind::InvalidInput, ErrorKind::InvalidInput));
                assert!(ours.to_string().contains(&stds.to_string()), "{ours}");
            }
            assert!(ours.to_string().contains(&format!("{text:?}")) || text == "::1", "{ours}");
        }
    });
}

#[test]
fn names_are_resolved() {
    everywhere(|| {
        let found: Vec<_> = "localhost:80".to_socket_addrs().unwrap().collect();
        assert!(!found.is_empty() && found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
        assert_eq!(found, ("localhost", 80).to_socket_addrs().unwrap().collect::<Vec<_>>());
    });
}

#[test]
fn the_name_that_can_not_be_resolved_is_in_the_error() {
    everywhere(|| {
        // An empty label is no name for any resolver, so none asks the network.
        let error = fibra::net::TcpStream::connect("no..name:80").unwrap_err();
        assert!(error.to_string().contains("no..name"), "{error}");
        let error = "no\0name:80".to_socket_addrs().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}
