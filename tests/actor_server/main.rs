//! Servers: what `GenServer`, `Server` and `Context` promise, each from tasks and from plain OS threads.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod end;
mod probe;
mod signals;
mod start;
mod stress;
mod supervised;

use support::within_patience;

/// Runs `f` on a plain thread, with the actors in the global runtime, and as the main task of runtimes.
fn everywhere(f: fn()) {
    within_patience(f);
    for workers in [1, 2] {
        within_patience(move || fibra::Builder::new().workers(workers).run(f).unwrap());
    }
}
