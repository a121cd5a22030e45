//! Signals as messages.

use std::collections::VecDeque;
use std::io;

use super::dispatch::{Answer, Listener, listen};
use super::kind::Signal;
use crate::channel::{Receiver, Sender, bounded};

/// Makes a receiver of the signals of this kind that come from now on.
///
/// Receiving from it parks until the signal comes; it does not fail. The [module's page](self::super) says how signals
/// coalesce, and what holds when the receiver is dropped. Does not park itself.
///
/// # Errors
///
/// `InvalidInput` for a signal that no program can listen for: SIGKILL and SIGSTOP, those that report a fault of the
/// running code (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), and numbers that are none. The system's error if it
/// refuses a thread, the first time.
///
/// # Examples
///
/// ```
/// use fibra::signal::{self, Signal};
///
/// let changes = signal::signal(Signal::SIGWINCH)?;
/// assert!(changes.try_recv().is_err());
/// Signal::SIGWINCH.raise()?;
/// assert_eq!(changes.recv(), Ok(Signal::SIGWINCH));
///
/// let error = signal::signal(Signal::SIGKILL).unwrap_err();
/// assert_eq!(error.to_string(), "can't listen for SIGKILL: the system keeps it from every program");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn signal(kind: Signal) -> io::Result<Receiver<Signal>> {
    notify(&[kind])
}

/// Makes one receiver of several kinds of signals.
///
/// It holds each kind once, in the order in which they came: a kind that comes often can't displace another. Otherwise as
/// [`signal()`].
///
/// # Errors
///
/// As [`signal()`]; then it listens for none of them.
///
/// # Examples
///
/// ```
/// use fibra::signal::{self, Signal};
///
/// let signals = signal::signals([Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP])?;
/// Signal::SIGUSR2.raise()?;
/// match signals.recv().unwrap() {
///     Signal::SIGHUP => panic!("nobody sent it"),
///     other => assert_eq!(other, Signal::SIGUSR2),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn signals(kinds: impl IntoIterator<Item = Signal>) -> io::Result<Receiver<Signal>> {
    notify(&kinds.into_iter().collect::<Vec<_>>())
}

/// Makes a receiver of ctrl-C on the terminal: [`signal()`] for [`SIGINT`](Signal::SIGINT).
///
/// A server that is to run in a container wants [`Shutdown`](super::Shutdown), which knows SIGTERM too.
///
/// # Errors
///
/// The system's error if it refuses a thread, the first time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::signal;
///
/// let ctrl_c = signal::ctrl_c()?;
/// # signal::Signal::SIGINT.raise()?;
/// let mut rounds = 0;
/// while ctrl_c.recv_timeout(Duration::from_millis(10)).is_err() {
///     rounds += 1; // what is to be done until then, every 10 ms
/// }
/// println!("interrupted after {rounds} rounds");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<Receiver<Signal>> {
    signal(Signal::SIGINT)
}

fn notify(kinds: &[Signal]) -> io::Result<Receiver<Signal>> {
    // A channel without room would lose a signal that comes while its receiver is looking elsewhere.
    let (sender, receiver) = bounded(kinds.len().max(1));
    listen(kinds, Box::new(Notified { sender, sent: VecDeque::new() }))?;
    Ok(receiver)
}

/// A channel that holds each kind once.
struct Notified {
    sender: Sender<Signal>,
    /// What was sent last, oldest first. What lies in the channel is always the end of it.
    sent: VecDeque<Signal>,
}

impl Listener for Notified {
    fn deliver(&mut self, signal: Signal) -> Answer {
        if self.is_gone() {
            return Answer::Declined;
        }
        let received = self.sent.len().saturating_sub(self.sender.len());
        self.sent.drain(..received);
        // If it lies there it may be taken this moment, and then by somebody who takes it after this signal has come.
        if !self.sent.contains(&signal) && self.sender.try_send(signal).is_ok() {
            self.sent.push_back(signal);
        }
        Answer::Taken
    }

    fn is_gone(&self) -> bool {
        self.sender.is_disconnected()
    }
}
