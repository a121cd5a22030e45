//! Waiting for an actor's end, from anywhere.

use std::fmt;
use std::time::Duration;

use super::own;
use super::pid::{MonitorId, Pid};
use super::reason::ExitReason;
use crate::channel::{Receive, RecvArm, RecvError, oneshot};

/// A receiver of an actor's end; made by [`Pid::monitor`].
///
/// It may stand in [`select!`](crate::select) as a `recv` arm, once: the arm then has the reason.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::actor::{self, ExitReason};
/// use fibra::{channel::after, select};
///
/// let actor = actor::spawn(|_| (), |(), _message: u32| -> () { panic!("no such number") });
/// let monitor = actor.pid().monitor();
/// actor.send(7).unwrap();
/// select! {
///     recv(monitor) -> reason => assert_eq!(reason, Ok(ExitReason::Panic("no such number".into()))),
///     recv(after(Duration::from_secs(60))) -> _ => unreachable!("it panics at once"),
/// }
/// ```
#[must_use = "a monitor that is dropped tells nobody"]
pub struct Monitor {
    id: MonitorId,
    receiver: oneshot::Receiver<ExitReason>,
}

impl Monitor {
    /// Parks until the actor has ended, and says why.
    pub fn recv(&self) -> ExitReason {
        self.reason(self.receiver.recv().ok())
    }

    /// As [`recv`](Self::recv), but parks for at most `timeout`: then `None`.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        self.receiver.recv_timeout(timeout).ok().or_else(|| self.try_recv())
    }

    /// Why the actor has ended; `None` while it has not. Never parks.
    pub fn try_recv(&self) -> Option<ExitReason> {
        self.id.pid().exit_reason()
    }

    /// The actor.
    pub fn pid(&self) -> &Pid {
        self.id.pid()
    }

    /// The message, or what the actor remembers if that has been taken.
    fn reason(&self, message: Option<ExitReason>) -> ExitReason {
        message.or_else(|| self.try_recv()).expect("the sender tells why before it goes")
    }
}

impl Pid {
    /// A receiver that is told when the actor has ended; at once, if it has. For [`select!`](crate::select), and for who
    /// is no actor; an actor may prefer [`Mailbox::monitor`](super::Mailbox::monitor).
    pub fn monitor(&self) -> Monitor {
        let (sender, receiver) = oneshot::channel();
        let id = MonitorId::new(self.clone());
        let tell = move |reason: &ExitReason| {
            // Who monitored may have gone.
            let _ = sender.send(reason.clone());
        };
        self.watch(id.number(), Box::new(tell));
        Monitor { id, receiver }
    }

    /// Parks until the actor has ended, and says why. Its state has been dropped then, its names are free, and all who
    /// wait for its answers have been told; its task may have some instructions to go.
    ///
    /// # Panics
    ///
    /// In the actor itself, which would wait for ever.
    pub fn wait(&self) -> ExitReason {
        assert!(!own::is(self.id()), "an actor can't wait for its own end: use `actor::exit` to end it");
        self.monitor().recv()
    }

    /// As [`wait`](Self::wait), but parks for at most `timeout`: then `None`.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        self.monitor().recv_timeout(timeout)
    }
}

impl Receive for Monitor {
    type Slot = ExitReason;
    type Message = ExitReason;
    type Error = RecvError;

    fn recv_arm(&self) -> RecvArm<'_, ExitReason, Result<ExitReason, RecvError>> {
        self.receiver.recv_arm()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.id.pid().unwatch(self.id.number());
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("pid", self.id.pid()).finish_non_exhaustive()
    }
}
