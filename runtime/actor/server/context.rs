//! What a server's handlers can do beside their work on the state.

use std::fmt;
use std::time::Duration;

use super::{Context, GenServer, Info, Letter, Server};
use crate::actor::handle::Handle;
use crate::actor::mailbox::Mailbox;
use crate::actor::pid::{MonitorId, Pid};
use crate::actor::reason::ExitReason;
use crate::actor::timer::Timer;

impl<'a, S: GenServer> Context<'a, S> {
    pub(super) fn new(mailbox: &'a Mailbox<Letter<S>>) -> Self {
        Self { mailbox, patience: None, stop: None }
    }

    /// This server, to give to others. As long as it keeps one itself, the server does not end because all others are
    /// gone; see [`Server::downgrade`].
    pub fn server(&self) -> Server<S> {
        Server { address: self.mailbox.address() }
    }

    /// This actor.
    pub fn pid(&self) -> &Pid {
        self.mailbox.pid()
    }

    /// Ends the server for this reason, when the handler that runs has returned. The first reason stays.
    ///
    /// Calls that are dropped unanswered from now on, and those that are still in the mailbox, fail with this reason.
    pub fn stop(&mut self, reason: ExitReason) {
        self.mailbox.own().ends.set(true);
        self.stop.get_or_insert(reason);
    }

    /// From now on, [`handle_info`](GenServer::handle_info) gets an [`Info::Timeout`] when no message has come for so long
    /// since the last handler returned, and again after each such time; with `None`, as at first, it does not.
    ///
    /// # Examples
    ///
    /// A server that ends when nobody has needed it for a while:
    ///
    /// ```
    /// use std::time::Duration;
    /// use fibra::actor::{Context, ExitReason, GenServer, Info};
    ///
    /// struct Session;
    ///
    /// impl GenServer for Session {
    ///     type Init = ();
    ///     type Call = ();
    ///     type Cast = ();
    ///
    ///     fn init((): (), context: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         context.set_timeout(Some(Duration::from_millis(5)));
    ///         Ok(Self)
    ///     }
    ///
    ///     fn handle_call(&mut self, (): (), _: &mut Context<Self>) {}
    ///
    ///     fn handle_info(&mut self, info: Info, context: &mut Context<Self>) {
    ///         if info == Info::Timeout {
    ///             context.stop(ExitReason::Shutdown);
    ///         }
    ///     }
    /// }
    ///
    /// let session = Session::start(())?;
    /// assert_eq!(session.pid().wait(), ExitReason::Shutdown);
    /// # Ok::<(), fibra::actor::StartError>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.patience = timeout;
    }

    /// Whether exit signals come to [`handle_info`](GenServer::handle_info), as [`Info::Exit`], and don't end the server;
    /// at first they do. Erlang's `process_flag(trap_exit, …)`.
    ///
    /// One signal ends it all the same, in good order and after the messages that have come before: that of the actor
    /// which it was linked to when it was started, its supervisor above all. While exits are trapped, the server does not
    /// end because all its [`Server`]s are gone.
    ///
    /// A server that traps exits is not interrupted in its handlers. That is the main use of it: one that does not is
    /// unwound where it parks, also half-way through a change.
    pub fn trap_exits(&mut self, trap: bool) {
        if trap {
            self.mailbox.trap_exits(|exit| Letter::Info(Box::new(Info::Exit(exit))));
        } else {
            self.mailbox.untrap_exits();
        }
    }

    /// Has [`handle_info`](GenServer::handle_info) get an [`Info::Down`] when another actor has ended; at once, if it has.
    /// See [`Mailbox::monitor`](crate::actor::Mailbox::monitor).
    pub fn monitor(&mut self, other: &impl Handle) -> MonitorId {
        self.mailbox.monitor(other, |down| Letter::Info(Box::new(Info::Down(down))))
    }

    /// Takes a monitor back. False: its [`Info::Down`] has come, or is about to.
    pub fn demonitor(&mut self, monitor: &MonitorId) -> bool {
        self.mailbox.demonitor(monitor)
    }

    /// Sends the server a cast after some time, unless the [`Timer`] is cancelled before, or the server has ended. A cast
    /// that is still to come does not keep the server running. Never parks.
    pub fn send_after(&self, delay: Duration, cast: S::Cast) -> Timer {
        let server = self.server().downgrade();
        Timer::start(delay, move || {
            if let Some(server) = server.upgrade() {
                // It may end meanwhile.
                let _ = server.cast(cast);
            }
        })
    }
}

impl<S: GenServer> fmt::Debug for Context<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("pid", self.pid()).finish_non_exhaustive()
    }
}
