//! `rustls`, unchanged, over our sockets: what it is given are `Read` and `Write`, and its calls park the task.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream};
use fibra::thread;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const MEBIBYTE: usize = 1 << 20;

type Server = StreamOwned<ServerConnection, TcpStream>;
type Client = StreamOwned<ClientConnection, TcpStream>;

/// Both sides' settings, with a certificate made for this test alone.
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        Self {
            server: Arc::new(server.with_single_cert(vec![made.cert.into()], key).unwrap()),
            client: Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()),
        }
    }

    fn accept(&self, listener: &TcpListener) -> Server {
        let (stream, _) = listener.accept().unwrap();
        StreamOwned::new(ServerConnection::new(self.server.clone()).unwrap(), stream)
    }

    fn connect(&self, listener: &TcpListener, name: &'static str) -> Client {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        StreamOwned::new(ClientConnection::new(self.client.clone(), name).unwrap(), stream)
    }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Bytes that differ from place to place and from seed to seed.
fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

/// Ends this side properly, so that the other one reads an end and not an error.
fn say_goodbye(stream: &mut Server) -> io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()
}

#[test]
fn a_mebibyte_comes_back_on_each_of_eight_connections() {
    fibra::run(|| {
        let (tls, listener) = (Tls::new(), listen());
        thread::scope(|s| {
            s.spawn(|| {
                for _ in 0..8 {
                    let mut stream = tls.accept(&listener);
                    s.spawn(move || {
                        let mut got = vec![0; MEBIBYTE];
                        stream.read_exact(&mut got).unwrap();
                        stream.write_all(&got).unwrap();
                        say_goodbye(&mut stream).unwrap();
                    });
                }
            });
            for seed in 0..8 {
                let (tls, listener) = (&tls, &listener);
                s.spawn(move || {
                    let mut stream = tls.connect(listener, "localhost");
                    let sent = bytes(MEBIBYTE, seed);
                    stream.write_all(&sent).unwrap();
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == sent, "{} of {MEBIBYTE} bytes", got.len());
                    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
                });
            }
        });
    });
}

#[test]
fn messages_of_all_sizes_go_to_and_fro() {
    fibra::run(|| {
        let (tls, listener) = (Tls::new(), listen());
        let sizes = || [1, 2, 15, 16_384, 16_385, 100_000].into_iter().cycle().take(60);
        thread::scope(|s| {
            s.spawn(|| {
                let mut stream = tls.accept(&listener);
                for size in sizes() {
                    let mut got = vec![0; size];
                    stream.read_exact(&mut got).unwrap();
                    stream.write_all(&got).unwrap();
                }
            });
            let mut stream = tls.connect(&listener, "localhost");
            for (seed, size) in sizes().enumerate() {
                let sent = bytes(size, seed);
                stream.write_all(&sent).unwrap();
                let mut got = vec![0; size];
                stream.read_exact(&mut got).unwrap();
                assert!(got == sent, "message {seed} of {size} bytes");
            }
        });
    });
}

#[test]
fn a_read_limit_passes_through_and_the_session_goes_on() {
    fibra::run(|| {
        let (tls, listener) = (Tls::new(), listen());
        let (ask, asked) = fibra::channel::bounded(0);
        thread::scope(|s| {
            let (tls, listener) = (&tls, &listener);
            s.spawn(move || {
                let mut stream = tls.accept(listener);
                stream.write_all(b"a").unwrap();
                asked.recv().unwrap();
                stream.write_all(b"b").unwrap();
            });
            let mut stream = tls.connect(listener, "localhost");
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.sock.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            for _ in 0..3 {
                // As std's sockets say it.
                assert_eq!(stream.read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            stream.sock.set_read_timeout(None).unwrap();
            ask.send(()).unwrap();
            stream.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"b");
        });
    });
}

#[test]
fn a_certificate_for_another_name_is_refused_on_both_sides() {
    fibra::run(|| {
        let (tls, listener) = (Tls::new(), listen());
        thread::scope(|s| {
            let (tls, listener) = (&tls, &listener);
            let server = s.spawn(move || tls.accept(listener).read(&mut [0]).unwrap_err().kind());
            let error = tls.connect(listener, "other.example").write_all(b"x").unwrap_err();
            assert_eq!(
                (error.kind(), server.join().unwrap()),
                (ErrorKind::InvalidData, ErrorKind::InvalidData)
            );
        });
    });
}

#[test]
fn a_peer_that_breaks_off_in_the_handshake_is_an_unexpected_end() {
    fibra::run(|| {
        let (tls, listener) = (Tls::new(), listen());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = tls.accept(&listener);
        // The beginning of a record that never comes.
        (&client).write_all(&[22, 3, 1, 2, 0]).unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}
