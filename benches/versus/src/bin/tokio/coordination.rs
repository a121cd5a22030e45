//! What tasks of tokio coordinate with: its locks, `flume`'s rendezvous channel, `select!`, `timeout`, `abort`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, RwLock, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use versus::{Args, CANCELLED, FAR, FILL, LOCKERS, Report, SIDES, turns};

use crate::{enter, join_all};

pub fn run(tokio: &Runtime, args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "rendezvous" => versus::per_op(n, || enter(tokio, rendezvous(n))),
        "mutex_8" => versus::per_op(n, || enter(tokio, mutex_8(n))),
        "mutex" => turns::alone(n, |ops| enter(tokio, mutex(ops))),
        "rwlock_read" => turns::alone(n, |ops| enter(tokio, rwlock_read(ops))),
        "semaphore" => turns::alone(n, |ops| enter(tokio, semaphore(ops))),
        "select" => select(tokio, n),
        "timeout_ready" => versus::extra(turns::take(
            n.next_multiple_of(turns::TURNS * FILL),
            [&mut |ops| enter(tokio, receive_ready(ops, true)), &mut |ops| {
                enter(tokio, receive_ready(ops, false))
            }],
        )),
        "timeout_parked" => {
            let tokio = &Builder::new_current_thread().enable_time().build().unwrap();
            versus::extra(turns::take(
                n,
                [&mut |ops| enter(tokio, receive_parked(ops, true)), &mut |ops| {
                    enter(tokio, receive_parked(ops, false))
                }],
            ))
        }
        "cancel" => {
            let one = Builder::new_current_thread().enable_time().build().unwrap();
            let both = cancel(tokio, n).value();
            cancel(&one, n).with("placed_by_runtime_us", both)
        }
        "pool_map" => Report::skip("tokio has no parallel map"),
        _ => Report::skip("a task of tokio can't borrow"),
    }
}

async fn rendezvous(n: usize) {
    let (tx, rx) = flume::bounded(0);
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(tokio::spawn(async move {
            for i in 0..each {
                tx.send_async(i).await.unwrap();
            }
            0
        }));
        tasks.push(tokio::spawn(async move {
            let mut sum = 0;
            while let Ok(i) = rx.recv_async().await {
                sum += i;
            }
            sum
        }));
    }
    drop((tx, rx));
    assert_eq!(join_all(tasks).await.iter().sum::<usize>(), versus::rendezvous_sum(n));
}

async fn mutex_8(n: usize) {
    let counter = Arc::new(Mutex::new(0));
    let locker = |counter: Arc<Mutex<usize>>| async move {
        for _ in 0..n / LOCKERS {
            *counter.lock().await += 1;
        }
    };
    join_all((0..LOCKERS).map(|_| tokio::spawn(locker(counter.clone()))).collect()).await;
    assert_eq!(*counter.lock().await, n / LOCKERS * LOCKERS);
}

async fn mutex(n: usize) {
    let counter = Mutex::new(0);
    for _ in 0..n {
        *black_box(&counter).lock().await += 1;
    }
    assert_eq!(counter.into_inner(), n);
}

async fn rwlock_read(n: usize) {
    let (one, mut sum) = (RwLock::new(1), 0);
    for _ in 0..n {
        sum += *black_box(&one).read().await;
    }
    assert_eq!(sum, n);
}

async fn semaphore(n: usize) {
    let semaphore = Semaphore::new(1);
    for _ in 0..n {
        drop(black_box(&semaphore).acquire().await.unwrap());
    }
    assert_eq!(semaphore.available_permits(), 1);
}

fn select(tokio: &Runtime, n: usize) -> Report {
    let (n, mut taken) = (versus::whole_fills(n), [0, 0]);
    let turns = turns::take(
        n,
        [&mut |ops| {
            let (took, missing) = enter(tokio, choose(ops));
            taken = [taken[0] + missing[0], taken[1] + missing[1]];
            took
        }],
    );
    versus::assert_fair(taken, turns::all_of(n));
    Report::new(turns.nanos(0), "ns")
}

/// What [`versus::choose!`] does.
async fn choose(ops: usize) -> (Duration, [usize; 2]) {
    let ((one, mut from_one), (two, mut from_two)) = (mpsc::channel(FILL), mpsc::channel(FILL));
    let (mut took, mut taken, mut missing) = (Duration::ZERO, [0, 0], [FILL, FILL]);
    for _ in 0..ops / FILL {
        (0..missing[0]).for_each(|_| one.try_send(0).unwrap());
        (0..missing[1]).for_each(|_| two.try_send(1).unwrap());
        missing = [0, 0];
        let start = Instant::now();
        for _ in 0..FILL {
            tokio::select! {
                message = from_one.recv() => missing[message.unwrap()] += 1,
                message = from_two.recv() => missing[message.unwrap()] += 1,
            }
        }
        took += start.elapsed();
        taken = [taken[0] + missing[0], taken[1] + missing[1]];
    }
    (took, taken)
}

async fn receive_ready(ops: usize, timed: bool) -> Duration {
    let (tx, mut rx) = mpsc::channel(FILL);
    let mut took = Duration::ZERO;
    for _ in 0..ops / FILL {
        (0..FILL).for_each(|i| tx.try_send(i).unwrap());
        let start = Instant::now();
        for i in 0..FILL {
            let message = if timed { timeout(FAR, rx.recv()).await.unwrap() } else { rx.recv().await };
            assert_eq!(message, Some(i));
        }
        took += start.elapsed();
    }
    took
}

async fn receive_parked(ops: usize, timed: bool) -> Duration {
    let (ping, mut pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let echo = tokio::spawn(async move {
        while let Some(i) = pinged.recv().await {
            pong.send(i).await.unwrap();
        }
    });
    let start = Instant::now();
    for i in 0..ops {
        ping.send(i).await.unwrap();
        let message = if timed { timeout(FAR, ponged.recv()).await.unwrap() } else { ponged.recv().await };
        assert_eq!(message, Some(i));
    }
    let took = start.elapsed();
    drop(ping);
    echo.await.unwrap();
    took
}

fn cancel(tokio: &Runtime, n: usize) -> Report {
    let dropped = Arc::new(AtomicUsize::new(0));
    let report = versus::cancel(n, || enter(tokio, cancel_batch(dropped.clone())));
    assert_eq!(dropped.load(Relaxed), n / CANCELLED * CANCELLED);
    report
}

async fn cancel_batch(dropped: Arc<AtomicUsize>) -> Duration {
    let (arrived, (tx, rx)) = (Arc::new(AtomicUsize::new(0)), flume::bounded::<()>(0));
    let mut tasks = Vec::with_capacity(CANCELLED);
    for _ in 0..CANCELLED {
        let (arrived, rx, count) = (arrived.clone(), rx.clone(), versus::CountDrop(dropped.clone()));
        tasks.push(tokio::spawn(async move {
            let _count = count;
            arrived.fetch_add(1, Relaxed);
            rx.recv_async().await.unwrap();
        }));
    }
    while arrived.load(Relaxed) < CANCELLED {
        yield_now().await;
    }
    sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let took = start.elapsed();
    drop(tx);
    took
}
