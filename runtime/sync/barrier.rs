//! A barrier: a fixed number of tasks wait until all have come.
//!
//! | event, under the lock | arrived | round | who waits |
//! | --- | --- | --- | --- |
//! | one comes, not the last | + 1 | | queues with the round's number |
//! | the last one comes | 0 | + 1 | all are claimed; the last one is the leader and does not wait |
//! | a waiter is cancelled, its round goes on | − 1 | | it has left the queue |
//! | a waiter is cancelled, its round is over | | | it counted, and still unwinds |

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::task::waiter::Selected;
use crate::task::waiter::{End, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, checkpoint};
use crate::util::spin::SpinLock;

/// A point that a fixed number of tasks or threads pass together: [`std::sync::Barrier`].
///
/// It can be used again at once.
///
/// # Examples
///
/// ```
/// use fibra::sync::Barrier;
///
/// static MEETING: Barrier = Barrier::new(3);
///
/// fibra::run(|| {
///     let tasks: Vec<_> = (0..3).map(|_| fibra::spawn(|| MEETING.wait().is_leader())).collect();
///     let leaders = tasks.into_iter().map(|task| usize::from(task.join().unwrap()));
///     assert_eq!(leaders.sum::<usize>(), 1);
/// });
/// ```
pub struct Barrier {
    size: usize,
    state: SpinLock<State>,
}

// The inner lock is held for a few instructions that don't unwind, so nobody sees a broken state.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

struct State {
    // Less than the barrier's size.
    arrived: usize,
    round: u64,
    waiters: WaitQueue<()>,
}

impl Barrier {
    /// Makes a barrier for `n`; one for 0 is one for 1, which nobody waits at.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self { size: n, state: SpinLock::new(State { arrived: 0, round: 0, waiters: WaitQueue::new() }) }
    }

    /// Parks until `n` have come, the caller included. One of them, the last to come, is told that it is the leader.
    ///
    /// A task that is cancelled here unwinds and no longer counts; unless the last one comes before it has unwound. Then it
    /// was counted, and the others go on.
    pub fn wait(&self) -> BarrierWaitResult {
        checkpoint();
        let mut state = self.state.lock();
        if state.arrived + 1 >= self.size {
            state.arrived = 0;
            state.round += 1;
            let all = state.waiters.claim_all(Selected::Served);
            drop(state);
            all.unpark();
            return BarrierWaitResult(true);
        }
        state.arrived += 1;
        let absent = Absent { barrier: self, round: state.round };
        let node = Waiter::new(());
        let wait = Wait { reason: Reason::Barrier, object: std::ptr::from_ref(self).cast(), deadline: None };
        // SAFETY: the guard is of this lock, the queue is a plain field of its value, and the node is new.
        unsafe { wait_in(&self.state, state, |state| &mut state.waiters, &node, End::Back, wait) };
        std::mem::forget(absent);
        BarrierWaitResult(false)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// One who had come leaves without having passed.
struct Absent<'a> {
    barrier: &'a Barrier,
    round: u64,
}

impl Drop for Absent<'_> {
    fn drop(&mut self) {
        let mut state = self.barrier.state.lock();
        if state.round == self.round {
            state.arrived -= 1;
        }
    }
}

/// What [`Barrier::wait`] returns.
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether the caller came last; true for one of each round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.0).finish()
    }
}
