//! How long those who find a lock held look again before they park, and how long they let others pass.

use std::time::Duration;

/// How long the first waiter puts up with others who take the lock ahead of it, before it is handed over.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);

/// Looks again a few times for a holder on another worker that is about to unlock; most critical sections are short.
/// Returns whether `take` succeeded. Where others wait already the holder has kept the lock for longer, so this gives up.
///
/// The pauses are long on purpose, some 1 to 2 µs in all their turns. While nobody looks, the holder's worker has the
/// lock's cache line for itself, and gets through a hundred short critical sections: two workers that fight for one
/// counter came to 8 ns a lock in this way, and to 25 with pauses of 1, 2 and 4 turns, where each failure ended in a park.
/// It is not more, because the holder may be a task of the same worker.
#[inline]
pub(super) fn spin(mut take: impl FnMut() -> bool, others_wait: impl Fn() -> bool) -> bool {
    for _ in 0..2 {
        if take() {
            return true;
        }
        if others_wait() {
            return false;
        }
        (0..32).for_each(|_| std::hint::spin_loop());
    }
    false
}
