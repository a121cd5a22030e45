//! When a worker goes to sleep, and who must wake it: no task may lie in a queue while everybody sleeps.
//!
//! Each worker has a [`Bed`]; all share one [`Census`] of how many search and how many sleep.
//!
//! ```text
//!          lie_down                      rise (a timer, I/O, or work seen at the last look)
//! AWAKE ───────────▶ ASLEEP ──────────▶ AWAKE
//!                      │  summon ─▶ SUMMONED ── rise ─▶ AWAKE, told to look at its inbox
//!                      └─ call   ─▶ CALLED   ── rise ─▶ AWAKE, searching (the caller counted it as a searcher)
//! ```
//!
//! A worker is *busy*, *searching* (it looks for others' unstarted tasks) or *asleep*. The bed leaves ASLEEP by one
//! compare-and-swap, and whoever wins it takes the sleeper off the census; so the counts are exact.
//!
//! Why no work is forgotten, for a producer P and a worker W that lies down:
//!
//! - *A wake for W itself* (inbox): P pushes, then loads W's bed; W sets its bed to ASLEEP, then looks at its inbox.
//!   Both have a sequentially consistent fence between the two, so not both can miss: P sees ASLEEP and summons, or W
//!   sees the task.
//! - *Work for anybody* (deque, injector): P pushes, fence, loads the census. If it finds a sleeper and no searcher,
//!   it calls one. If it finds a searcher S, it leaves the work to S; S either finds it, or gives up. S gives up by
//!   leaving the census as a searcher and entering it as a sleeper in one step, and *then* looks at all queues again.
//!   P loaded the census before that step, so P's push came before S's last look, and S sees it.
//! - *Enough hands*: the last searcher that finds work calls another worker, since the work that it found may have
//!   been announced to it alone.
//!
//! A design without the census, in which every spawn wakes somebody, costs a system call per spawn.

use crate::util::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const SUMMONED: u32 = 2;
const CALLED: u32 = 3;

/// How many workers search (low half) and sleep (high half).
pub(crate) struct Census {
    word: AtomicU32,
    workers: u32,
}

const SEARCHER: u32 = 1;
const SLEEPER: u32 = 1 << 16;

/// More workers than this would overflow a half of the census.
pub(crate) const MAX_WORKERS: usize = 1024;

/// Why a worker rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rise {
    /// Nobody woke it: a timer, an event, or work that it saw itself.
    Itself,
    /// There is something in its inbox, or its runtime ends.
    Summoned,
    /// There is work for anybody; it counts as a searcher already.
    Called,
}

impl Census {
    pub(crate) fn new(workers: usize) -> Self {
        Self { word: AtomicU32::new(0), workers: workers as u32 }
    }

    /// After work for anybody was pushed: whether somebody has to be called.
    #[inline]
    pub(crate) fn needs_call(&self) -> bool {
        // SeqCst: pairs with the exchange in `lie_down`; see "work for anybody" above.
        fence(Ordering::SeqCst);
        self.seems_to_need_call()
    }

    /// As [`needs_call`](Self::needs_call), but without the fence: may miss a worker that lies down at this moment.
    #[inline]
    pub(crate) fn seems_to_need_call(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word >= SLEEPER && word & (SLEEPER - 1) == 0
    }

    /// A busy worker starts to search, unless half of the workers do.
    pub(crate) fn start_search(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if 2 * (word & (SLEEPER - 1)) >= self.workers.max(2) {
                return false;
            }
            // SeqCst, like all changes of the census: they take part in the argument at the head of the file.
            match self.word.compare_exchange_weak(word, word + SEARCHER, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(actual) => word = actual,
            }
        }
    }

    /// A searcher has found work. True: it was the last one, and should call another if there are sleepers.
    pub(crate) fn end_search(&self) -> bool {
        let word = self.word.fetch_sub(SEARCHER, Ordering::SeqCst);
        word & (SLEEPER - 1) == 1 && word >= SLEEPER
    }
}

/// One worker's sleep state.
pub(crate) struct Bed(AtomicU32);

impl Bed {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(AWAKE))
    }

    /// The owner announces that it will sleep. It must look at all queues after this, then sleep or [`rise`](Self::rise).
    pub(crate) fn lie_down(&self, census: &Census, searching: bool) {
        // Relaxed: ordered by the exchange below, which every reader of the bed that matters comes after.
        self.0.store(ASLEEP, Ordering::Relaxed);
        let change = if searching { SLEEPER.wrapping_sub(SEARCHER) } else { SLEEPER };
        census.word.fetch_add(change, Ordering::SeqCst);
        // Pairs with the fences in `summon` and `needs_call`: what was pushed before those saw us awake is visible to the
        // looks that follow.
        fence(Ordering::SeqCst);
    }

    /// The owner gets up, and learns whether somebody woke it.
    pub(crate) fn rise(&self, census: &Census) -> Rise {
        // Acquire: pairs with the Release of the exchange in `leave`.
        match self.0.compare_exchange(ASLEEP, AWAKE, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                census.word.fetch_sub(SLEEPER, Ordering::SeqCst);
                Rise::Itself
            }
            Err(state) => {
                // Relaxed: only the owner leaves these states.
                self.0.store(AWAKE, Ordering::Relaxed);
                if state == CALLED { Rise::Called } else { Rise::Summoned }
            }
        }
    }

    /// Whether the worker sleeps; for the watchdog.
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASLEEP
    }

    /// After a push to the owner's inbox: true if it slept, and the caller must now make the wake-up call.
    #[inline]
    pub(crate) fn summon(&self, census: &Census) -> bool {
        // Between the push and this look; pairs with the fence in `lie_down`: either we see the owner asleep, or its last
        // look sees the push.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) == ASLEEP && self.leave(census, SUMMONED, SLEEPER)
    }

    /// To let this worker search: true if it slept, and the caller must now make the wake-up call.
    pub(crate) fn call(&self, census: &Census) -> bool {
        self.0.load(Ordering::Relaxed) == ASLEEP && self.leave(census, CALLED, SLEEPER - SEARCHER)
    }

    fn leave(&self, census: &Census, state: u32, change: u32) -> bool {
        // Release: pairs with the Acquire in `rise`.
        if self.0.compare_exchange(ASLEEP, state, Ordering::Release, Ordering::Relaxed).is_err() {
            return false;
        }
        census.word.fetch_sub(change, Ordering::SeqCst);
        true
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_census_counts_every_way_out_of_bed() {
        let (census, bed) = (Census::new(2), Bed::new());
        assert!(!census.needs_call());
        bed.lie_down(&census, false);
        assert!(bed.is_asleep() && census.needs_call());
        assert!(bed.call(&census) && !bed.call(&census));
        assert!(!census.needs_call(), "the called worker counts as a searcher");
        assert_eq!(bed.rise(&census), Rise::Called);
        bed.lie_down(&census, true);
        assert!(bed.summon(&census) && !bed.summon(&census));
        assert_eq!(bed.rise(&census), Rise::Summoned);
        bed.lie_down(&census, false);
        assert_eq!(bed.rise(&census), Rise::Itself);
        assert_eq!(census.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn at_most_half_of_the_workers_search() {
        let census = Census::new(4);
        assert!(census.start_search() && census.start_search() && !census.start_search());
        assert!(!census.end_search(), "another one searches");
        let one = Census::new(2);
        assert!(one.start_search() && !one.start_search());
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        census: Census,
        beds: [Bed; 2],
        /// How many pieces of work for anybody lie around.
        work: AtomicU32,
        /// Set by the wake-up call, as the eventfd would be.
        rung: [AtomicU32; 2],
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                census: Census::new(2),
                beds: [Bed::new(), Bed::new()],
                work: AtomicU32::new(0),
                rung: [AtomicU32::new(0), AtomicU32::new(0)],
            })
        }

        fn take(&self) -> bool {
            let taken = self.work.load(Ordering::Relaxed) > 0;
            taken && self.work.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        }

        fn call_somebody(&self) {
            for (bed, rung) in self.beds.iter().zip(&self.rung) {
                if bed.call(&self.census) {
                    rung.store(1, Ordering::Release);
                    return;
                }
            }
        }

        /// A worker that searches once and then lies down: whether it sleeps at the end.
        fn search_then_sleep(&self, me: usize, mut searching: bool) -> bool {
            if self.take() {
                if searching && self.census.end_search() {
                    self.call_somebody();
                }
                return false;
            }
            loop {
                self.beds[me].lie_down(&self.census, searching);
                if self.work.load(Ordering::Relaxed) == 0 {
                    return true;
                }
                searching = self.beds[me].rise(&self.census) == Rise::Called;
                if self.take() {
                    if searching {
                        self.census.end_search();
                    }
                    return false;
                }
            }
        }
    }

    #[test]
    fn loom_a_spawn_is_seen_by_the_searcher_or_somebody_is_called() {
        loom::model(|| {
            let world = World::new();
            assert!(world.census.start_search());
            let worker = {
                let world = world.clone();
                thread::spawn(move || world.search_then_sleep(0, true))
            };
            world.work.store(1, Ordering::Release);
            if world.census.needs_call() {
                world.call_somebody();
            }
            let sleeps = worker.join().unwrap();
            let left = world.work.load(Ordering::Relaxed);
            let rung = world.rung[0].load(Ordering::Relaxed);
            assert!(left == 0 || !sleeps || rung == 1, "work lies around and its only worker sleeps");
        });
    }

    #[test]
    fn loom_a_push_to_the_inbox_and_lying_down_do_not_miss_each_other() {
        loom::model(|| {
            let world = World::new();
            let worker = {
                let world = world.clone();
                thread::spawn(move || world.search_then_sleep(0, false))
            };
            // The push of `Inbox::push`, in the ordering it uses.
            world.work.fetch_add(1, Ordering::Release);
            let summoned = world.beds[0].summon(&world.census);
            let sleeps = worker.join().unwrap();
            let left = world.work.load(Ordering::Relaxed);
            assert!(left == 0 || !sleeps || summoned, "a task lies in the inbox of a sleeper");
        });
    }

    #[test]
    fn loom_two_callers_wake_a_sleeper_once() {
        loom::model(|| {
            let world = World::new();
            world.beds[0].lie_down(&world.census, false);
            let other = {
                let world = world.clone();
                thread::spawn(move || world.beds[0].summon(&world.census))
            };
            let called = world.beds[0].call(&world.census);
            let summoned = other.join().unwrap();
            assert!(called != summoned, "exactly one leaves ASLEEP");
            let rise = world.beds[0].rise(&world.census);
            assert_eq!(rise, if called { Rise::Called } else { Rise::Summoned });
            if called {
                world.census.end_search();
            }
            assert_eq!(world.census.word.load(Ordering::Relaxed), 0);
        });
    }
}
