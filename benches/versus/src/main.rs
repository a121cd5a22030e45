//! Runs the peers interleaved and prints tables of what they measured.
//!
//! ```text
//! cargo run --release -- [--workloads spawn,yield] [--peers fibra,go] [--rounds 5] [--workers 2] [--timeout 120]
//!                          [--seconds 3]
//! ```
//!
//! The word `servers` stands for all workloads in which a server runs under load, `coordination` for those from
//! `rendezvous` on, in which tasks wait for each other, `actors` for those of actors. For each workload, each round runs every peer once, one process each,
//! one after another: what the machine's neighbours do meets them all alike. Progress goes to stderr, the Markdown to stdout.

mod cell;
mod child;
mod erlang;
mod goal;
mod java;
mod peer;
mod script;
mod served;
mod table;

use std::time::Duration;

use cell::Cell;
use peer::{Outcome, Peer};
use versus::SERVED;

/// What the command line asks for.
pub struct Plan {
    rows: Vec<Row>,
    peers: Vec<&'static str>,
    rounds: usize,
    workers: usize,
    timeout: Duration,
    /// How long a load is measured.
    seconds: usize,
}

/// A workload at one size.
#[derive(Clone)]
pub struct Row {
    name: &'static str,
    workload: &'static str,
    n: usize,
    what: &'static str,
    /// If the workload is a server, the mode of the load.
    load: Option<&'static str>,
}

fn main() {
    let plan = Plan::from_words(std::env::args().skip(1)).unwrap_or_else(|problem| {
        let names: Vec<_> = rows().into_iter().map(|row| row.name).collect();
        eprintln!("{problem}\nworkloads: {}\npeers: {}", names.join(" "), peer::NAMES.join(" "));
        std::process::exit(2)
    });
    let peers = peer::build(&plan.peers);
    let results: Vec<_> = plan.rows.iter().map(|row| (row, measure(&plan, row, &peers))).collect();
    let (served, plain): (Vec<_>, Vec<_>) = results.into_iter().partition(|(row, _)| row.load.is_some());
    println!("Workers: {}, rounds: {}.\n", plan.workers, plan.rounds);
    table::print(&plan, &plain);
    served::print(&plan, &served);
    for row in &plan.rows {
        println!("- `{}`: {}", row.name, row.what);
    }
}

fn measure(plan: &Plan, row: &Row, peers: &[Peer]) -> Vec<Cell> {
    let peers: Vec<_> = peers.iter().filter(|peer| peer.takes_part(row)).collect();
    let mut cells: Vec<_> = peers.iter().map(|peer| Cell { peer: peer.name, rounds: Vec::new() }).collect();
    // Ten seconds of nothing don't get better by repetition.
    let rounds = if row.workload == "idle" { 1 } else { plan.rounds };
    for round in 1..=rounds {
        for (peer, cell) in peers.iter().zip(&mut cells) {
            // One failure, or one "can't", is enough.
            if cell.rounds.iter().any(|outcome| !matches!(outcome, Outcome::Measured(_))) {
                continue;
            }
            let outcome = peer.run(row, plan);
            eprintln!("{} {round}/{rounds} {}: {outcome}", row.name, peer.name);
            cell.rounds.push(outcome);
        }
    }
    cells
}

/// All rows: the workloads, once more the one that is measured at two sizes, and the servers.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for w in versus::workloads() {
        rows.push(Row { name: w.name, workload: w.name, n: w.n, what: w.what, load: None });
        if w.name == "parked" {
            rows.push(Row { name: "parked_1m", n: 1_000_000, ..rows[rows.len() - 1].clone() });
        }
    }
    rows.extend(SERVED.iter().map(|s| Row {
        name: s.name,
        workload: s.server,
        n: s.connections,
        what: s.what,
        load: Some(s.load),
    }));
    rows
}

impl Plan {
    fn from_words(mut words: impl Iterator<Item = String>) -> Result<Plan, String> {
        let mut plan = Plan {
            rows: rows(),
            peers: peer::NAMES.to_vec(),
            rounds: 5,
            workers: 2,
            timeout: Duration::from_secs(120),
            seconds: 3,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--workloads" if value == "servers" => plan.rows.retain(|row| row.load.is_some()),
                "--workloads" if value == "coordination" => {
                    plan.rows.retain(|row| versus::is_coordination(row.name))
                }
                "--workloads" if value == "actors" => {
                    plan.rows.retain(|row| versus::actors::is_actors(row.name))
                }
                "--workloads" => plan.rows = chosen(&value, &rows(), |row| row.name)?,
                "--peers" => plan.peers = chosen(&value, peer::NAMES, |name| name)?,
                "--rounds" => plan.rounds = number(&word, &value)?,
                "--workers" => plan.workers = number(&word, &value)?,
                "--seconds" => plan.seconds = number(&word, &value)?,
                "--timeout" => plan.timeout = Duration::from_secs(number(&word, &value)? as u64),
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        Ok(plan)
    }
}

/// The members of `all` that a list with commas names.
fn chosen<T: Clone>(list: &str, all: &[T], name: impl Fn(&T) -> &str) -> Result<Vec<T>, String> {
    let find = |word| all.iter().find(|item| name(item) == word).cloned();
    list.split(',').map(|word| find(word).ok_or_else(|| format!("there is no {word}"))).collect()
}

fn number(word: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{word} needs a number from 1, not {value}")),
    }
}
