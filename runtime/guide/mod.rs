//! Coming from elsewhere: what you know, and its name here.
//!
//! - [`from_go`]: goroutines, channels, `select`, `sync`, `context`, `errgroup`, `net`
//! - [`from_std_and_tokio`]: `std::thread` and `std::sync`, and tokio's tasks, channels and locks
//! - [`from_erlang`]: processes, `gen_server`, supervisors, and Elixir's `Task` and `Agent`
//!
//! Each is a set of tables with one line of code a side, programs that are tested, and a list of what differs.

pub mod from_erlang;
pub mod from_go;
pub mod from_std_and_tokio;
