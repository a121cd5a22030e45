//! The one argument that many of the examples take: a number.

use std::ops::RangeInclusive;
use std::{env, process};

/// The number on the command line, or `default` if there is none. `what` it is, and which ones are allowed, is told to a
/// user who gives something else; the process then ends with status 2.
pub fn number(what: &str, allowed: RangeInclusive<u64>, default: u64) -> u64 {
    let text = env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return default;
    }
    text.parse().ok().filter(|n| allowed.contains(n)).unwrap_or_else(|| {
        let (example, first, last) = (env!("CARGO_BIN_NAME"), allowed.start(), allowed.end());
        eprintln!("{example}: expected one {what} from {first} to {last}, not \"{text}\"");
        process::exit(2)
    })
}
