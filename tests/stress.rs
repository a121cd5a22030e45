//! Everything at once, at random, with counts of every effect: spawn, join, cancel, unpark, sleep, yield, scope, detach,
//! channels and locks, from tasks and from OS threads, on fewer and more workers than there are cores.
//!
//! `FIBRA_STRESS_SECONDS=600 cargo test --release --test stress` runs it for longer, with new seeds; each is printed.

mod support;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::sync::{Mutex, WaitGroup};
use fibra::{Builder, Cancelled, Handle, JoinHandle, channel, thread};
use support::OnDrop;

/// A small generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What has happened. Of each pair the two are equal at the end.
#[derive(Default)]
struct World {
    closures_made: AtomicUsize,
    closures_dropped: AtomicUsize,
    results_made: AtomicUsize,
    results_dropped: AtomicUsize,
    sent: AtomicU64,
    received: AtomicU64,
    locked: AtomicU64,
    total: Mutex<u64>,
    detached: WaitGroup,
}

type Shared = Arc<World>;

/// Lives in a closure, wherever that goes.
struct Ticket(Shared);

impl Ticket {
    fn new(world: &Shared) -> Self {
        world.closures_made.fetch_add(1, Ordering::Relaxed);
        Self(world.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.closures_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A result with a value.
struct Fruit(Shared, u64);

impl Fruit {
    fn new(world: &Shared, value: u64) -> Self {
        world.results_made.fetch_add(1, Ordering::Relaxed);
        Self(world.clone(), value)
    }
}

impl Drop for Fruit {
    fn drop(&mut self) {
        self.0.results_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Spawns a task that does some random things and returns `value`.
fn spawn(world: &Shared, random: &mut Random, depth: u32, value: u64) -> JoinHandle<Fruit> {
    let (ticket, seed) = (Ticket::new(world), random.next());
    fibra::spawn(move || {
        let world = &ticket.0;
        let mut random = Random(seed);
        (0..random.below(4)).for_each(|_| step(world, &mut random, depth));
        Fruit::new(world, value)
    })
}

/// One random thing. `depth` bounds how deep tasks spawn tasks.
fn step(world: &Shared, random: &mut Random, depth: u32) {
    let choice = if depth == 0 { random.below(4) } else { random.below(13) };
    match choice {
        0 => fibra::yield_now(),
        1 => fibra::sleep(Duration::from_micros(random.below(60))),
        2 => add_to_total(world, random),
        3 => thread::park_timeout(Duration::from_micros(random.below(20))),
        4 | 5 => join_children(world, random, depth - 1),
        6 => cancel_child(world, random, depth - 1),
        7 => wake_child(world, random),
        8 => detach_child(world, random, depth - 1),
        9 => scope(world, random, depth - 1),
        10 => pass_messages(world, random),
        11 => panic_in_child(world, random),
        _ => cancel_one_that_parks_while_it_unwinds(world, random),
    }
}

fn add_to_total(world: &Shared, random: &mut Random) {
    let amount = random.below(100);
    let mut total = world.total.lock();
    if amount.is_multiple_of(16) {
        fibra::yield_now();
    }
    *total += amount;
    // Under the lock, where nothing is cancelled: both happen or neither.
    world.locked.fetch_add(amount, Ordering::Relaxed);
}

fn join_children(world: &Shared, random: &mut Random, depth: u32) {
    let count = 1 + random.below(4);
    let tasks: Vec<_> = (0..count).map(|i| spawn(world, random, depth, i)).collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join().unwrap_or_else(|payload| resume_unwind(payload)).1, i as u64);
    }
}

fn cancel_child(world: &Shared, random: &mut Random, depth: u32) {
    let task = spawn(world, random, depth, 1);
    (0..random.below(3)).for_each(|_| fibra::yield_now());
    task.cancel();
    match task.join() {
        Ok(fruit) => assert_eq!(fruit.1, 1),
        Err(payload) => assert!(payload.is::<Cancelled>()),
    }
}

fn wake_child(world: &Shared, random: &mut Random) {
    let ticket = Ticket::new(world);
    let task = fibra::spawn(move || {
        thread::park();
        Fruit::new(&ticket.0, 2)
    });
    (0..random.below(3)).for_each(|_| fibra::yield_now());
    task.thread().unpark();
    assert_eq!(task.join().unwrap().1, 2);
}

fn detach_child(world: &Shared, random: &mut Random, depth: u32) {
    let guard = world.detached.guard();
    let (ticket, seed) = (Ticket::new(world), random.next());
    let task = fibra::spawn(move || {
        let _guard = guard;
        step(&ticket.0, &mut Random(seed), depth);
        Fruit::new(&ticket.0, 3)
    });
    if random.below(2) == 0 {
        fibra::yield_now();
    }
    drop(task);
}

fn scope(world: &Shared, random: &mut Random, depth: u32) {
    let done = AtomicUsize::new(0);
    let count = random.below(4) as usize;
    fibra::scope(|s| {
        for _ in 0..count {
            let (ticket, seed, done) = (Ticket::new(world), random.next(), &done);
            s.spawn(move || {
                let _done = OnDrop::new(|| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
                step(&ticket.0, &mut Random(seed), depth);
            });
        }
    });
    assert_eq!(done.into_inner(), count);
}

fn pass_messages(world: &Shared, random: &mut Random) {
    let capacity = random.below(4) as usize;
    let (sender, receiver) = if capacity == 3 { channel::unbounded() } else { channel::bounded(capacity) };
    let count = random.below(20);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (sender, ticket) = (sender.clone(), Ticket::new(world));
            fibra::spawn(move || {
                for i in 0..count {
                    sender.send(i).unwrap();
                }
                ticket.0.sent.fetch_add(count, Ordering::Relaxed);
            })
        })
        .collect();
    drop(sender);
    let ticket = Ticket::new(world);
    let receives = fibra::spawn(move || {
        let received = receiver.iter().count() as u64;
        ticket.0.received.fetch_add(received, Ordering::Relaxed);
    });
    // Not to be cancelled half-way: the counts would differ. The tasks are detached then, and end by themselves.
    tasks.into_iter().for_each(|task| task.join().unwrap());
    receives.join().unwrap();
}

fn panic_in_child(world: &Shared, random: &mut Random) {
    let (ticket, fruit) = (Ticket::new(world), Fruit::new(world, 4));
    let nap = Duration::from_micros(random.below(20));
    let task = fibra::spawn(move || {
        let _ticket = ticket;
        let _guard = OnDrop::new(move || fibra::sleep(nap));
        resume_unwind(Box::new(fruit));
    });
    let payload = task.join().map(|never: ()| never).unwrap_err();
    assert_eq!(payload.downcast_ref::<Fruit>().unwrap().1, 4);
}

fn cancel_one_that_parks_while_it_unwinds(world: &Shared, random: &mut Random) {
    let (ticket, nap) = (Ticket::new(world), Duration::from_micros(random.below(20)));
    let task = fibra::spawn(move || {
        let _guard = OnDrop::new(move || {
            fibra::sleep(nap);
            fibra::yield_now();
            assert_eq!(fibra::spawn(move || 5).join().unwrap_or(5), 5);
            drop(ticket);
        });
        thread::park();
    });
    (0..random.below(3)).for_each(|_| fibra::yield_now());
    task.cancel();
    assert!(task.join().unwrap_err().is::<Cancelled>());
}

/// What an OS thread does beside the tasks.
fn from_outside(world: &Shared, handle: &Handle, seed: u64, steps: usize) {
    let mut random = Random(seed);
    for _ in 0..steps {
        let (ticket, seed) = (Ticket::new(world), random.next());
        let task = handle.spawn(move || {
            thread::park();
            let world = &ticket.0;
            step(world, &mut Random(seed), 2);
            Fruit::new(world, 6)
        });
        match random.below(4) {
            0 => {
                task.cancel();
                assert!(task.join().map_or_else(|payload| payload.is::<Cancelled>(), |fruit| fruit.1 == 6));
            }
            1 => {
                let target = task.thread().clone();
                drop(task);
                target.unpark();
            }
            2 => {
                // Left to the end of the runtime, parked.
                drop(task);
            }
            _ => {
                task.thread().unpark();
                assert_eq!(task.join().unwrap().1, 6);
            }
        }
    }
}

/// One runtime from start to end.
fn round(workers: usize, seed: u64, steps: usize) {
    let world = Shared::default();
    let runtime = Builder::new().workers(workers).shutdown_timeout(100 * support::PATIENCE).build().unwrap();
    let handle = runtime.handle();
    std::thread::scope(|s| {
        for outsider in 0..2 {
            let (world, handle) = (&world, &handle);
            s.spawn(move || from_outside(world, handle, seed ^ outsider, steps / 4));
        }
        runtime.run(|| {
            let mut random = Random(seed);
            let roots: Vec<_> = (0..8)
                .map(|_| {
                    let (world, seed) = (world.clone(), random.next());
                    fibra::spawn(move || {
                        let mut random = Random(seed);
                        (0..steps).for_each(|_| step(&world, &mut random, 3));
                    })
                })
                .collect();
            roots.into_iter().for_each(|root| root.join().unwrap());
            world.detached.wait();
        });
    });
    drop(runtime);
    let world = Arc::into_inner(world).expect("every closure and result has let go of it");
    assert_eq!(world.closures_made.into_inner(), world.closures_dropped.into_inner());
    assert_eq!(world.results_made.into_inner(), world.results_dropped.into_inner());
    assert_eq!(world.total.into_inner(), world.locked.into_inner());
}

fn stress(workers: usize) {
    let minutes = std::env::var("FIBRA_STRESS_SECONDS").ok();
    let limit = minutes
        .map(|seconds| Duration::from_secs(seconds.parse().expect("FIBRA_STRESS_SECONDS is a number")));
    let start = Instant::now();
    for seed in 1.. {
        println!("{workers} workers, seed {seed}");
        round(workers, seed, 200);
        let goes_on = limit.map_or(seed < 10, |limit| start.elapsed() < limit);
        if !goes_on {
            return;
        }
    }
}

#[test]
fn stress_one_worker() {
    stress(1);
}

#[test]
fn stress_two_workers() {
    stress(2);
}

#[test]
fn stress_eight_workers() {
    stress(8);
}
