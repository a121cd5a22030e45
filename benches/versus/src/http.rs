//! The HTTP/1.1 of the servers, apart from their sockets: requests in, responses out.

use httparse::{EMPTY_HEADER, Request, Status};

/// The body of every response.
pub const BODY: &str = "Hello, world!";
/// Its length, as a header says it.
pub const LENGTH: &str = "13";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
/// The longest head of a request, and how much is read at once.
const SPACE: usize = 4096;
const HEADERS: usize = 32;

/// One connection, kept alive until the client closes it; pipelined requests are answered together.
///
/// ```text
/// input:  | part of a request |        space         |
///         0                 filled                 SPACE
/// ```
pub struct Connection {
    input: [u8; SPACE],
    // Less than SPACE between two calls: there is always space.
    filled: usize,
    output: Vec<u8>,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection { input: [0; SPACE], filled: 0, output: Vec::new() }
    }
}

impl Connection {
    /// Where the next read goes.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.input[self.filled..]
    }

    /// `n` bytes have been read: the answers to all requests that are whole now. `None` if what came is no GET, or
    /// longer than this server allows.
    pub fn answer(&mut self, n: usize) -> Option<&[u8]> {
        self.filled += n;
        self.output.clear();
        let mut done = 0;
        while let Some(len) = head_len(&self.input[done..self.filled])? {
            done += len;
            self.output.extend_from_slice(RESPONSE);
        }
        self.input.copy_within(done..self.filled, 0);
        self.filled -= done;
        (self.filled < SPACE).then_some(&self.output)
    }
}

/// `Some(None)` if the request isn't whole yet.
fn head_len(input: &[u8]) -> Option<Option<usize>> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(input).ok()? {
        Status::Partial => Some(None),
        Status::Complete(len) => (request.method == Some("GET")).then_some(Some(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(connection: &mut Connection, bytes: &[u8]) -> Option<usize> {
        connection.space()[..bytes.len()].copy_from_slice(bytes);
        connection.answer(bytes.len()).map(|output| output.len() / RESPONSE.len())
    }

    #[test]
    fn pipelined_and_split_requests_are_answered_once_each() {
        let mut connection = Connection::default();
        let request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
        assert_eq!(answers(&mut connection, &request.repeat(3)), Some(3));
        assert_eq!(answers(&mut connection, &[&request[..], &request[..9]].concat()), Some(1));
        assert_eq!(answers(&mut connection, &request[9..]), Some(1));
        assert_eq!(connection.filled, 0);
    }

    #[test]
    fn what_is_no_get_or_too_long_is_refused() {
        assert_eq!(answers(&mut Connection::default(), b"POST / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(answers(&mut Connection::default(), b"\0\0\0"), None);
        let endless = [b"GET / HTTP/1.1\r\nA: ", &[b'a'; SPACE - 19][..]].concat();
        assert_eq!(answers(&mut Connection::default(), &endless), None);
    }

    #[test]
    fn the_response_carries_the_body() {
        assert!(RESPONSE.ends_with(format!("Content-Length: {LENGTH}\r\n\r\n{BODY}").as_bytes()));
        assert_eq!(BODY.len().to_string(), LENGTH);
    }
}
