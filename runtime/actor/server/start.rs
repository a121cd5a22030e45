//! Starting a server, and waiting until it has begun.
//!
//! The server's task holds the sender of a channel while `init` runs. A message in it says that the server has begun. If
//! the sender is dropped instead, the actor ends, and the starter waits for that: its reason is the error, and its names
//! are free when the start has failed. A starter that does not wait to the end kills what it has started.

use super::run::run;
use super::{GenServer, Letter, Server};
use crate::actor::address::Address;
use crate::actor::builder::Builder;
use crate::actor::mailbox::Mailbox;
use crate::actor::pid::Pid;
use crate::actor::start_error::StartError;
use crate::channel::oneshot;
use crate::sched::WhenStopping;

impl Builder {
    /// Starts a server, and parks until its [`init`](GenServer::init) has returned.
    ///
    /// If the wait is cut short, because the caller is cancelled or a [`timeout`](crate::timeout()) around this call is
    /// over, the server is killed.
    ///
    /// # Errors
    ///
    /// [`StartError::Init`] if `init` returned an error, panicked, or was ended by an exit signal: the actor has ended then.
    /// [`StartError::Spawn`] where [`spawn`](Self::spawn) returns an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::actor::{Builder, Context, ExitReason, GenServer, ReplyTo, StartError};
    ///
    /// struct Even(u32);
    ///
    /// impl GenServer for Even {
    ///     type Init = u32;
    ///     type Call = ReplyTo<u32>;
    ///     type Cast = ();
    ///
    ///     fn init(number: u32, _: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         if number % 2 == 0 { Ok(Self(number)) } else { Err(ExitReason::failed("it is odd")) }
    ///     }
    ///
    ///     fn handle_call(&mut self, reply_to: ReplyTo<u32>, _: &mut Context<Self>) {
    ///         reply_to.send(self.0);
    ///     }
    /// }
    ///
    /// let even = Builder::new().name("even".into()).capacity(8).start::<Even>(12)?;
    /// assert_eq!(even.call(|reply_to| reply_to)?, 12);
    /// let error = Even::start(13).unwrap_err();
    /// assert!(matches!(error, StartError::Init(reason) if reason == ExitReason::failed("it is odd")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start<S: GenServer>(self, init: S::Init) -> Result<Server<S>, StartError> {
        let (sender, begun) = oneshot::channel();
        let parent = self.parent();
        let body = move |mailbox: &Mailbox<Letter<S>>| run(mailbox, init, sender, parent);
        let address: Address<Letter<S>> = self.spawn_or(WhenStopping::Fail, body)?;
        let mut abandoned = Abandoned(Some(address.pid()));
        let begun = begun.recv();
        let pid = abandoned.0.take();
        match (begun, pid) {
            (Err(_), Some(pid)) => Err(StartError::Init(pid.wait())),
            _ => Ok(Server { address }),
        }
    }
}

/// Kills the server that it is left with.
struct Abandoned(Option<Pid>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(pid) = &self.0 {
            pid.kill();
        }
    }
}
