//! Contexts: Go's, in one type.

use std::any::{Any, TypeId};
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::timeout::Elapsed;
use super::token::{Reason, Token};
use crate::channel::{self, Receiver};
use crate::task::park::current_core;
use crate::task::region;
use crate::thread::spawn;

/// What belongs to one request: when it has to be done, whether it was cancelled and why, and values of any type.
///
/// Contexts form a tree. Whatever is derived from one ends with it, at its deadline or by its cancellation, and finds its
/// values. Clones are handles of the same context, cheap to pass along as an argument.
///
/// | Go | here |
/// | --- | --- |
/// | `context.Background()` | [`Context::background`] |
/// | `ctx, cancel := context.WithCancel(ctx)` | [`ctx.with_cancel()`](Self::with_cancel), [`ctx.cancel()`](Self::cancel) |
/// | `WithDeadline`, `WithTimeout` | [`with_deadline`](Self::with_deadline), [`with_timeout`](Self::with_timeout) |
/// | `cancel(cause)`, `context.Cause(ctx)` | [`cancel_with`](Self::cancel_with), [`cause`](Self::cause) |
/// | `WithValue(ctx, key, v)`, `ctx.Value(key)` | [`with_value`](Self::with_value), [`value`](Self::value): the type is the key |
/// | `WithoutCancel(ctx)` | [`without_cancel`](Self::without_cancel) |
/// | `<-ctx.Done()` | [`recv(ctx.done())`](Self::done) |
/// | `ctx.Err()`, `ctx.Deadline()` | [`err`](Self::err), [`deadline`](Self::deadline) |
/// | (no counterpart) | [`ctx.run(\|\| …)`](Self::run): any blocking code obeys the context |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::cancel::{Context, ContextError};
///
/// struct RequestId(u64);
///
/// fn handle(ctx: &Context) -> Result<u64, ContextError> {
///     let id = ctx.value::<RequestId>().map_or(0, |id| id.0);
///     ctx.run(|| fibra::thread::sleep(Duration::from_secs(3600)))?; // it knows nothing of contexts
///     Ok(id)
/// }
///
/// let ctx = Context::background().with_value(RequestId(7)).with_timeout(Duration::from_millis(5));
/// assert_eq!(handle(&ctx), Err(ContextError::DeadlineExceeded));
/// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    token: Token,
    deadline: Option<Instant>,
    /// Somebody cancels the token at the deadline; only [`Context::done`] needs it.
    watched: AtomicBool,
    value: Option<Value>,
    /// Whose values ours are added to.
    parent: Option<Context>,
}

struct Value {
    key: TypeId,
    value: Box<dyn Any + Send + Sync>,
}

/// Why a [`Context`] is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextError {
    /// It, or one that it was derived from, was cancelled.
    Cancelled,
    /// Its deadline has passed.
    DeadlineExceeded,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the context was cancelled",
            Self::DeadlineExceeded => "the deadline of the context has passed",
        })
    }
}

impl std::error::Error for ContextError {}

impl Context {
    /// A context with no deadline and no values, the root of a tree.
    pub fn background() -> Self {
        Self::new(Token::new(), None, None, None)
    }

    fn new(token: Token, deadline: Option<Instant>, value: Option<Value>, parent: Option<Context>) -> Self {
        Self(Arc::new(Inner { token, deadline, watched: AtomicBool::new(false), value, parent }))
    }

    /// One that can be cancelled without this one.
    #[must_use = "the context returned is the one that can be cancelled alone"]
    pub fn with_cancel(&self) -> Self {
        Self::new(self.0.token.child(), self.0.deadline, None, Some(self.clone()))
    }

    /// One that is over at `at`, or with this one if that is earlier.
    #[must_use = "the context returned is the one with the deadline"]
    pub fn with_deadline(&self, at: Instant) -> Self {
        let deadline = self.0.deadline.map_or(at, |ours| ours.min(at));
        Self::new(self.0.token.child(), Some(deadline), None, Some(self.clone()))
    }

    /// One that is over after `timeout` from now, or with this one if that is earlier.
    #[must_use = "the context returned is the one with the deadline"]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        match Instant::now().checked_add(timeout) {
            Some(at) => self.with_deadline(at),
            None => self.with_cancel(),
        }
    }

    /// This one with a value more, in place of one of the same type. Make a type of your own for each value.
    ///
    /// It shares this one's deadline, and is cancelled if and only if this one is.
    #[must_use = "the context returned is the one with the value"]
    pub fn with_value<T: Any + Send + Sync>(&self, value: T) -> Self {
        let value = Value { key: TypeId::of::<T>(), value: Box::new(value) };
        Self::new(self.0.token.clone(), self.0.deadline, Some(value), Some(self.clone()))
    }

    /// This one's values alone: it has no deadline, and is not cancelled with this one.
    #[must_use = "the context returned is the one that outlives this one"]
    pub fn without_cancel(&self) -> Self {
        Self::new(Token::new(), None, None, Some(self.clone()))
    }

    /// Cancels this context and all that are derived from it. See [`Token::cancel`].
    pub fn cancel(&self) {
        self.cancel_for(ContextError::Cancelled);
    }

    /// As [`cancel`](Self::cancel), for a reason. The first one stays.
    pub fn cancel_with(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.note_deadline();
        self.0.token.cancel_with(cause);
    }

    fn cancel_for(&self, error: ContextError) {
        if !self.0.token.is_cancelled() {
            self.note_deadline();
            self.0.token.cancel_with(error);
        }
    }

    /// A deadline that has passed comes first, though nobody has looked yet.
    fn note_deadline(&self) {
        if self.0.deadline.is_some_and(|at| at <= Instant::now()) {
            self.0.token.cancel_with(ContextError::DeadlineExceeded);
        }
    }

    /// Why it is over; `None` while it is not.
    pub fn err(&self) -> Option<ContextError> {
        if !self.0.token.is_cancelled() {
            self.note_deadline();
        }
        self.0.token.reason().map(|reason| match reason.downcast_ref() {
            Some(ContextError::DeadlineExceeded) => ContextError::DeadlineExceeded,
            _ => ContextError::Cancelled,
        })
    }

    /// The reason for which it was cancelled, or the [`ContextError`] if none was given; `None` while it is not over.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::cancel::{Context, ContextError};
    ///
    /// let request = Context::background().with_cancel();
    /// let query = request.with_cancel();
    /// request.cancel_with("the client has gone");
    /// assert_eq!(query.err(), Some(ContextError::Cancelled));
    /// assert_eq!(query.cause().unwrap().to_string(), "the client has gone");
    /// ```
    pub fn cause(&self) -> Option<Reason> {
        self.err()?;
        self.0.token.reason()
    }

    /// When it is over at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The innermost value of type `T`. Takes time proportional to the depth of the tree.
    pub fn value<T: Any + Send + Sync>(&self) -> Option<&T> {
        let mut next = Some(self);
        while let Some(context) = next {
            match &context.0.value {
                Some(value) if value.key == TypeId::of::<T>() => return value.value.downcast_ref(),
                _ => next = context.0.parent.as_ref(),
            }
        }
        None
    }

    /// A receiver that never gets a message, and is disconnected when the context is over: for
    /// [`select!`](crate::select), and to wait for the end by [`recv`](Receiver::recv).
    ///
    /// On a context with a deadline the first call spawns a task that waits for it, until the context is over or its
    /// last handle gone; on a plain OS thread in the [global runtime](crate::Builder::build_global). That task ends with its
    /// runtime; where the context outlives it, ask for a new receiver.
    ///
    /// # Panics
    ///
    /// If that task can't be spawned; see [`spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use fibra::cancel::Context;
    /// use fibra::{channel, select};
    ///
    /// let ctx = Context::background().with_timeout(Duration::from_millis(5));
    /// let (_sender, receiver) = channel::bounded::<i32>(0);
    /// let done = ctx.done();
    /// select! {
    ///     recv(receiver) -> _ => unreachable!("nobody sends"),
    ///     recv(done) -> _ => assert!(ctx.err().is_some()),
    /// }
    /// ```
    pub fn done(&self) -> Receiver<Infallible> {
        let done = self.0.token.cancelled();
        if let Some(at) = self.0.deadline
            && !self.0.token.is_cancelled()
        {
            self.owner().watch(at, &done);
        }
        done
    }

    /// The context that the token was made for: all that share the token keep it alive.
    fn owner(&self) -> &Self {
        let mut owner = self;
        while let (Some(_), Some(parent)) = (&owner.0.value, &owner.0.parent) {
            owner = parent;
        }
        owner
    }

    fn watch(&self, at: Instant, done: &Receiver<Infallible>) {
        // Relaxed, here and in `Watch`: nothing is handed over with it.
        if self.0.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let watch = Watch(Arc::downgrade(&self.0));
        // By itself the receiver keeps nothing alive: if the last handle goes, the watcher learns of it and ends.
        let done = done.clone();
        spawn(move || {
            if done.recv_deadline(at) == Err(channel::RecvTimeoutError::Timeout)
                && let Some(inner) = watch.0.upgrade()
            {
                inner.token.cancel_with(ContextError::DeadlineExceeded);
            }
        });
    }

    /// Runs `f`, and ends it when the context is over: its current or next park then unwinds to here. See the
    /// [module's page](super).
    ///
    /// Parks only where `f` does.
    ///
    /// # Errors
    ///
    /// Why the context was over before `f` came to its end. If it was before the call, `f` is not run at all.
    ///
    /// # Panics
    ///
    /// With the payload of `f`, if that panics.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> Result<R, ContextError> {
        if let Some(error) = self.err() {
            return Err(error);
        }
        let node = self.0.token.node();
        // SAFETY: the core is our own; the registration takes the region out of the token's list when it is dropped.
        let outcome =
            unsafe { region::run(current_core(), self.0.deadline, |region| node.register(region), f) };
        outcome.map_err(|region::Over| self.err().unwrap_or(ContextError::DeadlineExceeded))
    }
}

/// What a watcher knows of its context. When it goes, for whatever reason, the next [`Context::done`] needs a new one: it
/// could not be spawned, or its runtime has ended before the context.
struct Watch(Weak<Inner>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.watched.store(false, Ordering::Relaxed);
        }
    }
}

impl Default for Context {
    /// [`Context::background`].
    fn default() -> Self {
        Self::background()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("deadline", &self.0.deadline)
            .field("is_cancelled", &self.0.token.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl From<ContextError> for std::io::Error {
    /// Of kind [`TimedOut`](std::io::ErrorKind::TimedOut) at the deadline, else [`Other`](std::io::ErrorKind::Other).
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::DeadlineExceeded => Elapsed.into(),
            ContextError::Cancelled => Self::other(error),
        }
    }
}
