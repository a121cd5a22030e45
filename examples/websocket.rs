//! WebSockets over tasks: `tungstenite` as it is, with our sockets as its `Read` and `Write`.
//!
//! A hundred clients share ten thousand messages. Each sends one, waits for the echo, and sends the next.
//!
//! ```text
//! $ cargo run --release --example websocket              # or with the number of messages: -- 1000000
//! 10000 messages of 100 clients came back in 0.10 s: 95581 a second
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::error;
use std::net::SocketAddr;
use std::time::Instant;

use fibra::net::{TcpListener, TcpStream};
use tungstenite::Message;

const CLIENTS: usize = 100;

type Result<T> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let messages = argument::number("number of messages", 1..=100_000_000, 10_000) as usize;
    fibra::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let start = Instant::now();
        let mut clients = Vec::new();
        for i in 0..CLIENTS {
            let share = messages / CLIENTS + usize::from(i < messages % CLIENTS);
            clients.push(fibra::spawn(move || talk(address, share)));
            let stream = listener.accept()?.0;
            fibra::spawn(|| echo(stream));
        }
        let mut came_back = 0;
        for client in clients {
            came_back += client.join().expect("a client does not panic")?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let rate = came_back as f64 / seconds;
        println!("{came_back} messages of {CLIENTS} clients came back in {seconds:.2} s: {rate:.0} a second");
        Ok(())
    })
}

/// Sends every message back, until the goodbye.
fn echo(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream)?;
    loop {
        let message = socket.read()?;
        if message.is_text() {
            socket.send(message)?;
        }
    }
}

/// How many of `messages` came back as they were sent.
fn talk(address: SocketAddr, messages: usize) -> Result<usize> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)?;
    let mut came_back = 0;
    for i in 0..messages {
        let message = Message::text(format!("message {i}"));
        socket.send(message.clone())?;
        came_back += usize::from(socket.read()? == message);
    }
    socket.close(None)?;
    Ok(came_back)
}
