//! Waiting for a task's end by polling: the protocol is that of the [`JoinWord`], with a [`Watch`] in a joiner's place.
//!
//! | poll | the word | does |
//! | --- | --- | --- |
//! | the first, or a later one | `RUNNING` | arms a watch and publishes its node |
//! | a later one | the node | takes the node back, then as the first: the waker may be another |
//! | any | `FINISHING`, `FINISHED` | waits the few instructions, and has the result |

use std::hint;
use std::mem;
use std::task::{Poll, Waker};

use super::join_word::{JoinNode, JoinWord};
use super::watch::Watch;

/// What a handle keeps of being polled.
pub(crate) enum Polled {
    No,
    /// The watch is armed, and its node published, or has been claimed since.
    Waiting(Watch<JoinNode>),
    /// The result has been handed out.
    Taken,
}

impl Polled {
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Taken)
    }

    /// Whether the task has finished; then the caller takes the result, and this remembers it.
    pub(crate) fn poll(&mut self, word: &JoinWord, waker: &Waker) -> Poll<()> {
        assert!(!self.is_taken(), "a `JoinHandle` was polled after it had given the result");
        let mut watch = self.take_back(word).unwrap_or_else(|| Watch::new(|parker| JoinNode { parker }));
        if !word.is_finished() {
            watch.arm(waker.clone());
            if word.publish(watch.node()) {
                *self = Self::Waiting(watch);
                return Poll::Pending;
            }
            // Too late: the task is at its end.
            // SAFETY: the node has not been published.
            unsafe { watch.disarm() };
            while !word.is_finished() {
                hint::spin_loop();
            }
        }
        *self = Self::Taken;
        Poll::Ready(())
    }

    /// Makes sure that the task's end calls no waker of ours, or has begun to.
    pub(crate) fn withdraw(&mut self, word: &JoinWord) {
        drop(self.take_back(word));
    }

    /// The watch, if it can serve again.
    fn take_back(&mut self, word: &JoinWord) -> Option<Watch<JoinNode>> {
        if !matches!(self, Self::Waiting(_)) {
            return None;
        }
        let Self::Waiting(mut watch) = mem::replace(self, Self::No) else { return None };
        word.withdraw(watch.node());
        // SAFETY: `withdraw` has taken the node back, or the task's end has claimed it already.
        unsafe { watch.disarm() }.then_some(watch)
    }
}
