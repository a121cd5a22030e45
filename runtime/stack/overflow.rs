//! The report of a stack overflow.
//!
//! ```text
//! SIGSEGV ─▶ is the address in the guard of the slot that the code ran on?
//!              yes ─▶ name the task, say how to raise its size, abort
//!              no  ─▶ what the process did at SIGSEGV before us: std's report for ordinary threads, a user's
//!                     handler, or death by the signal
//! ```
//!
//! All of it is async-signal-safe: no lock, no allocation, one `write`. Whatever wants to go wrong here, such as a
//! describer that faults itself, ends in the death by SIGSEGV that it would have been without us.

use std::fmt::{self, Write};
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::arena;
use super::class::Class;
use super::guard;
use crate::os::signal::{self, Action};

/// Writes which task runs on this thread, as in "task 17 'name'", into the buffer, cut off if it does not fit; returns
/// the length, 0 if there is no task. Must be async-signal-safe.
pub(crate) type Describer = fn(&mut [u8]) -> usize;

static DESCRIBER: OnceLock<Describer> = OnceLock::new();

/// What the process did at SIGSEGV before [`install`].
static PREVIOUS: OnceLock<Action> = OnceLock::new();

/// Sets who describes the current task. The first one stays.
pub(crate) fn set_describer(describer: Describer) {
    // A second call comes from a second runtime, with the same function.
    let _ = DESCRIBER.set(describer);
}

/// Has overflows of task stacks reported, from now on and once for the process.
pub(crate) fn install() -> io::Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    // In this order: the handler may run as soon as it is installed, and forwards to what it finds.
    let previous = Action::current(libc::SIGSEGV)?;
    let ours = PREVIOUS.get_or_init(|| previous).replaced_by(on_fault);
    // SAFETY: see `on_fault`.
    unsafe { ours.install(libc::SIGSEGV) }
}

/// The signal handler. Takes no lock and allocates nothing, so it may interrupt anything.
unsafe extern "C" fn on_fault(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO valid pointers; a fault's `info` has an address.
    let overflowed = unsafe {
        signal::is_fault(&*info)
            .then(|| overflowed_class((*info).si_addr().addr(), signal::stack_pointer(context)))
            .flatten()
    };
    if let Some(class) = overflowed {
        report(class);
        std::process::abort();
    }
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: we replace that action, and these are our arguments.
        unsafe { previous.forward(number, info, context) };
    }
}

/// The class of the slot whose guard the code ran into: `fault` lies in the guard, and the stack pointer in the same
/// slot, or in the one below, if a large frame has stepped over the guard. A stray pointer into another task's guard is
/// no overflow.
fn overflowed_class(fault: usize, stack_pointer: usize) -> Option<Class> {
    let place = arena::find(fault)?;
    let size = place.class.slot_size();
    let own = place.limit.saturating_sub(size)..=place.limit + size;
    (fault - place.limit < guard::size() && own.contains(&stack_pointer)).then_some(place.class)
}

fn report(class: Class) {
    let mut line = Line { bytes: [0; 1024], len: 0 };
    // A line that is too long is cut off, which is no reason not to print it.
    let _ = write_report(&mut line, class);
    // SAFETY: the bytes are initialised. If nobody reads standard error, there is nobody to tell.
    unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len) };
}

fn write_report(line: &mut Line, class: Class) -> fmt::Result {
    line.write_str("\n")?;
    let room = &mut line.bytes[1..513];
    match DESCRIBER.get().map_or(0, |describe| describe(room)) {
        0 => line.write_str("a task")?,
        described => line.len += described.min(512),
    }
    let size = class.usable();
    writeln!(line, " has overflowed its stack of {size} bytes ({} KiB)", size >> 10)?;
    line.write_str(
        "fibra: give this task a larger one with `fibra::thread::Builder::stack_size`, or all tasks with \
         `fibra::Builder::stack_size`,\nor make the call that needs it on the worker's own stack with \
         `fibra::on_thread_stack`\n",
    )
}

/// Text of limited length.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Output;

    use super::super::testing::{in_child, is_child};
    use super::super::{Cache, Class, Stack};
    use super::*;

    #[test]
    fn only_the_guard_of_the_stack_in_use_is_an_overflow() {
        let cache = Cache::new();
        let stack = cache.lend(Class::DEFAULT).unwrap();
        let (limit, base) = (stack.limit().get(), stack.base().get());
        let overflows = |fault, sp| overflowed_class(fault, sp) == Some(Class::DEFAULT);
        assert!(overflows(limit, limit + 5));
        assert!(overflows(limit + guard::size() - 1, limit + guard::size() + 100));
        assert!(overflows(limit + 100, limit - 70_000), "a large frame");
        assert!(!overflows(limit + guard::size(), base - 100), "not in the guard");
        assert!(!overflows(limit + 100, &raw const stack as usize), "another stack runs");
        assert!(!overflows(0, base - 100), "a null pointer");
        cache.give_back(stack);
    }

    #[test]
    fn a_report_that_does_not_fit_is_cut_off() {
        let mut line = Line { bytes: [0; 1024], len: 1020 };
        assert!(line.write_str("abcdef").is_err());
        assert_eq!(&line.bytes[1020..], b"abcd");
        assert_eq!(line.len, 1024);
    }

    fn child(test: &str, case: &str) -> (Output, String) {
        let output = in_child(&format!("stack::overflow::tests::{test}"), |c| {
            c.env("CASE", case);
        });
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output, errors)
    }

    fn case() -> String {
        std::env::var("CASE").unwrap()
    }

    /// Moves the stack pointer into `stack` and faults `below` bytes under the end of its usable part.
    fn fault_on(stack: &Stack, below: usize) {
        let (sp, address) = (stack.base().get() - 4096, stack.limit().get() + guard::size() - below);
        // SAFETY: the code writes to a guard, which does not return; the registers need no saving for that.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::asm!("mov rsp, {0}", "mov byte ptr [{1}], 1", "ud2", in(reg) sp, in(reg) address)
        };
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            std::arch::asm!("mov sp, {0}", "strb wzr, [{1}]", "udf #0", in(reg) sp, in(reg) address)
        };
    }

    #[test]
    fn an_overflow_is_reported_with_task_and_size_and_aborts() {
        if is_child() {
            let _alternate = super::super::AltStack::enter().unwrap();
            if case() == "described" {
                set_describer(|out| {
                    out[..14].copy_from_slice(b"task 17 'deep'");
                    14
                });
            }
            install().unwrap();
            install().unwrap();
            fault_on(&Cache::new().lend(Class::DEFAULT).unwrap(), 8);
            unreachable!();
        }
        for (case, who) in [("described", "task 17 'deep'"), ("bare", "a task")] {
            let (output, errors) = child("an_overflow_is_reported_with_task_and_size_and_aborts", case);
            assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{errors}");
            let size = Class::DEFAULT.usable();
            let expected = format!("\n{who} has overflowed its stack of {size} bytes");
            assert!(errors.contains(&expected) && errors.contains("Builder::stack_size"), "{errors}");
        }
    }

    extern "C" fn old_style(_: libc::c_int) {
        let text = b"old style\n";
        // SAFETY: the text is there; `_exit` runs nothing of ours.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::_exit(41)
        }
    }

    unsafe extern "C" fn new_style(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel's `info`; `_exit` runs nothing of ours.
        unsafe { libc::_exit((*info).si_addr().addr() as i32) }
    }

    /// Makes `handler` what the process does at SIGSEGV.
    fn set(handler: usize, flags: libc::c_int) {
        // SAFETY: the handlers of these tests cope with a signal at any time.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
        }
    }

    #[test]
    fn other_faults_and_sent_signals_end_as_they_would_without_us() {
        let test = "other_faults_and_sent_signals_end_as_they_would_without_us";
        if is_child() {
            let case = case();
            let (previous, cause) = case.split_once(' ').unwrap();
            match previous {
                "std" => {}
                "default" => set(libc::SIG_DFL, 0),
                "ignore" => set(libc::SIG_IGN, 0),
                "old" => set(old_style as *const () as usize, 0),
                "new" => set(new_style as *const () as usize, libc::SA_SIGINFO | libc::SA_RESETHAND),
                _ => unreachable!(),
            }
            install().unwrap();
            let times = ["fault", "sent", "sent-twice"].iter().position(|&c| c == cause).unwrap();
            if times == 0 {
                // SAFETY: it faults, as intended.
                unsafe { std::ptr::without_provenance_mut::<u8>(42).write_volatile(1) };
            }
            for _ in 0..times {
                // SAFETY: takes a number.
                unsafe { libc::raise(libc::SIGSEGV) };
            }
            std::process::exit(7);
        }
        let died = (None, Some(libc::SIGSEGV));
        for (case, expected) in [
            ("std fault", died),
            // std's handler restores the default and returns, so the second one kills.
            ("std sent", (Some(7), None)),
            ("std sent-twice", died),
            ("default fault", died),
            ("default sent", died),
            ("ignore fault", died),
            ("ignore sent-twice", (Some(7), None)),
            ("old fault", (Some(41), None)),
            ("old sent", (Some(41), None)),
            ("new fault", (Some(42), None)),
        ] {
            let (output, errors) = child(test, case);
            assert_eq!((output.status.code(), output.status.signal()), expected, "{case}: {errors}");
            assert!(!errors.contains("overflowed"), "{case}: {errors}");
        }
    }

    #[test]
    fn an_overflow_of_a_thread_is_still_reported_by_std() {
        #[allow(unconditional_recursion)]
        fn recurse(n: u64) -> u64 {
            std::hint::black_box(recurse(std::hint::black_box(n + 1))) + 1
        }
        if is_child() {
            install().unwrap();
            let thread = std::thread::Builder::new().name("plain".into());
            drop(thread.spawn(|| recurse(0)).unwrap().join());
            unreachable!();
        }
        let (output, errors) = child("an_overflow_of_a_thread_is_still_reported_by_std", "");
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{errors}");
        assert!(errors.contains("thread 'plain'") && errors.contains("has overflowed its stack"), "{errors}");
        assert!(!errors.contains("fibra:"), "{errors}");
    }
}
