//! The guard at the low end of every slot: 32 KiB in which every access faults.
//!
//! One page would stop a Rust function, which probes each page of a large frame. C code does not, and would step over
//! a page right into the neighbour's frames.
//!
//! ```text
//! kind of guard         cost              limit                                   where
//! marker (Linux 6.13)   0.4–0.8 µs        none, it takes no map entry             page tables
//! mprotect              2 map entries     near 32,000 stacks (vm.max_map_count)   mappings
//! ```
//!
//! Each arena finds out for itself which kind it gets, since part of a process's memory may be locked, and there the
//! kernel refuses markers. Both kinds survive `MADV_DONTNEED`. A slot that can't be guarded is never lent.

use std::env;
use std::io;
use std::sync::OnceLock;

use crate::os::mmap::{self, Access, Advice};

/// The environment variable that chooses the kind of guard.
pub(super) const SETTING: &str = "FIBRA_STACK_GUARD";

/// What makes the accesses fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Marker,
    Mprotect,
}

/// How wide a guard is: 32 KiB, or a page where pages are larger.
#[inline]
pub(super) fn size() -> usize {
    (32 << 10).max(mmap::page_size())
}

/// The kind of guard that the environment asks for; markers if it does not, `None` if it asks for something else.
pub(super) fn preferred() -> Option<Kind> {
    match env::var_os(SETTING) {
        None => Some(Kind::Marker),
        Some(value) if value == "mprotect" => Some(Kind::Mprotect),
        Some(_) => None,
    }
}

/// Guards the slot at `limit`, by a marker only if `kind` says so and the kernel agrees; returns the kind that it was.
/// Doing it twice does no harm.
///
/// # Safety
///
/// `limit` is where a slot begins, and nobody uses that slot.
pub(super) unsafe fn install(kind: Kind, limit: usize) -> io::Result<Kind> {
    if kind == Kind::Marker {
        // SAFETY: the range is the slot's lowest part, and unused like all of it.
        match unsafe { mmap::advise(limit, size(), Advice::GuardInstall) } {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Ok(()) if !markers_work(limit) => {}
            result => return result.map(|()| Kind::Marker),
        }
    }
    // SAFETY: as above.
    unsafe { mmap::protect(limit, size(), Access::Nothing) }.map(|()| Kind::Mprotect)
}

/// Whether a marker that has just been installed at `address` really guards it. Emulated kernels answer "done" to advice
/// that they don't know, and every stack would be unguarded. Asked once per process.
fn markers_work(address: usize) -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| !mmap::is_readable(address))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::testing::{in_child, is_child};
    use super::super::{Cache, Class};
    use super::*;

    /// Dies by a fault if `offset` bytes above a stack's limit is guarded; else exits.
    fn touch(offset: usize) {
        let stack = Cache::new().lend(Class::DEFAULT).unwrap();
        let byte: *mut u8 = std::ptr::with_exposed_provenance_mut(stack.limit().get() + offset);
        // SAFETY: a lent slot's memory is ours; its guard kills us, as intended.
        unsafe { byte.write_volatile(1) };
    }

    /// Whether all of a guard faults, and the byte above it does not, with `guard` in the environment.
    fn check(test: &str, guard: Option<&str>) {
        if is_child() {
            touch(env::var("OFFSET").unwrap().parse().unwrap());
            return;
        }
        for offset in [0, 1, size() / 2, size() - 1] {
            let status = in_child(test, |c| {
                c.env("OFFSET", offset.to_string()).envs(guard.map(|g| (SETTING, g)));
            })
            .status;
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "at {offset}");
        }
        let status = in_child(test, |c| {
            c.env("OFFSET", size().to_string()).envs(guard.map(|g| (SETTING, g)));
        })
        .status;
        assert!(status.success());
    }

    #[test]
    fn every_byte_of_a_guard_faults_and_none_above() {
        check("stack::guard::tests::every_byte_of_a_guard_faults_and_none_above", None);
    }

    #[test]
    fn every_byte_of_a_forced_mprotect_guard_faults_and_none_above() {
        check(
            "stack::guard::tests::every_byte_of_a_forced_mprotect_guard_faults_and_none_above",
            Some("mprotect"),
        );
    }

    #[test]
    fn an_unknown_kind_of_guard_is_an_error_that_names_setting_and_value() {
        if is_child() {
            println!("{}", Cache::new().lend(Class::DEFAULT).unwrap_err());
            return;
        }
        let name = "stack::guard::tests::an_unknown_kind_of_guard_is_an_error_that_names_setting_and_value";
        let output = in_child(name, |c| {
            c.env(SETTING, "wood");
        });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("FIBRA_STACK_GUARD=wood") && text.contains("mprotect"), "{text}");
    }

    #[test]
    fn too_many_mprotect_guards_are_an_error_and_the_stacks_until_then_work() {
        if is_child() {
            let cache = Cache::new();
            let mut stacks = Vec::new();
            let error = loop {
                match cache.lend(Class::DEFAULT) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => break error,
                }
            };
            println!("{} stacks, then: {error}", stacks.len());
            let n = stacks.len();
            stacks.into_iter().for_each(|s| cache.give_back(s));
            let again: Vec<_> = (0..n).map(|_| cache.lend(Class::DEFAULT).unwrap()).collect();
            println!("all {} lent again", again.len());
            return;
        }
        let name =
            "stack::guard::tests::too_many_mprotect_guards_are_an_error_and_the_stacks_until_then_work";
        let allowed: u64 =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if allowed > 100_000 {
            println!("skipped: vm.max_map_count is {allowed} here");
            return;
        }
        let output = in_child(name, |c| {
            c.env(SETTING, "mprotect");
        });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("vm.max_map_count") && text.contains("lent again"), "{text}");
    }
}
