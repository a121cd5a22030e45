//! A `Source` in many hands: of several workers, runtimes and plain threads, closed, cancelled, and followed by another one
//! under the same number.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::io::Source;
use fibra::{Builder, Cancelled, Runtime, channel, thread};
use support::{Drops, watchers};

fn pair() -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Source::new(ours).unwrap(), theirs)
}

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

fn read_byte(source: &Source<UnixStream>) -> std::io::Result<u8> {
    let mut byte = [0];
    let n = source.read_with(|mut stream| stream.read(&mut byte))?;
    if n == 1 { Ok(byte[0]) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Waits in vain, so that the worker of this task watches the descriptor.
fn have_watched(source: &Source<UnixStream>) {
    assert_eq!(source.readable_timeout(Duration::from_millis(1)).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn who_waits_in_another_runtime_survives_the_end_of_the_watching_one() {
    let (source, theirs) = pair();
    let source = Arc::new(source);
    let (first, second) = (runtime(1), runtime(1));
    first.run(|| have_watched(&source));
    let watched_first = watchers(source.get_ref().as_raw_fd());
    let (reader, _) = second.run(|| {
        let source = source.clone();
        let reader = fibra::spawn(move || read_byte(&source).unwrap());
        // One worker: it parks before this goes on.
        (reader, fibra::yield_now())
    });
    assert_eq!(watchers(source.get_ref().as_raw_fd()), watched_first);
    drop(first);
    (&theirs).write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap(), b'x');
    drop(second);
    drop(theirs);
    assert_eq!(read_byte(&source).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_runtime_takes_over_from_one_that_has_ended() {
    let (source, mut theirs) = pair();
    for round in 0..10 {
        let next = runtime(1 + round as usize % 2);
        next.run(|| {
            have_watched(&source);
            assert_eq!(watchers(source.get_ref().as_raw_fd()).len(), 1);
            theirs.write_all(&[round]).unwrap();
            assert_eq!(read_byte(&source).unwrap(), round);
        });
    }
}

#[test]
fn the_watch_moves_to_the_worker_whose_tasks_wait() {
    let runtime = runtime(2);
    let (source, theirs) = pair();
    let (source, theirs) = (Arc::new(source), Arc::new(theirs));
    let on = |worker: usize, waits: u8| {
        let (source, theirs) = (source.clone(), theirs.clone());
        let body = move || {
            for byte in 0..waits {
                have_watched(&source);
                (&*theirs).write_all(&[byte]).unwrap();
                assert_eq!(read_byte(&source).unwrap(), byte);
            }
            watchers(source.get_ref().as_raw_fd())
        };
        runtime.run(|| thread::Builder::new().worker(worker).spawn(body).unwrap().join().unwrap())
    };
    let home = on(0, 1);
    assert_eq!(home.len(), 1);
    // A visit does not move it.
    assert_eq!(on(1, 1), home);
    assert_eq!(on(0, 1), home);
    let moved = on(1, 20);
    assert_eq!(moved.len(), 1);
    assert_ne!(moved, home);
    assert_eq!(on(1, 1), moved);
}

#[test]
fn tasks_of_all_workers_and_plain_threads_share_one_source() {
    const BYTES: usize = 20_000;
    for workers in [1, 2, 8] {
        let (source, mut theirs) = pair();
        let (source, read) = (Arc::new(source), Arc::new(AtomicUsize::new(0)));
        let runtime = runtime(workers);
        let reader = || {
            let (source, read) = (source.clone(), read.clone());
            move || {
                while read_byte(&source).is_ok() {
                    read.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let (builder, reader) = (thread::Builder::new().worker(i % workers), reader());
                runtime.run(|| builder.spawn(reader).unwrap())
            })
            .collect();
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(reader())).collect();
        for part in 0..BYTES / 10 {
            theirs.write_all(&[0; 10]).unwrap();
            if part % 16 == 0 {
                std::thread::yield_now();
            }
        }
        drop(theirs);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(read.load(Ordering::Relaxed), BYTES);
    }
}

#[test]
fn a_reused_number_gets_no_event_of_its_predecessor() {
    for workers in [1, 2, 8] {
        let reused = runtime(workers).run(|| {
            let (to_write, writes) = channel::bounded::<UnixStream>(0);
            let writer = fibra::spawn(move || {
                for mut stream in writes.iter() {
                    // An event for a descriptor that is being given up just now. It may be gone already.
                    let _ = stream.write_all(b"x");
                }
            });
            let mut reused = 0;
            for _ in 0..2000 {
                let (old, theirs) = pair();
                let number = old.get_ref().as_raw_fd();
                assert!(old.readable_timeout(Duration::from_micros(1)).is_err());
                to_write.send(theirs).unwrap();
                drop(old);
                let (new, _theirs) = pair();
                reused += usize::from(new.get_ref().as_raw_fd() == number);
                for _ in 0..2 {
                    let error = new.readable_timeout(Duration::from_micros(50)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                }
            }
            drop(to_write);
            writer.join().unwrap();
            reused
        });
        assert!(reused > 0, "{workers} workers");
    }
}

#[test]
fn closing_wakes_all_whatever_else_happens() {
    for workers in [1, 2, 8] {
        runtime(workers).run(|| {
            for round in 0..200 {
                let (source, theirs) = pair();
                let source = Arc::new(source);
                let tasks: Vec<_> = (0..4)
                    .map(|i| {
                        let source = source.clone();
                        fibra::spawn(move || {
                            loop {
                                let limit = Duration::from_micros(20 * i + round % 7);
                                let waited =
                                    if i == 0 { source.readable() } else { source.readable_timeout(limit) };
                                match waited.map_err(|error| error.kind()) {
                                    Err(ErrorKind::NotConnected) => return,
                                    Err(ErrorKind::TimedOut) | Ok(()) => fibra::yield_now(),
                                    Err(other) => panic!("{other}"),
                                }
                            }
                        })
                    })
                    .collect();
                if round % 2 == 0 {
                    fibra::yield_now();
                }
                (&theirs).write_all(b"x").unwrap();
                source.close();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            }
        });
    }
}

#[test]
fn a_cancelled_reader_takes_no_byte_with_it() {
    const BYTES: usize = 2000;
    for workers in [1, 2, 8] {
        runtime(workers).run(|| {
            let (source, theirs) = pair();
            let (source, read) = (Arc::new(source), Arc::new(AtomicUsize::new(0)));
            // Parks where the socket is full: its worker may be the one that the readers need.
            let theirs = Source::new(theirs).unwrap();
            let writer = fibra::spawn(move || {
                for _ in 0..BYTES {
                    theirs.write_with(|mut stream| stream.write(b"x")).unwrap();
                    fibra::yield_now();
                }
                theirs
            });
            let mut cancelled = 0;
            while read.load(Ordering::Relaxed) < BYTES {
                let reader = {
                    let (source, read) = (source.clone(), read.clone());
                    fibra::spawn(move || {
                        while source
                            .read_with(|mut stream| {
                                stream.read(&mut [0]).inspect(|n| {
                                    read.fetch_add(*n, Ordering::Relaxed);
                                })
                            })
                            .is_ok()
                        {}
                    })
                };
                // The cancellation meets a wait, a wake-up on its way, or a turn.
                (0..cancelled % 5).for_each(|_| fibra::yield_now());
                reader.cancel();
                assert!(reader.join().unwrap_err().is::<Cancelled>());
                cancelled += 1;
            }
            drop(writer.join().unwrap());
            assert_eq!(source.read_with(|mut stream| stream.read(&mut [0])).unwrap(), 0);
        });
    }
}

#[test]
fn one_cancelled_waiter_leaves_the_others_in_the_queue() {
    runtime(1).run(|| {
        let (source, theirs) = pair();
        let source = Arc::new(source);
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let source = source.clone();
                fibra::spawn(move || source.readable().unwrap())
            })
            .collect();
        fibra::yield_now();
        [0, 2, 4].into_iter().for_each(|i: usize| tasks[i].cancel());
        fibra::yield_now();
        (&theirs).write_all(b"x").unwrap();
        let ends: Vec<_> = tasks.into_iter().map(|task| task.join().is_ok()).collect();
        assert_eq!(ends, [false, true, false, true, false]);
    });
}

#[test]
fn a_runtime_ends_while_a_thousand_tasks_wait() {
    for workers in [1, 2, 8] {
        let drops = Drops::new();
        let before = support::fd_count();
        let theirs = runtime(workers).run(|| {
            let mut theirs = Vec::new();
            for _ in 0..100 {
                let (source, peer) = pair();
                theirs.push(peer);
                let source = Arc::new(source);
                for i in 0..10 {
                    let (source, counted) = (source.clone(), drops.counted());
                    fibra::spawn(move || {
                        let _counted = counted;
                        let waited = if i % 2 == 0 {
                            source.readable()
                        } else {
                            source.readable_timeout(Duration::from_secs(3600))
                        };
                        unreachable!("nobody writes: {waited:?}");
                    });
                }
            }
            (0..3).for_each(|_| fibra::yield_now());
            theirs
        });
        assert_eq!(drops.get(), 1000);
        drop(theirs);
        if workers == 8 {
            // Other tests open and close descriptors at the same time: only a leak of all is told from that.
            assert!(support::fd_count() < before + 100);
        }
    }
}

#[test]
fn signals_that_interrupt_the_workers_disturb_no_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing; the structure is valid when zeroed. Without SA_RESTART, so that calls are interrupted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    let runtime = Builder::new().workers(2).thread_name("interrupted").build().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) || sent < 100 {
                for (name, path) in support::threads() {
                    let id = path.file_name().unwrap().to_str().unwrap().parse::<libc::pid_t>().unwrap();
                    if name.starts_with("interrupted") {
                        // SAFETY: a plain system call; the handler is installed.
                        sent +=
                            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id, libc::SIGUSR1) }
                                + 1;
                    }
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        runtime.run(|| {
            let (source, theirs) = pair();
            let (theirs, start) = (Source::new(theirs).unwrap(), Instant::now());
            fibra::scope(|s| {
                s.spawn(|| {
                    for byte in 0..200 {
                        fibra::sleep(Duration::from_micros(300));
                        theirs.write_with(|mut stream| stream.write(&[byte])).unwrap();
                    }
                });
                for byte in 0..200 {
                    assert_eq!(read_byte(&source).unwrap(), byte);
                }
                for _ in 0..20 {
                    have_watched(&source);
                }
            });
            assert!(start.elapsed() >= Duration::from_millis(80));
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_look_without_waiting_sees_what_the_kernel_has() {
    runtime(1).run(|| {
        let (source, theirs) = pair();
        for _ in 0..100 {
            have_watched(&source);
            (&theirs).write_all(b"x").unwrap();
            // No time for the worker to take the event in between.
            source.readable_timeout(Duration::ZERO).unwrap();
            assert_eq!(read_byte(&source).unwrap(), b'x');
            have_watched(&source);
            (&theirs).write_all(b"y").unwrap();
            source.readable_deadline(Instant::now()).unwrap();
            assert_eq!(read_byte(&source).unwrap(), b'y');
        }
    });
}
