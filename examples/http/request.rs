//! The head of a request: what the server needs to know of it, or why it is refused.

use crate::server::Limits;

/// A request's head. What it says is checked.
pub struct Request {
    pub method: Method,
    pub path: String,
    /// Bytes of the body that follows.
    pub body: u64,
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

/// The status line's end of an answer after which the connection is closed.
pub type Refusal = &'static str;

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
        Err(_) => return Err("400 Bad Request"),
    };
    let (Some(method), Some(path), Some(minor)) = (head.method, head.path, head.version) else {
        return Err("400 Bad Request");
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        _ => return Err("405 Method Not Allowed"),
    };
    let mut request =
        Request { method, path: path.to_owned(), body: 0, expects_continue: false, close: minor == 0 };
    let (mut hosts, mut body) = (0, None);
    for header in head.headers {
        let (name, value) = (header.name, header.value.trim_ascii());
        if name.eq_ignore_ascii_case("host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case("content-length") {
            // Two that differ are how requests are smuggled past a proxy.
            if body.replace(value).is_some_and(|other| other != value) {
                return Err("400 Bad Request");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("501 Not Implemented");
        } else if name.eq_ignore_ascii_case("expect") {
            request.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        } else if name.eq_ignore_ascii_case("connection") {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                request.close |= option.eq_ignore_ascii_case(b"close");
                request.close &= !(minor == 0 && option.eq_ignore_ascii_case(b"keep-alive"));
            }
        }
    }
    if hosts > 1 || hosts == 0 && minor == 1 {
        return Err("400 Bad Request");
    }
    if let Some(text) = body {
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err("400 Bad Request");
        }
        let length = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        // More digits than fit are too much as well.
        request.body = length.filter(|&n| n <= limits.body).ok_or("413 Content Too Large")?;
    }
    Ok(Some((request, length)))
}
