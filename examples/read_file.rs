//! A file is read in the background, as Node's `fs.readFile` does it: the program goes on meanwhile.
//!
//! The file is this source. A task reads it, and parks meanwhile; the main task prints its second line and waits.
//!
//! ```text
//! $ cargo run --release --example read_file               # or another file: -- /etc/hosts
//! 1. Start
//! 2. Continue execution
//! 3. File read complete
//! read_file.rs: 2124 bytes in 58 lines, 0.2 ms after the start
//! ```

use std::path::PathBuf;
use std::time::Instant;
use std::{env, process};

fn main() {
    let path = path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/read_file.rs"));
    let read = fibra::run(|| {
        println!("1. Start");
        let start = Instant::now();
        let file = path.clone();
        let task = fibra::spawn(move || {
            let text = fibra::fs::read(file)?;
            println!("3. File read complete");
            std::io::Result::Ok((text, start.elapsed()))
        });
        println!("2. Continue execution");
        task.join().expect("the task does not panic")
    });
    match read {
        Ok((text, elapsed)) => {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count();
            let (name, size) = (path.file_name().unwrap_or(path.as_os_str()).display(), text.len());
            println!(
                "{name}: {size} bytes in {lines} lines, {:.1} ms after the start",
                elapsed.as_secs_f64() * 1e3
            );
        }
        Err(error) => fail(&error.to_string(), 1),
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
