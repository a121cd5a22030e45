//! `epoll`: one instance, waits with nanosecond timeouts where the kernel has `epoll_pwait2` (Linux 5.11).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::check;

/// Set once `epoll_pwait2` has answered `ENOSYS` or has been refused; from then on timeouts are rounded up to a
/// millisecond. Relaxed everywhere: the flag guards nothing, a late reader makes one useless call.
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

/// One epoll instance.
pub(crate) struct Epoll(OwnedFd);

/// An event to be filled in by [`Epoll::wait`].
pub(crate) const NO_EVENT: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above has just opened `fd`, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for `events`; each report carries `key`.
    pub(crate) fn add(&self, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: key };
        // SAFETY: `event` lives through the call, which only reads it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
    }

    /// Watches `fd` no more.
    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: no pointers are passed; since Linux 2.6.9 the event may be null.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) })
            .map(drop)
    }

    /// Waits for events, at most for `timeout` (`None`: for ever), and returns how many it wrote to `events`.
    /// A signal ends the wait with 0 events.
    pub(crate) fn wait(
        &self,
        events: &mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let result = if timeout.is_none_or(|t| t.is_zero()) || NO_PWAIT2.load(Ordering::Relaxed) {
            self.wait_ms(events, timeout)
        } else {
            self.wait_ns(events, timeout)
        };
        match result {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
    }

    fn wait_ns(&self, events: &mut [libc::epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
        let spec = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        let spec_ptr = spec.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: `events` and `spec` live through the call; the length is that of `events`; no signal mask is given.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX),
                spec_ptr,
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if n >= 0 {
            return Ok(n as usize);
        }
        let error = io::Error::last_os_error();
        // Old kernels lack the call (ENOSYS); some sandboxes refuse what they don't know (EPERM).
        if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            NO_PWAIT2.store(true, Ordering::Relaxed);
            return self.wait_ms(events, timeout);
        }
        Err(error)
    }

    fn wait_ms(&self, events: &mut [libc::epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
        let ms = timeout.map_or(-1, |t| {
            // Rounded up: waking early would spin until the deadline is reached.
            t.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX)
        });
        let capacity = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: `events` lives through the call and holds `capacity` entries.
        check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), capacity, ms) })
            .map(|n| n as usize)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
