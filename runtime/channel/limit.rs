//! How long an operation may wait.

use std::time::{Duration, Instant};

/// How long an operation may wait.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    Never,
    After(Duration),
    At(Instant),
}

/// A [`Limit`], or what is known to be none when the program is compiled.
pub(crate) trait Until: Copy + Into<Limit> {
    /// The deadline of a wait that begins now; `None` if there must be no wait, `Some(None)` if it may last for ever.
    /// From here on the limit is fixed, however often the operation waits.
    #[expect(clippy::option_option, reason = "three answers")]
    fn fix(&mut self) -> Option<Option<Instant>>;
}

/// [`Limit::Never`] as a type. The plain `send` and `recv` have a slow path of their own by it: to pass a limit and to
/// ask it costs a rendezvous a twentieth of its time.
#[derive(Clone, Copy)]
pub(crate) struct Forever;

impl From<Forever> for Limit {
    fn from(_: Forever) -> Self {
        Self::Never
    }
}

impl Until for Forever {
    #[inline(always)]
    fn fix(&mut self) -> Option<Option<Instant>> {
        Some(None)
    }
}

impl Until for Limit {
    #[inline(always)]
    fn fix(&mut self) -> Option<Option<Instant>> {
        match *self {
            Limit::Never => Some(None),
            Limit::Now => None,
            Limit::At(deadline) => Some(Some(deadline)),
            Limit::After(timeout) => self.fix_after(timeout),
        }
    }
}

impl Limit {
    #[expect(clippy::option_option, reason = "as in `Until::fix`")]
    #[inline(never)]
    fn fix_after(&mut self, timeout: Duration) -> Option<Option<Instant>> {
        // A deadline beyond the clock's range never comes.
        let deadline = Instant::now().checked_add(timeout);
        *self = deadline.map_or(Limit::Never, Limit::At);
        Some(deadline)
    }
}
