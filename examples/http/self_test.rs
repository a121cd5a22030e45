//! The server visits itself: for figures, and to check what it promises.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fibra::signal::Shutdown;

use crate::client::{Answer, Client};
use crate::server::{Limits, Server};

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const CLIENTS: u64 = 64;

/// Runs `visit` beside a server, which is then stopped.
fn with_server<T>(
    address: SocketAddr,
    limits: Limits,
    visit: impl FnOnce(SocketAddr, &Shutdown) -> io::Result<T>,
) -> io::Result<T> {
    // Nobody's signals: the visit ends by itself.
    let shutdown = Shutdown::on([])?;
    let server = Server::bind(address, limits, shutdown.clone())?;
    let address = server.address()?;
    fibra::scope(|s| {
        let serving = s.spawn(|| server.run());
        let visited = visit(address, &shutdown);
        shutdown.request();
        let served = serving.join().expect("the server does not panic");
        visited.and_then(|value| served.map(|()| value))
    })
}

/// How many requests a second the server and its clients manage together.
pub fn measure(address: SocketAddr, requests: u64) -> io::Result<()> {
    let seconds = with_server(address, Limits::default(), |server, _| {
        let start = Instant::now();
        let visits = (0..CLIENTS).map(|i| {
            let share = requests / CLIENTS + u64::from(i < requests % CLIENTS);
            fibra::spawn(move || {
                let mut client = Client::connect(server)?;
                (0..share).try_for_each(|_| {
                    client.send(GET)?;
                    expect(200, client.answer(false)?).map(drop)
                })
            })
        });
        let visits: Vec<_> = visits.collect();
        visits.into_iter().try_for_each(|visit| visit.join().expect("a client does not panic"))?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    println!("{requests} requests answered in {seconds:.2} s: {:.0} a second", requests as f64 / seconds);
    Ok(())
}

/// A promise, and what checks it.
type Check = (&'static str, fn(&mut Client) -> io::Result<()>);

/// Each gets a connection of its own.
const CHECKS: &[Check] = &[
    ("a GET, and another on the same connection", |client| {
        for _ in 0..2 {
            client.send(GET)?;
            let answer = expect(200, client.answer(false)?)?;
            ensure(answer.body == "hello\n" && !answer.close, &answer)?;
        }
        Ok(())
    }),
    ("HEAD has the length and no body", |client| {
        client.send("HEAD / HTTP/1.1\r\nHost: here\r\n\r\n")?;
        let answer = expect(200, client.answer(true)?)?;
        ensure(answer.length == 6 && answer.body.is_empty(), &answer)?;
        client.send(GET)?;
        expect(200, client.answer(false)?).map(drop)
    }),
    ("pipelined requests are answered in order", |client| {
        let lost = "GET /lost HTTP/1.1\r\nHost: here\r\n\r\n";
        let body = "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n12345";
        client.send(&[GET, lost, body, GET].concat().repeat(100))?;
        for _ in 0..100 {
            for (status, length) in [(200, 6), (404, 22), (200, 14), (200, 6)] {
                let answer = expect(status, client.answer(false)?)?;
                ensure(answer.length == length, &answer)?;
            }
        }
        Ok(())
    }),
    ("a head that comes byte by byte", |client| {
        for i in 0..GET.len() {
            client.send(&GET[i..=i])?;
            fibra::yield_now();
        }
        expect(200, client.answer(false)?).map(drop)
    }),
    ("a body is counted and skipped", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")?;
        client.send(&"x".repeat(100_000))?;
        client.send(GET)?;
        let answer = expect(200, client.answer(false)?)?;
        ensure(answer.body == "100000 bytes taken\n", &answer)?;
        expect(200, client.answer(false)?).map(drop)
    }),
    ("a client that waits for 100 gets it", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")?;
        expect(100, client.answer(false)?)?;
        client.send("abc")?;
        expect(200, client.answer(false)?).map(drop)
    }),
    ("the connection closes when the client asks for it", |client| {
        client.send("GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        closed_after(200, client)
    }),
    ("HTTP/1.0 closes", |client| {
        client.send("GET / HTTP/1.0\r\n\r\n")?;
        closed_after(200, client)
    }),
    ("HTTP/1.0 with keep-alive does not", |client| {
        for _ in 0..2 {
            client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")?;
            let answer = expect(200, client.answer(false)?)?;
            ensure(!answer.close, &answer)?;
        }
        Ok(())
    }),
    ("400 for what is no request", |client| {
        client.send("what is this?\r\n\r\n")?;
        closed_after(400, client)
    }),
    ("400 without a host", |client| {
        client.send("GET / HTTP/1.1\r\n\r\n")?;
        closed_after(400, client)
    }),
    ("400 for two lengths", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12")?;
        closed_after(400, client)
    }),
    ("400 for a length that is none", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: +1\r\n\r\n1")?;
        closed_after(400, client)
    }),
    ("405 for other methods", |client| {
        client.send("DELETE / HTTP/1.1\r\nHost: here\r\n\r\n")?;
        closed_after(405, client)
    }),
    ("413 for a body too long, while it still comes", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3000000\r\n\r\n")?;
        client.send(&"x".repeat(500_000))?;
        closed_after(413, client)
    }),
    ("431 for a head too long", |client| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: here\r\nX: {}\r\n\r\n", "x".repeat(10_000)))?;
        closed_after(431, client)
    }),
    ("431 for too many headers", |client| {
        client.send(&format!("GET / HTTP/1.1\r\nHost: here\r\n{}\r\n", "X: y\r\n".repeat(100)))?;
        closed_after(431, client)
    }),
    ("501 for a chunked body", |client| {
        client.send("POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")?;
        closed_after(501, client)
    }),
];

/// The same with a server that has little patience.
const IMPATIENT_CHECKS: &[Check] = &[
    ("408 for half a head, also if a byte comes now and then", |client| {
        client.send("GET / HTTP/1.1\r\n")?;
        for byte in ["X", ":", " "] {
            fibra::sleep(Duration::from_millis(100));
            client.send(byte)?;
        }
        closed_after(408, client)
    }),
    ("an idle connection is closed without a word", |client| {
        client.send(GET)?;
        expect(200, client.answer(false)?)?;
        if client.is_at_end()? { Ok(()) } else { Err(io::Error::other("it is not closed")) }
    }),
];

pub fn check_all(address: SocketAddr) -> io::Result<()> {
    let mut failed = 0;
    let mut check = |name: &str, result: io::Result<()>| match result {
        Ok(()) => println!("ok  {name}"),
        Err(error) => {
            failed += 1;
            println!("FAILED  {name}: {error}");
        }
    };
    let impatient = Limits { patience: Duration::from_secs(1), ..Limits::default() };
    for (limits, checks) in [(Limits::default(), CHECKS), (impatient, IMPATIENT_CHECKS)] {
        with_server(address, limits, |server, _| {
            for (name, run) in checks {
                check(name, Client::connect(server).and_then(|mut client| run(&mut client)));
            }
            Ok(())
        })?;
    }
    check("a stop finishes what has begun and closes what is idle", stop_gracefully(address));
    check("a stop cuts off who does not come to an end", stop_by_force(address));
    match failed {
        0 => println!("all {} checks passed", CHECKS.len() + IMPATIENT_CHECKS.len() + 2),
        n => return Err(io::Error::other(format!("{n} checks failed"))),
    }
    Ok(())
}

/// Sends the head of a POST, and returns when the server waits for its body.
fn begin_post(client: &mut Client) -> io::Result<()> {
    client.send("POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")?;
    expect(100, client.answer(false)?).map(drop)
}

fn stop_gracefully(address: SocketAddr) -> io::Result<()> {
    with_server(address, Limits::default(), |server, shutdown| {
        let (mut idle, mut busy) = (Client::connect(server)?, Client::connect(server)?);
        idle.send(GET)?;
        expect(200, idle.answer(false)?)?;
        begin_post(&mut busy)?;
        shutdown.request();
        if !idle.is_at_end()? {
            return Err(io::Error::other("the idle connection was not closed"));
        }
        busy.send("1234")?;
        closed_after(200, &mut busy)?;
        match Client::connect(server) {
            Ok(_) => Err(io::Error::other("new connections are still accepted")),
            Err(_) => Ok(()),
        }
    })
}

fn stop_by_force(address: SocketAddr) -> io::Result<()> {
    let mut stuck = None;
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let served = with_server(address, limits, |server, _| begin_post(stuck.insert(Client::connect(server)?)));
    match served {
        Err(error) if error.to_string().contains("1 piece of work is still running") => Ok(()),
        other => Err(io::Error::other(format!("the stop reports {other:?}"))),
    }
}

/// The last answer of a connection, as the head says and the end that follows.
fn closed_after(status: u16, client: &mut Client) -> io::Result<()> {
    let answer = expect(status, client.answer(false)?)?;
    ensure(answer.close, &answer)?;
    ensure(client.is_at_end()?, "more comes after the last answer")
}

fn expect(status: u16, answer: Answer) -> io::Result<Answer> {
    ensure(answer.status == status, &answer)?;
    Ok(answer)
}

fn ensure(holds: bool, otherwise: impl std::fmt::Debug) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(format!("got {otherwise:?}"))) }
}
