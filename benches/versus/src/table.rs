//! Prints the results as Markdown: first every peer's figures, then what they are in fibra's.

use serde_json::Value;

use crate::cell::{Cell, RIVALS, Results, median, numbers, of, short};
use crate::{Plan, Row, goal, peer};

/// The fields that have columns of their own or none.
const KNOWN: &[&str] = &["peer", "workload", "workers", "n", "value", "unit", "cpu_seconds", "peak_bytes"];

/// Prints both tables, unless there is nothing in them.
pub fn print(plan: &Plan, results: &Results) {
    if results.is_empty() {
        return;
    }
    println!("Smaller is better throughout.\n");
    println!("| workload | peer | median | min | CPU s | peak MB | also |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | --- |");
    for (row, cells) in results {
        for cell in cells {
            println!("| {} | {} | {} |", row.name, cell.peer, figures(row, cell));
        }
    }
    if plan.peers.contains(&"fibra") {
        print_ratios(results);
        goal::print(results);
    }
    println!();
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
        short(cell.min("value")),
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
    let peers: Vec<_> =
        peer::NAMES.iter().filter(|name| **name != "fibra" && takes_part(results, name)).collect();
    let names: String = peers.iter().map(|name| format!(" {name} |")).collect();
    println!("| workload | best of {} |{names}", RIVALS.join(", "));
    println!("| --- | ---: |{}", " ---: |".repeat(peers.len()));
    for (row, cells) in results {
        let cell = |peer: &str| of(cells, peer);
        let median = |cell: &Cell| cell.median("value");
        let Some(ours) = cell("fibra").and_then(median) else {
            println!("| {} | no figure of fibra |{}", row.name, " |".repeat(peers.len()));
            continue;
        };
        let whole = RIVALS.iter().filter_map(|peer| cell(peer)).filter(|cell| cell.is_whole(row));
        let best =
            whole.filter_map(|cell| Some((cell.peer, median(cell)?))).min_by(|a, b| a.1.total_cmp(&b.1));
        let best =
            best.map_or("—".to_owned(), |(peer, theirs)| format!("**{}** ({peer})", times(theirs, ours)));
        let each = peers.iter().map(|peer| {
            let Some((cell, theirs)) = cell(peer).and_then(|cell| Some((cell, median(cell)?))) else {
                return "—".to_owned();
            };
            times(theirs, ours) + if cell.is_whole(row) { "" } else { " *" }
        });
        println!("| {} | {best} | {} |", row.name, each.collect::<Vec<_>>().join(" | "));
    }
}

/// Whether `peer` was run for any of the rows.
fn takes_part(results: &Results, peer: &str) -> bool {
    results.iter().any(|(_, cells)| of(cells, peer).is_some())
}

fn times(theirs: f64, ours: f64) -> String {
    match (theirs, ours) {
        (0.0, 0.0) => "both 0".to_owned(),
        (_, 0.0) => format!("{} to 0", short(theirs)),
        _ => format!("{:.2} ×", theirs / ours),
    }
}
