//! A client that sends bytes as they are, and reads answers.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use fibra::net::TcpStream;

pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// It says that it is the connection's last.
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

    /// The next answer, which must have this status; `last` if it ends the connection.
    pub fn expect(&mut self, status: u16, last: bool) -> io::Result<Answer> {
        let answer = self.answer()?;
        if (answer.status, answer.close) != (status, last) {
            return Err(io::Error::other(format!("not {status} but {answer:?}")));
        }
        if last && !self.is_at_end()? {
            return Err(io::Error::other("more comes after the last answer"));
        }
        Ok(answer)
    }

    /// The next answer, but not to a HEAD.
    pub fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut head = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(start) = head.parse(&self.input).map_err(io::Error::other)? {
                let value = |name: &str| {
                    let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                    header.and_then(|header| str::from_utf8(header.value).ok()).unwrap_or_default()
                };
                let (status, close) = (head.code.unwrap_or(0), value("connection") == "close");
                let end = start + value("content-length").parse::<usize>().unwrap_or(0);
                if self.input.len() >= end {
                    let body = String::from_utf8_lossy(&self.input[start..end]).into_owned();
                    self.input.drain(..end);
                    return Ok(Answer { status, body, close });
                }
            }
            if self.receive()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the server has closed the connection and nothing is left to read.
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
