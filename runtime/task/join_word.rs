//! How the end of a task meets the one who waits for it.
//!
//! One word in the task's header, a pointer with three marks:
//!
//! ```text
//! RUNNING ──join──▶ a JoinNode ──timeout, cancel──▶ RUNNING
//!    │   └──drop of the handle──▶ DETACHED
//!    └── the end of the task, from any of them: FINISHING ──▶ FINISHED
//! ```
//!
//! A task ends by swapping in `FINISHING`. If it got a node, it claims that node's waiter; then it stores `FINISHED`
//! and touches the node no more. A joiner that gives up takes its node out by compare-and-swap; if it finds
//! `FINISHING` there, the task may still be reading the node, and the joiner spins the few instructions until
//! `FINISHED`. The result belongs to the task until `FINISHED`, then to the handle; if the swap found `DETACHED`, it
//! stays the task's own, and is dropped on the task's stack, where destructors may park.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crossbeam_utils::Backoff;

use super::parker::Parker;

/// A joiner, on its own stack.
pub(crate) struct JoinNode {
    pub(crate) parker: Parker,
}

const RUNNING: *mut JoinNode = ptr::null_mut();
const DETACHED: *mut JoinNode = ptr::without_provenance_mut(1);
const FINISHING: *mut JoinNode = ptr::without_provenance_mut(2);
const FINISHED: *mut JoinNode = ptr::without_provenance_mut(3);

/// See the head of this file.
pub(crate) struct JoinWord(AtomicPtr<JoinNode>);

impl JoinWord {
    pub(crate) fn new(detached: bool) -> Self {
        Self(AtomicPtr::new(if detached { DETACHED } else { RUNNING }))
    }

    pub(crate) fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `finish`; the result is visible.
        self.0.load(Ordering::Acquire) == FINISHED
    }

    /// Whether no handle is left.
    pub(crate) fn is_detached(&self) -> bool {
        // Relaxed: nothing comes after `DETACHED` but the task's own end.
        self.0.load(Ordering::Relaxed) == DETACHED
    }

    /// The task's end: publishes the result and wakes the joiner. False: there is no handle any more, and the result
    /// remains the caller's.
    pub(crate) fn finish(&self) -> bool {
        if self.is_detached() {
            // Without a handle there is nobody to meet.
            self.0.store(FINISHED, Ordering::Relaxed);
            return false;
        }
        // Acquire: pairs with the Release in `publish`; the node's fields are visible.
        let waiter = match self.0.swap(FINISHING, Ordering::Acquire) {
            DETACHED => {
                self.0.store(FINISHED, Ordering::Release);
                return false;
            }
            RUNNING => None,
            node => {
                // SAFETY: a joiner leaves its frame only after it has taken the node back, which the swap prevents,
                // or after it has seen FINISHED, which we store below.
                let parker = unsafe { (*node).parker };
                // SAFETY: as above, the joiner is in the wait that its node stands for.
                unsafe { parker.claim() }.then_some(parker)
            }
        };
        // Release: pairs with the Acquire in `is_finished` and `withdraw`.
        self.0.store(FINISHED, Ordering::Release);
        if let Some(parker) = waiter {
            // SAFETY: we have claimed it, once.
            unsafe { parker.unpark() };
        }
        true
    }

    /// The handle's end. True: the task has finished, and the result is the caller's to drop.
    pub(crate) fn detach(&self) -> bool {
        // Relaxed on success: nothing is published. Acquire on failure: pairs with the Release in `finish`.
        match self.0.compare_exchange(RUNNING, DETACHED, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) => false,
            Err(_) => {
                self.wait_until_finished();
                true
            }
        }
    }

    /// The joiner: makes `node` known to the task's end. False: too late, the task has finished or is about to.
    pub(crate) fn publish(&self, node: &JoinNode) -> bool {
        let address = ptr::from_ref(node).cast_mut();
        // Release: pairs with the Acquire in `finish`; the node's fields are visible to it.
        self.0.compare_exchange(RUNNING, address, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// The joiner: makes sure that the task's end does not touch `node` any more.
    pub(crate) fn withdraw(&self, node: &JoinNode) {
        if self.is_finished() {
            return;
        }
        let address = ptr::from_ref(node).cast_mut();
        // Relaxed on success: the node is ours again, and nothing was written to it.
        let back = self.0.compare_exchange(address, RUNNING, Ordering::Relaxed, Ordering::Acquire);
        if let Err(actual) = back
            && actual == FINISHING
        {
            self.wait_until_finished();
        }
    }

    /// Spins through the few instructions between `FINISHING` and `FINISHED`.
    fn wait_until_finished(&self) {
        let backoff = Backoff::new();
        while !self.is_finished() {
            backoff.snooze();
        }
    }
}
