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
//! let task = go!(fetch(…)); … task.join()
//!   1. ask               after 0 ms
//!   2. go on             after 0 ms
//!   3. have "this page"  after 100 ms
//! go!({ let page = fetch(…); … })
//!   1. ask               after 0 ms
//!   2. go on             after 0 ms
//!   3. have "this page"  after 100 ms
//! select! { recv(near) …  recv(far) …  default(timeout) … }
//!   1. ask both          after 0 ms
//!   2. have "near page"  after 100 ms
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/http.rs"]
mod http;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{io, process};

use fibra::channel::{self, select};
use fibra::net::TcpListener;

fn main() {
    let delay = Duration::from_millis(argument::number("number of milliseconds", 10..=10_000, 100));
    if let Err(error) = fibra::run(|| compare(delay)) {
        eprintln!("sync_async: {error}");
        process::exit(1);
    }
}

fn compare(delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    fibra::spawn(move || http::serve(&listener, move |path| Some(answer(path, delay))));

    let tell = begin("let page = fetch(…);");
    tell("1. ask");
    let page = fetch(server, "this")?;
    tell(&format!("2. have {page:?}"));
    tell("3. go on");

    let tell = begin("let task = go!(fetch(…)); … task.join()");
    tell("1. ask");
    let task = fibra::go!(fetch(server, "this"));
    tell("2. go on");
    let page = task.join().expect("a fetch does not panic")?;
    tell(&format!("3. have {page:?}"));

    let tell = begin("go!({ let page = fetch(…); … })");
    tell("1. ask");
    let task = fibra::go!(fetch(server, "this").map(|page| tell(&format!("3. have {page:?}"))));
    tell("2. go on");
    task.join().expect("nor does what follows it")?;

    let tell = begin("select! { recv(near) …  recv(far) …  default(timeout) … }");
    let [near, far] = ["near", "far"].map(|page| {
        let (tx, rx) = channel::bounded(1);
        fibra::go!(tx.send(fetch(server, page)));
        rx
    });
    tell("1. ask both");
    let page = select! {
        recv(near) -> page => page.expect("each fetch sends what it got")?,
        recv(far) -> page => page.expect("each fetch sends what it got")?,
        default(delay * 100) => return Err(io::ErrorKind::TimedOut.into()),
    };
    tell(&format!("2. have {page:?}"));
    Ok(()) // The far fetch is cancelled when `run` ends.
}

/// The page. A plain function that blocks.
fn fetch(server: SocketAddr, page: &str) -> io::Result<String> {
    http::get(server, &format!("/{page}"))
}

/// What the server says, after a while.
fn answer(path: &str, delay: Duration) -> String {
    fibra::sleep(if path == "/far" { delay * 50 } else { delay });
    format!("{} page", &path[1..])
}

/// Prints a title, and hands back what prints the steps below it.
fn begin(title: &str) -> impl Fn(&str) + Send + Copy + 'static {
    println!("{title}");
    let start = Instant::now();
    move |step| println!("  {step:<20} after {} ms", start.elapsed().as_millis())
}
