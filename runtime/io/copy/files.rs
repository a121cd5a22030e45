//! Copying between files, on the blocking pool, by `copy_file_range`: some file systems then share the
//! blocks.

use std::io::{self, ErrorKind};

use crate::fs::File;

/// What one trip to the pool moves at most, so that a cancelled task need not wait for a whole disk.
const MOST_AT_ONCE: usize = 16 << 20;

/// Copies until the kernel has no more or won't go on, which are not told apart: some files, those in `/proc`
/// for example, seem empty to it. A read tells.
pub(super) fn as_far_as_possible(from: &File, to: &File, copied: &mut u64) -> io::Result<()> {
    loop {
        match from.move_range(to, MOST_AT_ONCE)? {
            Ok(0) => return Ok(()),
            Ok(n) => *copied += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Not on this file system, or not between these two; or a read and a write meet it again, and
            // name the file.
            Err(_) => return Ok(()),
        }
    }
}
