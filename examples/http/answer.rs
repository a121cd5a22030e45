//! What the server has to say: answers are written into a connection's output.

use std::io::Write;

use crate::request::{Method, Refusal, Request};

/// The answer to a request; the `last` one says that the connection closes.
pub fn write(request: &Request, last: bool, output: &mut Vec<u8>) {
    let (status, body) = match (request.path.as_str(), request.method) {
        ("/", Method::Post) => ("200 OK", format!("{} bytes taken\n", request.body)),
        ("/", _) => ("200 OK", "hello\n".to_owned()),
        _ => ("404 Not Found", "there is nothing here\n".to_owned()),
    };
    put(status, last, body.len(), output);
    if request.method != Method::Head {
        output.extend_from_slice(body.as_bytes());
    }
}

/// To a client that waits before it sends a body.
pub fn go_on(output: &mut Vec<u8>) {
    output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// To a request that is none, or asks too much; always the last answer.
pub fn refuse(status: Refusal, output: &mut Vec<u8>) {
    put(status, true, status.len() + 1, output);
    output.extend_from_slice(status.as_bytes());
    output.push(b'\n');
}

fn put(status: &str, last: bool, length: usize, output: &mut Vec<u8>) {
    let connection = if last { "Connection: close\r\n" } else { "" };
    let headers = format_args!("Content-Type: text/plain\r\nContent-Length: {length}\r\n{connection}");
    write!(output, "HTTP/1.1 {status}\r\n{headers}\r\n").expect("memory takes all that is written");
}
