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

impl Limit {
    /// The deadline of a wait that begins now; `None` if there must be no wait, `Some(None)` if it may last for ever.
    /// From here on the limit is fixed, however often the operation waits.
    #[expect(clippy::option_option, reason = "three answers")]
    #[inline(always)]
    pub(crate) fn fix(&mut self) -> Option<Option<Instant>> {
        match *self {
            Limit::Never => Some(None),
            Limit::Now => None,
            Limit::At(deadline) => Some(Some(deadline)),
            Limit::After(timeout) => self.fix_after(timeout),
        }
    }

    #[expect(clippy::option_option, reason = "as above")]
    #[inline(never)]
    fn fix_after(&mut self, timeout: Duration) -> Option<Option<Instant>> {
        // A deadline beyond the clock's range never comes.
        let deadline = Instant::now().checked_add(timeout);
        *self = deadline.map_or(Limit::Never, Limit::At);
        Some(deadline)
    }
}
