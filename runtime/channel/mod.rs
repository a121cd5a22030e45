//! Channels: queues that tasks and OS threads pass messages through, with `crossbeam-channel`'s API.
//!
//! A channel has any number of senders and receivers; each message goes to one receiver. [`bounded`] limits how many
//! messages may lie in it, and `bounded(0)` holds none: sender and receiver meet. [`unbounded`] takes as many as there
//! is memory for. Both ends work from tasks and from plain OS threads, mixed as you like.
//!
//! When all senders of a channel are dropped, its receivers get what is left and then an error, which ends their
//! iterators. When all receivers are dropped, the messages left in it are dropped too, and senders get theirs back in
//! an error.
//!
//! **Order and fairness.** Messages come out in the order in which they went in. Those who wait are served first come,
//! first served, and whoever comes later can't overtake them.
//!
//! **Choosing.** [`select!`] waits for one of several operations, [`Select`] for one out of a list. [`after`], [`at`],
//! [`tick`] and [`never`](never()) make receivers for the arms of such a choice. A `select!` makes the message of a `send` arm
//! when it has chosen that arm. A receiver that has been chosen for it waits until then: so long no timeout and no
//! cancellation ends its wait, and on a channel of capacity 0 a [`try_recv`](Receiver::try_recv) may park.
//!
//! **Other kinds.** [`oneshot`] carries one message, [`watch`] the latest value, [`broadcast`] every message to every
//! receiver. Their receivers may stand in `select!` too.
//!
//! **Cancellation.** A task that is cancelled while it waits unwinds with its message not sent (it is dropped by the
//! unwinding), or with no message received. A message is never lost or sent twice.
//!
//! **Time slices.** Every call is a point where a task that has run for long gives way to others, also if it does not have
//! to wait. Of the calls that never wait, `try_send`, `try_recv` and a `select!` with a `default` arm, only one that fails
//! is: so others go on while a loop tries in vain.
//!
//! **Destructors.** Messages that are dropped with their channel are dropped in their order. If the destructor of one
//! panics, those behind it are not dropped, but leaked.
//!
//! # Examples
//!
//! ```
//! use fibra::channel;
//!
//! fibra::run(|| {
//!     let (tx, rx) = channel::bounded(4);
//!     for id in 0..3 {
//!         let tx = tx.clone();
//!         fibra::spawn(move || tx.send(id * 10).unwrap());
//!     }
//!     drop(tx);
//!     assert_eq!(rx.iter().sum::<i32>(), 30);
//! });
//! ```

mod arm;
pub mod broadcast;
mod buffer;
mod clock;
mod core;
mod error;
mod flavour;
mod given;
mod handles;
mod iter;
mod limit;
mod macro_arm;
mod mail;
#[cfg(all(test, fibra_loom))]
mod model;
pub mod oneshot;
mod packet;
#[cfg(feature = "futures")]
mod polled;
mod receiver;
mod ring;
mod run;
mod segments;
mod select;
mod select_macro;
mod sender;
mod sides;
#[cfg(test)]
mod tests;
pub mod watch;

pub(crate) use self::{
    core::Channel,
    limit::{Forever, Limit, Until},
    macro_arm::{Receive, RecvArm},
    mail::Mail,
};
pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
#[cfg(feature = "futures")]
pub(crate) use polled::Polled;

pub use iter::{IntoIter, Iter, TryIter};
pub use receiver::Receiver;
pub use select::{Select, SelectedOperation};
pub use select_macro::{select, select_biased};
pub use sender::Sender;

/// What the select macros expand to.
#[doc(hidden)]
pub mod __select {
    pub use super::given::Given;
    pub use super::macro_arm::{
        Receive, RecvArm, SendArm, choose, choose_now, choose_within, impossible, send_arm,
    };
}

use std::time::{Duration, Instant};

use clock::Clock;
use flavour::Flavour;

/// Makes a channel that holds at most `capacity` messages; with 0 each send waits for its receive.
///
/// The memory for all messages is allocated here, and none later.
///
/// # Panics
///
/// If the messages would take more than `isize::MAX` bytes.
///
/// # Examples
///
/// ```
/// use fibra::channel::{TrySendError, bounded};
///
/// let (tx, rx) = bounded(1);
/// tx.send("first").unwrap();
/// assert_eq!(tx.try_send("second"), Err(TrySendError::Full("second")));
/// assert_eq!(rx.recv(), Ok("first"));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    handles(Flavour::bounded(capacity))
}

/// Makes a channel that holds any number of messages, so that sending never waits.
///
/// Nothing slows a sender down that is faster than the receivers: prefer [`bounded`] where that can happen. Memory is
/// allocated as messages come, some dozens at a time.
///
/// # Examples
///
/// ```
/// let (tx, rx) = fibra::channel::unbounded();
/// (0..1000).for_each(|i| tx.send(i).unwrap());
/// drop(tx);
/// assert_eq!(rx.iter().sum::<u32>(), 499_500);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    handles(Flavour::unbounded())
}

fn handles<T>(flavour: Flavour<T>) -> (Sender<T>, Receiver<T>) {
    (Sender::new(flavour.share()), Receiver::new(flavour))
}

/// Makes a receiver that gets one message, the current time, when `duration` has passed.
///
/// Clones share that message. Nothing runs meanwhile: the message is made when somebody looks for it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::channel::{after, select, unbounded};
///
/// let (_tx, rx) = unbounded::<i32>();
/// select! {
///     recv(rx) -> msg => unreachable!("nobody sent {msg:?}"),
///     recv(after(Duration::from_millis(5))) -> _ => println!("too late"),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    Instant::now().checked_add(duration).map_or_else(never, at)
}

/// Makes a receiver that gets one message, `when` itself, at that moment; as [`after`].
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(fibra::channel::at(when).recv(), Ok(when));
/// assert!(Instant::now() >= when);
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::of_clock(Clock::at(when))
}

/// Makes a receiver that gets the current time each time that `duration` has passed.
///
/// At most one message waits: who receives late misses some, and the next is due a `duration` after that. A receiver
/// that always waits in time gets them at exact intervals.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticks = fibra::channel::tick(Duration::from_millis(2));
/// assert_eq!(ticks.iter().take(3).count(), 3);
/// assert!(start.elapsed() >= Duration::from_millis(6));
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(first) => Receiver::of_clock(Clock::tick(first, duration)),
        None => never(),
    }
}

/// Makes a receiver that never gets a message and never learns that there will be none: for an arm of a select that is
/// there only sometimes.
///
/// # Examples
///
/// ```
/// use fibra::channel::{Receiver, never, select, unbounded};
///
/// let (tx, rx) = unbounded();
/// tx.send(1).unwrap();
/// let pause: Option<Receiver<()>> = None;
/// select! {
///     recv(rx) -> msg => assert_eq!(msg, Ok(1)),
///     recv(pause.unwrap_or(never())) -> _ => unreachable!("there is no pause"),
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::of_nothing()
}
