//! Tokens: cancellation that is handed around, as a tree.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use super::registry::Node;
pub use super::registry::Reason;
use crate::channel::Receiver;
use crate::task::cancel::Cancelled;
use crate::task::park::current_core;
use crate::task::region;

/// The permission to stop some code, and the means to learn of it.
///
/// Clones are handles of the same token. A [`child`](Self::child) is cancelled with its parent, and can be cancelled
/// alone. Dropping tokens cancels nothing: see [`drop_guard`](Self::drop_guard).
///
/// None of its functions parks, except for what [`run`](Self::run) is given to do.
///
/// # Examples
///
/// ```
/// use fibra::cancel::Token;
///
/// fibra::run(|| {
///     let token = Token::new();
///     let worker = {
///         let token = token.clone();
///         fibra::spawn(move || token.run(|| fibra::thread::park())) // any blocking code
///     };
///     token.cancel();
///     assert!(worker.join().unwrap().is_err());
/// });
/// ```
///
/// In a `select!`, and in a loop:
///
/// ```
/// use fibra::{cancel::Token, channel, select};
///
/// fn sum(numbers: &channel::Receiver<u64>, token: &Token) -> u64 {
///     let mut sum = 0;
///     let cancelled = token.cancelled();
///     loop {
///         select! {
///             recv(numbers) -> number => sum += number.unwrap_or(0),
///             recv(cancelled) -> _ => return sum,
///         }
///     }
/// }
///
/// let (sender, numbers) = channel::bounded(0);
/// let token = Token::new();
/// let task = fibra::spawn({
///     let token = token.clone();
///     move || sum(&numbers, &token)
/// });
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// token.cancel();
/// assert_eq!(task.join().unwrap(), 3);
/// ```
#[derive(Clone)]
pub struct Token(Arc<Node>);

impl Token {
    /// A token that nobody else can cancel.
    pub fn new() -> Self {
        Self(Node::root())
    }

    /// A token that is cancelled with this one, for the same reason, or alone.
    ///
    /// It keeps its ancestors alive; this token forgets it when its last handle is dropped.
    #[must_use = "the child is a token of its own"]
    pub fn child(&self) -> Self {
        Self(self.0.child())
    }

    /// Cancels the token and its descendants: what runs under them unwinds at its current or next park. Later calls do
    /// nothing.
    ///
    /// The [`reason`](Self::reason) is [`Cancelled`]. Takes time proportional to the descendants and what runs under them.
    pub fn cancel(&self) {
        if !self.is_cancelled() {
            self.0.cancel(&(Arc::new(Cancelled) as Reason));
        }
    }

    /// As [`cancel`](Self::cancel), for a reason. The first reason stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::cancel::Token;
    ///
    /// let token = Token::new();
    /// token.cancel_with("the disk is full");
    /// assert_eq!(token.reason().unwrap().to_string(), "the disk is full");
    /// ```
    pub fn cancel_with(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.0.cancel(&Reason::from(reason.into()));
    }

    /// Whether the token has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Why it was cancelled; `None` while it is not.
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason()
    }

    /// A receiver that never gets a message, and is disconnected when the token is cancelled: for
    /// [`select!`](crate::select), and to wait for the cancellation by [`recv`](Receiver::recv), which then returns the
    /// error.
    ///
    /// If all handles of the token are dropped first, it is disconnected too, since nobody can cancel the token any more.
    /// A descendant keeps it alive.
    pub fn cancelled(&self) -> Receiver<Infallible> {
        self.0.receiver()
    }

    /// Runs `f`; when the token is cancelled, the current or next park inside `f` unwinds to here. See the
    /// [module's page](super).
    ///
    /// Parks only where `f` does.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if `f` was ended early. If the token was cancelled before, `f` is not run at all.
    ///
    /// # Panics
    ///
    /// With the payload of `f`, if that panics.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> Result<R, Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        // SAFETY: the core is our own; the registration takes the region out of the token's list when it is dropped.
        unsafe { region::run(current_core(), None, |region| self.0.register(region), f) }
            .map_err(|region::Over| Cancelled)
    }

    /// A guard that cancels the token when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::cancel::Token;
    ///
    /// let token = Token::new();
    /// let child = token.child();
    /// drop(token.drop_guard());
    /// assert!(child.is_cancelled());
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard(Some(self))
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Token {
    /// Whether both are handles of the same token.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// Cancels its [`Token`] when dropped.
#[derive(Debug)]
pub struct DropGuard(Option<Token>);

impl DropGuard {
    /// Hands the token back, and cancels nothing.
    pub fn disarm(mut self) -> Token {
        self.0.take().expect("only this function takes the token")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.cancel();
        }
    }
}
