//! Builds the peers and runs them, one process a run.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::Row;

/// In the order of the tables.
pub const NAMES: &[&str] = &["fibra", "go", "tokio", "may", "threads"];

/// A program that is there.
pub struct Peer {
    pub name: &'static str,
    program: PathBuf,
}

/// What one run came to.
pub enum Outcome {
    Measured(Map<String, Value>),
    Skipped(String),
    Failed(String),
}

/// Builds the programs of `names` beside this one; a peer that can't be built is left out, with a word on stderr.
pub fn build(names: &[&'static str]) -> Vec<Peer> {
    let this = std::env::current_exe().expect("this program has a path");
    let beside = this.parent().expect("a program is in a folder");
    let peers = names.iter().map(|name| Peer { name, program: beside.join(format!("peer-{name}")) });
    peers.filter(|peer| peer.build(beside)).collect()
}

impl Peer {
    fn build(&self, beside: &Path) -> bool {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = if self.name == "go" { Command::new("go") } else { Command::new(env!("CARGO")) };
        if self.name == "go" {
            command.args(["build", "-o"]).arg(&self.program).arg(".").current_dir(folder.join("go"));
        } else {
            command.args(["build", "--release", "--bin", &format!("peer-{}", self.name), "--target-dir"]);
            command
                .arg(beside.parent().expect("the profile's folder is in the target folder"))
                .current_dir(folder);
        }
        let built = match command.status() {
            Ok(status) if status.success() => return true,
            Ok(status) => format!("its build ended with {status}"),
            Err(error) => format!("{}: {error}", command.get_program().display()),
        };
        eprintln!("{} is skipped: {built}", self.name);
        false
    }

    /// Runs the peer once; no longer than `timeout`.
    pub fn run(&self, row: &Row, workers: usize, timeout: Duration) -> Outcome {
        self.try_run(row, workers, timeout).unwrap_or_else(|error| Outcome::Failed(error.to_string()))
    }

    fn try_run(&self, row: &Row, workers: usize, timeout: Duration) -> std::io::Result<Outcome> {
        // Files, unlike pipes, are never full, however much a dying peer has to say.
        let (mut out, mut err) = (scratch(&self.program, "out")?, scratch(&self.program, "err")?);
        let mut child = Command::new(&self.program)
            .args([row.workload, "--workers", &workers.to_string(), "--n", &row.n.to_string()])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(err.try_clone()?)
            .spawn()?;
        let Some(status) = wait(&mut child, timeout)? else {
            return Ok(Outcome::Failed(format!("not done after {} s", timeout.as_secs())));
        };
        if !status.success() {
            return Ok(Outcome::Failed(format!("{}: {}", ending(status), complaint(&text(&mut err)?))));
        }
        Ok(match serde_json::from_str::<Map<_, _>>(&text(&mut out)?) {
            Ok(report) => match report.get("skip").and_then(Value::as_str) {
                Some(why) => Outcome::Skipped(why.to_owned()),
                None => Outcome::Measured(report),
            },
            Err(error) => Outcome::Failed(format!("its output: {error}")),
        })
    }
}

/// Waits for `child`; if it takes too long, ends it and returns `None`.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < timeout {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn scratch(program: &Path, extension: &str) -> std::io::Result<File> {
    let path = program.with_extension(extension);
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

fn text(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ending(status: ExitStatus) -> String {
    status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"))
}

/// The one line of a peer's stderr that tells most: what follows the first panic, or the first line.
fn complaint(stderr: &str) -> String {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or("no message");
    let line = if first.contains("panicked at") { lines.next().unwrap_or(first) } else { first };
    line.chars().take(80).collect::<String>().replace('|', "/")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Measured(report) => {
                let value = report.get("value").and_then(Value::as_f64).unwrap_or(f64::NAN);
                write!(f, "{value:.3} {}", report.get("unit").and_then(Value::as_str).unwrap_or(""))
            }
            Outcome::Skipped(why) => write!(f, "none: {why}"),
            Outcome::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}
