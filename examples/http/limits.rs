//! What a client may ask of the server.

use std::time::Duration;

/// Whoever goes beyond one is told so, and the connection ends.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head; beyond: 431.
    pub head: usize,
    /// Bytes of its body; beyond: 413.
    pub body: usize,
    /// How long a connection may be idle, or take for a head, or stand still in a body or an answer; beyond: 408, or
    /// without a word if no request had begun.
    pub patience: Duration,
    /// How long what has begun may go on after the request to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (patience, grace) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { head: 8 << 10, body: 1 << 20, patience, grace }
    }
}
