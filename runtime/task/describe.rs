//! The running task in words, for the report of a stack overflow.

use std::io::Write;

use super::current;

/// Writes `task 17 'name'` to `out`, as far as it fits, and returns how many bytes that took; 0 if no task runs.
///
/// Called by a signal handler: allocates nothing, takes no lock.
pub(crate) fn describe(out: &mut [u8]) -> usize {
    let Some(task) = current::task() else { return 0 };
    let room = out.len();
    let mut rest = out;
    let name = task.core.name.as_deref().unwrap_or("<unnamed>");
    // Out of room: what fits has been written.
    let _ = write!(rest, "task {} '{name}'", task.core.id);
    room - rest.len()
}
