//! Prints the results as Markdown: first every peer's figures, then what they are in fibra's.

use serde_json::{Map, Value};

use crate::peer::Outcome;
use crate::{Cell, Plan, Row};

/// The peers that fibra has to beat.
const RIVALS: &[&str] = &["go", "tokio", "may"];
/// The fields that have columns of their own or none.
const KNOWN: &[&str] = &["peer", "workload", "workers", "n", "value", "unit", "cpu_seconds", "peak_bytes"];

type Results<'a> = [(&'a Row, Vec<Cell>)];

/// Prints both tables.
pub fn print(plan: &Plan, results: &Results) {
    println!("Workers: {}, rounds: {}. Smaller is better throughout.\n", plan.workers, plan.rounds);
    println!("| workload | peer | median | min | CPU s | peak MB | also |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | --- |");
    for (row, cells) in results {
        for cell in cells {
            println!("| {} | {} | {} |", row.name, cell.peer, figures(row, cell));
        }
    }
    if plan.peers.contains(&"fibra") {
        print_ratios(results);
    }
    println!();
    for (row, _) in results {
        println!("- `{}`: {}", row.name, row.what);
    }
}

/// The cells from `median` on.
fn figures(row: &Row, cell: &Cell) -> String {
    let reports = cell.reports();
    let (Some(first), None) = (reports.first(), cell.trouble()) else {
        return format!("— | | | | {}", cell.trouble().unwrap_or_default());
    };
    let unit = first.get("unit").and_then(Value::as_str).unwrap_or("");
    let all = |field: &str| numbers(&reports, field);
    let mut also = Vec::new();
    if !cell.is_whole(row) {
        also.push(format!("n = {}", first["n"]));
    }
    for field in first.keys().filter(|field| !KNOWN.contains(&field.as_str())) {
        also.push(format!("{field} {}", short(median(all(field)))));
    }
    format!(
        "{} {unit} | {} | {:.2} | {:.1} | {}",
        short(median(all("value"))),
        short(all("value").into_iter().fold(f64::INFINITY, f64::min)),
        median(all("cpu_seconds")),
        median(all("peak_bytes")) / 1e6,
        also.join(", "),
    )
}

/// How many times fibra's median goes into the others'.
fn print_ratios(results: &Results) {
    println!(
        "\nHow many times fibra's median goes into theirs (*: they did fewer operations, and can't be the best):\n"
    );
    println!("| workload | best of {} | go | tokio | may | threads |", RIVALS.join(", "));
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (row, cells) in results {
        let cell = |peer: &str| cells.iter().find(|cell| cell.peer == peer);
        let Some(ours) = cell("fibra").and_then(Cell::median) else {
            println!("| {} | no figure of fibra | | | | |", row.name);
            continue;
        };
        let whole = RIVALS.iter().filter_map(|peer| cell(peer)).filter(|cell| cell.is_whole(row));
        let best =
            whole.filter_map(|cell| Some((cell.peer, cell.median()?))).min_by(|a, b| a.1.total_cmp(&b.1));
        let best =
            best.map_or("—".to_owned(), |(peer, theirs)| format!("**{}** ({peer})", times(theirs, ours)));
        let each = ["go", "tokio", "may", "threads"].map(|peer| {
            let Some((cell, theirs)) = cell(peer).and_then(|cell| Some((cell, cell.median()?))) else {
                return "—".to_owned();
            };
            times(theirs, ours) + if cell.is_whole(row) { "" } else { " *" }
        });
        println!("| {} | {best} | {} |", row.name, each.join(" | "));
    }
}

fn times(theirs: f64, ours: f64) -> String {
    match (theirs, ours) {
        (0.0, 0.0) => "both 0".to_owned(),
        (_, 0.0) => format!("{} to 0", short(theirs)),
        _ => format!("{:.2} ×", theirs / ours),
    }
}

impl Cell {
    /// The peer did as many operations as it was asked to.
    fn is_whole(&self, row: &Row) -> bool {
        self.reports().iter().all(|report| report.get("n").and_then(Value::as_u64) == Some(row.n as u64))
    }

    fn reports(&self) -> Vec<&Map<String, Value>> {
        let measured = self.rounds.iter().filter_map(|outcome| match outcome {
            Outcome::Measured(report) => Some(report),
            _ => None,
        });
        measured.collect()
    }

    /// What kept the peer from finishing its rounds.
    fn trouble(&self) -> Option<String> {
        let bad = self.rounds.iter().find(|outcome| !matches!(outcome, Outcome::Measured(_)));
        bad.map(Outcome::to_string)
    }

    /// None if any round failed.
    fn median(&self) -> Option<f64> {
        let values = numbers(&self.reports(), "value");
        (self.trouble().is_none() && !values.is_empty()).then(|| median(values))
    }
}

fn numbers(reports: &[&Map<String, Value>], field: &str) -> Vec<f64> {
    reports.iter().filter_map(|report| report.get(field)?.as_f64()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
