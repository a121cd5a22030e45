//! What the kernel knows about a process: this one, or another by its id.

use std::fs;
use std::io::Error;

/// User and system time of all threads so far, in seconds.
pub fn cpu_seconds() -> f64 {
    // SAFETY: `rusage` is plain old data, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `rusage`, which is all that the call writes.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    assert_eq!(failed, 0, "getrusage: {}", Error::last_os_error());
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The same of the process `pid`, to the nanosecond.
pub fn cpu_seconds_of(pid: u32) -> f64 {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: the pointer is to a live clock id, which is all that the call writes.
    let failed = unsafe { libc::clock_getcpuclockid(pid as i32, &mut clock) };
    assert_eq!(failed, 0, "no process {pid}: {}", Error::from_raw_os_error(failed));
    // SAFETY: the pointer is to a live `timespec`, which is all that the call writes.
    let failed = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(failed, 0, "the clock of process {pid}: {}", Error::last_os_error());
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A field of `/proc/self/status` that is given in kB (`VmRSS`, `VmHWM`, `VmPTE`), in bytes.
pub fn status_bytes(field: &str) -> u64 {
    status_bytes_of(std::process::id(), field)
}

/// The same of the process `pid`.
pub fn status_bytes_of(pid: u32, field: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    number(&status, field).unwrap_or_else(|| panic!("no {field} in {path}")) * 1024
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

/// Lets this process open as many files as it may without asking anybody.
pub fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`, which is all that the call writes.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(failed, 0, "getrlimit: {}", Error::last_os_error());
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(failed, 0, "setrlimit: {}", Error::last_os_error());
}

fn number(status: &str, field: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}
