//! The head of a request: what the server needs to know of it, or why it is refused.

use crate::limits::Limits;

/// A request's head. What it says is checked.
pub struct Request {
    pub method: Method,
    pub path: String,
    /// Bytes of the body that follows.
    pub body: usize,
    /// The client waits for a word before it sends the body.
    pub expects_continue: bool,
    /// The connection ends with the answer.
    pub close: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
}

/// The status of the answer after which the connection is closed.
pub type Refusal = &'static str;

const BAD: Refusal = "400 Bad Request";

/// Reads the head at the beginning of `input`, if all of it is there, and says how long it is.
pub fn parse(input: &[u8], limits: &Limits) -> Result<Option<(Request, usize)>, Refusal> {
    const TOO_LONG: Refusal = "431 Request Header Fields Too Large";
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(&input[..input.len().min(limits.head)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() >= limits.head => return Err(TOO_LONG),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LONG),
        Err(_) => return Err(BAD),
    };
    let (Some(method), Some(path), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(BAD);
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        _ => return Err("405 Method Not Allowed"),
    };
    let values = |name| {
        let named = head.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    };
    let hosts = values("host").count();
    if hosts > 1 || hosts == 0 && minor == 1 {
        return Err(BAD);
    }
    if values("transfer-encoding").next().is_some() {
        return Err("501 Not Implemented");
    }
    let mut body = 0;
    let mut lengths = values("content-length");
    if let Some(digits) = lengths.next() {
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        // Two that differ are how requests are smuggled past a proxy.
        if !is_number || lengths.any(|other| other != digits) {
            return Err(BAD);
        }
        // More digits than fit are too much as well.
        let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        body = length.filter(|&n| n <= limits.body).ok_or("413 Content Too Large")?;
    }
    let expects_continue =
        body > 0 && values("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue"));
    let options = values("connection").flat_map(|value| value.split(|&byte| byte == b','));
    let wants = |option: &[u8]| options.clone().any(|o| o.trim_ascii().eq_ignore_ascii_case(option));
    let close = wants(b"close") || minor == 0 && !wants(b"keep-alive");
    Ok(Some((Request { method, path: path.to_owned(), body, expects_continue, close }, length)))
}
