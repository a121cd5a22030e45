//! How many files and sockets a process may have open.

use std::mem::MaybeUninit;
use std::{io, process};

/// Lets this process, and those that it starts, open so many. If it may not, it ends, and says who can allow it.
pub fn allow(needed: u64) {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills in the limit.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) };
    assert!(got == 0, "getrlimit: {}", io::Error::last_os_error());
    // SAFETY: it has done so.
    let limit = unsafe { limit.assume_init() };
    let (most, raised) = (limit.rlim_max, limit.rlim_max.max(needed));
    let raised = libc::rlimit { rlim_cur: limit.rlim_cur.max(needed), rlim_max: raised };
    // SAFETY: the call only reads the limit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } != 0 {
        eprintln!(
            "{}: {needed} file descriptors are needed, and this process may not open more than {most}: have root raise \
             that (`ulimit -Hn {needed}`, LimitNOFILE= of a systemd unit, or `hard nofile` in \
             /etc/security/limits.conf), or choose fewer connections",
            env!("CARGO_BIN_NAME")
        );
        process::exit(1)
    }
}
