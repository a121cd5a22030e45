//! A file is read in the background, as Node's `fs.readFile` does it: the program goes on meanwhile.
//!
//! The file is this source. A task reads it, and parks meanwhile; the main task prints its second line and waits. There is
//! one worker, as Node has one thread, so the order is certain: the task runs when the main task waits.
//!
//! ```text
//! $ cargo run --release --example read_file               # or another file: -- /etc/hosts
//! 1. Start
//! 2. Continue execution
//! 3. File read complete
//! the program went on after 4 µs, the file's 2215 bytes were there after 315 µs
//! ```

use std::path::PathBuf;
use std::time::Instant;
use std::{env, process};

fn main() {
    let path = path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/read_file.rs"));
    let read = fibra::Builder::new().workers(1).run(|| {
        println!("1. Start");
        let start = Instant::now();
        let task = fibra::spawn(move || {
            let text = fibra::fs::read(path)?;
            println!("3. File read complete");
            std::io::Result::Ok((text, start.elapsed()))
        });
        println!("2. Continue execution");
        let went_on = start.elapsed();
        let (text, was_read) = task.join().expect("the task does not panic")?;
        let [went_on, was_read] = [went_on, was_read].map(|time| time.as_micros());
        println!(
            "the program went on after {went_on} µs, the file's {} bytes were there after {was_read} µs",
            text.len()
        );
        std::io::Result::Ok(())
    });
    if let Err(error) = read.flatten() {
        fail(&error.to_string(), 1)
    }
}

/// The file on the command line, or `default`.
fn path(default: &str) -> PathBuf {
    let mut arguments = env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => default.into(),
        (Some(path), None) if !path.is_empty() => path.into(),
        (Some(path), None) => fail(&format!("expected a file, not {path:?}"), 2),
        (Some(_), Some(more)) => fail(&format!("expected one file, and found {more:?} after it"), 2),
    }
}

fn fail(message: &str, status: i32) -> ! {
    eprintln!("read_file: {message}");
    process::exit(status)
}
