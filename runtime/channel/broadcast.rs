//! A channel whose every message goes to every receiver, and that never makes its senders wait.
//!
//! It holds a bounded number of messages. A receiver that falls behind by more loses the oldest ones, and is told how
//! many. A message is kept until every receiver has it; the last to come gets it without a copy.
//!
//! ```text
//!             first                                 first + len
//! messages:   | a, left 1 | b, left 1 | c, left 2 |
//!               ▲ slow receiver         ▲ quick receiver       left: receivers that have not had it yet
//! ```
//!
//! Both ends work from tasks and from plain OS threads; the messages' type has to be `Clone`, `Send` and `Sync` for that.
//!
//! # Examples
//!
//! ```
//! use fibra::channel::broadcast::{self, RecvError};
//!
//! let (tx, first) = broadcast::channel(2);
//! let second = tx.subscribe();
//! for i in 1..=3 {
//!     tx.send(i).unwrap();
//!     assert_eq!(first.recv(), Ok(i));
//! }
//! assert_eq!(second.recv(), Err(RecvError::Lagged(1)));
//! assert_eq!(second.recv(), Ok(2));
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::arm::{Arm, Poll, Token};
use super::error::SendError;
use super::limit::Limit;
use super::macro_arm::{Receive, RecvArm};
use super::packet::{Node, Packet, Role, Slot, Wakes};
use super::run::receive;
use crate::task::waiter::{Selected, WaitQueue};
use crate::util::spin::{RawSpin, SpinLock};

/// Why a receiver has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// All senders are gone, and their messages received.
    Closed,
    /// So many messages have been lost. The next call gets the oldest one that is left.
    Lagged(u64),
}

/// Why [`try_recv`](Receiver::try_recv) has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is none now.
    Empty,
    /// All senders are gone, and their messages received.
    Closed,
    /// So many messages have been lost. The next call gets the oldest one that is left.
    Lagged(u64),
}

/// Why [`recv_timeout`](Receiver::recv_timeout) or [`recv_deadline`](Receiver::recv_deadline) has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// There was none all the time.
    Timeout,
    /// All senders are gone, and their messages received.
    Closed,
    /// So many messages have been lost. The next call gets the oldest one that is left.
    Lagged(u64),
}

/// Makes a channel that holds `capacity` messages.
///
/// The memory for all of them is allocated here; each message then takes one allocation.
///
/// # Panics
///
/// If the capacity is 0, or takes more than `isize::MAX` bytes.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel holds at least one message");
    let state = State {
        messages: VecDeque::with_capacity(capacity),
        first: 0,
        senders: 1,
        receivers: 1,
        waiting: WaitQueue::new(),
    };
    let core = Arc::new(Core { state: SpinLock::new(state), capacity });
    (Sender(core.clone()), Receiver { core, next: AtomicU64::new(0) })
}

struct Core<T> {
    state: SpinLock<State<T>>,
    capacity: usize,
}

struct State<T> {
    // `left` does not fall from one message to the next, so messages leave at the front. It is 0 only of messages that a
    // receiver's end is about to pop.
    // Whoever waits has had all messages, and there are senders.
    messages: VecDeque<Message<T>>,
    /// The number of the first message here.
    first: u64,
    senders: usize,
    receivers: usize,
    waiting: WaitQueue<Packet>,
}

struct Message<T> {
    message: Arc<T>,
    /// How many receivers have not had it.
    left: usize,
}

impl<T> State<T> {
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// The oldest message leaves.
    fn pop(&mut self) -> Option<Arc<T>> {
        let message = self.messages.pop_front()?;
        self.first += 1;
        Some(message.message)
    }
}

/// Sends to all receivers; clone it to have several.
pub struct Sender<T>(Arc<Core<T>>);

impl<T> Sender<T> {
    /// Sends to all receivers of now, and returns how many these are. Never parks: if the channel is full, the oldest
    /// message is dropped.
    ///
    /// # Errors
    ///
    /// Gives the message back if there is no receiver.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let message = Arc::new(message);
        let mut wakes = Wakes::new();
        let mut state = self.0.state.lock();
        let left = state.receivers;
        if left == 0 {
            drop(state);
            let message = Arc::into_inner(message).expect("nobody else has got it");
            return Err(SendError(message));
        }
        let overwritten = if state.messages.len() == self.0.capacity { state.pop() } else { None };
        state.messages.push_back(Message { message, left });
        wakes.append(state.waiting.claim_all(Selected::Retry));
        drop(state);
        drop(wakes);
        drop(overwritten);
        Ok(left)
    }

    /// Another receiver, for all messages that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        self.0.subscribe()
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.0.state.lock().receivers
    }

    /// How many messages are kept for receivers.
    pub fn len(&self) -> usize {
        self.0.state.lock().messages.len()
    }

    /// Whether every receiver has had all messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Core<T> {
    fn pop_superfluous(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        if state.messages.front().is_some_and(|message| message.left == 0) { state.pop() } else { None }
    }

    fn subscribe(self: &Arc<Self>) -> Receiver<T> {
        let mut state = self.state.lock();
        state.receivers += 1;
        Receiver { core: self.clone(), next: AtomicU64::new(state.end()) }
    }
}

/// Receives all messages that are sent while it exists.
pub struct Receiver<T> {
    core: Arc<Core<T>>,
    /// The number of the next message to receive. Used under the lock.
    next: AtomicU64,
}

impl<T> Receiver<T> {
    /// Another receiver of the channel, for all messages that are sent from now on.
    pub fn resubscribe(&self) -> Self {
        self.core.subscribe()
    }

    /// How many messages this one can still receive or has lost.
    pub fn len(&self) -> usize {
        let state = self.core.state.lock();
        (state.end() - self.next.load(Ordering::Relaxed)) as usize
    }

    /// Whether it has had all messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// Takes the next message, or counts the lost ones. For who holds the lock.
    fn take(&self, state: &mut State<T>) -> Option<Result<Arc<T>, u64>> {
        // Relaxed: the lock orders it.
        let next = self.next.load(Ordering::Relaxed);
        if next < state.first {
            self.next.store(state.first, Ordering::Relaxed);
            return Some(Err(state.first - next));
        }
        let message = state.messages.get_mut((next - state.first) as usize)?;
        self.next.store(next + 1, Ordering::Relaxed);
        message.left -= 1;
        // Behind one that is about to be popped by a receiver's end, this one will be too.
        if message.left > 0 || next > state.first {
            return Some(Ok(message.message.clone()));
        }
        state.pop().map(Ok)
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message if there is one; never parks.
    ///
    /// # Errors
    ///
    /// If there is none, now or for ever, or if messages have been lost.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.recv_within(Limit::Now) {
            Some(result) => result.map_err(|error| match error {
                RecvError::Closed => TryRecvError::Closed,
                RecvError::Lagged(count) => TryRecvError::Lagged(count),
            }),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives the next message; parks until there is one. If the task is cancelled meanwhile, it has received nothing.
    ///
    /// In [`select!`](crate::select) a `recv` arm does the same.
    ///
    /// # Errors
    ///
    /// If all senders are gone, or if messages have been lost.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_within(Limit::Never).unwrap_or(Err(RecvError::Closed))
    }

    /// As [`recv`](Self::recv), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the time is up, if all senders are gone, or if messages have been lost.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_within_time(Limit::After(timeout))
    }

    /// As [`recv`](Self::recv), but parks until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// If the time is up, if all senders are gone, or if messages have been lost.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within_time(Limit::At(deadline))
    }

    fn recv_within_time(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        match self.recv_within(limit) {
            Some(result) => result.map_err(|error| match error {
                RecvError::Closed => RecvTimeoutError::Closed,
                RecvError::Lagged(count) => RecvTimeoutError::Lagged(count),
            }),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    fn recv_within(&self, limit: Limit) -> Option<Result<T, RecvError>> {
        // SAFETY: the arm is one of `Arc<T>`, and `result` is made for its tokens.
        unsafe { receive(self, limit, result) }
    }
}

impl<T: Clone> Receive for Receiver<T> {
    type Slot = Arc<T>;
    type Message = T;
    type Error = RecvError;

    fn recv_arm(&self) -> RecvArm<'_, Arc<T>, Result<T, RecvError>> {
        // SAFETY: as in `recv_within`.
        unsafe { RecvArm::new(self, result) }
    }
}

/// What a token of a receiver means.
///
/// # Safety
///
/// The receiver has answered this token, with this slot; called once.
unsafe fn result<T: Clone>(token: Token, slot: &Slot<Arc<T>>) -> Result<T, RecvError> {
    match token {
        // SAFETY: with this token there is a message in the slot, and it is taken once.
        Token::Message => Ok(Arc::unwrap_or_clone(unsafe { slot.take() })),
        Token::Lagged(count) => Err(RecvError::Lagged(count)),
        _ => Err(RecvError::Closed),
    }
}

// SAFETY: the lock is the core's, and the queue lies behind it.
unsafe impl<T> Arm for Receiver<T> {
    fn lock(&self) -> Option<&RawSpin> {
        Some(self.core.state.raw())
    }

    fn role(&self) -> Role {
        Role::Look
    }

    unsafe fn poll(&self, slot: *mut (), _wakes: &mut Wakes) -> Poll {
        // SAFETY: by the contract we hold the lock.
        let state = unsafe { self.core.state.locked() };
        match self.take(state) {
            Some(Ok(message)) => {
                // SAFETY: by the contract the slot is empty and fits.
                unsafe { slot.cast::<Arc<T>>().write(message) };
                Poll::Ready(Token::Message)
            }
            Some(Err(lost)) => Poll::Ready(Token::Lagged(lost)),
            None if state.senders == 0 => Poll::Ready(Token::Closed),
            None => Poll::Pending,
        }
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: by the contract we hold the lock.
        let state = unsafe { self.core.state.locked() };
        state.end() != self.next.load(Ordering::Relaxed) || state.senders == 0
    }

    unsafe fn enqueue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.core.state.locked().waiting.push_back(node) }
    }

    unsafe fn dequeue(&self, node: &Node) {
        // SAFETY: by the contract.
        unsafe { self.core.state.locked().waiting.remove(node) }
    }

    unsafe fn abort(&self, _token: Token) {}
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut wakes = Wakes::new();
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            wakes.append(state.waiting.claim_all(Selected::Retry));
        }
        drop(state);
    }
}

impl<T> Drop for Receiver<T> {
    /// Messages that only this one had not had are dropped.
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        state.receivers -= 1;
        let unread = self.next.load(Ordering::Relaxed).saturating_sub(state.first) as usize;
        // All at once: a message that is sent now does not count us, and must not be had by all before an older one is.
        state.messages.iter_mut().skip(unread).for_each(|message| message.left -= 1);
        drop(state);
        drop(Discard(&self.core));
    }
}

/// Drops the messages that everybody has had or will never have.
struct Discard<'a, T>(&'a Core<T>);

impl<T> Drop for Discard<'_, T> {
    fn drop(&mut self) {
        // One at a time, and each without the lock: its destructor may do anything.
        while let Some(message) = self.0.pop_superfluous() {
            // Goes on if that one's destructor panics: messages that nobody waits for must not stay.
            let rest = Discard(self.0);
            drop(message);
            mem::forget(rest);
        }
    }
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

const CLOSED: &str = "all senders of the broadcast are gone";

fn write_lag(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    write!(f, "the receiver fell behind and lost {count} messages")
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, count),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("no message is there"),
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, count),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timeout => f.write_str("no message came in time"),
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, count),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
