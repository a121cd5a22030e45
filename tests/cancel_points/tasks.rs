//! Tasks that wait for each other and for time, and destructors that wait.

use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::Mutex;
use fibra::{Cancelled, channel, thread};

use super::support::{OnDrop, wait_until};
use super::{Play, dither};

const SHORT: Duration = Duration::from_micros(20);

/// Two numbers that are equal at the end, and never in the wrong order.
#[derive(Clone, Default)]
pub struct Balance(Arc<[AtomicUsize; 2]>);

impl Balance {
    /// Begins something, which has ended when the value is dropped.
    pub fn begin(&self) -> impl Drop + Send + 'static {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        let this = self.clone();
        OnDrop::new(move || {
            this.0[1].fetch_add(1, Ordering::SeqCst);
        })
    }

    pub fn is_even(&self) -> bool {
        // Never the other way round: what ends in between would look as if it had not begun.
        let ended = self.0[1].load(Ordering::SeqCst);
        ended == self.0[0].load(Ordering::SeqCst)
    }
}

/// What a task has returned that a shutdown may have cancelled.
fn or_cancelled<T>(result: thread::Result<T>) -> Option<T> {
    match result {
        Err(payload) if payload.is::<Cancelled>() => None,
        other => Some(other.unwrap_or_else(|payload| resume_unwind(payload))),
    }
}

pub fn scope() -> Play {
    let balance = Balance::default();
    let judge = {
        let balance = balance.clone();
        move || assert!(balance.is_even())
    };
    let scoping = |turns: usize| {
        let balance = balance.clone();
        move || {
            for turn in 0..2 {
                let local = Balance::default();
                let text = String::from("borrowed");
                let (outer, inner) = (&balance, &local);
                // Runs before what the tasks borrow goes.
                let _after = OnDrop::new(|| assert!(inner.is_even(), "a scoped task outlives its scope"));
                thread::scope(|s| {
                    let children = [0, 1, 2].map(|child| {
                        let (here, there) = (inner.begin(), outer.begin());
                        let text = &text;
                        s.spawn(move || {
                            let _both = (here, there);
                            dither(child);
                            fibra::sleep(SHORT);
                            thread::scope(|s| drop(s.spawn(|| fibra::sleep(SHORT))));
                            text.len()
                        })
                    });
                    dither(turns);
                    fibra::sleep(SHORT);
                    let mut children = children.into_iter();
                    if turn == 0 {
                        assert!(
                            or_cancelled(children.next().unwrap().join()).is_none_or(|len| len == text.len())
                        );
                    } else {
                        children.next().unwrap().cancel();
                    }
                });
            }
        }
    };
    Play::new(judge).role("first", scoping(0)).role("second", scoping(1))
}

pub fn join() -> Play {
    let balance = Balance::default();
    let judge = {
        let balance = balance.clone();
        // Whose joiner was interrupted is detached, and goes on.
        move || wait_until("all have ended", || balance.is_even())
    };
    let joining = |turns: usize| {
        let balance = balance.clone();
        move || {
            for turn in 0..3 {
                let here = balance.begin();
                let child = fibra::spawn(move || {
                    let _here = here;
                    dither(turns);
                    fibra::sleep(SHORT);
                    Box::new(turn)
                });
                if turn == 1 {
                    child.cancel();
                }
                let value = or_cancelled(child.join());
                assert!(value.is_none_or(|value| *value == turn));
            }
        }
    };
    Play::new(judge).role("first", joining(0)).role("second", joining(1))
}

pub fn blocking() -> Play {
    let balance = Balance::default();
    let judge = {
        let balance = balance.clone();
        move || assert!(balance.is_even(), "a blocking call outlives its caller")
    };
    let calling = |turns: usize| {
        let balance = balance.clone();
        move || {
            for _ in 0..3 {
                let mut text = String::from("borrowed");
                dither(turns);
                fibra::blocking(|| {
                    let _here = balance.begin();
                    std::thread::yield_now();
                    text.push('!');
                });
                assert_eq!(text, "borrowed!");
                fibra::sleep(SHORT);
            }
        }
    };
    Play::new(judge).role("first", calling(0)).role("second", calling(1))
}

pub fn sleep() -> Play {
    let sleeping = |turns| {
        move || {
            for _ in 0..3 {
                let start = Instant::now();
                fibra::sleep(SHORT);
                assert!(start.elapsed() >= SHORT);
                dither(turns);
                thread::sleep_until(start + 3 * SHORT);
                assert!(start.elapsed() >= 3 * SHORT);
            }
        }
    };
    Play::new(|| ()).role("first", sleeping(0)).role("second", sleeping(1))
}

/// Destructors that park, one inside the other, while the task unwinds and while it does not.
pub fn destructors() -> Play {
    #[derive(Default)]
    struct World {
        lock: Mutex<usize>,
        guards: Balance,
        children: Balance,
    }

    struct Guard<D>(Arc<World>, channel::Sender<usize>, D);

    impl<D> Drop for Guard<D> {
        fn drop(&mut self) {
            fibra::sleep(SHORT);
            let (world, here) = (self.0.clone(), self.0.children.begin());
            let child = fibra::spawn(move || {
                let _here = here;
                world.lock.lock().add_assign(1);
            });
            or_cancelled(child.join());
            // Fails if the receiver goes first, which only a shutdown brings about.
            let _ = self.1.send(1);
            let held = self.0.lock.lock();
            fibra::sleep(SHORT);
            drop(held);
        }
    }

    let world = Arc::new(World::default());
    let (tx, rx) = channel::bounded(0);
    let judge = {
        let world = world.clone();
        move || {
            assert!(world.guards.is_even());
            wait_until("all children have ended", || world.children.is_even());
            assert!(world.lock.try_lock().is_some());
        }
    };
    let guarding = || {
        let (world, tx) = (world.clone(), tx.clone());
        move || {
            let guard = || Guard(world.clone(), tx.clone(), world.guards.begin());
            let _outer = guard();
            fibra::sleep(SHORT);
            {
                let _inner = guard();
                fibra::sleep(SHORT);
            }
            fibra::sleep(SHORT);
        }
    };
    let receiving = move || while rx.recv().is_ok() {};
    Play::new(judge).role("first", guarding()).role("second", guarding()).stagehand("receiver", receiving)
}
