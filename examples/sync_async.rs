//! `fetch()` against `fetch().then(…)`: the caller decides whether to wait, and the function is the same.
//!
//! `fetch` asks a server in the same program, and blocks until the page is there. Called, it is JavaScript's
//! `await fetch(…)`; in a task, it is the promise, and what follows in that task is what would stand in `then`.
//!
//! ```text
//! $ cargo run --release --example sync_async              # or with the milliseconds of a fetch: -- 1000
//! let page = fetch(…);
//!   1. ask               after 0 ms
//!   2. have "this page"  after 100 ms
//!   3. go on             after 100 ms
//! let task = go!({ let page = fetch(…); … }); … task.join()
//!   1. ask               after 0 ms
//!   2. go on             after 0 ms
//!   3. have "this page"  after 104 ms
//! select! { recv(near) …  recv(far) …  default(timeout) … }
//!   1. ask both          after 0 ms
//!   2. have "near page"  after 100 ms
//! the caller goes on after 100 ms with a call, and after 0 ms with a task
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/http.rs"]
mod http;

use std::io;
use std::time::{Duration, Instant};

use fibra::channel::{self, select};
use http::get as fetch;

fn main() -> io::Result<()> {
    let delay = Duration::from_millis(argument::number("number of milliseconds", 10..=10_000, 100));
    fibra::run(|| compare(delay))
}

fn compare(delay: Duration) -> io::Result<()> {
    let server = http::start(move |path| Some(answer(path, delay)))?;

    let tell = begin("let page = fetch(…);");
    tell("1. ask");
    let page = fetch(server, "/this")?;
    tell(&format!("2. have {page:?}"));
    let called = tell("3. go on");

    let tell = begin("let task = go!({ let page = fetch(…); … }); … task.join()");
    tell("1. ask");
    let task = fibra::go!(fetch(server, "/this").map(|page| tell(&format!("3. have {page:?}"))));
    let spawned = tell("2. go on");
    task.join().expect("a fetch does not panic")?;

    let tell = begin("select! { recv(near) …  recv(far) …  default(timeout) … }");
    let [near, far] = ["/near", "/far"].map(|path| {
        let (tx, rx) = channel::bounded(1);
        fibra::go!(tx.send(fetch(server, path)));
        rx
    });
    tell("1. ask both");
    let page = select! {
        recv(near) -> page => page.expect("each fetch sends what it got")?,
        recv(far) -> page => page.expect("each fetch sends what it got")?,
        default(delay * 100) => return Err(io::ErrorKind::TimedOut.into()),
    };
    tell(&format!("2. have {page:?}"));
    println!("the caller goes on after {called} ms with a call, and after {spawned} ms with a task");
    Ok(()) // The far fetch is cancelled when `run` ends.
}

/// What the server says, after a while.
fn answer(path: &str, delay: Duration) -> String {
    fibra::sleep(if path == "/far" { delay * 50 } else { delay });
    format!("{} page", &path[1..])
}

/// Prints a title, and hands back what prints a step below it and tells its time in milliseconds.
fn begin(title: &str) -> impl Fn(&str) -> u128 + Send + Copy + 'static {
    println!("{title}");
    let start = Instant::now();
    move |step| {
        let ms = start.elapsed().as_millis();
        println!("  {step:<20} after {ms} ms");
        ms
    }
}
