//! A connection's bytes: those that have come and were not looked at yet, and those that are to go.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use fibra::net::TcpStream;

pub struct Wire<'a> {
    stream: &'a TcpStream,
    /// How long the other side may stand still.
    patience: Duration,
    pub input: Vec<u8>,
    pub output: Vec<u8>,
}

impl<'a> Wire<'a> {
    pub fn new(stream: &'a TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, patience, input: Vec::new(), output: Vec::new() })
    }

    /// Adds to the input what comes next, and returns how much; nothing at the end.
    pub fn receive(&mut self, deadline: Instant) -> io::Result<usize> {
        self.stream.set_read_deadline(Some(deadline));
        let mut chunk = [0; 4096];
        let received = self.stream.read(&mut chunk)?;
        self.input.extend_from_slice(&chunk[..received]);
        Ok(received)
    }

    /// The same without waiting: what has not arrived does not come.
    pub fn receive_arrived(&mut self) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let received = self.receive(Instant::now() + self.patience);
        self.stream.set_nonblocking(false)?;
        received.or_else(|error| if error.kind() == ErrorKind::WouldBlock { Ok(0) } else { Err(error) })
    }

    /// Drops so many bytes of the input, whether they are here or come yet.
    pub fn skip(&mut self, mut count: usize) -> io::Result<()> {
        loop {
            let here = count.min(self.input.len());
            self.input.drain(..here);
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.flush()?;
            if self.receive(Instant::now() + self.patience)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }

    /// Sends the last of the output. What the client still sends would be met with a reset, and that would overtake it:
    /// so the client is heard out, but not for long.
    pub fn part(&mut self) -> io::Result<()> {
        self.flush()?;
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + self.patience.min(Duration::from_secs(1));
        let mut heard = 0;
        while heard < 1 << 20 && self.receive(deadline)? > 0 {
            heard += self.input.len();
            self.input.clear();
        }
        Ok(())
    }
}
