//! Waiting for a descriptor through `io::Source`.

mod support;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fibra::io::Source;

fn read(source: &Source<UnixStream>, len: usize) -> std::io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let n = source.read_with(|mut stream| stream.read(&mut buf))?;
    buf.truncate(n);
    Ok(buf)
}

#[test]
fn a_task_reads_what_comes_later() {
    fibra::run(|| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let source = Source::new(ours).unwrap();
        let task =
            fibra::spawn(move || (0..100).map(|_| read(&source, 16).unwrap().len()).collect::<Vec<_>>());
        for _ in 0..100 {
            theirs.write_all(b"x").unwrap();
            fibra::yield_now();
        }
        drop(theirs);
        let counts = task.join().unwrap();
        assert_eq!(counts.iter().sum::<usize>(), 100);
    });
}

#[test]
fn a_plain_thread_reads_what_comes_later() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let source = Source::new(ours).unwrap();
    let thread = std::thread::spawn(move || read(&source, 16).unwrap());
    theirs.write_all(b"hello").unwrap();
    assert_eq!(thread.join().unwrap(), b"hello");
}

#[test]
fn a_wait_ends_at_its_limit() {
    let body = || {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let source = Source::new(ours).unwrap();
        let start = Instant::now();
        let timeout = Duration::from_millis(20);
        assert_eq!(source.readable_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout);
        assert_eq!(source.readable_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(source.readable_deadline(start).unwrap_err().kind(), ErrorKind::TimedOut);
        source.writable_timeout(Duration::ZERO).unwrap();
        source.writable().unwrap();
    };
    body();
    fibra::run(body);
}

#[test]
fn closing_wakes_three_who_wait() {
    fibra::run(|| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let source = Arc::new(Source::new(ours).unwrap());
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let source = Arc::clone(&source);
                fibra::spawn(move || read(&source, 1).unwrap_err().kind())
            })
            .collect();
        fibra::yield_now();
        source.close();
        for task in tasks {
            assert_eq!(task.join().unwrap(), ErrorKind::NotConnected);
        }
        assert_eq!(source.writable().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_source_outlives_the_runtime_that_watched_it() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let source = Source::new(ours).unwrap();
    for round in 0..3 {
        fibra::run(|| {
            assert!(source.readable_timeout(Duration::from_millis(1)).is_err());
            fibra::scope(|s| {
                let task = s.spawn(|| read(&source, 16).unwrap());
                theirs.write_all(&[round]).unwrap();
                assert_eq!(task.join().unwrap(), [round]);
            });
        });
    }
}

#[test]
fn a_file_is_refused_with_advice() {
    fibra::run(|| {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let source = Source::new(file).unwrap();
        // A read finds data and never waits; a wait for data that is there neither.
        source.readable().unwrap();
        let error =
            source.read_with(|_| std::io::Result::<()>::Err(ErrorKind::WouldBlock.into())).unwrap_err();
        assert!(error.to_string().contains("fibra::fs"), "{error}");
    });
}

#[test]
fn connections_that_come_one_at_a_time_are_spread_over_the_workers() {
    const CONNECTIONS: usize = 400;
    let runtime = fibra::Builder::new().workers(2).build().unwrap();
    let shares = runtime.run(|| {
        let mut peers = Vec::new();
        let mut served = HashMap::new();
        for _ in 0..CONNECTIONS {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (sender, receiver) = fibra::channel::bounded(1);
            fibra::spawn(move || {
                let source = Source::new(ours).unwrap();
                read(&source, 1).unwrap();
                sender.send(std::thread::current().id()).unwrap();
                read(&source, 1).unwrap();
            });
            (&theirs).write_all(b"x").unwrap();
            *served.entry(receiver.recv().unwrap()).or_insert(0) += 1;
            peers.push(theirs);
        }
        served
    });
    assert!(shares.values().all(|&share| share <= CONNECTIONS * 6 / 10), "{shares:?}");
}
