//! What fibra is held to, row by row, and what became of it.

use crate::cell::{Cell, RIVALS, Results, of, short};

/// A field of the reports that is compared.
#[derive(Clone, Copy)]
pub struct Measure {
    pub name: &'static str,
    pub field: &'static str,
    pub more_is_better: bool,
}

pub const VALUE: Measure = Measure { name: "value", field: "value", more_is_better: false };
pub const REQUESTS: Measure = Measure { name: "requests/s", field: "requests_per_s", more_is_better: true };
pub const P99: Measure = Measure { name: "p99", field: "p99_us", more_is_better: false };
const CPU: Measure = Measure { name: "CPU", ..VALUE };
const BYTES: Measure = Measure { name: "memory", ..VALUE };
const SHARE: Measure = Measure { name: "busiest worker", ..VALUE };
const TIME: Measure = Measure { name: "time", ..VALUE };
const EXTRA: Measure = Measure { name: "what a deadline adds", ..VALUE };
const OF_PARKING_LOT: Measure = Measure { field: "times_parking_lot", ..TIME };
const OF_THREADS: Measure = Measure { field: "times_threads", ..TIME };

struct Goal {
    rows: &'static [&'static str],
    measure: Measure,
    limit: f64,
    of: Of,
}

/// What a goal's limit counts in.
enum Of {
    /// The figure of the best of these peers.
    Peers(&'static [&'static str]),
    /// Our own figure, which is to go so often into that of the best of these peers.
    TimesFaster(&'static [&'static str]),
    /// The same with another figure of one peer: the field, and what it is called.
    TimesFasterThan(&'static str, &'static str, &'static str),
    Unit(&'static str),
}

const ECHO: &[&str] = &["echo_64", "echo_1000"];
const HTTP: &[&str] = &["http_64", "http_1000"];
const UNCONTENDED: &[&str] = &["mutex", "rwlock_read", "semaphore"];
const TIMEOUTS: &[&str] = &["timeout_ready", "timeout_parked"];
const ERLANG: &[&str] = &["erlang"];
/// Less than what we do: a process that ends at its only message, and answers nobody.
const SPAWN_MESSAGE_EXIT: Of = Of::TimesFasterThan("erlang", "message_exit_ns", "spawn, message and exit");
const GOALS: &[Goal] = &[
    Goal { rows: &["rendezvous"], measure: TIME, limit: 1.5, of: Of::TimesFaster(RIVALS) },
    Goal { rows: &["mutex_8"], measure: TIME, limit: 1.2, of: Of::TimesFaster(&["go"]) },
    Goal { rows: UNCONTENDED, measure: OF_PARKING_LOT, limit: 1.1, of: Of::Unit("× parking_lot's Mutex") },
    // Theirs is crossbeam's.
    Goal { rows: &["select"], measure: TIME, limit: 2.0, of: Of::Peers(&["threads"]) },
    Goal { rows: TIMEOUTS, measure: EXTRA, limit: 60.0, of: Of::Unit("ns") },
    Goal { rows: &["cancel"], measure: TIME, limit: 3.0, of: Of::Unit("µs") },
    Goal { rows: &["scope"], measure: TIME, limit: 12.0, of: Of::Unit("× spawn and join") },
    // As a speed-up: 0.95 of that of the threads.
    Goal { rows: &["pool_map"], measure: OF_THREADS, limit: 1.053, of: Of::Unit("× OS threads") },
    Goal { rows: &["actor_spawn"], measure: TIME, limit: 2.0, of: Of::TimesFaster(ERLANG) },
    Goal { rows: &["actor_spawn"], measure: TIME, limit: 2.0, of: SPAWN_MESSAGE_EXIT },
    Goal { rows: &["call"], measure: TIME, limit: 2.0, of: Of::TimesFaster(ERLANG) },
    Goal { rows: &["server_call"], measure: TIME, limit: 1.5, of: Of::TimesFaster(ERLANG) },
    Goal { rows: &["cast", "server_cast"], measure: TIME, limit: 1.5, of: Of::TimesFaster(ERLANG) },
    Goal { rows: &["actors_idle"], measure: BYTES, limit: 5_000.0, of: Of::Unit("B") },
    Goal { rows: &["restart"], measure: TIME, limit: 20.0, of: Of::Unit("µs") },
    Goal { rows: ECHO, measure: CPU, limit: 1.05, of: Of::Peers(&["tokio"]) },
    Goal { rows: ECHO, measure: CPU, limit: 1.15, of: Of::Peers(&["raw"]) },
    Goal { rows: ECHO, measure: REQUESTS, limit: 0.95, of: Of::Peers(RIVALS) },
    Goal { rows: ECHO, measure: P99, limit: 1.1, of: Of::Peers(RIVALS) },
    Goal { rows: HTTP, measure: CPU, limit: 1.05, of: Of::Peers(&["tokio"]) },
    Goal { rows: HTTP, measure: P99, limit: 1.1, of: Of::Peers(RIVALS) },
    Goal { rows: &["conns_idle"], measure: BYTES, limit: 9_000.0, of: Of::Unit("B") },
    Goal { rows: &["conns_idle_readable"], measure: BYTES, limit: 4_900.0, of: Of::Unit("B") },
    Goal { rows: &["conns_sequential"], measure: SHARE, limit: 60.0, of: Of::Unit("%") },
];

/// Prints the goals of the rows that were measured, unless they have none.
pub fn print(results: &Results) {
    let mut lines = Vec::new();
    for (row, cells) in results {
        let goals = GOALS.iter().filter(|goal| goal.rows.contains(&row.name));
        lines.extend(goals.map(|goal| format!("| {} | {} |", row.name, goal.judge(cells))));
    }
    if !lines.is_empty() {
        println!("\n| workload | goal | fibra | |\n| --- | --- | ---: | --- |\n{}", lines.join("\n"));
    }
}

impl Goal {
    /// The goal, what fibra came to, and whether that is enough.
    fn judge(&self, cells: &[Cell]) -> String {
        let Measure { name, field, more_is_better } = self.measure;
        let limit = self.limit;
        let ours = of(cells, "fibra").and_then(|cell| cell.median(field));
        let best = |peers| self.measure.best(cells, peers);
        let (goal, ours, more_is_better) = match self.of {
            Of::Unit(unit) => (unit.to_owned(), ours, more_is_better),
            Of::Peers(peers) => match best(peers) {
                Some((peer, theirs)) => (format!("× {peer}"), ours.map(|ours| ours / theirs), more_is_better),
                None => (format!("× {}", peers.join(", ")), None, more_is_better),
            },
            Of::TimesFaster(peers) => match best(peers) {
                Some((peer, theirs)) => {
                    (format!("× as fast as {peer}"), ours.map(|ours| theirs / ours), true)
                }
                None => (format!("× as fast as {}", peers.join(", ")), None, true),
            },
            Of::TimesFasterThan(peer, field, what) => {
                let theirs = of(cells, peer).and_then(|cell| cell.median(field));
                (
                    format!("× as fast as {peer}'s {what}"),
                    theirs.zip(ours).map(|(theirs, ours)| theirs / ours),
                    true,
                )
            }
        };
        let sign = if more_is_better { "≥" } else { "≤" };
        let reached = |ours: f64| if more_is_better { ours >= limit } else { ours <= limit };
        let (ours, verdict) = match ours {
            Some(ours) if reached(ours) => (short(ours), "reached"),
            Some(ours) => (short(ours), "**missed**"),
            None => ("—".to_owned(), "not measured"),
        };
        format!("{name} {sign} {limit} {goal} | {ours} | {verdict}")
    }
}

impl Measure {
    /// The peer among `peers` with the best median, and that median.
    pub fn best(self, cells: &[Cell], peers: &[&'static str]) -> Option<(&'static str, f64)> {
        let medians = peers.iter().filter_map(|peer| Some((*peer, of(cells, peer)?.median(self.field)?)));
        medians.min_by(|(_, a), (_, b)| if self.more_is_better { b.total_cmp(a) } else { a.total_cmp(b) })
    }
}
