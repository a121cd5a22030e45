//! What a peer's rounds of one row came to, and the statistics of it.

use serde_json::{Map, Value};

use crate::Row;
use crate::peer::Outcome;

/// The peers that fibra has to beat.
pub const RIVALS: &[&str] = &["go", "tokio", "may", "java", "erlang"];

pub struct Cell {
    pub peer: &'static str,
    pub rounds: Vec<Outcome>,
}

pub type Results<'a> = [(&'a Row, Vec<Cell>)];

/// The cell of `peer`, if it was measured.
pub fn of<'a>(cells: &'a [Cell], peer: &str) -> Option<&'a Cell> {
    cells.iter().find(|cell| cell.peer == peer)
}

impl Cell {
    /// The peer did as many operations as it was asked to.
    pub fn is_whole(&self, row: &Row) -> bool {
        self.reports().iter().all(|report| report.get("n").and_then(Value::as_u64) == Some(row.n as u64))
    }

    pub fn reports(&self) -> Vec<&Map<String, Value>> {
        let measured = self.rounds.iter().filter_map(|outcome| match outcome {
            Outcome::Measured(report) => Some(report),
            _ => None,
        });
        measured.collect()
    }

    /// What kept the peer from finishing its rounds.
    pub fn trouble(&self) -> Option<String> {
        let bad = self.rounds.iter().find(|outcome| !matches!(outcome, Outcome::Measured(_)));
        bad.map(Outcome::to_string)
    }

    /// The median of a field's values; none if any round failed.
    pub fn median(&self, field: &str) -> Option<f64> {
        let values = numbers(&self.reports(), field);
        (self.trouble().is_none() && !values.is_empty()).then(|| median(values))
    }

    /// The least of a field's values.
    pub fn min(&self, field: &str) -> f64 {
        numbers(&self.reports(), field).into_iter().fold(f64::INFINITY, f64::min)
    }
}

pub fn numbers(reports: &[&Map<String, Value>], field: &str) -> Vec<f64> {
    reports.iter().filter_map(|report| report.get(field)?.as_f64()).collect()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
