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

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::super::state::{Begin, Kind, State};
    use crate::util::atomic::{AtomicU32, Ordering};
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    const RUNNING: u32 = 0;
    const FINISHING: u32 = 1;
    const FINISHED: u32 = 2;
    /// The word with the node of a watch is this and the watch's number.
    const NODE: u32 = 3;

    struct Watch {
        state: State,
        /// The waker, by its number; 0 for none.
        waker: UnsafeCell<u32>,
    }

    impl Watch {
        fn take_waker(&self) -> u32 {
            self.waker.with_mut(|waker| {
                // SAFETY: loom checks it: the waker is the claimer's.
                unsafe { std::mem::take(&mut *waker) }
            })
        }
    }

    /// A task's word, and what stands for it in the polls below: a new watch for each that is spent.
    struct World {
        word: AtomicU32,
        watches: [Watch; 2],
        /// How often each waker was called.
        calls: [AtomicU32; 3],
    }

    impl World {
        fn new() -> Arc<Self> {
            let watch = || Watch { state: State::new(), waker: UnsafeCell::new(0) };
            Arc::new(Self {
                word: AtomicU32::new(RUNNING),
                watches: [watch(), watch()],
                calls: [0, 0, 0].map(AtomicU32::new),
            })
        }

        /// As `JoinWord::finish`, and then `watch::wake`.
        fn finish(&self) {
            let word = self.word.swap(FINISHING, Ordering::Acquire);
            let watch = word.checked_sub(NODE).map(|number| &self.watches[number as usize]);
            let claimed = watch.filter(|watch| watch.state.claim());
            self.word.store(FINISHED, Ordering::Release);
            if let Some(watch) = claimed {
                self.calls[watch.take_waker() as usize].fetch_add(1, Ordering::Relaxed);
            }
        }

        fn is_finished(&self) -> bool {
            self.word.load(Ordering::Acquire) == FINISHED
        }

        fn wait_until_finished(&self) {
            while !self.is_finished() {
                thread::yield_now();
            }
        }

        /// As `take_back`: the number of the watch to go on with.
        fn take_back(&self, number: u32) -> u32 {
            if !self.is_finished()
                && self.word.compare_exchange(NODE + number, RUNNING, Ordering::Relaxed, Ordering::Acquire)
                    == Err(FINISHING)
            {
                self.wait_until_finished();
            }
            let watch = &self.watches[number as usize];
            if watch.state.claim() {
                watch.take_waker();
                number
            } else {
                number + 1
            }
        }

        /// As `Polled::poll` with an idle watch: true if it is pending.
        fn poll(&self, number: u32, waker: u32) -> bool {
            if self.is_finished() {
                return false;
            }
            let watch = &self.watches[number as usize];
            watch.waker.with_mut(|slot| {
                // SAFETY: loom checks it: an idle watch's waker is the owner's.
                unsafe { *slot = waker }
            });
            assert_eq!(watch.state.begin_wait(Kind::Node, 1), Begin::Begun);
            let node = NODE + number;
            if self.word.compare_exchange(RUNNING, node, Ordering::Release, Ordering::Relaxed).is_ok() {
                return true;
            }
            assert!(watch.state.claim(), "nobody knew of the node");
            watch.take_waker();
            self.wait_until_finished();
            false
        }
    }

    #[test]
    fn loom_the_end_of_a_task_meets_a_poll_or_calls_its_last_waker() {
        loom::model(|| {
            let world = World::new();
            let task = {
                let world = world.clone();
                thread::spawn(move || world.finish())
            };
            let mut pending = world.poll(0, 1);
            let mut last = 1;
            if pending {
                let number = world.take_back(0);
                pending = world.poll(number, 2);
                last = 2;
            }
            task.join().unwrap();
            assert!(world.is_finished());
            let calls = |waker: usize| world.calls[waker].load(Ordering::Relaxed);
            assert_eq!(calls(0), 0, "a watch without a waker was claimed");
            assert!(calls(1) <= 1 && calls(2) <= 1);
            if pending {
                assert_eq!(calls(last), 1, "the last poll is not told");
            } else {
                assert_eq!(calls(last), 0, "the last poll had the result");
            }
        });
    }

    #[test]
    fn loom_a_handle_that_is_dropped_is_told_at_most_once() {
        loom::model(|| {
            let world = World::new();
            let task = {
                let world = world.clone();
                thread::spawn(move || world.finish())
            };
            if world.poll(0, 1) {
                world.take_back(0);
            }
            task.join().unwrap();
            assert!(world.calls[1].load(Ordering::Relaxed) <= 1);
        });
    }
}
