//! How a future waits: in the queues of tasks and threads, as a core whose wake-up calls a [`Waker`].
//!
//! ```text
//! Watch ──▶ | core | waker | node |      on the heap, with two counts: the owner's, and the wait's while there is one
//!               ▲             │
//!               └── parker ───┘ ◀── a queue, or a join word
//! ```
//!
//! | the watch is | core's state word | from | until |
//! | --- | --- | --- | --- |
//! | idle | not waiting | it is made; `disarm` returns true | `arm` |
//! | armed | waiting | `arm` | a waker claims it, or `disarm` |
//! | spent | not waiting | a waker has claimed it | it is dropped |
//!
//! Who has claimed an armed watch uses the node and then ends the wait, as with a parked task; that calls the waker, and
//! gives the wait's count back. The owner can't be made to wait for this: the claimer may be the one who drops the future,
//! from a waker that it calls before ours. So a spent watch is not used again, and lives until both have let go.
//!
//! A future that is forgotten leaks its watch, armed or not, and nothing else: no queue refers to the future's memory.

use std::cell::UnsafeCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::Waker;

use super::cancel;
use super::core::ThreadCore;
use super::current::next_id;
use super::join_word::JoinNode;
use super::parker::Parker;
use super::state::{Begin, Kind};
use super::waiter::Waiter;
use crate::util::abort;

#[repr(C)]
struct Watched<N> {
    core: ThreadCore,
    /// The owner's while idle, the claimer's once claimed.
    waker: UnsafeCell<Option<Waker>>,
    node: N,
}

/// See the head of this file. To be disarmed before it is dropped, unless it is spent.
pub(crate) struct Watch<N>(NonNull<Watched<N>>);

/// What may stand in a queue for a watch.
///
/// # Safety
///
/// For who implements it: a value may be used and dropped on another thread than the one that it was made on.
pub(crate) unsafe trait Node {}

// SAFETY: it belongs to no thread but by its parker, and a watch's parker is no thread's.
unsafe impl<P: Send> Node for Waiter<P> {}
// SAFETY: as above.
unsafe impl Node for JoinNode {}

// SAFETY: a watch is used through unique references alone; what others use of it they reach through the queue that its
// node is in, whose rules say how. The node may change threads, and the waker is `Send`.
unsafe impl<N: Node> Send for Watch<N> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<N: Node> Sync for Watch<N> {}

/// A wait that no cancellation and no region ends: one shield deep, and the owner has none.
const DEPTH: u32 = 1;

impl<N> Watch<N> {
    /// An idle watch. `node` makes the node that stands for the parker in a queue.
    pub(crate) fn new(node: impl FnOnce(Parker) -> N) -> Self {
        let this: NonNull<Watched<N>> = NonNull::from(Box::leak(Box::<Watched<N>>::new_uninit())).cast();
        // The core is the first field.
        let node = node(Parker::new(this.cast()));
        let core = ThreadCore::new(wake::<N>, free::<N>, 1, next_id(), None, false);
        // SAFETY: the memory is ours, and has room for one.
        unsafe { this.write(Watched { core, waker: UnsafeCell::new(None), node }) };
        Self(this)
    }

    fn watched(&self) -> &Watched<N> {
        // SAFETY: the owner's count keeps it alive.
        unsafe { self.0.as_ref() }
    }

    /// What stands in the queue. It stays in its place, alive, until the wait has ended.
    pub(crate) fn node(&mut self) -> &N {
        &self.watched().node
    }

    /// Begins a wait of an idle watch. The caller then makes the node known to those who wake.
    pub(crate) fn arm(&mut self, waker: Waker) {
        let watched = self.watched();
        // SAFETY: an idle watch's waker is the owner's.
        unsafe { *watched.waker.get() = Some(waker) };
        watched.core.retain();
        if watched.core.state.begin_wait(Kind::Node, DEPTH) != Begin::Begun {
            abort("a watch was armed twice");
        }
    }

    /// Ends the wait, unless somebody has claimed it. True: the watch is idle. False: it is spent.
    ///
    /// # Safety
    ///
    /// Nobody can find the node any more: it has been taken out of its queue, by the caller or by who claims it.
    pub(crate) unsafe fn disarm(&mut self) -> bool {
        let watched = self.watched();
        if !watched.core.state.claim() {
            return false;
        }
        // SAFETY: claimed, so the waker is ours.
        let waker = unsafe { mem::take(&mut *watched.waker.get()) };
        // SAFETY: the wait's count, which goes with the claim.
        unsafe { ThreadCore::release(self.0.cast()) };
        waker.into_iter().for_each(drop_quietly);
        true
    }
}

impl<N> Drop for Watch<N> {
    fn drop(&mut self) {
        // SAFETY: the owner's count.
        unsafe { ThreadCore::release(self.0.cast()) };
    }
}

/// Ends a claimed wait: calls the waker.
///
/// # Safety
///
/// `core` is that of a `Watched<N>` whose wait the caller has claimed.
unsafe fn wake<N>(core: NonNull<ThreadCore>) {
    // SAFETY: the core is its first field, and the wait's count keeps it alive.
    let watched = unsafe { core.cast::<Watched<N>>().as_ref() };
    // SAFETY: claimed, so the waker is the claimer's.
    let waker = unsafe { mem::take(&mut *watched.waker.get()) };
    waker.into_iter().for_each(wake_quietly);
    // SAFETY: the wait's count, which goes with the claim.
    unsafe { ThreadCore::release(core) };
}

/// Calls a waker: foreign code in the middle of ours, perhaps on a worker's own stack. Neither its panic, which the hook
/// has reported, nor a cancellation of the task that runs it may pass through here.
pub(crate) fn wake_quietly(waker: Waker) {
    quietly(|| waker.wake());
}

/// Drops a waker that is not needed any more, in the same way: the caller may have a task to let go of, or a message.
pub(crate) fn drop_quietly(waker: Waker) {
    quietly(|| drop(waker));
}

fn quietly(f: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(|| cancel::shield(f)));
    if let Err(payload) = outcome {
        mem::forget(payload);
    }
}

/// # Safety
///
/// The last count of the `Watched<N>` that begins with `core` is gone.
unsafe fn free<N>(core: NonNull<ThreadCore>) {
    // SAFETY: it was allocated as a `Box<Watched<N>>`, and nobody else refers to it.
    drop(unsafe { Box::from_raw(core.cast::<Watched<N>>().as_ptr()) });
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::super::waiter::{Selected, WaitQueue};
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn queued(queue: &mut WaitQueue<()>, waker: &Arc<Count>) -> Watch<Waiter<()>> {
        let mut watch = Watch::new(|parker| Waiter::of(parker, ()));
        watch.arm(waker.clone().into());
        // SAFETY: the node is new; the wait has begun, and the tests end it.
        unsafe { queue.push_back(watch.node()) };
        watch
    }

    #[test]
    fn a_claimed_watch_wakes_once_and_is_spent() {
        let (mut queue, waker) = (WaitQueue::new(), Arc::new(Count::default()));
        let mut watch = queued(&mut queue, &waker);
        let claimed = queue.claim_first().unwrap();
        assert!(queue.is_empty());
        // SAFETY: the node is in no queue.
        assert!(!unsafe { watch.disarm() });
        drop(watch); // before the claimer is done with the node
        claimed.select(Selected::Retry).unpark();
        assert_eq!(waker.0.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&waker), 1);
    }

    #[test]
    fn a_disarmed_watch_is_idle_has_dropped_its_waker_and_serves_again() {
        let (mut queue, waker) = (WaitQueue::new(), Arc::new(Count::default()));
        let mut watch = queued(&mut queue, &waker);
        for _ in 0..2 {
            // SAFETY: it is in this queue, and then in none.
            unsafe { queue.remove(watch.node()) };
            // SAFETY: as above.
            assert!(unsafe { watch.disarm() });
            assert_eq!(Arc::strong_count(&waker), 1);
            watch.arm(waker.clone().into());
            // SAFETY: as in `queued`.
            unsafe { queue.push_back(watch.node()) };
        }
        queue.claim_all(Selected::Closed).unpark();
        assert_eq!(waker.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_forgotten_watch_can_be_woken() {
        let (mut queue, waker) = (WaitQueue::new(), Arc::new(Count::default()));
        mem::forget(queued(&mut queue, &waker));
        queue.claim_all(Selected::Retry).unpark();
        assert_eq!(waker.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_waker_that_panics_does_not_unwind_into_who_wakes() {
        struct Bad;

        impl Wake for Bad {
            fn wake(self: Arc<Self>) {
                panic!("a bad waker");
            }
        }

        let (mut queue, waker) = (WaitQueue::new(), Arc::new(Count::default()));
        let mut bad = Watch::new(|parker| Waiter::of(parker, ()));
        bad.arm(Arc::new(Bad).into());
        // SAFETY: as in `queued`.
        unsafe { queue.push_back(bad.node()) };
        let good = queued(&mut queue, &waker);
        queue.claim_all(Selected::Retry).unpark();
        assert_eq!(waker.0.load(Ordering::SeqCst), 1);
        drop((bad, good));
    }
}
