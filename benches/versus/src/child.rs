//! A program that runs, and what it has to say.

use std::fs::File;
use std::io::{Read, Result, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::peer::Outcome;

/// Ended at the latest when this is dropped.
pub struct Child {
    process: process::Child,
    // Files, unlike pipes, are never full, however much a dying program has to say.
    out: File,
    err: File,
}

impl Child {
    /// Starts `program`; its standard input ends when `finish` is called.
    pub fn start(program: &Path, args: &[&str]) -> Result<Child> {
        let (out, err) = (program.with_extension("out"), program.with_extension("err"));
        let process = Command::new(program)
            .args(args)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        // Opened anew, because the program's files have a position of their own.
        Ok(Child { process, out: File::open(out)?, err: File::open(err)? })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The first line of output. `None` if the program ends or `timeout` passes before; `finish` tells the reason.
    pub fn first_line(&mut self, timeout: Duration) -> Result<Option<String>> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            let ended = self.process.try_wait()?.is_some();
            if let Some((line, _)) = text(&mut self.out)?.split_once('\n') {
                return Ok(Some(line.to_owned()));
            }
            if ended {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// Ends the program's input, and waits for it no longer than `timeout`; its last line is what it has measured.
    pub fn finish(mut self, timeout: Duration) -> Result<Outcome> {
        drop(self.process.stdin.take());
        let Some(status) = self.wait(timeout)? else {
            return Ok(Outcome::Failed(format!("not done after {} s", timeout.as_secs())));
        };
        if !status.success() {
            let complaint = complaint(&text(&mut self.err)?);
            return Ok(Outcome::Failed(format!("{}: {complaint}", ending(status))));
        }
        let out = text(&mut self.out)?;
        Ok(match serde_json::from_str::<Map<_, _>>(out.lines().last().unwrap_or("")) {
            Ok(report) => match report.get("skip").and_then(Value::as_str) {
                Some(why) => Outcome::Skipped(why.to_owned()),
                None => Outcome::Measured(report),
            },
            Err(error) => Outcome::Failed(format!("its output: {error}")),
        })
    }

    /// `None` if it takes too long.
    fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(None)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Neither can fail but for a program that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(file: &mut File) -> Result<String> {
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
