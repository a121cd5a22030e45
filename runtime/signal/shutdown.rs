//! An orderly end: one request that everybody sees, and the work that is to be finished first.
//!
//! The request is the end of a channel that never carries a message: its one sender is dropped. So it is there for all
//! who wait and all who come later, and fits wherever a receiver does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::dispatch::{Answer, Listener, listen};
use super::kind::Signal;
use crate::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crate::sync::{WaitGroup, WaitGroupGuard};

/// A signal that comes again within this time is taken for the same one: a terminal and a parent process, or `timeout`,
/// send what a user meant once.
const SAME: Duration = Duration::from_millis(500);

/// A request to end the program in good order, by SIGINT, SIGTERM or the program itself; and a count of the work that is
/// to be finished first.
///
/// Clones are one and the same. The request is made once and stays. The first signal of each kind is a request; *the same
/// signal again, half a second later or more, ends the process at once*, as it does by default, unless another receiver
/// listens for it: whoever runs a server that hangs in its shutdown presses ctrl-C once more. When all clones and guards
/// are gone, the signals do what they did before (see the [module's page](super)).
///
/// It knows of connections what it is told: each piece of work holds a [guard](Self::guard), or is spawned by
/// [`go`](Self::go), and [`drain`](Self::drain) waits for all of them.
///
/// **Parks**: [`wait`](Self::wait), [`wait_timeout`](Self::wait_timeout) and [`drain`](Self::drain), tasks and OS threads
/// alike; a cancelled task unwinds out of them, and the request and the count stay as they are.
///
/// # Examples
///
/// A server that answers what has arrived, and then ends:
///
/// ```
/// use std::time::Duration;
/// use fibra::{channel, signal::{Shutdown, Signal}};
///
/// # fn answer(_: u32) {}
/// let shutdown = Shutdown::new()?;
/// let (requests, arriving) = channel::unbounded();
/// # (0..100).for_each(|i| requests.send(i).unwrap());
///
/// let stop = shutdown.clone();
/// let server = fibra::spawn(move || {
///     while !stop.is_requested() {
///         if let Ok(request) = arriving.recv_timeout(Duration::from_millis(10)) {
///             stop.go(move || answer(request));
///         }
///     }
///     stop.drain(Duration::from_secs(10))
/// });
///
/// # Signal::SIGTERM.raise()?;
/// shutdown.wait(); // for ctrl-C or SIGTERM
/// assert_eq!(shutdown.signal(), Some(Signal::SIGTERM));
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// One that waits in `accept` needs somebody who closes its listener:
///
/// ```
/// use std::time::Duration;
/// use fibra::net::{TcpListener, TcpStream};
/// use fibra::signal::Shutdown;
///
/// fibra::run(|| {
///     let shutdown = Shutdown::new()?;
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     # let _client = TcpStream::connect(listener.local_addr()?)?;
///     let (stop, closer) = (shutdown.clone(), listener.try_clone()?);
///     fibra::go!({
///         stop.wait();
///         closer.close(); // ends the loop below
///     });
///     for stream in listener.incoming() {
///         let stream = stream?;
///         shutdown.go(move || drop(stream)); // or rather: serve it
///         # shutdown.request();
///     }
///     shutdown.drain(Duration::from_secs(10))?;
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

struct Inner {
    /// Set when the end is requested: the signal that did it, if it was one.
    cause: OnceLock<Option<Signal>>,
    /// Dropped after `cause` is set.
    keeps_open: Mutex<Option<Sender<()>>>,
    closes: Receiver<()>,
    work: WaitGroup,
}

impl Shutdown {
    /// Listens for SIGINT (ctrl-C) and SIGTERM.
    ///
    /// # Errors
    ///
    /// The system's error if it refuses a thread, the first time.
    pub fn new() -> io::Result<Self> {
        Self::on([Signal::SIGINT, Signal::SIGTERM])
    }

    /// Listens for these signals; with none, only [`request`](Self::request) requests the end.
    ///
    /// # Errors
    ///
    /// As [`signal()`](super::signal()).
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::signal::{Shutdown, Signal};
    ///
    /// let shutdown = Shutdown::on([Signal::SIGQUIT, Signal::SIGHUP])?;
    /// Signal::SIGHUP.raise()?;
    /// shutdown.wait();
    /// assert_eq!(shutdown.signal(), Some(Signal::SIGHUP));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on(signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let (sender, closes) = bounded(1);
        let inner = Arc::new(Inner {
            cause: OnceLock::new(),
            keeps_open: Mutex::new(Some(sender)),
            closes,
            work: WaitGroup::new(),
        });
        let signals: Vec<_> = signals.into_iter().collect();
        if !signals.is_empty() {
            listen(&signals, Box::new(Requester { inner: Arc::downgrade(&inner), came: Vec::new() }))?;
        }
        Ok(Self { inner })
    }

    /// Requests the end; a second request does nothing. Never parks.
    pub fn request(&self) {
        self.inner.request(None);
    }

    /// Whether the end was requested.
    pub fn is_requested(&self) -> bool {
        self.inner.cause.get().is_some()
    }

    /// The signal that requested the end; `None` if nothing has yet, or the program did so itself.
    pub fn signal(&self) -> Option<Signal> {
        self.inner.cause.get().copied().flatten()
    }

    /// Parks until the end is requested.
    pub fn wait(&self) {
        // The channel carries no messages, so this is its end.
        let _ = self.inner.closes.recv();
    }

    /// Parks until the end is requested, but no longer than `timeout`; returns whether it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let shutdown = fibra::signal::Shutdown::new()?;
    /// let mut rounds = 0;
    /// while !shutdown.wait_timeout(Duration::from_millis(5)) {
    ///     rounds += 1; // what is to be done every 5 ms
    ///     if rounds == 3 {
    ///         shutdown.request();
    ///     }
    /// }
    /// assert_eq!(rounds, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.inner.closes.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }

    /// A receiver that never gets a message and ends when the end is requested: every receive from it, also a later one,
    /// then returns an error. For those who wait for several things at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::TryRecvError;
    ///
    /// let shutdown = fibra::signal::Shutdown::new()?;
    /// let stop = shutdown.receiver();
    /// assert_eq!(stop.try_recv(), Err(TryRecvError::Empty));
    /// shutdown.request();
    /// assert_eq!(stop.try_recv(), Err(TryRecvError::Disconnected));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn receiver(&self) -> Receiver<()> {
        self.inner.closes.clone()
    }

    /// Counts one piece of work, such as a connection, until the guard is dropped, also by a panic. It may be taken after
    /// the request as well.
    pub fn guard(&self) -> ShutdownGuard {
        ShutdownGuard { _work: self.inner.work.guard(), _shutdown: self.clone() }
    }

    /// Spawns a detached task that is counted as one piece of work until `f`, and all that `f` owns, is gone.
    ///
    /// The task belongs to the caller's runtime, or on a plain thread to the global one.
    ///
    /// # Panics
    ///
    /// As [`spawn`](fn@crate::spawn) does, if no task can be made. A panic of `f` itself is reported on stderr and goes no
    /// further.
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        // It goes on listening for the signals meanwhile.
        let shutdown = self.clone();
        self.inner.work.go(move || {
            f();
            drop(shutdown);
        });
    }

    /// How many guards are alive.
    pub fn alive(&self) -> usize {
        self.inner.work.count()
    }

    /// Parks until no guard is alive, but no longer than `timeout`. Requests nothing: that comes before, and so does the
    /// end of the loop that accepts new work.
    ///
    /// # Errors
    ///
    /// If the time is up: how many are alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let shutdown = fibra::signal::Shutdown::new()?;
    /// let connection = shutdown.guard();
    /// shutdown.request();
    ///
    /// let error = shutdown.drain(Duration::from_millis(5)).unwrap_err();
    /// assert_eq!((error.count(), error.to_string()), (1, "1 piece of work is still running".to_owned()));
    ///
    /// fibra::spawn(move || drop(connection));
    /// shutdown.drain(Duration::from_secs(10))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn drain(&self, timeout: Duration) -> Result<(), StillRunning> {
        if self.inner.work.wait_timeout(timeout) { Ok(()) } else { Err(StillRunning(self.alive().max(1))) }
    }
}

impl Inner {
    fn request(&self, by: Option<Signal>) {
        if self.cause.set(by).is_ok() {
            let sender = self.keeps_open.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(sender); // Without the lock: it wakes those who wait.
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("requested", &self.is_requested())
            .field("signal", &self.signal())
            .field("alive", &self.alive())
            .finish()
    }
}

/// One piece of work that a [`Shutdown`] waits for; see [`Shutdown::guard`].
#[must_use = "a guard that is dropped at once counts nothing"]
pub struct ShutdownGuard {
    _work: WaitGroupGuard,
    /// Goes on listening for the signals.
    _shutdown: Shutdown,
}

impl fmt::Debug for ShutdownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownGuard").finish_non_exhaustive()
    }
}

/// The error of [`Shutdown::drain`]: the time was up, and some work had not ended. As an [`io::Error`] it is of the kind
/// `TimedOut`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillRunning(usize);

impl StillRunning {
    /// How many pieces of work had not ended.
    pub fn count(self) -> usize {
        self.0
    }
}

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 piece of work is still running"),
            n => write!(f, "{n} pieces of work are still running"),
        }
    }
}

impl std::error::Error for StillRunning {}

impl From<StillRunning> for io::Error {
    fn from(error: StillRunning) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// Turns signals into the request.
struct Requester {
    inner: Weak<Inner>,
    /// When each signal came first.
    came: Vec<(Signal, Instant)>,
}

impl Listener for Requester {
    fn deliver(&mut self, signal: Signal) -> Answer {
        let Some(inner) = self.inner.upgrade() else { return Answer::Declined };
        match self.came.iter().find(|(came, _)| *came == signal) {
            Some((_, at)) if at.elapsed() >= SAME => return Answer::Declined,
            Some(_) => {}
            None => self.came.push((signal, Instant::now())),
        }
        inner.request(Some(signal));
        Answer::Taken
    }

    fn is_gone(&self) -> bool {
        self.inner.strong_count() == 0
    }
}
