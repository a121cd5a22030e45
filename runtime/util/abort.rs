//! The end of the process after a broken invariant.

use std::io::Write;

/// Ends the process: an invariant of the runtime no longer holds, and going on would touch freed memory.
#[cold]
pub(crate) fn abort(message: &str) -> ! {
    // The process is about to die; there is nobody left to hand a write error to.
    let _ = writeln!(std::io::stderr(), "fibra: fatal: {message}; aborting");
    std::process::abort()
}

/// Aborts when it is dropped: placed in front of code that must not unwind, forgotten behind it.
pub(crate) struct AbortOnDrop(pub(crate) &'static str);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        abort(self.0)
    }
}
