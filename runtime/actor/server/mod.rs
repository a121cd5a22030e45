//! Servers: actors that answer calls, each with a typed answer, and that end in good order. OTP's `gen_server`.
//!
//! What a server is stands here; what one can do with it, in the files of this folder:
//!
//! ```text
//! start.rs    Builder::start ─▶ a task: run.rs ─▶ init ─▶ | handle_call, handle_cast, handle_info | ─▶ terminate
//! handle.rs   Server ──Letter──▶ mailbox ─────────────────┘            │
//! context.rs                     Context: the server's view of itself ─┘
//! ```

mod context;
mod handle;
mod run;
mod start;

use std::time::Duration;

use super::address::{Address, WeakAddress};
use super::builder::Builder;
use super::mailbox::Mailbox;
use super::pid::{Down, Exit};
use super::reason::ExitReason;
use super::start_error::StartError;

/// An actor that answers calls: its state, and what it does with each message. OTP's `gen_server`.
///
/// [`start`](Self::start) makes one, and returns the [`Server`] by which others reach it. Each handler has the state to
/// itself, one message after the other. Handlers may park; the messages that come meanwhile wait in the mailbox. The state
/// never leaves its task, so it need not be `Send`. It lies on the task's stack: box what is large.
///
/// # Answers
///
/// Each variant of [`Call`](Self::Call) carries a [`ReplyTo`](super::ReplyTo) of the type of its own answer. Answer at
/// once, or keep the `ReplyTo` in the state and answer later, or hand it on to a task. If it is dropped unanswered the
/// caller learns so at once; if the server ends first, the caller learns why.
///
/// # The end
///
/// A server ends when it [stops itself](Context::stop) or [is stopped](Server::stop); when a handler panics or
/// [exits](super::exit()); by an [exit signal](super::Pid::exit), also while a handler parks, unless it
/// [traps exits](Context::trap_exits); when all its [`Server`]s are gone and all messages handled; and with its runtime.
/// Then [`terminate`](Self::terminate) is called, the state is dropped, names are free, and callers, monitors and links
/// are told, in this order. A [kill](super::Pid::kill) skips `terminate`, and ends one that parks.
///
/// # Examples
///
/// ```
/// use fibra::actor::{Context, ExitReason, GenServer, ReplyTo};
///
/// struct Account {
///     balance: u64,
/// }
///
/// enum Call {
///     Balance(ReplyTo<u64>),
///     Withdraw(u64, ReplyTo<Result<u64, &'static str>>),
/// }
///
/// enum Cast {
///     Deposit(u64),
/// }
///
/// impl GenServer for Account {
///     type Init = u64;
///     type Call = Call;
///     type Cast = Cast;
///
///     fn init(balance: u64, _: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Self { balance })
///     }
///
///     fn handle_call(&mut self, call: Call, _: &mut Context<Self>) {
///         match call {
///             Call::Balance(reply_to) => reply_to.send(self.balance),
///             Call::Withdraw(amount, reply_to) => {
///                 let left = self.balance.checked_sub(amount).ok_or("not enough money");
///                 self.balance = left.unwrap_or(self.balance);
///                 reply_to.send(left);
///             }
///         }
///     }
///
///     fn handle_cast(&mut self, Cast::Deposit(amount): Cast, _: &mut Context<Self>) {
///         self.balance += amount;
///     }
/// }
///
/// let account = Account::start(10)?;
/// account.cast(Cast::Deposit(5)).unwrap();
/// assert_eq!(account.call(|reply_to| Call::Withdraw(12, reply_to))?, Ok(3));
/// assert_eq!(account.call(|reply_to| Call::Withdraw(12, reply_to))?, Err("not enough money"));
/// assert_eq!(account.call(Call::Balance)?, 3);
/// assert_eq!(account.stop(), ExitReason::Normal);
/// assert!(account.call(Call::Balance).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait GenServer: Sized + 'static {
    /// What [`init`](Self::init) is given.
    type Init: Send + 'static;
    /// What is asked; each variant with the [`ReplyTo`](super::ReplyTo) for its answer.
    type Call: Send + 'static;
    /// What is sent without the wish for an answer; `()` if there is nothing.
    type Cast: Send + 'static;

    /// Makes the state, in the new actor. Whoever starts the server waits until this has returned.
    ///
    /// # Errors
    ///
    /// Why there is to be no server: [`start`](Self::start) returns it, and it is the actor's reason to end. `terminate` is
    /// not called.
    fn init(init: Self::Init, context: &mut Context<Self>) -> Result<Self, ExitReason>;

    /// Handles a call.
    fn handle_call(&mut self, call: Self::Call, context: &mut Context<Self>);

    /// Handles a cast; by default it is dropped.
    fn handle_cast(&mut self, cast: Self::Cast, context: &mut Context<Self>) {
        let _ = (cast, context);
    }

    /// Handles what comes neither by a call nor by a cast: see [`Info`]. By default it is ignored.
    fn handle_info(&mut self, info: Info, context: &mut Context<Self>) {
        let _ = (info, context);
    }

    /// Called when the server ends, whatever the reason is, but for a [kill](super::Pid::kill).
    ///
    /// It is [shielded](crate::cancel::shield) from cancellation, and may park, to say good-bye to others; a kill ends it
    /// then. After a panic in a handler the state is as that has left it. If this panics as well, the new reason replaces
    /// the first. By default it does nothing.
    fn terminate(&mut self, reason: &ExitReason, context: &mut Context<Self>) {
        let _ = (reason, context);
    }

    /// Starts a server with the defaults of a [`Builder`]; see [`Builder::start`].
    ///
    /// # Errors
    ///
    /// As there.
    fn start(init: Self::Init) -> Result<Server<Self>, StartError> {
        Builder::new().start(init)
    }
}

/// What a server gets beside calls and casts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Info {
    /// An actor that the server [monitors](Context::monitor) has ended.
    Down(Down),
    /// An exit signal, to a server that [traps exits](Context::trap_exits).
    Exit(Exit),
    /// No message has come for as long as [`Context::set_timeout`] says.
    Timeout,
}

/// A server, for others: where its calls and casts are sent to. Clones are of the same server.
///
/// When all of them are gone nobody can reach the server any more, and it ends as [`Normal`](ExitReason::Normal), after
/// the messages that are left; see [`Address`].
pub struct Server<S: GenServer> {
    address: Address<Letter<S>>,
}

/// A [`Server`] that does not keep it running.
pub struct WeakServer<S: GenServer> {
    address: WeakAddress<Letter<S>>,
}

/// The running server's view of itself: what its handlers can do beside their work on the state.
///
/// # Examples
///
/// A server that looks after jobs: it answers a caller when the job has ended, however that ends, or when it has taken too
/// long.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
/// use fibra::actor::{self, Context, ExitReason, GenServer, Info, Mailbox, MonitorId, Pid, ReplyTo};
///
/// #[derive(Default)]
/// struct Foreman {
///     running: HashMap<MonitorId, ReplyTo<ExitReason>>,
/// }
///
/// struct Run(fn(), Duration, ReplyTo<ExitReason>);
///
/// struct TooLong(Pid);
///
/// impl GenServer for Foreman {
///     type Init = ();
///     type Call = Run;
///     type Cast = TooLong;
///
///     fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Self::default())
///     }
///
///     fn handle_call(&mut self, Run(job, limit, reply_to): Run, context: &mut Context<Self>) {
///         let worker = actor::spawn_body(move |_: &Mailbox<()>| job()).pid();
///         self.running.insert(context.monitor(&worker), reply_to);
///         context.send_after(limit, TooLong(worker));
///     }
///
///     fn handle_cast(&mut self, TooLong(worker): TooLong, _: &mut Context<Self>) {
///         worker.kill(); // does nothing if it has ended
///     }
///
///     fn handle_info(&mut self, info: Info, _: &mut Context<Self>) {
///         if let Info::Down(down) = info
///             && let Some(reply_to) = self.running.remove(&down.monitor)
///         {
///             reply_to.send(down.reason);
///         }
///     }
/// }
///
/// let foreman = Foreman::start(())?;
/// let run = |job, limit| foreman.call(|reply_to| Run(job, Duration::from_millis(limit), reply_to));
/// assert_eq!(run(|| (), 60_000)?, ExitReason::Normal);
/// assert_eq!(run(|| panic!("out of paper"), 60_000)?, ExitReason::Panic("out of paper".into()));
/// assert_eq!(run(|| fibra::thread::park(), 1)?, ExitReason::Killed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Context<'a, S: GenServer> {
    mailbox: &'a Mailbox<Letter<S>>,
    /// How long the server waits for a message before it is told that none has come.
    patience: Option<Duration>,
    stop: Option<ExitReason>,
}

/// A message of a server.
pub(super) enum Letter<S: GenServer> {
    Call(S::Call),
    Cast(S::Cast),
    /// In a box, since it is larger than most messages and seldom comes.
    Info(Box<Info>),
    Stop,
}
