//! What the kernel knows about this process.

use std::fs;

/// User and system time of all threads so far, in seconds.
pub fn cpu_seconds() -> f64 {
    // SAFETY: `rusage` is plain old data, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `rusage`, which is all that the call writes.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    assert_eq!(failed, 0, "getrusage: {}", std::io::Error::last_os_error());
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A field of `/proc/self/status` that is given in kB (`VmRSS`, `VmHWM`, `VmPTE`), in bytes.
pub fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    number(&status, field).unwrap_or_else(|| panic!("no {field} in /proc/self/status")) * 1024
}

/// How often the threads of this process, all but the calling one, have gone to sleep of their own will.
pub fn wakeups_of_others() -> u64 {
    // SAFETY: takes no arguments and cannot fail.
    let me = unsafe { libc::gettid() }.to_string();
    let threads = fs::read_dir("/proc/self/task").expect("/proc is mounted").flatten();
    threads
        .filter(|thread| thread.file_name() != *me)
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
        .filter_map(|status| number(&status, "voluntary_ctxt_switches"))
        .sum()
}

fn number(status: &str, field: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}
