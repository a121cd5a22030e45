//! The gallery shows every example, tells of those that fail, and README.md has its table.

#[path = "../examples/gallery/rows.rs"]
mod rows;
#[path = "../examples/gallery/run.rs"]
#[allow(dead_code, reason = "building the examples takes too long for a test")]
mod run;
#[path = "../examples/gallery/table.rs"]
#[allow(dead_code, reason = "the whole table is printed by the gallery alone")]
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rows::ROWS;
use table::Row;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_has_a_row_and_every_row_an_example() {
    let mut examples = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.join("main.rs").exists() {
            continue; // What several of them share.
        }
        examples.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert!(examples.remove("gallery"));
    assert_eq!(ROWS.iter().map(|row| row.name().to_owned()).collect::<BTreeSet<_>>(), examples);
    for row in ROWS {
        assert!(root().join("examples").join(row.source).is_file(), "{}", row.source);
    }
}

#[test]
fn the_rows_of_an_example_follow_each_other_and_run_the_same() {
    for rows in ROWS.chunk_by(|row, next| row.name() == next.name()) {
        assert!(rows.iter().all(|row| row.arguments == rows[0].arguments), "{}", rows[0].name());
        assert_eq!(
            ROWS.iter().filter(|row| row.name() == rows[0].name()).count(),
            rows.len(),
            "{}",
            rows[0].name()
        );
    }
}

#[test]
fn no_result_is_whatever_comes() {
    for row in ROWS {
        let problem = row.result_in(&[String::new(), "an error".to_owned()]).unwrap_err();
        assert!(problem.ends_with(row.others.first().unwrap_or(&row.result)), "{}: {problem}", row.name());
    }
}

#[test]
fn a_result_counts_when_the_other_lines_are_there() {
    let row =
        Row { idea: "", classic: "", source: "", arguments: "", result: "^ *[0-9]$", others: &["^a", "^b"] };
    let result_in =
        |lines: &[&str]| row.result_in(&lines.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(result_in(&["b", "  1", "2", "a"]), Ok("1".to_owned()));
    assert_eq!(result_in(&["b", "1"]), Err("no line matches ^a".to_owned()));
    assert_eq!(result_in(&["a", "b", "10"]), Err("no line matches ^ *[0-9]$".to_owned()));
}

#[test]
fn readme_has_the_table() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for row in ROWS {
        assert!(
            readme.contains(&row.markdown()),
            "README.md has not, or not as it is now: {}",
            row.markdown()
        );
    }
}

/// What comes of running a program as if it were an example: `env`, which is found everywhere, becomes it.
fn run(command: &'static str, patience: Duration) -> Result<Vec<String>, String> {
    let row = Row { idea: "", classic: "", source: "env.rs", arguments: command, result: "", others: &[] };
    fibra::run(|| run::run(Path::new("/usr/bin"), &row, patience))
}

/// Patience for what comes to its end by itself.
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_example_runs_with_its_arguments() {
    assert_eq!(run("echo one  two", HOUR), Ok(vec!["one two".to_owned()]));
}

#[test]
fn an_example_that_fails_is_told_of() {
    assert_eq!(run("false", HOUR), Err("exit status: 1".to_owned()));
}

#[test]
fn an_example_that_is_missing_is_told_of() {
    let missing = fibra::run(|| run::run(Path::new("/nowhere"), &ROWS[0], HOUR)).unwrap_err();
    assert!(missing.contains(ROWS[0].name()), "{missing}");
}

#[test]
fn an_example_that_hangs_is_killed() {
    assert_eq!(run("sleep 3600", Duration::from_millis(1)), Err("no end within 1ms".to_owned()));
}

#[test]
fn an_example_that_prints_for_ever_ends() {
    assert_eq!(run("yes", HOUR), Err("signal: 13 (SIGPIPE)".to_owned()));
}
