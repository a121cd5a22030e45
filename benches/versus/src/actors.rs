//! The workloads of actors, and what their peers share.
//!
//! Those called `server_…` are the same for the kind of actor that a library makes of a bare one: a `GenServer`.

use std::time::{Duration, Instant};

use crate::{Report, Workload, proc, row};

/// The bound of a mailbox, in peers whose mailboxes have one.
pub const MAILBOX: usize = 1024;
/// Crashes under one supervisor in `restart`: a supervisor walks through all that it remembers at each of them.
pub const CRASHES: usize = 10;

/// In the order of the table, with what `n` counts.
pub const WORKLOADS: &[Workload] = &[
    row("actor_spawn", 200_000, "spawn an actor, one call, stop it and know that it has stopped; ns"),
    row("server_spawn", 200_000, "the same with a GenServer, whose start waits for its init; ns"),
    row("call", 1_000_000, "a message to an actor and the answer to it; ns"),
    row("server_call", 1_000_000, "the same with a GenServer; ns"),
    row("cast", 5_000_000, "messages from one sender to one actor; ns a message"),
    row("server_cast", 5_000_000, "the same with a GenServer; ns a message"),
    row("actors_idle", 1_000_000, "n actors that have begun and wait; resident bytes an actor"),
    row("restart", 20_000, "a supervised child crashes; µs from its crash until its successor runs"),
];

/// Whether the workload called `name` is one of actors.
pub fn is_actors(name: &str) -> bool {
    WORKLOADS.iter().any(|w| w.name == name)
}

/// Measures `actors_idle`: `spawn` returns `n` actors that have begun and wait, `call` calls each of them, and `end` returns
/// when all have ended. The value is resident bytes an actor before the calls.
pub fn idle<A>(n: usize, spawn: impl FnOnce() -> A, call: impl FnOnce(&A), end: impl FnOnce(A)) -> Report {
    let memory = || (proc::status_bytes("VmRSS"), proc::status_bytes("VmPTE"));
    let per_actor = |now: u64, before: u64| now.saturating_sub(before) as f64 / n as f64;
    let before = memory();
    let (actors, spawned) = timed(spawn);
    let begun = memory();
    let ((), called) = timed(|| call(&actors));
    let after = memory();
    let ((), ended) = timed(|| end(actors));
    Report::new(per_actor(begun.0, before.0), "B")
        .with("pte_per_actor", per_actor(begun.1, before.1))
        .with("after_a_call", per_actor(after.0, before.0))
        .with("spawn_s", spawned.as_secs_f64())
        .with("call_s", called.as_secs_f64())
        .with("end_s", ended.as_secs_f64())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// The sum of the messages of one turn of `cast`: `1..=ops`.
pub fn sum(ops: usize) -> usize {
    ops * (ops + 1) / 2
}
