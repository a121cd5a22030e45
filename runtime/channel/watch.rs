//! A value that some change and others watch: receivers see the latest one, and not all that came between.
//!
//! Values are shared, not copied: reading one costs the increment of a counter, and holds up no sender however long it
//! is kept. Both ends work from tasks and from plain OS threads; the value's type has to be `Send` and `Sync` for that.
//!
//! # Examples
//!
//! ```
//! use fibra::channel::watch;
//!
//! fibra::run(|| {
//!     let (level, watched) = watch::channel("info");
//!     let logger = fibra::go!({
//!         let mut seen = vec![*watched.borrow()];
//!         while let Ok(level) = watched.recv() {
//!             seen.push(*level);
//!         }
//!         seen
//!     });
//!     fibra::yield_now();
//!     level.send("debug").unwrap();
//!     drop(level);
//!     let seen = logger.join().unwrap();
//!     assert_eq!(seen.last(), Some(&"debug"));
//! });
//! ```

use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::arm::{Arm, Poll, Token};
use super::error::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use super::limit::Limit;
use super::macro_arm::{Receive, RecvArm};
use super::packet::{Node, Packet, Role, Wakes};
use super::run::receive;
use crate::sync::Mutex;
use crate::task::waiter::{Selected, WaitQueue};
use crate::util::spin::{RawSpin, SpinLock};

/// Makes a watched value. The first receiver has seen this one.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state =
        State { value: Arc::new(value), version: 0, senders: 1, receivers: 1, waiting: WaitQueue::new() };
    let core = Arc::new(Core { state: SpinLock::new(state), modifying: Mutex::new(()) });
    (Sender(core.clone()), Receiver { core, seen: AtomicU64::new(0) })
}

struct Core<T> {
    state: SpinLock<State<T>>,
    /// Held by who makes a value out of the last one.
    modifying: Mutex<()>,
}

struct State<T> {
    // Whoever waits has seen this version, and there are senders.
    value: Arc<T>,
    version: u64,
    senders: usize,
    receivers: usize,
    waiting: WaitQueue<Packet>,
}

impl<T> Core<T> {
    /// Puts a value in place of the last one, which is returned.
    fn replace(&self, value: Arc<T>) -> Arc<T> {
        let mut wakes = Wakes::new();
        let mut state = self.state.lock();
        let old = mem::replace(&mut state.value, value);
        state.version += 1;
        wakes.append(state.waiting.claim_all(Selected::Retry));
        drop(state);
        old
    }

    fn value(&self) -> Arc<T> {
        self.state.lock().value.clone()
    }
}

/// Changes the value; clone it to have several.
pub struct Sender<T>(Arc<Core<T>>);

impl<T> Sender<T> {
    /// Sets a new value. The old one is dropped when nobody reads it any more.
    ///
    /// Parks only while another sender is in [`send_modify`](Self::send_modify). If the task is cancelled meanwhile, the
    /// value is dropped and nothing has changed.
    ///
    /// # Errors
    ///
    /// Gives the value back if there are no receivers.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Sets a new value, also if nobody watches, and returns the old one. Parks as [`send`](Self::send) does.
    pub fn send_replace(&self, value: T) -> Arc<T> {
        let _modifying = self.0.modifying.lock();
        self.0.replace(Arc::new(value))
    }

    /// Changes the value: `modify` gets a copy of it, which then takes its place. Parks while another sender does so.
    ///
    /// If `modify` panics, or the task is cancelled, nothing has changed. `modify` and the value's `clone` may park, but must
    /// not send to this channel: they would wait for themselves.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let modifying = self.0.modifying.lock();
        let mut value = T::clone(&self.0.value());
        modify(&mut value);
        let old = self.0.replace(Arc::new(value));
        // Its destructor may send in its turn.
        drop(modifying);
        drop(old);
    }

    /// The value.
    pub fn borrow(&self) -> Arc<T> {
        self.0.value()
    }

    /// Another receiver, which has seen the value of now.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.0.state.lock();
        state.receivers += 1;
        Receiver { core: self.0.clone(), seen: AtomicU64::new(state.version) }
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.0.state.lock().receivers
    }

    /// Whether both change the same value.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Watches the value; each clone keeps its own account of what it has seen.
pub struct Receiver<T> {
    core: Arc<Core<T>>,
    /// The version seen last. Written under the lock.
    seen: AtomicU64,
}

impl<T> Receiver<T> {
    /// The latest value. It still counts as not seen, if it was.
    pub fn borrow(&self) -> Arc<T> {
        self.core.value()
    }

    /// The latest value, which is seen now.
    pub fn borrow_and_update(&self) -> Arc<T> {
        let state = self.core.state.lock();
        // Relaxed: the lock orders it.
        self.seen.store(state.version, Ordering::Relaxed);
        state.value.clone()
    }

    /// Whether there is a value that has not been seen.
    ///
    /// # Errors
    ///
    /// If there is none, and all senders are gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let state = self.core.state.lock();
        match state.version != self.seen.load(Ordering::Relaxed) {
            false if state.senders == 0 => Err(RecvError),
            changed => Ok(changed),
        }
    }

    /// The latest value if it has not been seen, and now it is; never parks.
    ///
    /// # Errors
    ///
    /// If it has been seen, or also all senders are gone.
    pub fn try_recv(&self) -> Result<Arc<T>, TryRecvError> {
        self.recv_within(Limit::Now).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Parks until there is a value that has not been seen, and returns the latest. If the task is cancelled meanwhile,
    /// nothing has been seen.
    ///
    /// In [`select!`](crate::select) a `recv` arm does the same.
    ///
    /// # Errors
    ///
    /// If the last value has been seen and all senders are gone.
    pub fn recv(&self) -> Result<Arc<T>, RecvError> {
        self.recv_within(Limit::Never).map_err(|_| RecvError)
    }

    /// As [`recv`](Self::recv), but parks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the time is up; or if the last value has been seen and all senders are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<T>, RecvTimeoutError> {
        self.recv_within(Limit::After(timeout))
    }

    /// As [`recv`](Self::recv), but parks until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// If the time is up; or if the last value has been seen and all senders are gone.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Arc<T>, RecvTimeoutError> {
        self.recv_within(Limit::At(deadline))
    }

    /// Parks until `wanted` accepts the latest value, which may be one that has been seen, and returns it.
    ///
    /// # Errors
    ///
    /// If it does not accept the last one, and all senders are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = fibra::channel::watch::channel(0);
    /// fibra::spawn(move || (1..=10).for_each(|i| tx.send(i).unwrap_or(())));
    /// assert!(*rx.wait_for(|&n| n >= 5).unwrap() >= 5);
    /// ```
    pub fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        let mut value = self.borrow_and_update();
        while !wanted(&value) {
            value = self.recv()?;
        }
        Ok(value)
    }

    fn recv_within(&self, limit: Limit) -> Result<Arc<T>, RecvTimeoutError> {
        // SAFETY: the arm is one of `Arc<T>`; with this token there is one in the slot, and it is taken once.
        unsafe {
            receive(self, limit, |token, slot| match token {
                Token::Message => Ok(slot.take()),
                _ => Err(RecvTimeoutError::Disconnected),
            })
        }
        .unwrap_or(Err(RecvTimeoutError::Timeout))
    }

    /// Whether both watch the same value.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}

impl<T> Receive for Receiver<T> {
    type Slot = Arc<T>;
    type Message = Arc<T>;
    type Error = RecvError;

    fn recv_arm(&self) -> RecvArm<'_, Arc<T>, Result<Arc<T>, RecvError>> {
        // SAFETY: as in `recv_within`.
        unsafe {
            RecvArm::new(self, |token, slot| match token {
                Token::Message => Ok(slot.take()),
                _ => Err(RecvError),
            })
        }
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
        if self.seen.swap(state.version, Ordering::Relaxed) != state.version {
            // SAFETY: by the contract the slot is empty and fits.
            unsafe { slot.cast::<Arc<T>>().write(state.value.clone()) };
            Poll::Ready(Token::Message)
        } else if state.senders == 0 {
            Poll::Ready(Token::Closed)
        } else {
            Poll::Pending
        }
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: by the contract we hold the lock.
        let state = unsafe { self.core.state.locked() };
        state.version != self.seen.load(Ordering::Relaxed) || state.senders == 0
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

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let mut state = self.core.state.lock();
        state.receivers += 1;
        let seen = AtomicU64::new(self.seen.load(Ordering::Relaxed));
        Self { core: self.core.clone(), seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.core.state.lock().receivers -= 1;
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
