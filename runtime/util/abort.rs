//! The end of the process after a broken invariant.

/// Writes a line to stderr: the few reports for which there is nobody to return an error to. `eprintln!` would panic
/// where stderr can't be written.
macro_rules! report {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($message)*);
    }};
}
pub(crate) use report;

/// Ends the process: an invariant of the runtime no longer holds, and going on would touch freed memory.
#[cold]
pub(crate) fn abort(message: &str) -> ! {
    report!("fibra: fatal: {message}; aborting");
    std::process::abort()
}

/// Aborts when it is dropped: placed in front of code that must not unwind, forgotten behind it.
pub(crate) struct AbortOnDrop(pub(crate) &'static str);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        abort(self.0)
    }
}
