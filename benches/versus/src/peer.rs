//! Builds the peers and runs them, one process a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, io};

use serde_json::{Map, Value};

use crate::child::Child;
use crate::{Plan, Row, erlang, java};

/// In the order of the tables.
pub const NAMES: &[&str] = &["fibra", "go", "tokio", "may", "java", "erlang", "threads", "raw"];

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

/// Builds the load and the programs of `names` beside this one; a peer that can't be built is left out, with a word on
/// stderr.
pub fn build(names: &[&'static str]) -> Vec<Peer> {
    let this = std::env::current_exe().expect("this program has a path");
    compile(&this.with_file_name("load"));
    let peers = names.iter().map(|name| Peer { name, program: this.with_file_name(format!("peer-{name}")) });
    peers.filter(|peer| compile(&peer.program)).collect()
}

/// Makes `program`, whose file has its binary's name.
fn compile(program: &Path) -> bool {
    let name = program.file_name().and_then(|name| name.to_str()).expect("a binary has a name");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = match name {
        "peer-java" => java::compile(program, &folder.join("java")),
        "peer-erlang" => erlang::compile(program, &folder.join("erlang")),
        "peer-go" => {
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(program).arg(".").current_dir(folder.join("go")).status()
        }
        _ => {
            let target = program.ancestors().nth(2).expect("the profile's folder is in the target folder");
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--release", "--bin", name, "--target-dir"]).arg(target);
            cargo.current_dir(folder).status()
        }
    };
    let built = match status {
        Ok(status) if status.success() => return true,
        Ok(status) => format!("its build ended with {status}"),
        Err(error) => format!("its compiler: {error}"),
    };
    eprintln!("{name} is skipped: {built}");
    false
}

impl Peer {
    /// Whether the peer was written with rows like this one in mind.
    pub fn takes_part(&self, row: &Row) -> bool {
        let is_actors = versus::actors::is_actors(row.name);
        match self.name {
            "java" => versus::is_coordination(row.name),
            "erlang" => is_actors,
            "raw" => row.load.is_some(),
            "may" | "threads" => !is_actors,
            _ => true,
        }
    }

    /// Runs the peer once; no longer than the plan's timeout, or thrice that for a server and its load.
    pub fn run(&self, row: &Row, plan: &Plan) -> Outcome {
        self.try_run(row, plan).unwrap_or_else(|error| Outcome::Failed(error.to_string()))
    }

    fn try_run(&self, row: &Row, plan: &Plan) -> io::Result<Outcome> {
        let (workers, n) = (plan.workers.to_string(), row.n.to_string());
        let child = Child::start(&self.program, &[row.workload, "--workers", &workers, "--n", &n])?;
        match row.load {
            None => child.finish(plan.timeout),
            Some(mode) => self.try_serve(child, mode, &n, plan),
        }
    }

    /// Loads the server, and ends both.
    fn try_serve(&self, mut server: Child, mode: &str, n: &str, plan: &Plan) -> io::Result<Outcome> {
        let line = server.first_line(plan.timeout)?;
        let Some(address) = line.as_deref().and_then(|line| line.strip_prefix("listening ")) else {
            return server.finish(plan.timeout);
        };
        let (pid, seconds) = (server.id().to_string(), plan.seconds.to_string());
        let args = [mode, address, "--connections", n, "--seconds", &seconds, "--pid", &pid];
        let load = Child::start(&self.program.with_file_name("load"), &args)?.finish(plan.timeout)?;
        Ok(match (server.finish(plan.timeout)?, load) {
            (Outcome::Measured(server), Outcome::Measured(load)) => served(mode, server, load),
            (Outcome::Measured(_), trouble) | (trouble, _) => trouble,
        })
    }
}

/// Puts together what a server and its load have to say.
fn served(mode: &str, mut server: Map<String, Value>, load: Map<String, Value>) -> Outcome {
    if let Some(errors) = load.get("errors") {
        return Outcome::Failed(format!(
            "{errors} connections failed, the first with {}",
            load["first_error"]
        ));
    }
    let busiest = server.get("busiest_percent").cloned();
    server.extend(load);
    if mode == "sequential" {
        let Some(percent) = busiest else {
            return Outcome::Skipped("its connections have no worker".to_owned());
        };
        server.insert("value".to_owned(), percent);
        server.insert("unit".to_owned(), "%".into());
    }
    Outcome::Measured(server)
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
