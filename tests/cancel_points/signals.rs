//! Waiting for others to come, to finish, or to say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::sync::{Barrier, Notify, OnceLock, WaitGroup};
use fibra::thread;

use super::support::OnDrop;
use super::{LONG, Play, dither};

const SHORT: Duration = Duration::from_micros(20);

pub fn barrier() -> Play {
    struct World {
        barrier: Barrier,
        here: AtomicUsize,
        broken: AtomicBool,
        passed: AtomicUsize,
        led: AtomicUsize,
    }

    impl World {
        fn pass(&self) {
            let leads = self.barrier.wait().is_leader();
            self.led.fetch_add(usize::from(leads), Ordering::SeqCst);
            self.passed.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Party(Arc<World>, bool);

    impl Drop for Party {
        fn drop(&mut self) {
            if !self.1 {
                self.0.broken.store(true, Ordering::SeqCst);
            }
            self.0.here.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let world = Arc::new(World {
        barrier: Barrier::new(3),
        here: AtomicUsize::new(3),
        broken: AtomicBool::new(false),
        passed: AtomicUsize::new(0),
        led: AtomicUsize::new(0),
    });
    let judge = {
        let world = world.clone();
        move || {
            // Who is cancelled may have been counted, if the last one came before it could unwind.
            let (passed, led) = (world.passed.load(Ordering::SeqCst), world.led.load(Ordering::SeqCst));
            assert!(3 * led >= passed && (3 * led == passed || world.broken.load(Ordering::SeqCst)));
            // Nobody counts who has gone: three are needed.
            let leaders = AtomicUsize::new(0);
            std::thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| leaders.fetch_add(world.barrier.wait().is_leader().into(), Ordering::SeqCst));
                }
            });
            assert_eq!(leaders.into_inner(), 1);
        }
    };
    let coming = |turns| {
        let mut party = Party(world.clone(), false);
        move || {
            for _ in 0..3 {
                dither(turns);
                party.0.pass();
            }
            party.1 = true;
        }
    };
    // Comes in place of those who have gone.
    let standing_in = {
        let world = world.clone();
        move || {
            let mut extras = Vec::new();
            while world.here.load(Ordering::SeqCst) > 0 {
                fibra::yield_now();
                extras.retain(|extra: &fibra::JoinHandle<()>| !extra.is_finished());
                while world.broken.load(Ordering::SeqCst) && extras.len() < 2 {
                    let world = world.clone();
                    extras.push(fibra::spawn(move || world.pass()));
                }
            }
            for extra in extras {
                extra.cancel();
                let _ = extra.join();
            }
        }
    };
    Play::new(judge)
        .role("first", coming(0))
        .role("second", coming(1))
        .role("third", coming(2))
        .stagehand("stand-in", standing_in)
}

pub fn notify() -> Play {
    #[derive(Default)]
    struct World {
        notify: Notify,
        made: AtomicUsize,
        taken: AtomicUsize,
        left: AtomicUsize,
        over: AtomicBool,
    }

    impl World {
        fn take(&self) -> bool {
            let taken =
                self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            self.taken.fetch_add(usize::from(taken.is_ok()), Ordering::SeqCst);
            taken.is_ok()
        }
    }

    let world = Arc::new(World::default());
    let judge = {
        let world = world.clone();
        move || {
            let (taken, left) = (world.taken.load(Ordering::SeqCst), world.left.load(Ordering::SeqCst));
            assert_eq!(world.made.load(Ordering::SeqCst), taken + left);
            // At most one permit is left, and nobody who would take the next one.
            world.notify.notified().wait_timeout(SHORT);
            world.notify.notify_one();
            assert!(world.notify.notified().wait_timeout(LONG));
            assert!(!world.notify.notified().wait_timeout(SHORT));
        }
    };
    let making = {
        let world = world.clone();
        let ending = world.clone();
        let over = OnDrop::new(move || {
            ending.over.store(true, Ordering::SeqCst);
            ending.notify.notify_waiters();
        });
        move || {
            let _over = over;
            for turn in 0..6 {
                world.made.fetch_add(1, Ordering::SeqCst);
                world.left.fetch_add(1, Ordering::SeqCst);
                world.notify.notify_one();
                dither(turn % 3);
                if turn == 3 {
                    fibra::sleep(SHORT);
                }
            }
        }
    };
    let taking = |limit: Option<Duration>| {
        let world = world.clone();
        move || {
            loop {
                // Prepared before the look, so that the end is not missed.
                let notified = world.notify.notified();
                if world.take() {
                    continue;
                }
                if world.over.load(Ordering::SeqCst) {
                    return;
                }
                match limit {
                    None => notified.wait(),
                    Some(limit) => assert!(notified.wait_timeout(limit)),
                }
            }
        }
    };
    Play::new(judge)
        .role("maker", making)
        .role("taker", taking(None))
        .role("taker with a limit", taking(Some(LONG)))
        .steady("last taker", taking(None))
}

pub fn wait_group() -> Play {
    let group = WaitGroup::new();
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let judge = {
        let (group, begun, ended) = (group.clone(), begun.clone(), ended.clone());
        move || {
            // What was spawned with `go` is no role: it may still run.
            group.wait();
            assert!(group.wait_timeout(SHORT));
            assert_eq!(begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
        }
    };
    let working = || {
        let guard = group.guard();
        let (group, begun, ended) = (group.clone(), begun.clone(), ended.clone());
        move || {
            let _guard = guard;
            for turn in 0..3 {
                fibra::sleep(SHORT);
                let ended = ended.clone();
                begun.fetch_add(1, Ordering::SeqCst);
                let end = OnDrop::new(move || {
                    ended.fetch_add(1, Ordering::SeqCst);
                });
                group.go(move || {
                    let _end = end;
                    dither(turn);
                    fibra::sleep(SHORT);
                });
            }
        }
    };
    let waiting = |limit: Option<Duration>| {
        let group = group.clone();
        move || {
            for _ in 0..2 {
                match limit {
                    None => group.wait(),
                    Some(limit) => assert!(group.wait_timeout(limit)),
                }
            }
        }
    };
    Play::new(judge)
        .role("first worker", working())
        .role("second worker", working())
        .role("waiter", waiting(None))
        .role("waiter with a limit", waiting(Some(LONG)))
}

pub fn once() -> Play {
    let cell = Arc::new(OnceLock::new());
    let (tries, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let judge = {
        let (cell, made) = (cell.clone(), made.clone());
        move || {
            let made_before = made.load(Ordering::SeqCst);
            assert_eq!(cell.get().is_some(), made_before == 1);
            assert_eq!(*cell.get_or_init(|| 7), 7);
            assert!(made_before <= 1);
        }
    };
    let asking = |turns: usize| {
        let (cell, tries, made) = (cell.clone(), tries.clone(), made.clone());
        move || {
            dither(turns);
            let value = cell.get_or_init(|| {
                tries.fetch_add(1, Ordering::SeqCst);
                fibra::sleep(SHORT);
                dither(1);
                fibra::sleep(SHORT);
                made.fetch_add(1, Ordering::SeqCst);
                7
            });
            assert_eq!(*value, 7);
        }
    };
    let waiting = {
        let cell = cell.clone();
        move || assert_eq!(*cell.wait(), 7)
    };
    Play::new(judge)
        .role("first", asking(0))
        .role("second", asking(0))
        .steady("third", asking(1))
        .role("waiter", waiting)
}

pub fn park() -> Play {
    let gone = Arc::new(AtomicBool::new(false));
    let parked: Arc<std::sync::Mutex<Option<thread::Thread>>> = Arc::default();
    let (theirs, ours) = (gone.clone(), gone.clone());
    let end = OnDrop::new(move || theirs.store(true, Ordering::SeqCst));
    let target = parked.clone();
    let parking = move || {
        let _end = end;
        *target.lock().unwrap() = Some(thread::current());
        for turn in 0..3 {
            thread::park();
            thread::park_timeout(if turn == 1 { SHORT } else { LONG });
        }
    };
    let waking = move || {
        while !ours.load(Ordering::SeqCst) {
            if let Some(target) = &*parked.lock().unwrap() {
                target.unpark();
            }
            fibra::yield_now();
        }
    };
    Play::new(move || assert!(gone.load(Ordering::SeqCst)))
        .role("sleeper", parking)
        .stagehand("waker", waking)
}
