//! What the tests of this layer share: child processes, and this process's memory.

use std::process::{Command, Output};
use std::{env, fs};

use super::slot::Stack;

const MARK: &str = "FIBRA_TEST_CHILD";

/// Runs one test of this program in a process of its own, where [`is_child`] is true.
pub(super) fn in_child(test: &str, prepare: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(MARK, "1");
    command.env_remove(super::guard::SETTING);
    prepare(&mut command);
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("running 1 test"), "no test is called {test}");
    output
}

pub(super) fn is_child() -> bool {
    env::var_os(MARK).is_some()
}

/// Writes to a stack's first bytes, as a shallow task would.
pub(super) fn touch(stack: &Stack) {
    let top: *mut u64 = std::ptr::with_exposed_provenance_mut(stack.base().get() - 8);
    // SAFETY: a lent slot's memory is ours alone, and the base is aligned to 16.
    unsafe { top.write_volatile(1) };
}

/// The resident memory of this process in bytes, without pages of files: code comes in as it is first run.
pub(super) fn resident() -> usize {
    status("RssAnon:")
}

/// The page tables of this process, in bytes.
pub(super) fn page_tables() -> usize {
    status("VmPTE:")
}

/// A figure of `/proc/self/status` in bytes.
fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
