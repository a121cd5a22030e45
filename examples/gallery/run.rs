//! Building the examples, and running one of them.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use fibra::process::{Command, ExitStatus, Stdio};

use crate::table::Row;

/// An example that writes more would do so for ever. It dies of the closed pipe.
const ENOUGH: u64 = 1 << 20;
/// So many lines of an example are shown at first, and so many at last.
const SHOWN: (usize, usize) = (12, 3);

/// Has cargo build the examples of the rows in `folder`, which is `target/PROFILE/examples`. Whether that went well;
/// without cargo we take the programs that are there.
pub fn build(folder: &Path, rows: &[&Row]) -> bool {
    let profile = folder.parent().unwrap_or(folder);
    // The one profile whose folder has another name is `dev`.
    let name = profile.file_name().filter(|&name| name != "debug").unwrap_or(OsStr::new("dev"));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or(env!("CARGO").into()));
    cargo.args(["build", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    cargo.arg("--profile").arg(name).arg("--target-dir").arg(profile.parent().unwrap_or(profile));
    cargo.args(rows.iter().flat_map(|row| ["--example", row.name()]));
    // `cargo run` tells us of our own package. Build scripts that look at these variables would run again.
    for (name, _) in env::vars_os().filter(|(name, _)| of_a_package(name)) {
        cargo.env_remove(name);
    }
    let built = cargo.status().inspect_err(|error| eprintln!("gallery: nothing is built anew: {error}"));
    built.map_or(true, |status| status.success())
}

fn of_a_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs the row's example in `folder` to its end and shows what it prints. Returns that, or what went wrong; one that
/// takes longer than `patience` is killed.
pub fn run(folder: &Path, row: &Row, patience: Duration) -> Result<Vec<String>, String> {
    let mut command = Command::new(folder.join(row.name()));
    command.args(row.arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let output = BufReader::new(child.stdout.take().expect("it is piped").take(ENOUGH));

    let mut lines = Vec::new();
    let ended = fibra::timeout(patience, || -> io::Result<ExitStatus> {
        for line in output.lines() {
            let line = line?;
            if lines.len() < SHOWN.0 {
                show(&line);
            }
            lines.push(line);
        }
        child.wait()
    });
    let last = lines.len().saturating_sub(SHOWN.1).max(SHOWN.0);
    if last > SHOWN.0 {
        show("…");
    }
    lines.iter().skip(last).for_each(|line| show(line));
    let problem = match ended {
        Ok(Ok(status)) if status.success() => return Ok(lines),
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no end within {patience:?}"),
    };
    // If it has ended already, this does nothing.
    let _ = child.kill().and_then(|()| child.wait());
    Err(problem)
}

fn show(line: &str) {
    println!("{}", format!("    {line}").trim_end());
}
