//! The example `http`, and what its own short self-test leaves out: long requests, slow clients, and the stop.

#[path = "../examples/http/answer.rs"]
mod answer;
#[path = "../examples/http/client.rs"]
mod client;
#[path = "../examples/http/connection.rs"]
mod connection;
#[path = "../examples/http/limits.rs"]
mod limits;
#[path = "../examples/http/request.rs"]
mod request;
#[path = "../examples/http/self_test.rs"]
mod self_test;
#[path = "../examples/http/server.rs"]
mod server;
#[path = "../examples/http/visit.rs"]
mod visit;
#[path = "../examples/http/wire.rs"]
mod wire;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use client::Client;
use fibra::net::TcpStream;
use fibra::signal::Shutdown;
use limits::Limits;
use visit::{GET, with_server};

/// A visit to a server of its own, which must end well.
fn visit<T>(limits: Limits, visit: impl FnOnce(SocketAddr, &Shutdown) -> io::Result<T> + Send) -> T
where
    T: Send,
{
    fibra::run(|| with_server(limits, visit)).unwrap()
}

/// One client of a server of its own.
fn talk(limits: Limits, talk: impl FnOnce(&mut Client) -> io::Result<()> + Send) {
    visit(limits, |server, _| talk(&mut Client::connect(server)?));
}

fn impatient() -> Limits {
    Limits { patience: Duration::from_secs(1), ..Limits::default() }
}

/// Sends the head of a POST with four bytes, and returns when the server waits for them.
fn begin_post(client: &mut Client) -> io::Result<()> {
    client.send("POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")?;
    client.expect(100, false).map(drop)
}

#[test]
fn every_request_of_the_self_test_gets_its_answer() {
    fibra::run(self_test::check_all).unwrap();
}

#[test]
fn all_requests_of_a_measurement_are_answered() {
    fibra::run(|| visit::measure(7, 1000)).unwrap();
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    talk(Limits::default(), |client| {
        for _ in 0..3 {
            client.send(GET)?;
            assert_eq!(client.expect(200, false)?.body, "hello\n");
        }
        Ok(())
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    visit(Limits::default(), |server, _| {
        let (mut stream, mut answer) = (TcpStream::connect(server)?, String::new());
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nContent-Length: 6\r\n"), "{answer}");
        assert_eq!(answer.find("\r\n\r\n"), Some(answer.len() - 4), "{answer}");
        Ok(())
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    talk(Limits::default(), |client| {
        let lost = "GET /lost HTTP/1.1\r\nHost: here\r\n\r\n";
        let body = "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n12345";
        client.send(&[GET, lost, body, GET].concat().repeat(100))?;
        for _ in 0..100 {
            assert_eq!(client.expect(200, false)?.body, "hello\n");
            assert_eq!(client.expect(404, false)?.body, "there is nothing here\n");
            assert_eq!(client.expect(200, false)?.body, "5 bytes taken\n");
            assert_eq!(client.expect(200, false)?.body, "hello\n");
        }
        Ok(())
    });
}

#[test]
fn a_head_may_come_byte_by_byte() {
    talk(Limits::default(), |client| {
        for i in 0..GET.len() {
            client.send(&GET[i..=i])?;
            fibra::yield_now();
        }
        client.expect(200, false).map(drop)
    });
}

#[test]
fn a_long_body_is_counted_and_skipped() {
    talk(Limits::default(), |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")?;
        client.send(&"x".repeat(100_000))?;
        client.send(GET)?;
        assert_eq!(client.expect(200, false)?.body, "100000 bytes taken\n");
        assert_eq!(client.expect(200, false)?.body, "hello\n");
        Ok(())
    });
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    talk(Limits::default(), |client| {
        begin_post(client)?;
        client.send("abcd")?;
        assert_eq!(client.expect(200, false)?.body, "4 bytes taken\n");
        Ok(())
    });
}

#[test]
fn a_body_too_long_is_refused_while_it_still_comes() {
    talk(Limits::default(), |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3000000\r\n\r\n")?;
        client.send(&"x".repeat(500_000))?;
        client.expect(413, true).map(drop)
    });
}

#[test]
fn a_length_beyond_all_numbers_is_too_long() {
    talk(Limits::default(), |client| {
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n", "9".repeat(50)))?;
        client.expect(413, true).map(drop)
    });
}

#[test]
fn a_head_too_long_is_refused() {
    talk(Limits::default(), |client| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: here\r\nX: {}\r\n\r\n", "x".repeat(10_000)))?;
        client.expect(431, true).map(drop)
    });
}

#[test]
fn too_many_headers_are_refused() {
    talk(Limits::default(), |client| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: here\r\n{}\r\n", "X: y\r\n".repeat(100)))?;
        client.expect(431, true).map(drop)
    });
}

#[test]
fn half_a_head_is_given_up_also_if_a_byte_comes_now_and_then() {
    talk(impatient(), |client| {
        client.send("GET / HTTP/1.1\r\nX: ")?;
        client.stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        let answer = loop {
            match client.answer() {
                // A server that waited anew for each byte would end this only when the head is too long.
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.send("x")?,
                answer => break answer?,
            }
        };
        assert_eq!((answer.status, answer.close), (408, true));
        client.stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        assert!(client.is_at_end()?);
        Ok(())
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    talk(impatient(), |client| {
        client.send(GET)?;
        client.expect(200, false)?;
        assert!(client.is_at_end()?);
        Ok(())
    });
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    talk(impatient(), |client| {
        begin_post(client)?;
        client.send("12")?;
        assert!(client.is_at_end()?);
        Ok(())
    });
}

#[test]
fn a_stop_finishes_what_has_begun_and_closes_what_is_idle() {
    visit(Limits::default(), |server, shutdown| {
        let (mut idle, mut busy) = (Client::connect(server)?, Client::connect(server)?);
        idle.send(GET)?;
        idle.expect(200, false)?;
        begin_post(&mut busy)?;
        shutdown.request();
        assert!(idle.is_at_end()?);
        busy.send("1234")?;
        busy.expect(200, true)?;
        assert!(Client::connect(server).is_err(), "new connections are still accepted");
        Ok(())
    });
}

#[test]
fn a_stop_answers_every_request_that_has_arrived() {
    visit(Limits::default(), |server, shutdown| {
        let mut clients = Vec::new();
        for _ in 0..100 {
            let mut client = Client::connect(server)?;
            client.send(GET)?;
            client.expect(200, false)?;
            clients.push(client);
        }
        // Whichever comes first on the server's side, the request or the stop.
        clients.iter_mut().try_for_each(|client| client.send(&GET.repeat(2)))?;
        shutdown.request();
        for mut client in clients {
            assert_eq!(client.expect(200, false)?.body, "hello\n");
            assert_eq!(client.answer()?.status, 200);
            assert!(client.is_at_end()?);
        }
        Ok(())
    });
}

#[test]
fn a_stop_cuts_off_who_does_not_come_to_an_end() {
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let mut stuck = None;
    let served =
        fibra::run(|| with_server(limits, |server, _| begin_post(stuck.insert(Client::connect(server)?))));
    let error = served.unwrap_err().to_string();
    assert!(error.contains("1 piece of work is still running"), "{error}");
}
