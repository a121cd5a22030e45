//! Work that only waits: ten requests of half a second each take half a second when each has a task.
//!
//! Ten users are fetched over HTTP from a server in the same program. One after the other they take five seconds. Ten tasks
//! can wait at the same time, and on one thread too. The code of a fetch is the same in both cases.
//!
//! ```text
//! $ cargo run --release --example io_bound                # or with the number of users: -- 3
//! one after the other: 10 users in 5.01 s, the last is "user 10"
//! a task for each:     10 users in 0.50 s, the last is "user 10"
//! 10 slow requests take 5.01 s in turn and 0.50 s at once
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/http.rs"]
mod http;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the server needs for an answer: its own database is slow.
const DELAY: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    let users = argument::number("number of users", 1..=200, 10);
    fibra::run(|| compare(users))
}

fn compare(users: u64) -> io::Result<()> {
    let server = http::start(answer)?;
    let in_turn = report("one after the other:", || (1..=users).map(|id| fetch_user(server, id)).collect())?;
    let at_once = report("a task for each:    ", || {
        let tasks: Vec<_> = (1..=users).map(|id| fibra::spawn(move || fetch_user(server, id))).collect();
        tasks.into_iter().map(|task| task.join().expect("a fetch does not panic")).collect()
    })?;
    println!("{users} slow requests take {in_turn:.2} s in turn and {at_once:.2} s at once");
    Ok(())
}

/// Runs `fetch_all`, and tells how many seconds it took.
fn report(how: &str, fetch_all: impl FnOnce() -> io::Result<Vec<String>>) -> io::Result<f64> {
    let start = Instant::now();
    let names = fetch_all()?;
    let (seconds, last) = (start.elapsed().as_secs_f64(), names.last().map_or("nobody", |name| name));
    println!("{how} {} users in {seconds:.2} s, the last is {last:?}", names.len());
    Ok(seconds)
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
