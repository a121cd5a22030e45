//! All the examples in turn, each with its idea, and at last a table of what they printed.
//!
//! Each is a program of its own. Cargo, where it is found, builds them first; then each runs as a child process, and plain
//! blocking code inside a timeout reads its output line by line. An example that fails, hangs, or prints something else
//! is told of, and the others run all the same.
//!
//! ```text
//! $ cargo run --release --example gallery                 # or some of them: -- race deadlock
//! io_bound: waiting takes no processor: ten slow requests, one after the other and at once
//!     one after the other: 10 users in 5.01 s, the last is "user 10"
//!     a task for each:     10 users in 0.50 s, the last is "user 10"
//!    …
//! 0 of 25 failed, after 29 s
//!
//! | the idea | the classic program | our example | what it printed |
//!    …
//! ```

mod rows;
mod run;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io};

use rows::ROWS;
use table::Row;

/// An example that takes longer hangs. Without optimisation some compute for half a minute, on a busy machine for several.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 600 } else { 120 });

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    if let Some(name) = names.iter().find(|name| ROWS.iter().all(|row| row.name() != *name)) {
        eprintln!("gallery: expected names of examples, not \"{name}\"");
        return ExitCode::from(2);
    }
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| row.name() == name);
    let rows: Vec<&Row> = ROWS.iter().filter(wanted).collect();
    match fibra::run(|| show(&rows)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gallery: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all of them went well.
fn show(rows: &[&Row]) -> io::Result<bool> {
    let program = env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    if !run::build(folder, rows) {
        return Err(io::Error::other("the examples were not built"));
    }
    let start = Instant::now();
    let mut table = Vec::new();
    // An example may have several rows, and runs once.
    for rows in rows.chunk_by(|row, next| row.name() == next.name()) {
        for row in rows {
            println!("\n{}: {}", row.name(), row.idea);
        }
        let printed = run::run(folder, rows[0], PATIENCE);
        for &row in rows {
            let result = printed.clone().and_then(|lines| row.result_in(&lines));
            if let Err(problem) = &result {
                eprintln!("gallery: {}: {problem}", row.name());
            }
            table.push((row, result));
        }
    }
    let failed = table.iter().filter(|(_, result)| result.is_err()).count();
    let (rows, seconds) = (table.len(), start.elapsed().as_secs_f64());
    println!("\n{failed} of {rows} failed, after {seconds:.0} s\n");
    table::print(&table);
    Ok(failed == 0)
}
