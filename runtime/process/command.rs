//! Describing and starting a process.

use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::{fmt, io};

use super::child::Child;
use super::orphans;
use crate::thread::try_blocking;

/// Describes a process to be started: [`std::process::Command`].
///
/// What that has and this has not, the methods of `CommandExt` for example, is in reach through
/// [`as_std_mut`](Self::as_std_mut). Starting a process takes the system a millisecond or so; it is done on
/// the [blocking pool](crate::blocking), so the other tasks of the worker go on.
///
/// # Cancellation
///
/// A [`spawn`](Self::spawn) that still waits for a thread of the pool starts nothing. What has been started
/// goes on, also where the task that waits for it is cancelled: see [`Child`]. The process of a cancelled
/// [`output`](Self::output) or [`status`](Self::status) is not left in the system's table for good: when it
/// has ended, the next `spawn` takes it out.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let output = fibra::process::Command::new("echo").arg("hello").output()?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"hello\n");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Command {
    inner: process::Command,
    /// Which streams were set by hand: standard input, output and error.
    set: [bool; 3],
}

impl Command {
    /// A process that runs `program`, which is looked for in `PATH` if it is a bare name: with our
    /// environment and working directory, without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        process::Command::new(program).into()
    }

    /// Adds an argument. No shell looks at it.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        self.inner.envs(variables);
        self
    }

    /// Leaves a variable out of its environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Begins with an empty environment instead of ours.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets its working directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(dir);
        self
    }

    /// Where its standard input comes from. By default it is ours; a pipe for [`output`](Self::output), where
    /// it is closed at once.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.inner.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// Where its standard output goes: by default to ours, for [`output`](Self::output) to a pipe.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.inner.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// Where its standard error goes: by default to ours, for [`output`](Self::output) to a pipe.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.inner.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Starts it. Parks the task, or blocks the thread, until it runs.
    ///
    /// # Errors
    ///
    /// `NotFound`, `PermissionDenied` and the like, with the program's name; the original error is the
    /// [`source`](std::error::Error::source).
    pub fn spawn(&mut self) -> io::Result<Child> {
        let inner = &mut self.inner;
        orphans::bury();
        let spawned = try_blocking(|| inner.spawn()).flatten();
        spawned.map_err(|error| self.explain(error)).and_then(Child::new)
    }

    /// Starts it, waits for its end, and returns what it has written to its standard output and error, both
    /// of which are pipes unless they were set otherwise. Its standard input is empty.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and those of reading and waiting.
    pub fn output(&mut self) -> io::Result<Output> {
        self.fill_in(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // As before, should it be spawned again.
        self.fill_in(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Starts it and waits for its end. Its streams are ours, unless they were set otherwise.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and those of waiting.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait_once()
    }

    /// Sets the streams that were not set by hand.
    fn fill_in(&mut self, stdin: fn() -> Stdio, others: fn() -> Stdio) {
        let [stdin_set, stdout_set, stderr_set] = self.set;
        if !stdin_set {
            self.inner.stdin(stdin());
        }
        if !stdout_set {
            self.inner.stdout(others());
        }
        if !stderr_set {
            self.inner.stderr(others());
        }
    }

    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        let program = self.get_program().to_string_lossy().into_owned();
        io::Error::new(error.kind(), SpawnError { program, source: error })
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set or, with `None`, left out.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// std's command inside, for what only that can. Streams that are set there are not known to
    /// [`output`](Self::output), which sets them anew.
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.inner
    }
}

/// As from [`Command::as_std_mut`].
impl From<process::Command> for Command {
    fn from(inner: process::Command) -> Self {
        Self { inner, set: [false; 3] }
    }
}

/// A process that did not start.
#[derive(Debug)]
struct SpawnError {
    program: String,
    source: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {:?}: {}", self.program, self.source)
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
