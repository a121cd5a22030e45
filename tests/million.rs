//! A million tasks at once, a million actors, and a million tasks deep. Alone in its process, which it measures; needs some gigabytes.

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fibra::actor::{self, Mailbox, ReplyTo};
use fibra::{Builder, thread};
use support::{PATIENCE, status_kib};

const MILLION: usize = 1_000_000;

/// What must be available before this is tried: a million stacks of one or two pages, their page tables, the tasks.
const NEEDED_KIB: usize = 12 << 20;

/// What may remain beside 20 %: the tables of slots of an arena for a million stacks, the workers' cached stacks (64
/// each), and what the allocator keeps.
const ALLOWANCE_KIB: usize = 16 << 10;

/// Memory of the process, in KiB.
#[derive(Debug, Clone, Copy)]
struct Figures {
    resident: usize,
    /// Page tables, which count as nobody's resident memory.
    tables: usize,
}

impl Figures {
    fn now() -> Self {
        Self { resident: status_kib("VmRSS:"), tables: status_kib("VmPTE:") }
    }
}

fn available_kib() -> usize {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let line = info.lines().find(|line| line.starts_with("MemAvailable:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn enough_memory() -> bool {
    let available = available_kib();
    if available < NEEDED_KIB {
        println!("skipped: {available} KiB of memory are available, {NEEDED_KIB} KiB are needed");
    }
    available >= NEEDED_KIB
}

/// Waits until the memory is back to what it was at the start, as promised and unasked, and says what it saw.
fn check_given_back(what: &str, start: Figures) {
    let allowed = |start: usize| start + start / 5 + ALLOWANCE_KIB;
    let (peak, ended) = (status_kib("VmHWM:"), Instant::now());
    println!("{what}: start {start:?}, peak {peak} KiB, at the end {:?}", Figures::now());
    support::wait_until("the memory comes back", || {
        let now = Figures::now();
        now.resident <= allowed(start.resident) && now.tables <= allowed(start.tables)
    });
    println!("{what}: {:?} after {:?}", Figures::now(), ended.elapsed());
}

fn a_million_parked_tasks() {
    let runtime = Builder::new().build().unwrap();
    let phase = |count: usize| {
        runtime.run(|| {
            let parked = Arc::new(AtomicUsize::new(0));
            let woken = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..count)
                .map(|_| {
                    let (parked, woken) = (parked.clone(), woken.clone());
                    fibra::spawn(move || {
                        parked.fetch_add(1, Ordering::Relaxed);
                        thread::park();
                        woken.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            support::wait_until("all are parked", || parked.load(Ordering::Relaxed) == count);
            let figures = Figures::now();
            tasks.iter().for_each(|task| task.thread().unpark());
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(woken.load(Ordering::Relaxed), count);
            figures
        })
    };
    phase(1000);
    let start = Figures::now();
    let parked = phase(MILLION);
    let bytes = |kib: usize| kib * 1024 / MILLION;
    println!(
        "a parked task: {} B resident, {} B of page tables",
        bytes(parked.resident - start.resident),
        bytes(parked.tables - start.tables)
    );
    check_given_back("a million parked", start);
    // What came back is used again.
    phase(1000);
}

fn a_million_idle_actors() {
    let runtime = Builder::new().build().unwrap();
    let phase = |count: usize| {
        runtime.run(|| {
            let handle = |sum: &mut usize, (number, reply_to): (usize, ReplyTo<usize>)| {
                *sum += number;
                reply_to.send(*sum);
            };
            let begun = Arc::new(AtomicUsize::new(0));
            let actors: Vec<_> = (0..count)
                .map(|i| {
                    let begun = begun.clone();
                    let init = move |_: &Mailbox<_>| {
                        begun.fetch_add(1, Ordering::Relaxed);
                        i
                    };
                    actor::spawn(init, handle)
                })
                .collect();
            support::wait_until("all have begun", || begun.load(Ordering::Relaxed) == count);
            let figures = Figures::now();
            for i in (0..count).step_by(10) {
                let sum = actors[i].call_timeout(PATIENCE, |reply_to| (1, reply_to));
                assert_eq!(sum.unwrap(), i + 1);
            }
            figures
        })
    };
    phase(1000);
    let start = Figures::now();
    // Without optimisation each takes two pages, and its time.
    let count = if cfg!(debug_assertions) { MILLION / 10 } else { MILLION };
    let idle = phase(count);
    println!("an idle actor: {} B resident", (idle.resident - start.resident) * 1024 / count);
    check_given_back("a million actors", start);
}

fn a_recursion_a_million_deep() {
    fn depth(left: usize) -> usize {
        if left == 0 { 0 } else { fibra::spawn(move || depth(left - 1)).join().unwrap() + 1 }
    }
    let runtime = Builder::new().build().unwrap();
    assert_eq!(runtime.run(|| depth(1000)), 1000);
    let start = Figures::now();
    assert_eq!(runtime.run(|| depth(MILLION)), MILLION);
    check_given_back("a million deep", start);
}

/// One after the other, since all of them need the memory of the machine.
#[test]
fn a_million_tasks_park_wake_and_give_their_memory_back_as_do_actors_and_a_million_may_wait_for_each_other() {
    for test in [a_million_parked_tasks, a_million_idle_actors, a_recursion_a_million_deep] {
        if enough_memory() {
            test();
        }
    }
}
