//! Work that only waits: ten users are fetched over HTTP from a server that takes half a second for each.
//!
//! One after the other they take five seconds; with a task for each, half a second, since ten tasks can wait at the same
//! time, and on one thread too. The code of a fetch is the same in both cases. The server is in the same program.
//!
//! ```text
//! $ cargo run --release --example io_bound                # or with the number of users: -- 3
//! one after the other: 10 users in 5.01 s, the last is "user 10"
//! a task for each:     10 users in 0.50 s, the last is "user 10"
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/http.rs"]
mod http;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{io, process};

use fibra::net::TcpListener;

/// What the server needs for an answer: its own database is slow.
const DELAY: Duration = Duration::from_millis(500);

fn main() {
    let users = argument::number("number of users", 1..=200, 10);
    if let Err(error) = fibra::run(|| compare(users)) {
        eprintln!("io_bound: {error}");
        process::exit(1);
    }
}

fn compare(users: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    fibra::spawn(move || http::serve(&listener, answer));

    report("one after the other:", || (1..=users).map(|id| fetch_user(server, id)).collect())?;
    report("a task for each:    ", || {
        let tasks: Vec<_> = (1..=users).map(|id| fibra::spawn(move || fetch_user(server, id))).collect();
        tasks.into_iter().map(|task| task.join().expect("a fetch does not panic")).collect()
    })
}

/// Runs `fetch_all` and tells how long it took.
fn report(how: &str, fetch_all: impl FnOnce() -> io::Result<Vec<String>>) -> io::Result<()> {
    let start = Instant::now();
    let names = fetch_all()?;
    let (seconds, last) = (start.elapsed().as_secs_f64(), names.last().map_or("nobody", |name| name));
    println!("{how} {} users in {seconds:.2} s, the last is {last:?}", names.len());
    Ok(())
}

/// The user's name. A plain function that blocks.
fn fetch_user(server: SocketAddr, id: u64) -> io::Result<String> {
    http::get(server, &format!("/users/{id}"))
}

/// What the server says, after a while.
fn answer(path: &str) -> Option<String> {
    fibra::sleep(DELAY);
    path.strip_prefix("/users/").map(|id| format!("user {id}"))
}
