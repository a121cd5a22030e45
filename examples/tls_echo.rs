//! TLS over tasks: `rustls` as it is, with our sockets as its `Read` and `Write`.
//!
//! Every connection has a task on each side. They shake hands, send a mebibyte through an echo server, and part.
//!
//! ```text
//! $ cargo run --release --example tls_echo              # or with the number of connections: -- 1000
//! 100 connections: handshake, 1 MiB there and back, goodbye in 0.17 s: 1.7 ms each, 1202 MiB/s
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::error;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use fibra::net::{TcpListener, TcpStream};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const PAYLOAD: usize = 1 << 20;

fn main() -> Result<(), Box<dyn error::Error + Send + Sync>> {
    let connections = argument::number("number of connections", 1..=10_000, 100) as usize;
    fibra::run(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let server = ServerConfig::builder().with_no_client_auth();
        let server = Arc::new(server.with_single_cert(vec![made.cert.into()], key)?);
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = Arc::new(client);

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let start = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..connections {
            let (client, server) = (client.clone(), server.clone());
            clients.push(fibra::spawn(move || ask(TcpStream::connect(address)?, client)));
            let stream = listener.accept()?.0;
            fibra::spawn(|| answer(stream, server));
        }
        for client in clients {
            client.join().expect("a client does not panic")?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let (each, rate) = (seconds / connections as f64 * 1e3, 2.0 * connections as f64 / seconds);
        print!("{connections} connections: handshake, 1 MiB there and back, goodbye in {seconds:.2} s: ");
        println!("{each:.1} ms each, {rate:.0} MiB/s");
        Ok(())
    })
}

fn ask(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<()> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, stream);
    let (sent, mut got) = (vec![7; PAYLOAD], Vec::new());
    stream.write_all(&sent)?;
    stream.read_to_end(&mut got)?;
    if got == sent { Ok(()) } else { Err(io::Error::other("what came back differs from what was sent")) }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream);
    let mut payload = vec![0; PAYLOAD];
    stream.read_exact(&mut payload)?;
    stream.write_all(&payload)?;
    stream.conn.send_close_notify();
    stream.flush()
}
