//! A receive that is polled: what a future does in place of a park.
//!
//! The future stands in the queue of receivers as one that only [looks](Role::Look): it is told that there may be a
//! message, and takes none out of a sender's hands before it is polled again. So a future that is dropped, or never polled
//! again, loses no message; but others may be faster, and it has no place in the order of those who wait.
//!
//! Receivers of the clock have no queue. For them a task sleeps, and calls the waker.

use std::mem;
use std::ptr;
use std::sync::Arc;
use std::task::{self, Waker};
use std::time::Instant;

use super::arm::{Arm, Poll, Token};
use super::macro_arm::RecvArm;
use super::packet::{Node, Packet, Role, Wakes, await_message};
use crate::sched::{Options, WhenStopping, spawn, with_current};
use crate::task::handle::TaskHandle;
use crate::task::watch::{Watch, drop_quietly, wake_quietly};
use crate::task::{Outcome, Reason, Wait, checkpoint, park};
use crate::util::spin::{RawSpin, SpinLock};

/// What a future keeps from one poll to the next.
#[derive(Default)]
pub(crate) struct Polled {
    /// Armed, and its node queued or popped by a waker.
    watch: Option<Watch<Node>>,
    timer: Option<Timer>,
}

impl<M, O> RecvArm<'_, M, O> {
    /// Receives, or lets the waker be called when it is worth another poll. An arm that is ready is polled once.
    ///
    /// Parks if a sender has to make its message first: see [`await_message`].
    pub(crate) fn poll(&self, polled: &mut Polled, waker: &Waker) -> task::Poll<O> {
        checkpoint();
        let (arm, slot) = self.parts();
        let mut idle = polled.take_back(arm);
        let mut armed: Option<Watch<Node>> = None;
        loop {
            let mut wakes = Wakes::new();
            let locked = arm.lock().map(Locked::new);
            // SAFETY: the lock is held, if there is one; the slot is this arm's and empty. The wakes are dropped without the
            // lock, and the answer is completed or awaited.
            let answer = unsafe { arm.poll(slot, &mut wakes) };
            if matches!(answer, Poll::Pending)
                && locked.is_some()
                && let Some(mut watch) = armed.take()
            {
                // SAFETY: the lock is held; the node is in no queue, its wait has begun, and the watch keeps it in its place
                // until the wait has ended.
                unsafe { arm.enqueue(watch.node()) };
                polled.watch = Some(watch);
                drop(locked);
                return task::Poll::Pending;
            }
            let has_queue = locked.is_some();
            drop(locked);
            drop(wakes);
            let token = match answer {
                Poll::Ready(token) => token,
                Poll::Promised(sender) => {
                    let object = ptr::from_ref(arm).cast();
                    let wait = Wait { reason: Reason::ChannelReceive, object, deadline: None };
                    if !await_message(sender, slot, wait) {
                        continue;
                    }
                    Token::Message
                }
                Poll::Pending if has_queue => {
                    // Without the lock, since a waker's clone is foreign code; then once more.
                    let new =
                        || Watch::new(|parker| Node::of(parker, Packet::new(Role::Look, ptr::null_mut())));
                    let mut watch = idle.take().unwrap_or_else(new);
                    watch.arm(waker.clone());
                    armed = Some(watch);
                    continue;
                }
                Poll::Pending => {
                    polled.wait_until(arm.deadline(), waker);
                    return task::Poll::Pending;
                }
            };
            if let Some(mut watch) = armed {
                // SAFETY: the node is in no queue.
                unsafe { watch.disarm() };
            }
            polled.timer = None;
            // SAFETY: the arm has answered this token, with this slot.
            return task::Poll::Ready(unsafe { self.result(token) });
        }
    }

    /// The future is dropped: leaves the arm's queue.
    pub(crate) fn leave(&self, polled: &mut Polled) {
        drop(polled.take_back(self.parts().0));
        polled.timer = None;
    }
}

impl Polled {
    /// The watch, out of the queue, if it can serve again.
    fn take_back(&mut self, arm: &dyn Arm) -> Option<Watch<Node>> {
        let mut watch = self.watch.take()?;
        let locked = arm.lock().map(Locked::new);
        // SAFETY: the lock is held, and the node has been given to `enqueue`.
        unsafe { arm.dequeue(watch.node()) };
        drop(locked);
        // SAFETY: it has been taken out, here or by who has claimed it.
        unsafe { watch.disarm() }.then_some(watch)
    }

    /// Has the waker called at this moment, or never.
    fn wait_until(&mut self, at: Option<Instant>, waker: &Waker) {
        match (&self.timer, at) {
            (Some(timer), Some(at)) if timer.at == at && timer.set_waker(waker) => {}
            (_, at) => self.timer = at.map(|at| Timer::start(at, waker)),
        }
    }
}

/// A held lock of an arm.
struct Locked<'a>(&'a RawSpin);

impl<'a> Locked<'a> {
    fn new(lock: &'a RawSpin) -> Self {
        lock.lock();
        Self(lock)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` has taken it.
        unsafe { self.0.unlock() };
    }
}

/// A task that sleeps, and then calls a waker.
struct Timer {
    at: Instant,
    /// Empty once it has been called, or need not be any more.
    waker: Arc<SpinLock<Option<Waker>>>,
    task: TaskHandle<()>,
}

impl Timer {
    fn start(at: Instant, waker: &Waker) -> Self {
        /// Calls the waker also when the task is cancelled because its runtime ends: the next poll then finds another one.
        struct Rouse(Arc<SpinLock<Option<Waker>>>);

        impl Drop for Rouse {
            fn drop(&mut self) {
                let waker = self.0.lock().take();
                waker.into_iter().for_each(wake_quietly);
            }
        }

        let slot = Arc::new(SpinLock::new(Some(waker.clone())));
        let rouse = Rouse(Arc::clone(&slot));
        let sleep = move || {
            let _rouse = rouse;
            let wait = || Wait { reason: Reason::Sleep, object: ptr::null(), deadline: Some(at) };
            while park(wait(), || true) != Outcome::TimedOut {}
        };
        // SAFETY: the closure is `Send` and borrows nothing.
        let task =
            with_current(|shared| unsafe { spawn(shared, Options::default(), WhenStopping::Cancel, sleep) });
        let task =
            task.flatten().unwrap_or_else(|error| panic!("failed to spawn a task that sleeps: {error}"));
        Self { at, waker: slot, task }
    }

    /// False: it has called the last one already.
    fn set_waker(&self, waker: &Waker) -> bool {
        let new = waker.clone();
        let mut slot = self.waker.lock();
        let is_waiting = slot.is_some();
        let superfluous = if is_waiting { slot.replace(new) } else { Some(new) };
        drop(slot);
        superfluous.into_iter().for_each(drop_quietly);
        is_waiting
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let waker = mem::take(&mut *self.waker.lock());
        waker.into_iter().for_each(drop_quietly);
        self.task.core().cancel();
    }
}
