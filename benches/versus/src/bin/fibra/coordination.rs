//! Locks, rendezvous, choices, deadlines, cancellation, scopes and the parallel map.

use std::hint::black_box;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::select as crossbeam_select;
use fibra::channel::{Receiver, RecvError, bounded, select};
use fibra::sync::{Mutex, RwLock, Semaphore};
use fibra::thread;
use fibra::{Cancelled, Runtime};
use versus::turns::{self, time};
use versus::{Args, CANCELLED, FAR, FILL, LOCKERS, Report, SCOPED, SIDES, work};

use crate::{join_all, task};

pub fn run(fibra: &Runtime, args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "rendezvous" => versus::per_op(n, || fibra.run(|| rendezvous(n))),
        "mutex_8" => versus::per_op(n, || fibra.run(|| mutex_8(n))),
        "mutex" => fibra.run(|| mutex(n)),
        "rwlock_read" => fibra.run(|| rwlock_read(n)),
        "semaphore" => fibra.run(|| semaphore(n)),
        "select" => fibra.run(|| choose(n)),
        "cancel" => {
            let anywhere = fibra.run(|| cancel(n, None)).value();
            let here = fibra.run(|| task(Some(0)).spawn(move || cancel(n, Some(0))).unwrap().join().unwrap());
            here.with("placed_by_runtime_us", anywhere).with("unwind_us", unwind().nanos(0) / 1e3)
        }
        "scope" => fibra.run(|| scope(n)),
        "timeout_ready" => {
            let n = versus::whole_fills(n);
            fibra.run(|| {
                versus::extra(turns::take(
                    n,
                    [&mut |ops| receive_ready(ops, timed), &mut |ops| receive_ready(ops, plain)],
                ))
            })
        }
        "timeout_parked" => {
            let here = task(Some(0)).spawn(move || {
                versus::extra(turns::take(
                    n,
                    [&mut |ops| receive_parked(ops, timed), &mut |ops| receive_parked(ops, plain)],
                ))
            });
            here.unwrap().join().unwrap()
        }
        _ => {
            let (workers, steps) = (args.workers, work::steps());
            let map = || fibra::pool::map(0..n, |i| work::item(i as u64, steps));
            fibra.run(|| work::report(n, workers, steps, map))
        }
    }
}

fn rendezvous(n: usize) {
    let (tx, rx) = bounded(0);
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(thread::spawn(move || {
            (0..each).for_each(|i| tx.send(i).unwrap());
            0
        }));
        tasks.push(thread::spawn(move || rx.iter().sum::<usize>()));
    }
    drop((tx, rx));
    assert_eq!(join_all(tasks).iter().sum::<usize>(), versus::rendezvous_sum(n));
}

fn mutex_8(n: usize) {
    let counter = Arc::new(Mutex::new(0));
    let locker = || {
        let counter = counter.clone();
        move || (0..n / LOCKERS).for_each(|_| *counter.lock() += 1)
    };
    join_all((0..LOCKERS).map(|_| thread::spawn(locker())).collect());
    assert_eq!(*counter.lock(), n / LOCKERS * LOCKERS);
}

/// What our side, the first, takes beside parking_lot's `Mutex`, the second.
fn beside_parking_lot(turns: turns::Turns<2>) -> Report {
    Report::new(turns.nanos(0), "ns")
        .with("parking_lot_mutex_ns", turns.nanos(1))
        .with("times_parking_lot", turns.ratio(0, 1))
}

/// Locks parking_lot's mutex `ops` times.
fn lock_parking_lot(mutex: &parking_lot::Mutex<usize>, ops: usize) -> Duration {
    time(|| (0..ops).for_each(|_| *black_box(mutex).lock() += 1))
}

fn mutex(n: usize) -> Report {
    let (ours, theirs) = (Mutex::new(0), parking_lot::Mutex::new(0));
    let turns = turns::take(
        n,
        [&mut |ops| time(|| (0..ops).for_each(|_| *black_box(&ours).lock() += 1)), &mut |ops| {
            lock_parking_lot(&theirs, ops)
        }],
    );
    assert_eq!([ours.into_inner(), theirs.into_inner()], [turns::all_of(n); 2]);
    beside_parking_lot(turns)
}

fn rwlock_read(n: usize) -> Report {
    let (ours, theirs) = (RwLock::new(1), parking_lot::Mutex::new(0));
    let mut sum = 0;
    let turns = turns::take(
        n,
        [&mut |ops| time(|| (0..ops).for_each(|_| sum += *black_box(&ours).read())), &mut |ops| {
            lock_parking_lot(&theirs, ops)
        }],
    );
    assert_eq!(sum, turns::all_of(n));
    beside_parking_lot(turns)
}

fn semaphore(n: usize) -> Report {
    let (ours, theirs) = (Semaphore::new(1), parking_lot::Mutex::new(0));
    let turns = turns::take(
        n,
        [&mut |ops| time(|| (0..ops).for_each(|_| drop(black_box(&ours).acquire().unwrap()))), &mut |ops| {
            lock_parking_lot(&theirs, ops)
        }],
    );
    assert_eq!(ours.available_permits(), 1);
    beside_parking_lot(turns)
}

fn choose(n: usize) -> Report {
    let n = versus::whole_fills(n);
    let (mut ours, mut theirs) = ([0, 0], [0, 0]);
    let turns = turns::take(
        n,
        [&mut |ops| versus::choose!(select, bounded, ops, ours), &mut |ops| {
            versus::choose!(crossbeam_select, crossbeam_channel::bounded, ops, theirs)
        }],
    );
    for taken in [ours, theirs] {
        versus::assert_fair(taken, turns::all_of(n));
    }
    Report::new(turns.nanos(0), "ns").with("crossbeam_ns", turns.nanos(1))
}

fn cancel(n: usize, worker: Option<usize>) -> Report {
    let (arrived, unwound) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (_tx, rx) = bounded::<()>(0);
    let report = versus::cancel(n, || {
        let before = arrived.load(Relaxed);
        let spawn = |_| {
            let (arrived, rx, count) = (arrived.clone(), rx.clone(), versus::CountDrop(unwound.clone()));
            task(worker).spawn(move || park_for_good(&arrived, &rx, count)).unwrap()
        };
        let tasks: Vec<_> = (0..CANCELLED).map(spawn).collect();
        while arrived.load(Relaxed) < before + CANCELLED {
            thread::yield_now();
        }
        if worker.is_none() {
            // Those on other workers may be about to park.
            thread::sleep(Duration::from_micros(100));
        }
        time(|| {
            for task in tasks {
                task.cancel();
                assert!(task.join().unwrap_err().is::<Cancelled>());
            }
        })
    });
    assert_eq!(unwound.load(Relaxed), n / CANCELLED * CANCELLED);
    report
}

/// What std's own unwinding takes, with nothing between the throw and the catch.
fn unwind() -> turns::Turns<1> {
    let throw = || panic::catch_unwind(|| panic::resume_unwind(Box::new(()))).unwrap_err();
    turns::take(20_000, [&mut |ops| time(|| (0..ops).for_each(|_| drop(throw())))])
}

fn park_for_good(arrived: &AtomicUsize, rx: &Receiver<()>, _count: versus::CountDrop) {
    arrived.fetch_add(1, Relaxed);
    rx.recv().unwrap();
}

fn scope(n: usize) -> Report {
    let ran = AtomicUsize::new(0);
    thread::scope(|s| {
        (0..SCOPED).for_each(|_| {
            s.spawn(|| ran.fetch_add(1, Relaxed));
        });
    });
    assert_eq!(ran.into_inner(), SCOPED);
    let n = n / SCOPED;
    let turns = turns::take(
        n,
        [
            &mut |ops| {
                time(|| {
                    for _ in 0..ops {
                        thread::scope(|s| {
                            (0..SCOPED).for_each(|_| {
                                s.spawn(|| ());
                            });
                        });
                    }
                })
            },
            &mut |ops| time(|| (0..ops).for_each(|_| thread::spawn(|| ()).join().unwrap())),
        ],
    );
    Report::new(turns.ratio(0, 1), "× spawn and join")
        .with("scope_ns", turns.nanos(0))
        .with("spawn_join_ns", turns.nanos(1))
}

fn plain(rx: &Receiver<usize>) -> Result<usize, RecvError> {
    rx.recv()
}

fn timed(rx: &Receiver<usize>) -> Result<usize, RecvError> {
    fibra::timeout(FAR, || rx.recv()).unwrap()
}

/// The time in which `ops` messages are received that lie ready.
fn receive_ready(ops: usize, receive: impl Fn(&Receiver<usize>) -> Result<usize, RecvError>) -> Duration {
    let (tx, rx) = bounded(FILL);
    let mut took = Duration::ZERO;
    for _ in 0..ops / FILL {
        (0..FILL).for_each(|i| tx.send(i).unwrap());
        took += time(|| (0..FILL).for_each(|i| assert_eq!(receive(&rx), Ok(i))));
    }
    took
}

/// The time of `ops` round trips between two tasks on one worker, in which one of them waits for each answer.
fn receive_parked(ops: usize, receive: impl Fn(&Receiver<usize>) -> Result<usize, RecvError>) -> Duration {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let echo = task(Some(0)).spawn(move || pinged.iter().for_each(|i| pong.send(i).unwrap()));
    let took = time(|| {
        for i in 0..ops {
            ping.send(i).unwrap();
            assert_eq!(receive(&ponged), Ok(i));
        }
    });
    drop(ping);
    echo.unwrap().join().unwrap();
    took
}
