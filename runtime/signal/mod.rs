//! Signals of the system, as messages on channels, and an orderly end of the program.
//!
//! [`signal()`] and [`signals`] make a receiver of the signals that come from now on, [`ctrl_c`] one for the commonest;
//! [`Shutdown`] is for servers that want to finish what they have begun. All of it works from tasks of any runtime and
//! from plain OS threads. It goes by the rules of Go's `signal.Notify`:
//!
//! - *Every receiver gets the signal*, if several were made for it; the clones of one receiver share, as those of every
//!   channel do.
//! - *Signals coalesce.* A receiver that has not been looked at holds each signal once, however often it came. It says:
//!   since you last took this, it has come at least once.
//! - *While somebody listens, the default action is off*: a program with a receiver for SIGTERM is not ended by it.
//! - *When nobody listens any more, it is on again.* A signal that meets no receiver, since all for it were dropped, does
//!   what it did before the first was made, even if one was dropped without having been looked at.
//! - *Handlers that were installed before keep being called*, and so are ours by libraries that chain likewise. A handler
//!   that is installed later without chaining takes the signal for itself.
//!
//! A signal takes the way of a handler that notes it, and a thread named `fibra-signal` that hands it out; the first use
//! starts that thread. It sleeps while no signal comes. It is not one of any runtime's workers, so that a program whose
//! workers are all busy learns of its end nevertheless.
//!
//! # Examples
//!
//! ```
//! use fibra::signal::{self, Signal};
//!
//! # fn read_configuration() {}
//! let hangups = signal::signal(Signal::SIGHUP)?;
//! let (reloaded, reloads) = fibra::channel::unbounded();
//! fibra::spawn(move || {
//!     for hangup in hangups {
//!         read_configuration();
//!         reloaded.send(hangup).unwrap();
//!     }
//! });
//! Signal::SIGHUP.raise()?; // what `kill -HUP` does from outside
//! assert_eq!(reloads.recv(), Ok(Signal::SIGHUP));
//! # Ok::<(), std::io::Error>(())
//! ```

mod dispatch;
mod handler;
mod kind;
mod notify;
mod shutdown;

pub use kind::Signal;
pub use notify::{ctrl_c, signal, signals};
pub use shutdown::{Shutdown, ShutdownGuard, StillRunning};
