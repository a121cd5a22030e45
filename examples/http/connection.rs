//! One connection: requests in, answers out, in code that blocks as if there were no others.

use std::io::{self, ErrorKind};
use std::time::Instant;

use fibra::cancel::{Cancelled, Token};
use fibra::net::TcpStream;

use crate::answer;
use crate::limits::Limits;
use crate::request::{Refusal, Request, parse};
use crate::wire::Wire;

pub struct Connection<'a> {
    wire: Wire<'a>,
    limits: &'a Limits,
    /// Cancelled when the server stops.
    idle: &'a Token,
}

impl<'a> Connection<'a> {
    pub fn new(stream: &'a TcpStream, limits: &'a Limits, idle: &'a Token) -> io::Result<Self> {
        Ok(Self { wire: Wire::new(stream, limits.patience)?, limits, idle })
    }

    /// Answers all requests, until one side has enough.
    pub fn serve(mut self) -> io::Result<()> {
        while let Some(request) = self.next_request()? {
            if request.expects_continue && self.wire.input.is_empty() {
                answer::go_on(&mut self.wire.output);
            }
            self.wire.skip(request.body)?;
            // When the server stops, requests that have arrived with this one still get their answers.
            let last = request.close || self.idle.is_cancelled() && self.wire.input.is_empty();
            answer::write(&request, last, &mut self.wire.output);
            if last {
                break;
            }
        }
        self.wire.flush()
    }

    /// None if the client has no more, or is refused, or the server stops before a request has begun.
    fn next_request(&mut self) -> io::Result<Option<Request>> {
        let mut deadline = None;
        loop {
            match parse(&self.wire.input, self.limits) {
                Ok(Some((request, length))) => {
                    self.wire.input.drain(..length);
                    return Ok(Some(request));
                }
                Ok(None) => self.wire.flush()?, // The answers to pipelined requests go together.
                Err(status) => return self.refuse(status),
            }
            // One for the whole head, not for each of its bytes: else one now and then would do for ever.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.limits.patience);
            let begun = !self.wire.input.is_empty();
            match if begun { self.wire.receive(deadline) } else { self.wait_idly(deadline) } {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if begun && error.kind() == ErrorKind::TimedOut => {
                    return self.refuse("408 Request Timeout");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives, but ends when the server stops. What has arrived by then is received nevertheless.
    fn wait_idly(&mut self, deadline: Instant) -> io::Result<usize> {
        self.idle.run(|| self.wire.receive(deadline)).unwrap_or_else(|Cancelled| self.wire.receive_arrived())
    }

    /// The last word, to a request that makes no sense or demands too much.
    fn refuse(&mut self, status: Refusal) -> io::Result<Option<Request>> {
        answer::refuse(status, &mut self.wire.output);
        self.wire.part()?;
        Ok(None)
    }
}
