//! Sockets, pipes and datagrams.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fibra::net::{TcpListener, TcpStream, UnixDatagram, UnixStream};

use super::support::OnDrop;
use super::{LONG, Play, dither};

/// What goes through all streams.
fn bytes(range: std::ops::Range<usize>) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| (0..1 << 20).map(|at| (at % 251) as u8).collect());
    &BYTES[range]
}

/// What has gone through a stream.
#[derive(Default)]
struct Counts {
    written: AtomicUsize,
    read: AtomicUsize,
}

/// Reads, and goes on to the end when its role is interrupted.
struct Reading<S: Read> {
    stream: S,
    counts: Arc<Counts>,
}

impl<S: Read> Reading<S> {
    /// False: it was the end.
    fn step(&mut self, room: usize) -> bool {
        let mut buf = vec![0; room];
        let n = self.stream.read(&mut buf).unwrap();
        let before = self.counts.read.fetch_add(n, Ordering::SeqCst);
        assert!(buf[..n] == *bytes(before..before + n), "bytes are lost, or come twice");
        n > 0
    }
}

impl<S: Read> Drop for Reading<S> {
    fn drop(&mut self) {
        while self.step(1 << 16) {}
    }
}

/// A writer that fills the buffers, and a slow reader. Whatever is interrupted, all that was written is read.
fn stream(writer: impl Write + Send + 'static, reader: impl Read + Send + 'static, total: usize) -> Play {
    let counts = Arc::new(Counts::default());
    let judge = {
        let counts = counts.clone();
        move || assert_eq!(counts.written.load(Ordering::SeqCst), counts.read.load(Ordering::SeqCst))
    };
    let mut reading = Reading { stream: reader, counts: counts.clone() };
    let reading = move || {
        while reading.step(7 + total / 10) {
            dither(1);
        }
    };
    let mut writer = writer;
    let writing = move || {
        let mut sent = 0;
        while sent < total {
            let n = writer.write(bytes(sent..total)).unwrap();
            sent = counts.written.fetch_add(n, Ordering::SeqCst) + n;
        }
        // The reader waits for more.
        fibra::sleep(Duration::from_micros(50));
        counts.written.fetch_add(writer.write(bytes(sent..sent + 1)).unwrap(), Ordering::SeqCst);
    };
    Play::new(judge).role("writer", writing).role("reader", reading)
}

pub fn unix() -> Play {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(LONG)).unwrap();
    stream(ours, theirs, 500_000)
}

pub fn pipe() -> Play {
    let (reader, writer) = fibra::io::pipe().unwrap();
    writer.set_write_timeout(Some(LONG)).unwrap();
    stream(writer, reader, 200_000)
}

/// What a stream answers whose other side may be interrupted.
fn or_gone(result: io::Result<usize>) -> usize {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => 0,
        other => other.unwrap(),
    }
}

/// An echo over TCP.
pub fn tcp() -> Play {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let checked = Arc::new(Counts::default());
    let judge = {
        let checked = checked.clone();
        move || {
            let (written, read) =
                (checked.written.load(Ordering::SeqCst), checked.read.load(Ordering::SeqCst));
            assert!(read <= written, "more came back than was sent");
        }
    };
    let serving = move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut buf = [0; 1000];
        loop {
            let n = or_gone(stream.read(&mut buf));
            let mut sent = 0;
            while sent < n {
                match or_gone(stream.write(&buf[sent..n])) {
                    0 => return,
                    more => sent += more,
                }
            }
            if n == 0 {
                return;
            }
        }
    };
    let asking = move || {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, LONG) else { return };
        // One that is gone already may refuse it.
        let _ = stream.set_nodelay(true);
        for turn in 0..3 {
            let sent = checked.written.load(Ordering::SeqCst);
            let n = or_gone(stream.write(bytes(sent..sent + 500)));
            let end = checked.written.fetch_add(n, Ordering::SeqCst) + n;
            dither(turn);
            let mut buf = [0; 300];
            while checked.read.load(Ordering::SeqCst) < end {
                let n = or_gone(stream.read(&mut buf));
                if n == 0 {
                    return;
                }
                let before = checked.read.fetch_add(n, Ordering::SeqCst);
                assert!(buf[..n] == *bytes(before..before + n));
            }
        }
    };
    Play::new(judge).role("server", serving).role("client", asking)
}

pub fn datagrams() -> Play {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
    let counts = Arc::new(Counts::default());

    /// False: it was the end.
    fn take(theirs: &UnixDatagram, counts: &Counts) -> bool {
        let mut buf = [0; 4];
        let n = theirs.recv(&mut buf).unwrap();
        assert!(n == 0 || usize::from(buf[0]) == counts.read.fetch_add(1, Ordering::SeqCst));
        n > 0
    }

    let ended = Arc::new(AtomicBool::new(false));
    let judge = {
        let (theirs, counts, ended) = (theirs.clone(), counts.clone(), ended.clone());
        move || {
            // Who was interrupted has left the rest.
            while !ended.load(Ordering::SeqCst) && take(&theirs, &counts) {}
            assert_eq!(counts.written.load(Ordering::SeqCst), counts.read.load(Ordering::SeqCst));
            theirs.set_nonblocking(true).unwrap();
            assert_eq!(theirs.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    };
    let last = ours.clone();
    // There is room for it.
    let end = OnDrop::new(move || assert_eq!(last.send(&[]).unwrap(), 0));
    let sending = {
        let counts = counts.clone();
        move || {
            let _end = end;
            for number in 0..5 {
                fibra::sleep(Duration::from_micros(20));
                assert_eq!(ours.send(&[number]).unwrap(), 1);
                counts.written.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let receiving = move || {
        while take(&theirs, &counts) {}
        ended.store(true, Ordering::SeqCst);
    };
    Play::new(judge).role("sender", sending).role("receiver", receiving)
}

/// Connections that two tasks accept: each that is answered was accepted once.
pub fn accept() -> Play {
    const CLIENTS: usize = 3;
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let (accepted, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let judge = {
        let (accepted, answered) = (accepted.clone(), answered.clone());
        move || assert!(answered.load(Ordering::SeqCst) <= accepted.load(Ordering::SeqCst))
    };
    let accepting = || {
        let (listener, accepted) = (listener.clone(), accepted.clone());
        move || {
            loop {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        accepted.fetch_add(1, Ordering::SeqCst);
                        fibra::sleep(Duration::from_micros(20));
                        or_gone(stream.write(b"x"));
                    }
                    Err(error) => return assert_eq!(error.kind(), ErrorKind::NotConnected),
                }
            }
        }
    };
    let left = Arc::new(AtomicUsize::new(CLIENTS));
    let asking = || {
        let (left, listener, answered) = (left.clone(), listener.clone(), answered.clone());
        let gone = OnDrop::new(move || {
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                listener.close();
            }
        });
        move || {
            let _gone = gone;
            let mut stream = TcpStream::connect(address).unwrap();
            answered.fetch_add(or_gone(stream.read(&mut [0])), Ordering::SeqCst);
        }
    };
    Play::new(judge)
        .role("first client", asking())
        .role("second client", asking())
        .role("third client", asking())
        .role("first acceptor", accepting())
        .steady("second acceptor", accepting())
}
