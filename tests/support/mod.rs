//! What several test binaries need: child processes, handshakes, and the process's own figures from `/proc`.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// No test is slower than this on any machine; who waits longer has found a hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

const CHILD: &str = "FIBRA_TEST_CHILD";

/// Runs `body` in a process of its own and returns what that wrote and how it ended.
///
/// The child is this test binary, told to run the test `name` alone: it arrives here again, runs `body` and exits.
pub fn in_child(name: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Output {
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        body();
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
    command.env(CHILD, name).env_remove("RUST_BACKTRACE").env_remove("FIBRA_WORKERS");
    command.envs(variables.iter().copied());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            // SAFETY: a plain system call; the child is ours and has not been waited for.
            unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) };
            panic!("the child process of {name} hangs");
        }
    }
}

/// What a child wrote to its standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How often `needle` occurs.
pub fn count(haystack: &str, needle: &str) -> usize {
    haystack.matches(needle).count()
}

/// Waits for a condition that others bring about: gives way to them in between, and fails after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        // Works in a task and on a plain thread; the short sleep lets a machine with one core go on.
        fibra::sleep(Duration::from_micros(200));
    }
}

/// Runs `f` when dropped.
pub struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    pub fn new(f: F) -> Self {
        Self(Some(f))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0.take().unwrap())();
    }
}

/// Counts how many [`Counted`] of its have been dropped.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

/// Adds one to its [`Drops`] when dropped.
pub struct Counted(Arc<AtomicUsize>);

impl Drops {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn counted(&self) -> Counted {
        Counted(self.0.clone())
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The message of a panic's payload.
pub fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a payload that is no message")
}

/// A figure of `/proc/self/status` in KiB.
pub fn status_kib(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Resident memory in KiB.
pub fn rss_kib() -> usize {
    status_kib("VmRSS:")
}

/// How many OS threads the process has.
pub fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// How many file descriptors the process has open, that of the listing included.
pub fn fd_count() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The names and directories of the process's OS threads.
pub fn threads() -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir("/proc/self/task").unwrap();
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        // A thread may end between the listing and this.
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((name.trim_end().to_owned(), path))
    });
    named.collect()
}

/// Runs `f` on a thread with a big stack and returns its value, or fails if it hangs.
#[track_caller]
pub fn within_patience<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let builder = thread::Builder::new().stack_size(64 << 20);
    let thread = builder.spawn(move || drop(sender.send(f()))).unwrap();
    match receiver.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("this hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

/// The epoll instances of this process that watch the descriptor of this number.
pub fn watchers(fd: i32) -> Vec<std::path::PathBuf> {
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap().filter_map(|entry| {
        // A descriptor may be closed between the listing and this.
        let path = entry.ok()?.path();
        let info = fs::read_to_string(&path).ok()?;
        let mut targets =
            info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next());
        targets.any(|target| target == fd.to_string()).then_some(path)
    });
    infos.collect()
}
