//! Lets `ureq` connect through `fibra::net`, so that its calls park the task: all that it takes.

use std::io::{ErrorKind, Read, Write};

use fibra::net::TcpStream;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Opens connections; plain HTTP alone.
#[derive(Debug)]
pub struct FibraConnector;

/// A connection.
#[derive(Debug)]
pub struct FibraTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Connector for FibraConnector {
    type Out = FibraTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<FibraTransport>, Error> {
        let mut result = Err(Error::HostNotFound);
        for address in &details.addrs {
            result = match details.timeout.not_zero() {
                Some(timeout) => TcpStream::connect_timeout(address, *timeout),
                None => TcpStream::connect(*address),
            }
            .map_err(|error| explain(error, details.timeout.reason));
            if result.is_ok() {
                break;
            }
        }
        let (stream, config) = (result?, details.config);
        stream.set_nodelay(config.no_delay())?;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(FibraTransport { stream, buffers }))
    }
}

impl Transport for FibraTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|t| *t))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| explain(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(timeout.not_zero().map(|t| *t))?;
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|error| explain(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        let probe = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let quiet = probe.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // Bytes that nobody asked for are as bad as the end.
        self.stream.set_nonblocking(false).is_ok() && quiet
    }
}

fn explain(error: std::io::Error, limit: Timeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(limit),
        _ => Error::Io(error),
    }
}
