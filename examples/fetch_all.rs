//! Three GETs at once, their results in order: what `Promise.all` does, with threads that cost nothing.
//!
//! A server in the same program answers `/a` after 300 ms, `/b` after 200 ms and `/c` after 100 ms. Each fetch is a plain
//! function that blocks; the three of them together take as long as the slowest.
//!
//! ```text
//! $ cargo run --release --example fetch_all               # or with the slowest fetch's milliseconds: -- 1500
//! GET /a: "here is /a"
//! GET /b: "here is /b"
//! GET /c: "here is /c"
//! three fetches in 300 ms, the slowest alone takes 300 ms
//! ```

#[path = "shared/argument.rs"]
mod argument;
#[path = "shared/http.rs"]
mod http;

use std::io;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let slowest = Duration::from_millis(argument::number("number of milliseconds", 3..=60_000, 300));
    fibra::run(|| fetch_all(slowest))
}

fn fetch_all(slowest: Duration) -> io::Result<()> {
    let server = http::start(move |path| Some(answer(path, slowest)))?;
    let paths = ["/a", "/b", "/c"];
    let start = Instant::now();
    let fetches = paths.map(|path| fibra::spawn(move || http::get(server, path)));
    let results = fetches.map(|fetch| fetch.join().expect("a fetch does not panic"));
    let took = start.elapsed().as_millis();

    for (path, result) in paths.into_iter().zip(results) {
        println!("GET {path}: {:?}", result?);
    }
    println!("three fetches in {took} ms, the slowest alone takes {} ms", slowest.as_millis());
    Ok(())
}

/// What the server says, after a while.
fn answer(path: &str, slowest: Duration) -> String {
    fibra::sleep(match path {
        "/a" => slowest,
        "/b" => slowest * 2 / 3,
        _ => slowest / 3,
    });
    format!("here is {path}")
}
