//! Waiting for a task's end; the protocol is that of the [`JoinWord`].

use std::ptr;

use super::core::ThreadCore;
use super::join_word::{JoinNode, JoinWord};
use super::park::{Wait, park};
use super::parker::Parker;
use super::reason::Reason;

/// Parks until the task has finished. One caller at a time.
pub(crate) fn join(word: &JoinWord, task: &ThreadCore) {
    while !word.is_finished() {
        let node = JoinNode { parker: Parker::current() };
        let _withdraw = Withdraw { word, node: &node };
        let wait = Wait { reason: Reason::Join, object: ptr::from_ref(task).cast(), deadline: None };
        // If it was too late to publish the node, and nobody else claims us first, we go on at once.
        // SAFETY: `node.parker` is in the wait that `park` has begun, the closure being its commit.
        park(wait, || word.publish(&node) || !unsafe { node.parker.claim() });
    }
}

/// Takes the node back on every way out of a join, unwinding included.
struct Withdraw<'a> {
    word: &'a JoinWord,
    node: &'a JoinNode,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.word.withdraw(self.node);
    }
}
