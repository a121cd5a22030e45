//! The arguments of an example that is server and visitor: an address to serve at, or numbers for the visit.

use std::net::SocketAddr;
use std::{env, process};

/// Puts the numbers that follow the names on the command line in their places, or returns the address if that is all.
/// Other arguments end the process with status 2 and a word on what is `expected`.
pub fn read<const N: usize>(expected: &str, mut numbers: [(&str, &mut u64); N]) -> Option<SocketAddr> {
    let args: Vec<_> = env::args().skip(1).collect();
    if let [only] = &args[..]
        && let Ok(address) = only.parse()
    {
        return Some(address);
    }
    for pair in args.chunks(2) {
        let place = numbers.iter_mut().find(|(name, _)| *name == pair[0]);
        match (place, pair.get(1).map(|text| text.parse())) {
            (Some((_, number)), Some(Ok(n @ 1..=1_000_000))) => **number = n,
            _ => {
                let (example, given) = (env!("CARGO_BIN_NAME"), args.join(" "));
                eprintln!("{example}: expected {expected}, N from 1 to 1000000, not \"{given}\"");
                process::exit(2)
            }
        }
    }
    None
}
