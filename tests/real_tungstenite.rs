//! `tungstenite`, unchanged, over our sockets: WebSockets whose calls park the task.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream};
use fibra::thread;
use tungstenite::{Bytes, Error, Message, WebSocket};

const CLIENTS: usize = 4;
const MESSAGES: usize = 10_000;

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    tungstenite::client(format!("ws://{address}/"), stream).unwrap().0
}

/// Sends every message back until the client says goodbye, and counts them.
fn echo(stream: TcpStream) -> usize {
    stream.set_nodelay(true).unwrap();
    let mut socket = tungstenite::accept(stream).unwrap();
    for count in 0.. {
        match socket.read().unwrap() {
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).unwrap(),
            Message::Close(_) => {
                // Sends the answer to the goodbye.
                assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
                return count;
            }
            other => panic!("nobody sent {other}"),
        }
    }
    unreachable!()
}

fn say_goodbye(mut socket: WebSocket<TcpStream>) {
    socket.close(None).unwrap();
    assert!(matches!(socket.read(), Ok(Message::Close(_))));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn ten_thousand_messages_come_back_in_order() {
    fibra::run(|| {
        let (listener, address) = listen();
        thread::scope(|s| {
            let servers: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    s.spawn(move || {
                        let mut socket = connect(address);
                        for i in 0..MESSAGES / CLIENTS {
                            let sent = Message::text(format!("message {i} of client {client}"));
                            socket.send(sent.clone()).unwrap();
                            assert_eq!(socket.read().unwrap(), sent);
                        }
                        say_goodbye(socket);
                    });
                    let stream = listener.accept().unwrap().0;
                    s.spawn(|| echo(stream))
                })
                .collect();
            let echoed: usize = servers.into_iter().map(|server| server.join().unwrap()).sum();
            assert_eq!(echoed, MESSAGES);
        });
    });
}

#[test]
fn messages_of_all_sizes_come_back() {
    fibra::run(|| {
        let (listener, address) = listen();
        thread::scope(|s| {
            let server = s.spawn(move || echo(listener.accept().unwrap().0));
            let mut socket = connect(address);
            let sizes = [0, 1, 125, 126, 65_535, 65_536, 1 << 20];
            for size in sizes {
                let sent = Message::binary((0..size).map(|i| (i * 7 + i / 256) as u8).collect::<Bytes>());
                socket.send(sent.clone()).unwrap();
                assert!(socket.read().unwrap() == sent, "a message of {size} bytes");
            }
            say_goodbye(socket);
            assert_eq!(server.join().unwrap(), sizes.len());
        });
    });
}

#[test]
fn a_read_limit_breaks_off_between_frames_and_loses_none() {
    fibra::run(|| {
        let (listener, address) = listen();
        let (ask, asked) = fibra::channel::bounded(0);
        thread::scope(|s| {
            s.spawn(move || {
                let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
                for i in asked.iter() {
                    socket.send(Message::text(format!("{i}"))).unwrap();
                }
                assert!(matches!(socket.read(), Ok(Message::Close(_))));
                assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
            });
            let mut socket = connect(address);
            socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            for i in 0..20 {
                match socket.read() {
                    Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    other => panic!("nobody has sent anything, but: {other:?}"),
                }
                ask.send(i).unwrap();
                let message = loop {
                    match socket.read() {
                        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                        other => break other.unwrap(),
                    }
                };
                assert_eq!(message, Message::text(format!("{i}")));
            }
            drop(ask);
            socket.get_ref().set_read_timeout(None).unwrap();
            say_goodbye(socket);
        });
    });
}

#[test]
fn a_peer_that_vanishes_is_an_error() {
    fibra::run(|| {
        let (listener, address) = listen();
        thread::scope(|s| {
            let server = s.spawn(move || {
                let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
                socket.read()
            });
            drop(connect(address));
            assert!(matches!(server.join().unwrap(), Err(Error::Io(_) | Error::Protocol(_))));
        });
    });
}
