//! `Select`: the list, its indices, and every way to choose from it.

mod support;

use std::time::{Duration, Instant};

use fibra::channel::{
    ReadyTimeoutError, RecvError, Select, SelectTimeoutError, SelectedOperation, SendError, TryReadyError,
    TrySelectError, bounded, never, unbounded,
};
use fibra::{Builder, spawn, yield_now};
use support::{message, within_patience};

const LONG: Duration = Duration::from_secs(1000);

fn on_one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    within_patience(|| Builder::new().workers(1).run(f).unwrap())
}

#[test]
fn smoke() {
    let (tx1, rx1) = unbounded();
    let (tx2, rx2) = unbounded::<&str>();
    let mut select = Select::new();
    let (one, two) = (select.recv(&rx1), select.recv(&rx2));
    assert_eq!((one, two), (0, 1));
    assert_eq!(select.try_select().unwrap_err(), TrySelectError);
    tx1.send(1).unwrap();
    let operation = select.select();
    assert_eq!(operation.index(), one);
    assert_eq!(operation.recv(&rx1), Ok(1));
    tx2.send("two").unwrap();
    let operation = select.select_timeout(LONG).unwrap();
    assert_eq!(operation.index(), two);
    assert_eq!(operation.recv(&rx2), Ok("two"));
    drop(tx2);
    let operation = select.select_deadline(Instant::now() + LONG).unwrap();
    assert_eq!((operation.index(), operation.recv(&rx2)), (two, Err(RecvError)));
}

#[test]
fn sends_are_ready_with_room_or_without_receivers() {
    let (tx, rx) = bounded(1);
    let mut select = Select::new();
    let index = select.send(&tx);
    let operation = select.select();
    assert_eq!((operation.index(), operation.send(&tx, 1)), (index, Ok(())));
    assert!(select.try_select().is_err());
    assert_eq!(select.select_timeout(Duration::from_millis(1)).unwrap_err(), SelectTimeoutError);
    drop(rx);
    assert_eq!(select.select().send(&tx, 2), Err(SendError(2)));
}

#[test]
fn an_empty_list_never_becomes_ready() {
    let timeout = Duration::from_millis(10);
    let start = Instant::now();
    let mut select = Select::default();
    assert_eq!(select.try_select().unwrap_err(), TrySelectError);
    assert_eq!(select.try_ready(), Err(TryReadyError));
    assert_eq!(select.select_timeout(timeout).unwrap_err(), SelectTimeoutError);
    assert_eq!(select.ready_deadline(start + 2 * timeout), Err(ReadyTimeoutError));
    assert!(start.elapsed() >= 2 * timeout);
    let endless: [fn(&mut Select<'_>); 2] =
        [|select| drop(select.select()), |select| assert_eq!(select.ready(), 0)];
    for endless in endless {
        let panicked = std::panic::catch_unwind(|| endless(&mut Select::new()));
        assert!(message(&*panicked.unwrap_err()).contains("no operations have been added"));
    }
}

#[test]
fn removed_operations_are_not_chosen_and_indices_stay() {
    let (tx, rx) = unbounded();
    let (_tx2, rx2) = unbounded::<i32>();
    let mut select = Select::new_biased();
    let indices: Vec<_> =
        (0..4).map(|i| if i % 2 == 0 { select.recv(&rx) } else { select.recv(&rx2) }).collect();
    (0..10).for_each(|i| tx.send(i).unwrap());
    select.remove(indices[0]);
    let operation = select.select();
    assert_eq!((operation.index(), operation.recv(&rx)), (indices[2], Ok(0)));
    let again = select.recv(&rx);
    assert_eq!(again, 4);
    select.remove(indices[2]);
    assert_eq!(select.try_ready(), Ok(again));
    select.remove(again);
    assert!(select.try_select().is_err());
    for missing in [again, 5] {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| select.remove(missing)));
        let text = message(&*panicked.unwrap_err()).to_owned();
        assert!(
            text.contains("no operation with this index") || text.contains("index out of bounds"),
            "{text}"
        );
    }
}

#[test]
fn a_biased_list_is_tried_in_order() {
    let (tx, rx) = unbounded();
    (0..100).for_each(|i| tx.send(i).unwrap());
    let nothing = never::<i32>();
    let mut select = Select::new_biased();
    let (_, second, _) = (select.recv(&nothing), select.recv(&rx), select.recv(&rx));
    let mut copy = select.clone();
    for i in 0..100 {
        let operation = if i % 2 == 0 { select.select() } else { copy.select() };
        assert_eq!((operation.index(), operation.recv(&rx)), (second, Ok(i)));
    }
}

#[test]
fn ready_operations_are_chosen_equally_often() {
    const ROUNDS: usize = 10_000;
    let (tx, rx) = unbounded();
    let (_tx2, empty) = unbounded::<()>();
    let mut select = Select::new();
    let mut hits = [0; 6];
    select.recv(&rx);
    select.recv(&empty);
    select.recv(&rx);
    select.send(&tx);
    select.recv(&empty);
    select.send(&tx);
    (0..ROUNDS).for_each(|_| tx.send(()).unwrap());
    for _ in 0..ROUNDS {
        let operation = select.select();
        hits[operation.index()] += 1;
        match operation.index() {
            0 | 2 => operation.recv(&rx).unwrap(),
            _ => operation.send(&tx, ()).unwrap(),
        }
        hits[select.ready()] += 1;
    }
    assert_eq!(hits[1] + hits[4], 0);
    let deviation = (ROUNDS as f64 * 2.0 * 0.25 * 0.75).sqrt();
    for hit in [hits[0], hits[2], hits[3], hits[5]] {
        assert!((f64::from(hit) - ROUNDS as f64 / 2.0).abs() < 10.0 * deviation, "{hits:?}");
    }
}

#[test]
fn timeouts() {
    let (_tx, rx) = unbounded::<i32>();
    let (full, _rx) = bounded::<i32>(0);
    let mut select = Select::new();
    select.recv(&rx);
    select.send(&full);
    let timeout = Duration::from_millis(10);
    let start = Instant::now();
    assert!(select.select_timeout(timeout).is_err());
    assert!(select.ready_timeout(timeout).is_err());
    assert!(start.elapsed() >= 2 * timeout);
    // Times that are over, and one that the clock can't name.
    assert!(select.select_timeout(Duration::ZERO).is_err());
    assert!(select.select_deadline(start).is_err());
    assert!(select.ready_deadline(start).is_err());
    let (tx, rx) = unbounded();
    let sender = spawn(move || tx.send(1).unwrap());
    let mut select = Select::new();
    select.recv(&rx);
    assert_eq!(select.select_timeout(Duration::MAX).unwrap().recv(&rx), Ok(1));
    sender.join().unwrap();
}

#[test]
fn a_list_is_used_again_and_again() {
    on_one_worker(|| {
        let (tx1, rx1) = bounded::<usize>(0);
        let (tx2, rx2) = bounded::<usize>(2);
        let sender = spawn(move || {
            for i in 0..1000 {
                (if i % 3 == 0 { &tx1 } else { &tx2 }).send(i).unwrap();
            }
        });
        let mut select = Select::new();
        select.recv(&rx1);
        select.recv(&rx2);
        let mut sum = 0;
        for _ in 0..1000 {
            let operation = select.select();
            sum += if operation.index() == 0 { operation.recv(&rx1) } else { operation.recv(&rx2) }.unwrap();
        }
        assert_eq!(sum, 999 * 500);
        sender.join().unwrap();
    });
}

#[test]
fn ready_names_operations_and_takes_nothing() {
    let (tx, rx) = unbounded();
    let (full, full_rx) = bounded(1);
    full.send(0).unwrap();
    let mut select = Select::new();
    let (receive, send) = (select.recv(&rx), select.send(&full));
    assert_eq!(select.try_ready(), Err(TryReadyError));
    assert_eq!(select.ready_timeout(Duration::from_millis(1)), Err(ReadyTimeoutError));
    tx.send(1).unwrap();
    for _ in 0..3 {
        assert_eq!(select.ready(), receive);
    }
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(full_rx.try_recv(), Ok(0));
    assert_eq!(select.ready_timeout(LONG), Ok(send));
    full.send(1).unwrap();
    drop(tx);
    assert_eq!(select.ready_deadline(Instant::now() + LONG), Ok(receive));
    drop((full_rx, rx.clone()));
    assert!(select.ready() <= 1);
}

#[test]
fn ready_is_woken_by_messages_room_partners_and_ends() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<i32>(0);
        let (tx2, rx2) = bounded::<i32>(1);
        let (tx3, rx3) = unbounded::<i32>();
        tx2.send(0).unwrap();
        let look = {
            let (rx, tx2, rx3) = (rx.clone(), tx2.clone(), rx3.clone());
            move || {
                let (rx, tx2, rx3) = (rx.clone(), tx2.clone(), rx3.clone());
                let looking = spawn(move || {
                    let mut select = Select::new();
                    select.recv(&rx);
                    select.send(&tx2);
                    select.recv(&rx3);
                    select.ready()
                });
                yield_now();
                assert!(!looking.is_finished());
                looking
            }
        };
        // A sender that comes to wait.
        let looking = look();
        let sender = spawn(move || tx.send(1));
        yield_now();
        assert_eq!(looking.join().unwrap(), 0);
        assert_eq!(rx.recv(), Ok(1));
        sender.join().unwrap().unwrap();
        // The rendezvous channel is closed now, so leave it out of what follows.
        assert_eq!(rx.try_recv(), Err(fibra::channel::TryRecvError::Disconnected));
        let (_tx, open) = bounded::<i32>(0);
        let wait = move |tx2: &fibra::channel::Sender<i32>, rx3: &fibra::channel::Receiver<i32>| {
            let (open, tx2, rx3) = (open.clone(), tx2.clone(), rx3.clone());
            let looking = spawn(move || {
                let mut select = Select::new();
                select.recv(&open);
                select.send(&tx2);
                select.recv(&rx3);
                select.ready()
            });
            yield_now();
            assert!(!looking.is_finished());
            looking
        };
        let looking = wait(&tx2, &rx3);
        assert_eq!(rx2.recv(), Ok(0));
        assert_eq!(looking.join().unwrap(), 1);
        tx2.send(0).unwrap();
        let looking = wait(&tx2, &rx3);
        tx3.send(3).unwrap();
        assert_eq!(looking.join().unwrap(), 2);
        assert_eq!(rx3.recv(), Ok(3));
        let looking = wait(&tx2, &rx3);
        drop(tx3);
        assert_eq!(looking.join().unwrap(), 2);
    });
}

#[test]
fn those_who_look_do_not_keep_messages_from_those_who_wait() {
    on_one_worker(|| {
        let (tx, rx) = bounded::<i32>(0);
        let lookers: Vec<_> = (0..3)
            .map(|_| {
                let rx = rx.clone();
                spawn(move || {
                    let mut select = Select::new();
                    select.recv(&rx);
                    select.ready_timeout(Duration::from_millis(500)).is_ok()
                })
            })
            .collect();
        (0..9).for_each(|_| yield_now());
        let waiting = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        (0..9).for_each(|_| yield_now());
        // It finds the one who waits behind those who look.
        assert_eq!(tx.try_send(1), Ok(()));
        assert_eq!(waiting.join().unwrap(), Ok(1));
        assert!(lookers.into_iter().all(|looker| !looker.join().unwrap()));
    });
}

#[test]
fn traits() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    fn is_unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
    let (tx, rx) = unbounded::<i32>();
    let mut select = Select::new();
    select.recv(&rx);
    is_send_and_sync(&select);
    assert_eq!(format!("{select:?} {:?}", select.clone()), "Select { .. } Select { .. }");
    tx.send(1).unwrap();
    let operation: SelectedOperation<'_> = select.select();
    assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
    is_unwind_safe(&operation);
    operation.recv(&rx).unwrap();
    let errors: [&dyn std::error::Error; 4] =
        [&TrySelectError, &SelectTimeoutError, &TryReadyError, &ReadyTimeoutError];
    let texts = [
        "all operations in select would block",
        "timed out waiting on select",
        "no operation is ready",
        "timed out waiting for an operation to be ready",
    ];
    assert_eq!(errors.map(|e| e.to_string()), texts);
    assert_eq!(format!("{TryReadyError:?} {ReadyTimeoutError:?}"), "TryReadyError ReadyTimeoutError");
}
