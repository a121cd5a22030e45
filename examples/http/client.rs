//! A client for the self-test: it sends bytes as they are, and reads answers.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use fibra::net::TcpStream;

pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// What the head says of the body's length.
    pub length: usize,
    pub body: String,
    pub close: bool,
}

impl Client {
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, input: Vec::new() })
    }

    pub fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.write_all(bytes.as_bytes())
    }

    /// Reads an answer; that to a HEAD ends with its head.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(&self.input).map_err(io::Error::other)?;
            if let httparse::Status::Complete(start) = parsed {
                let value = |name: &str| {
                    let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                    header.and_then(|header| str::from_utf8(header.value).ok())
                };
                let length = value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                let close = value("connection") == Some("close");
                let status = head.code.unwrap_or(0);
                let end = start + if to_head { 0 } else { length };
                if self.input.len() >= end {
                    let body = String::from_utf8_lossy(&self.input[start..end]).into_owned();
                    self.input.drain(..end);
                    return Ok(Answer { status, length, body, close });
                }
            }
            if self.receive()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the server has closed the connection and nothing was left to read.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.input.is_empty() && self.receive()? == 0)
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 1024];
        let received = self.stream.read(&mut chunk)?;
        self.input.extend_from_slice(&chunk[..received]);
        Ok(received)
    }
}
