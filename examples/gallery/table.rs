//! A row of the gallery, and all of them as a table in Markdown.

use regex::Regex;

/// What one example shows.
pub struct Row {
    pub idea: &'static str,
    /// The well-known program that shows the same, and its language.
    pub classic: &'static str,
    /// In `examples/`.
    pub source: &'static str,
    /// As on a command line: for what would take long, or go on for ever, without them.
    pub arguments: &'static str,
    /// A pattern for the line that the table tells.
    pub result: &'static str,
    /// Patterns for each of which it prints a line as well.
    pub others: &'static [&'static str],
}

impl Row {
    /// The example's name.
    pub fn name(&self) -> &'static str {
        let stem = self.source.strip_suffix(".rs").unwrap_or(self.source);
        stem.strip_suffix("/main").unwrap_or(stem)
    }

    /// The line that is the result. An error, if there is none, or one of the others is missing.
    pub fn result_in(&self, lines: &[String]) -> Result<String, String> {
        let line_for = |pattern: &str| {
            let regex = Regex::new(pattern).expect("a valid pattern");
            let line = lines.iter().find(|line| regex.is_match(line));
            line.ok_or_else(|| format!("no line matches {pattern}"))
        };
        self.others.iter().try_for_each(|pattern| line_for(pattern).map(drop))?;
        line_for(self.result).map(|line| line.trim().to_owned())
    }

    /// Its line of the table but for the last column, which is what the example printed.
    pub fn markdown(&self) -> String {
        let Self { idea, classic, source, arguments, .. } = self;
        let arguments = if arguments.is_empty() { String::new() } else { format!(" `{arguments}`") };
        format!("| {idea} | {classic} | [`{}`](examples/{source}){arguments} |", self.name())
    }
}

/// Prints rows, each with its result or what went wrong.
pub fn print(rows: &[(&Row, Result<String, String>)]) {
    println!("| the idea | the classic program | our example | what it printed |");
    println!("| --- | --- | --- | --- |");
    for (row, outcome) in rows {
        let printed = match outcome {
            Ok(line) => format!("`{line}`"),
            Err(problem) => format!("**{problem}**"),
        };
        println!("{} {} |", row.markdown(), printed.replace('|', "\\|"));
    }
}
