//! Visits to a server in the same program, which ends with them.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use fibra::signal::Shutdown;

use crate::client::Client;
use crate::limits::Limits;
use crate::server::Server;

pub const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// Runs `visit` beside a server, which is then stopped.
pub fn with_server<T>(
    limits: Limits,
    visit: impl FnOnce(SocketAddr, &Shutdown) -> io::Result<T>,
) -> io::Result<T> {
    // Nobody's signals: the visit ends by itself.
    let shutdown = Shutdown::on([])?;
    let server = Server::bind(([127, 0, 0, 1], 0).into(), limits, shutdown.clone())?;
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
pub fn measure(clients: u64, requests: u64) -> io::Result<()> {
    let seconds = with_server(Limits::default(), |server, _| {
        let start = Instant::now();
        let visits = (0..clients).map(|i| {
            let share = requests / clients + u64::from(i < requests % clients);
            fibra::spawn(move || {
                let mut client = Client::connect(server)?;
                (0..share).try_for_each(|_| {
                    client.send(GET)?;
                    let answer = client.expect(200, false)?;
                    if answer.body == "hello\n" {
                        Ok(())
                    } else {
                        Err(io::Error::other("another answer came"))
                    }
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
