//! Messages that are sent later.

use std::time::Duration;

use super::address::Address;
use crate::thread::{JoinHandle, sleep, spawn};

/// A message on its way; made by [`send_after`] and [`Context::send_after`](super::Context::send_after). Dropping it
/// changes nothing.
#[derive(Debug)]
pub struct Timer(JoinHandle<()>);

/// Sends a message after some time, unless the [`Timer`] is cancelled before. Erlang's `send_after`.
///
/// A task waits for it; it holds the address until then. Never parks.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::actor::{self, Mailbox};
///
/// let actor = actor::spawn_body(|mailbox: &Mailbox<&str>| {
///     actor::send_after(Duration::from_millis(1), &mailbox.address(), "wake up");
///     assert_eq!(mailbox.recv(), Ok("wake up"));
/// });
/// assert!(actor.pid().wait().is_normal());
/// ```
pub fn send_after<M: Send + 'static>(delay: Duration, to: &Address<M>, message: M) -> Timer {
    let to = to.clone();
    Timer::start(delay, move || {
        // It may have ended meanwhile.
        let _ = to.send(message);
    })
}

impl Timer {
    pub(super) fn start(delay: Duration, send: impl FnOnce() + Send + 'static) -> Self {
        Self(spawn(move || {
            sleep(delay);
            send();
        }))
    }

    /// Keeps the message from being sent, if it has not been. Never parks.
    pub fn cancel(self) {
        self.0.cancel();
    }
}
