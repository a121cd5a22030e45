//! Which signal: its number, its name, and whether a program can listen for it.

use std::ffi::c_int;
use std::{fmt, io};

use crate::os;

/// A signal, by number. The constants have the names that `kill -l` prints; [`Display`](fmt::Display) shows the same.
///
/// # Examples
///
/// ```
/// use fibra::signal::Signal;
///
/// assert_eq!(Signal::SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(2), Signal::SIGINT);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

/// Declares a constant for each signal, and the table of their names.
macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident)*) => {
        impl Signal {
            $($(#[$doc])* pub const $name: Self = Self(libc::$name);)*
        }

        const NAMES: &[(Signal, &str)] = &[$((Signal::$name, stringify!($name)),)*];
    };
}

signals! {
    /// The terminal was closed; daemons take it as "read your configuration again".
    SIGHUP
    /// Ctrl-C on the terminal.
    SIGINT
    /// Ctrl-\ on the terminal: ends the process with a core dump.
    SIGQUIT
    /// An illegal instruction. Can't be listened for.
    SIGILL
    /// A breakpoint. Can't be listened for.
    SIGTRAP
    /// `abort` was called. When a receiver has taken it, `abort` goes on and ends the process.
    SIGABRT
    /// A fault of memory that is mapped but not there. Can't be listened for.
    SIGBUS
    /// An arithmetic fault. Can't be listened for.
    SIGFPE
    /// Ends the process at once. Can't be listened for.
    SIGKILL
    /// For the program to define.
    SIGUSR1
    /// A fault of memory that is not mapped. Can't be listened for.
    SIGSEGV
    /// For the program to define.
    SIGUSR2
    /// A write to a pipe or socket that nobody reads. Rust programs ignore it and get an error from the write.
    SIGPIPE
    /// A timer of `alarm` has run out.
    SIGALRM
    /// A polite request to end: what `kill`, `systemd` and container runtimes send first.
    SIGTERM
    /// A fault of an old coprocessor; nobody sends it.
    SIGSTKFLT
    /// A child process has stopped or ended.
    SIGCHLD
    /// The process goes on after it was stopped.
    SIGCONT
    /// Stops the process. Can't be listened for.
    SIGSTOP
    /// Ctrl-Z on the terminal: stops the process.
    SIGTSTP
    /// A process in the background reads from the terminal.
    SIGTTIN
    /// A process in the background writes to the terminal.
    SIGTTOU
    /// Urgent data has arrived at a socket.
    SIGURG
    /// The limit of processor time was passed.
    SIGXCPU
    /// The limit of a file's size was passed.
    SIGXFSZ
    /// A timer of the process's processor time has run out.
    SIGVTALRM
    /// A timer for profiling has run out.
    SIGPROF
    /// The terminal's window has changed its size.
    SIGWINCH
    /// A descriptor with asynchronous notification is ready.
    SIGIO
    /// The power fails.
    SIGPWR
    /// A system call that is not there or is forbidden. Can't be listened for.
    SIGSYS
}

impl Signal {
    /// The signal of this number. Whether there is one shows when it is used.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The `n`-th real-time signal, counted from 0: `SIGRTMIN+n`; `None` beyond the last.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::signal::Signal;
    ///
    /// assert_eq!(Signal::real_time(3).unwrap().to_string(), "SIGRTMIN+3");
    /// assert_eq!(Signal::real_time(100), None);
    /// ```
    pub fn real_time(n: u32) -> Option<Self> {
        let number = libc::SIGRTMIN().checked_add(i32::try_from(n).ok()?)?;
        (number <= libc::SIGRTMAX()).then_some(Self(number))
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Sends the signal to the calling thread, as C's `raise` does: a test can so check what a program does at it.
    ///
    /// Without a receiver, the process does what it does by default. In a task the thread is its worker's.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such signal.
    pub fn raise(self) -> io::Result<()> {
        os::signal::raise(self.0)
    }

    /// Its bit in a set of signals.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, with the reason, if no program can listen for it.
    pub(super) fn listening_bit(self) -> io::Result<u64> {
        let reason = match self {
            Self::SIGKILL | Self::SIGSTOP => "the system keeps it from every program",
            Self::SIGSEGV | Self::SIGBUS | Self::SIGFPE | Self::SIGILL | Self::SIGTRAP | Self::SIGSYS => {
                "it reports a fault of the running code, which can't go on before the fault is dealt with"
            }
            // Between 31 and the first real-time signal lie those that libc keeps for itself.
            Self(1..=31) => return Ok(self.bit()),
            Self(n) if (libc::SIGRTMIN()..=libc::SIGRTMAX().min(64)).contains(&n) => return Ok(self.bit()),
            _ => "there is no such signal for programs",
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("can't listen for {self}: {reason}")))
    }

    /// Its bit in a set of signals. The number is from 1 to 64.
    pub(super) fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// The signals whose bits are set, lowest number first.
    pub(super) fn in_set(set: u64) -> impl Iterator<Item = Self> {
        (1..=64).map(Self).filter(move |signal| set & signal.bit() != 0)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = NAMES.iter().find(|(signal, _)| signal == self) {
            return f.pad(name);
        }
        let first = libc::SIGRTMIN();
        if (first..=libc::SIGRTMAX()).contains(&self.0) {
            f.pad(&format!("SIGRTMIN+{}", self.0 - first))
        } else {
            f.pad(&format!("signal {}", self.0))
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_every_signal_that_can_be_listened_for() {
        let all: Vec<_> = (1..=64).map(Signal::from_raw).filter(|s| s.listening_bit().is_ok()).collect();
        let set = all.iter().fold(0, |set, signal| set | signal.bit());
        assert_eq!(Signal::in_set(set).collect::<Vec<_>>(), all);
        assert!(all.len() > 50, "{all:?}");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for number in [i32::MIN, -1, 0, 32, 65, i32::MAX] {
            let error = Signal::from_raw(number).listening_bit().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
        }
        assert_eq!(Signal::real_time(u32::MAX), None);
    }
}
