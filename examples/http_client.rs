//! An HTTP client over tasks: `ureq` as it is, with a transport of ours (`shared/ureq_transport.rs`).
//!
//! A server holds every request for 100 ms. A thousand are made at once, each by a task that waits as a thread would.
//!
//! ```text
//! $ cargo run --release --example http_client              # or with the number of requests: -- 5000
//! 1000 of 1000 requests answered in 0.34 s; one after the other they would take 100 s
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/ureq_transport.rs"]
mod ureq_transport;

use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream};
use ureq::unversioned::resolver::DefaultResolver;
use ureq_transport::FibraConnector;

const HELD: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let requests = argument::number("number of requests", 1..=10_000, 1000) as usize;
    fibra::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        fibra::spawn(move || {
            for stream in listener.incoming().flatten() {
                fibra::spawn(move || serve(&stream));
            }
        });

        let config = ureq::Agent::config_builder().proxy(None).build();
        let agent = ureq::Agent::with_parts(config, FibraConnector, DefaultResolver::default());
        let start = Instant::now();
        let tasks: Vec<_> = (0..requests)
            .map(|i| {
                let (agent, url) = (agent.clone(), format!("{url}{i}"));
                fibra::spawn(move || agent.get(&url).call()?.body_mut().read_to_string())
            })
            .collect();
        let answers = tasks.into_iter().map(|task| task.join().expect("a request does not panic"));
        let right =
            answers.enumerate().filter(|(i, answer)| answer.as_ref().is_ok_and(|a| *a == format!("/{i}")));
        let (right, seconds) = (right.count(), start.elapsed().as_secs_f64());
        let alone = HELD.as_secs_f64() * requests as f64;
        print!("{right} of {requests} requests answered in {seconds:.2} s; ");
        println!("one after the other they would take {alone:.0} s");
        Ok(())
    })
}

/// Answers each request of a connection with its path.
fn serve(mut stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next().transpose()? {
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        fibra::sleep(HELD);
        let path = request.split(' ').nth(1).unwrap_or("/");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())?;
    }
    Ok(())
}
