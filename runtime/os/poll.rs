//! `poll`: how a plain thread waits for one descriptor, and how anybody asks whether it is ready.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use super::check;

/// Waits until `fd` reports one of `events`, an error or a hang-up, at most for `timeout` (`None`: for ever). Returns what
/// it reported; 0 if the time is up, or if a signal came.
pub(crate) fn poll(
    fd: BorrowedFd<'_>,
    events: libc::c_short,
    timeout: Option<Duration>,
) -> io::Result<libc::c_short> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let spec = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let spec = spec.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `entry` and `spec` live through the call; there is one entry; no signal mask is given.
    match check(unsafe { libc::ppoll(&mut entry, 1, spec, ptr::null()) }) {
        Ok(_) => Ok(entry.revents),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}
