//! Locks and semaphores, held across parks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::cancel;
use fibra::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard, Semaphore,
};

use super::ledger::Message;
use super::support::OnDrop;
use super::{LONG, Ledger, Play, dither};

const SHORT: Duration = Duration::from_micros(20);

pub fn mutex() -> Play {
    let lock = Arc::new((Mutex::new(0), AtomicUsize::new(0)));
    let judge = {
        let lock = lock.clone();
        move || {
            let value = lock.0.try_lock().expect("nobody holds it");
            assert_eq!(*value, lock.1.load(Ordering::SeqCst));
            drop(value);
            assert!(lock.0.try_lock_for(SHORT).is_some());
        }
    };
    let locking = |turns| {
        let lock = lock.clone();
        move || {
            for turn in 0..3 {
                let mut value = lock.0.lock();
                let before = *value;
                dither(turns);
                fibra::sleep(SHORT);
                assert_eq!(*value, before, "nobody else is here");
                *value += 1;
                lock.1.fetch_add(1, Ordering::SeqCst);
                if turn == 1 {
                    MutexGuard::unlock_fair(value);
                } else {
                    drop(value);
                }
                let Some(value) = lock.0.try_lock_for(LONG) else { unreachable!("it is let go before") };
                dither(turns);
                drop(value);
            }
        }
    };
    Play::new(judge).role("first", locking(0)).role("second", locking(1)).role("third", locking(2))
}

pub fn rwlock() -> Play {
    struct World {
        lock: RwLock<usize>,
        readers: AtomicUsize,
        writers: AtomicUsize,
        written: AtomicUsize,
    }

    impl World {
        /// Holds the lock for a while, and sees only whom it may.
        fn stay(&self, writes: bool) {
            let count = if writes { &self.writers } else { &self.readers };
            let here = count.fetch_add(1, Ordering::SeqCst);
            let _gone = OnDrop::new(|| {
                count.fetch_sub(1, Ordering::SeqCst);
            });
            let alone = |when| {
                let readers = self.readers.load(Ordering::SeqCst);
                let writers = self.writers.load(Ordering::SeqCst);
                assert!(writers == usize::from(writes) && (!writes || readers == 0), "{when}");
            };
            assert!(!writes || here == 0);
            alone("at first");
            fibra::sleep(SHORT);
            alone("at last");
        }

        fn write(&self, mut guard: RwLockWriteGuard<'_, usize>) {
            *guard += 1;
            self.written.fetch_add(1, Ordering::SeqCst);
            self.stay(true);
        }
    }

    let world = Arc::new(World {
        lock: RwLock::new(0),
        readers: AtomicUsize::new(0),
        writers: AtomicUsize::new(0),
        written: AtomicUsize::new(0),
    });
    let judge = {
        let world = world.clone();
        move || {
            let guard = world.lock.try_write().expect("nobody holds it");
            assert_eq!(*guard, world.written.load(Ordering::SeqCst));
            drop(guard);
            let guard = world.lock.try_upgradable_read().expect("nobody holds it");
            assert!(world.lock.try_read().is_some());
            drop(guard);
            assert!(world.lock.try_write_for(SHORT).is_some());
        }
    };
    let reading = || {
        let world = world.clone();
        move || {
            for _ in 0..3 {
                let _guard = world.lock.read();
                world.stay(false);
            }
        }
    };
    let writing = || {
        let world = world.clone();
        move || {
            for turn in 0..3 {
                let guard =
                    if turn == 1 { world.lock.try_write_for(LONG).unwrap() } else { world.lock.write() };
                world.write(guard);
                dither(turn);
            }
        }
    };
    let upgrading = {
        let world = world.clone();
        move || {
            for turn in 0..3 {
                let guard = world.lock.upgradable_read();
                world.stay(false);
                let guard = RwLockUpgradableReadGuard::upgrade(guard);
                world.write(guard);
                dither(turn);
            }
        }
    };
    Play::new(judge)
        .role("reader", reading())
        .role("other reader", reading())
        .role("writer", writing())
        .role("other writer", writing())
        .role("upgrader", upgrading)
}

pub fn condvar() -> Play {
    struct Queue {
        messages: VecDeque<Message>,
        producers: usize,
    }

    struct World {
        queue: Mutex<Queue>,
        filled: Condvar,
    }

    /// Parks in its destructor if the lock is held.
    struct Producer(Arc<World>);

    impl Drop for Producer {
        fn drop(&mut self) {
            // The consumers count on it, whatever befalls this task.
            cancel::shield(|| self.0.queue.lock().producers -= 1);
            self.0.filled.notify_all();
        }
    }

    let world = Arc::new(World {
        queue: Mutex::new(Queue { messages: VecDeque::new(), producers: 2 }),
        filled: Condvar::new(),
    });
    let ledger = Ledger::new();
    let judge = {
        let (world, ledger) = (world.clone(), ledger.clone());
        move || {
            let mut queue = world.queue.try_lock().expect("nobody holds it");
            assert_eq!(queue.producers, 0);
            queue.messages.drain(..).for_each(Message::received);
            ledger.check();
            assert!(!world.filled.notify_one(), "nobody waits");
        }
    };
    let producing = |turns| {
        let (producer, ledger) = (Producer(world.clone()), ledger.clone());
        move || {
            for _ in 0..3 {
                fibra::sleep(SHORT);
                ledger.send(|message| {
                    producer.0.queue.lock().messages.push_back(message);
                    Ok::<_, ()>(())
                });
                producer.0.filled.notify_one();
                dither(turns);
            }
        }
    };
    let consuming = |turns| {
        let world = world.clone();
        move || {
            loop {
                let mut queue = world.queue.lock();
                while queue.messages.is_empty() && queue.producers > 0 {
                    if turns == 0 {
                        world.filled.wait(&mut queue);
                    } else {
                        assert!(!world.filled.wait_for(&mut queue, LONG).timed_out());
                    }
                }
                let Some(message) = queue.messages.pop_front() else { return };
                message.received();
                dither(turns);
            }
        }
    };
    Play::new(judge)
        .role("first producer", producing(0))
        .role("second producer", producing(1))
        .role("first consumer", consuming(0))
        .steady("second consumer", consuming(1))
}

pub fn semaphore() -> Play {
    let world = Arc::new((Semaphore::new(2), AtomicUsize::new(0)));
    let judge = {
        let world = world.clone();
        move || {
            assert_eq!(world.0.available_permits(), 2);
            let both = world.0.try_acquire_many(2).expect("all are back");
            assert!(world.0.try_acquire().is_err());
            drop(both);
            assert_eq!(world.1.load(Ordering::SeqCst), 0);
        }
    };
    let using = |turns| {
        let world = world.clone();
        move || {
            for turn in 0..3 {
                let _permit = world.0.acquire().unwrap();
                assert!(world.1.fetch_add(1, Ordering::SeqCst) < 2);
                let _gone = OnDrop::new(|| {
                    world.1.fetch_sub(1, Ordering::SeqCst);
                });
                dither(turns);
                if turn != 1 {
                    fibra::sleep(SHORT);
                }
            }
        }
    };
    let roles = ["first", "second", "third", "fourth"].into_iter().enumerate();
    roles.fold(Play::new(judge), |play, (turns, name)| play.role(name, using(turns)))
}

/// Many permits at a time, owned ones, and the end of a semaphore.
pub fn semaphore_of_many() -> Play {
    let semaphore = Arc::new(Semaphore::new(3));
    let users = Arc::new(AtomicUsize::new(3));
    let judge = {
        let semaphore = semaphore.clone();
        move || {
            assert!(semaphore.is_closed());
            assert_eq!(semaphore.available_permits(), 3, "closing takes none away");
        }
    };
    let using = |count: u32| {
        let (semaphore, users) = (semaphore.clone(), users.clone());
        let last = semaphore.clone();
        let gone = OnDrop::new(move || {
            if users.fetch_sub(1, Ordering::SeqCst) == 1 {
                last.close();
            }
        });
        move || {
            let _gone = gone;
            for _ in 0..3 {
                let permits = semaphore.clone().acquire_many_owned(count).unwrap();
                fibra::sleep(SHORT);
                drop(permits);
                let permits = semaphore.try_acquire_many_for(4 - count, LONG).unwrap();
                dither(1);
                drop(permits);
            }
        }
    };
    Play::new(judge)
        .role("taker of one", using(1))
        .role("taker of two", using(2))
        .role("taker of three", using(3))
}
