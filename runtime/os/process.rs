//! Facts about and settings of this process and its threads.

/// Asks the kernel to end this thread's timed waits on time: the default lets them run 50 µs late.
pub(crate) fn set_timer_slack_to_minimum() {
    // SAFETY: PR_SET_TIMERSLACK takes a number. A refusal only costs precision.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Asks the allocator to give free memory back to the system, if it is one that keeps it.
pub(crate) fn release_heap() {
    // SAFETY: the call takes a number and may be made at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
