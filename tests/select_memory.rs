//! Selects leave no memory behind, and most of them allocate none.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use fibra::channel::{Select, after, bounded, never, select, unbounded};
use fibra::{Builder, spawn};
use support::within_patience;

/// Counts what is allocated and not freed.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it is the system's allocator, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        BYTES.fetch_add(layout.size(), SeqCst);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), SeqCst);
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = if cfg!(debug_assertions) { 100_000 } else { 10_000_000 };

/// How many allocations `rounds` made, and how many bytes they left.
fn cost(rounds: impl FnOnce()) -> (usize, isize) {
    let before = (ALLOCATIONS.load(SeqCst), BYTES.load(SeqCst));
    rounds();
    (ALLOCATIONS.load(SeqCst) - before.0, BYTES.load(SeqCst).wrapping_sub(before.1).cast_signed())
}

// One test, since all of a process's allocations count.
#[test]
fn rounds_of_every_kind_leave_nothing_behind() {
    within_patience(|| Builder::new().workers(1).run(on_one_worker).unwrap());
}

fn on_one_worker() {
    let ((tx, rx), (full, _keep)) = (bounded(1), bounded::<usize>(0));
    let ready = || {
        for i in 0..ROUNDS {
            select! { send(tx, i) -> res => res.unwrap(), send(full, i) -> _ => unreachable!() }
            select! { recv(rx) -> msg => assert_eq!(msg, Ok(i)), recv(never::<()>()) -> _ => unreachable!() }
            select! { recv(rx) -> _ => unreachable!(), send(full, i) -> _ => unreachable!(), default => {} }
        }
    };
    // What the first rounds leave is the worker's: timers, stacks, caches.
    ready();
    assert_eq!(cost(ready), (0, 0));

    let parked = || {
        let ((tx, rx), (_keep, silent)) = (bounded::<usize>(0), bounded::<usize>(0));
        let sender = spawn({
            let silent = silent.clone();
            move || {
                for i in 0..ROUNDS / 4 {
                    select! { send(tx, i) -> res => res.unwrap(), recv(silent) -> _ => unreachable!() }
                }
            }
        });
        for i in 0..ROUNDS / 4 {
            select! {
                recv(rx) -> msg => assert_eq!(msg, Ok(i)),
                recv(silent) -> _ => unreachable!(),
                default(Duration::from_secs(100)) => unreachable!(),
            }
        }
        sender.join().unwrap();
    };
    parked();
    let (allocations, bytes) = cost(parked);
    assert!(allocations < 20 && bytes == 0, "{allocations} allocations, {bytes} bytes");

    // These make a clock or a list in each round, and give it back.
    let given_back = || {
        let (tx, rx) = unbounded::<[usize; 20]>();
        for i in 0..ROUNDS / 100 {
            select! { recv(rx) -> _ => unreachable!(), recv(after(Duration::ZERO)) -> _ => {} }
            if i % 100 == 0 {
                select! { recv(rx) -> _ => unreachable!(), default(Duration::from_micros(20)) => {} }
            }
            let mut select = Select::new();
            let (send, receive) = (select.send(&tx), select.recv(&rx));
            let operation = select.select();
            assert_eq!(operation.index(), send);
            operation.send(&tx, [i; 20]).unwrap();
            select.remove(send);
            let operation = select.try_select().unwrap();
            assert_eq!(operation.index(), receive);
            assert_eq!(operation.recv(&rx), Ok([i; 20]));
        }
    };
    given_back();
    let (_, bytes) = cost(given_back);
    assert_eq!(bytes, 0);
}
