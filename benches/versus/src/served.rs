//! Prints what the servers did under load as Markdown: every peer's figures, fibra's in times of theirs, and fibra's goals.

use serde_json::Value;

use crate::Plan;
use crate::cell::{Cell, RIVALS, Results, of, short};

/// What the columns are called, and the fields that they show.
const COLUMNS: &[(&str, &str)] =
    &[("requests/s", "requests_per_s"), ("p50 µs", "p50_us"), ("p99 µs", "p99_us"), ("max µs", "max_us")];
/// The fields that stand in the last column, where there are any.
const ALSO: &[&str] = &["pte_per_connection", "us_per_arrival", "busiest_percent", "load_cpu_s"];
/// What fibra is compared in.
const MEASURES: &[Measure] = &[Measure { name: "value", ..CPU }, REQUESTS, P99];
const CPU: Measure = Measure { name: "CPU", field: "value", more_is_better: false };
const BYTES: Measure = Measure { name: "memory", ..CPU };
const SHARE: Measure = Measure { name: "busiest worker", ..CPU };
const REQUESTS: Measure = Measure { name: "requests/s", field: "requests_per_s", more_is_better: true };
const P99: Measure = Measure { name: "p99", field: "p99_us", more_is_better: false };

const ECHO: &[&str] = &["echo_64", "echo_1000"];
const HTTP: &[&str] = &["http_64", "http_1000"];
const GOALS: &[Goal] = &[
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

#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    field: &'static str,
    more_is_better: bool,
}

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
    Unit(&'static str),
}

/// Prints the three tables, unless there is nothing in them.
pub fn print(plan: &Plan, results: &Results) {
    if results.is_empty() {
        return;
    }
    println!("Servers, loaded for {} s by another process on the same machine:\n", plan.seconds);
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    println!("| workload | peer | median | min | {} | peak MB | also |", names.join(" | "));
    println!("| --- | --- | ---: | ---: |{} ---: | --- |", " ---: |".repeat(names.len()));
    for (row, cells) in results {
        for cell in cells {
            println!("| {} | {} | {} |", row.name, cell.peer, figures(cell));
        }
    }
    if plan.peers.contains(&"fibra") {
        print_ratios(results);
        print_goals(results);
    }
    println!();
}

/// The cells from `median` on.
fn figures(cell: &Cell) -> String {
    let reports = cell.reports();
    let (Some(first), None) = (reports.first(), cell.trouble()) else {
        let empty = "| ".repeat(COLUMNS.len() + 3);
        return format!("— {empty}| {}", cell.trouble().unwrap_or_default());
    };
    let unit = first.get("unit").and_then(Value::as_str).unwrap_or("");
    let show = |field: &str| cell.median(field).map(short);
    let columns = COLUMNS.iter().map(|(_, field)| show(field).unwrap_or_default());
    let also = ALSO.iter().filter_map(|field| Some(format!("{field} {}", show(field)?)));
    format!(
        "{} {unit} | {} | {} | {:.1} | {}",
        show("value").unwrap_or_default(),
        short(cell.min("value")),
        columns.collect::<Vec<_>>().join(" | "),
        cell.median("peak_bytes").unwrap_or(f64::NAN) / 1e6,
        also.collect::<Vec<_>>().join(", "),
    )
}

fn print_ratios(results: &Results) {
    let peers = ["go", "tokio", "may", "threads", "raw"];
    println!("\nfibra's medians in times of theirs (more is better for requests/s, less for all else):\n");
    println!("| workload | in | best of {} | {} |", RIVALS.join(", "), peers.join(" | "));
    println!("| --- | --- | ---: |{}", " ---: |".repeat(peers.len()));
    for (row, cells) in results {
        for measure in MEASURES {
            let Some(ours) = of(cells, "fibra").and_then(|cell| cell.median(measure.field)) else { continue };
            let ratio = |theirs: f64| format!("{:.2}", ours / theirs);
            let best = measure.best(cells, RIVALS);
            let best =
                best.map_or("—".to_owned(), |(peer, theirs)| format!("**{}** ({peer})", ratio(theirs)));
            let each = peers.map(|peer| match measure.best(cells, &[peer]) {
                Some((_, theirs)) => ratio(theirs),
                None => "—".to_owned(),
            });
            println!("| {} | {} | {best} | {} |", row.name, measure.name, each.join(" | "));
        }
    }
}

fn print_goals(results: &Results) {
    println!("\n| workload | goal | fibra | |\n| --- | --- | ---: | --- |");
    for (row, cells) in results {
        for goal in GOALS.iter().filter(|goal| goal.rows.contains(&row.name)) {
            let Measure { name, field, more_is_better } = goal.measure;
            let (scale, unit) = match goal.of {
                Of::Peers(peers) => match goal.measure.best(cells, peers) {
                    Some((peer, theirs)) => (theirs, format!("× {peer}")),
                    None => (f64::NAN, format!("× {}", peers.join(", "))),
                },
                Of::Unit(unit) => (1.0, unit.to_owned()),
            };
            let ours = of(cells, "fibra").and_then(|cell| cell.median(field)).map(|ours| ours / scale);
            let (sign, limit) = (if more_is_better { "≥" } else { "≤" }, goal.limit);
            let reached = |ours: f64| if more_is_better { ours >= limit } else { ours <= limit };
            let (ours, verdict) = match ours.filter(|ours| !ours.is_nan()) {
                Some(ours) if reached(ours) => (short(ours), "reached"),
                Some(ours) => (short(ours), "**missed**"),
                None => ("—".to_owned(), "not measured"),
            };
            println!("| {} | {name} {sign} {limit} {unit} | {ours} | {verdict} |", row.name);
        }
    }
}

impl Measure {
    /// The peer among `peers` with the best median, and that median.
    fn best(self, cells: &[Cell], peers: &[&'static str]) -> Option<(&'static str, f64)> {
        let medians = peers.iter().filter_map(|peer| Some((*peer, of(cells, peer)?.median(self.field)?)));
        medians.min_by(|(_, a), (_, b)| if self.more_is_better { b.total_cmp(a) } else { a.total_cmp(b) })
    }
}
