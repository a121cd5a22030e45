//! Prints what the servers did under load as Markdown: every peer's figures, fibra's in times of theirs, and fibra's goals.

use serde_json::Value;

use crate::Plan;
use crate::cell::{Cell, RIVALS, Results, of, short};
use crate::goal::{self, Measure, P99, REQUESTS, VALUE};

/// What the columns are called, and the fields that they show.
const COLUMNS: &[(&str, &str)] =
    &[("requests/s", "requests_per_s"), ("p50 µs", "p50_us"), ("p99 µs", "p99_us"), ("max µs", "max_us")];
/// The fields that stand in the last column, where there are any.
const ALSO: &[&str] = &["pte_per_connection", "us_per_arrival", "busiest_percent", "load_cpu_s"];
/// What fibra is compared in.
const MEASURES: &[Measure] = &[VALUE, REQUESTS, P99];

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
        goal::print(results);
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
