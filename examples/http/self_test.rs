//! What the server promises for each kind of request.

use std::io;
use std::net::SocketAddr;

use crate::client::Client;
use crate::limits::Limits;
use crate::visit::{GET, with_server};

/// A promise; what is sent on a connection of its own, with `|` for the end of a line; and what must come back.
type Check = (&'static str, &'static str, Response);

enum Response {
    /// Answers with these statuses, and the connection is good for another request.
    Good(&'static [u16]),
    /// An answer with this status, which says that it is the last, and the end.
    Last(u16),
}
use Response::{Good, Last};

const CHECKS: &[Check] = &[
    ("a GET", "GET / HTTP/1.1|Host: here||", Good(&[200])),
    ("pipelined requests", "GET / HTTP/1.1|Host: h||GET /lost HTTP/1.1|Host: h||", Good(&[200, 404])),
    ("the client asks to close", "GET / HTTP/1.1|Host: here|Connection: close||", Last(200)),
    ("HTTP/1.0 closes", "GET / HTTP/1.0||", Last(200)),
    ("HTTP/1.0 with keep-alive does not", "GET / HTTP/1.0|Connection: Keep-Alive||", Good(&[200])),
    ("400 for what is no request", "what is this?||", Last(400)),
    ("400 without a host", "GET / HTTP/1.1||", Last(400)),
    ("400 for two hosts", "GET / HTTP/1.1|Host: here|Host: there||", Last(400)),
    ("400 for two lengths", "POST / HTTP/1.1|Host: here|Content-Length: 1|Content-Length: 2||12", Last(400)),
    ("400 for a length that is none", "POST / HTTP/1.1|Host: here|Content-Length: +1||1", Last(400)),
    ("405 for other methods", "DELETE / HTTP/1.1|Host: here||", Last(405)),
    ("413 for a body too long", "POST / HTTP/1.1|Host: here|Content-Length: 3000000||", Last(413)),
    ("501 for a chunked body", "POST / HTTP/1.1|Host: here|Transfer-Encoding: chunked||0||", Last(501)),
];

/// Checks them all, and says so.
pub fn check_all() -> io::Result<()> {
    let failed = with_server(Limits::default(), |server, _| {
        let failed = CHECKS.iter().filter(|(promise, request, response)| {
            let result = check(server, request, response);
            match &result {
                Ok(()) => println!("ok  {promise}"),
                Err(error) => println!("FAILED  {promise}: {error}"),
            }
            result.is_err()
        });
        Ok(failed.count())
    })?;
    if failed > 0 {
        return Err(io::Error::other(format!("{failed} checks failed")));
    }
    println!("all {} checks passed", CHECKS.len());
    Ok(())
}

fn check(server: SocketAddr, request: &str, response: &Response) -> io::Result<()> {
    let mut client = Client::connect(server)?;
    client.send(&request.replace('|', "\r\n"))?;
    match response {
        Last(status) => client.expect(*status, true).map(drop),
        Good(statuses) => {
            client.send(GET)?;
            statuses.iter().chain(&[200]).try_for_each(|status| client.expect(*status, false).map(drop))
        }
    }
}
