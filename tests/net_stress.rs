//! Sockets at random: echoes, limits, cancellation, closing, resets, splitting and clones at once, from tasks and plain threads,
//! on fewer and more workers than there are cores. Every byte that must arrive is checked, every descriptor is counted.
//!
//! `FIBRA_STRESS_SECONDS=600 cargo test --release --test net_stress` runs it for longer, with new seeds; each is printed.

mod support;

#[path = "support/net.rs"]
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fibra::io::Source;
use fibra::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use fibra::{Builder, Cancelled, Handle, channel};
use support::{OnDrop, PATIENCE, fd_count};

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

    fn micros(&mut self, n: u64) -> Duration {
        Duration::from_micros(1 + self.below(n))
    }

    /// Now and then a turn for the others.
    fn dither(&mut self) {
        (0..self.below(3)).for_each(|_| fibra::yield_now());
    }
}

/// What goes on in one round.
struct World {
    echo: SocketAddr,
    /// Nobody listens there, and nobody else can: the port is taken.
    closed: SocketAddr,
    /// Connections that the echo server has open.
    open: AtomicUsize,
    /// Bytes that clients have checked, of which the server must have sent at least as many.
    checked: AtomicU64,
    echoed: AtomicU64,
}

fn serve(world: &Arc<World>, listener: TcpListener) {
    let world = world.clone();
    fibra::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            // One that is reset already may refuse it.
            let _ = stream.set_nodelay(true);
            let world = world.clone();
            world.open.fetch_add(1, Ordering::Relaxed);
            fibra::spawn(move || {
                let _gone = OnDrop::new(|| {
                    world.open.fetch_sub(1, Ordering::Relaxed);
                });
                let mut buf = [0; 1500];
                while let Ok(n @ 1..) = (&stream).read(&mut buf) {
                    // Before the write, since the client may see the bytes at once.
                    world.echoed.fetch_add(n as u64, Ordering::Relaxed);
                    if (&stream).write_all(&buf[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn is_limit(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

fn bytes(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(pattern).collect()
}

/// Writes all of `count` bytes in random portions, whatever limits come in between.
fn send(mut stream: impl Write, count: usize, random: &mut Random) {
    let mut sent = 0;
    while sent < count {
        let portion = bytes(sent..count.min(sent + 1 + random.below(8000) as usize));
        match stream.write(&portion) {
            Ok(n) => sent += n,
            Err(error) => assert!(is_limit(&error), "{error}"),
        }
        random.dither();
    }
}

/// Reads and checks `count` bytes in random portions, whatever limits come in between.
fn receive(mut stream: impl Read, count: usize, random: &mut Random) {
    let mut got = 0;
    while got < count {
        let mut portion = vec![0; 1 + random.below(8000) as usize];
        match stream.read(&mut portion) {
            Ok(0) => panic!("the end after {got} of {count} bytes"),
            Ok(n) => {
                assert!(portion[..n].iter().zip(got..).all(|(byte, at)| *byte == pattern(at)), "after {got}");
                got += n;
            }
            Err(error) => assert!(is_limit(&error), "{error}"),
        }
    }
    assert_eq!(got, count);
}

/// No more comes.
fn end(mut stream: impl Read) {
    loop {
        match stream.read(&mut [0]) {
            Err(error) if is_limit(&error) => {}
            other => break assert_eq!(other.unwrap(), 0),
        }
    }
}

fn step(world: &Arc<World>, random: &mut Random) {
    match random.below(11) {
        0 => converse(world, random),
        1 => converse_under_limits(world, random),
        2 => split(world, random),
        3 => cancel(world, random),
        4 => close(world, random),
        5 => reset(world, random),
        6 => refused(world, random),
        7 => pour(random),
        8 => datagrams(random),
        9 => accept_together(random),
        _ => share_a_source(random),
    }
}

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.echo).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn converse(world: &World, random: &mut Random) {
    let stream = connect(world);
    for _ in 0..random.below(20) {
        let count = 1 + random.below(2000) as usize;
        (&stream).write_all(&bytes(0..count)).unwrap();
        random.dither();
        receive(&stream, count, random);
        world.checked.fetch_add(count as u64, Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    end(&stream);
}

fn converse_under_limits(world: &World, random: &mut Random) {
    let stream = connect(world);
    stream.set_read_timeout(Some(random.micros(200))).unwrap();
    stream.set_write_timeout(Some(random.micros(200))).unwrap();
    for _ in 0..random.below(20) {
        if random.below(2) == 0 {
            let at = Instant::now() + random.micros(100);
            stream.set_read_deadline(Some(at));
            match stream.peek(&mut [0; 2]) {
                Ok(n) => panic!("{n} bytes that nobody asked for"),
                Err(error) => assert!(is_limit(&error)),
            }
            stream.set_read_deadline(None);
        }
        let count = 1 + random.below(2000) as usize;
        send(&stream, count, random);
        receive(&stream, count, random);
        world.checked.fetch_add(count as u64, Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    end(&stream);
}

fn split(world: &World, random: &mut Random) {
    let count = random.below(100_000) as usize;
    let (reader, writer) = connect(world).into_split();
    let mut theirs = Random(random.next());
    let sending = fibra::spawn(move || {
        send(&writer, count, &mut theirs);
        // Its drop is the end of the stream.
    });
    receive(&reader, count, random);
    end(&reader);
    sending.join().unwrap();
    world.checked.fetch_add(count as u64, Ordering::Relaxed);
}

fn cancel(world: &Arc<World>, random: &mut Random) {
    let (theirs, seed) = (world.clone(), random.next());
    let task = fibra::spawn(move || {
        let mut random = Random(seed);
        loop {
            match random.below(3) {
                0 => converse(&theirs, &mut random),
                1 => converse_under_limits(&theirs, &mut random),
                _ => datagrams(&mut random),
            }
        }
    });
    match random.below(3) {
        0 => {}
        1 => random.dither(),
        _ => fibra::sleep(random.micros(500)),
    }
    task.cancel();
    assert!(task.join().map(|never: ()| never).unwrap_err().is::<Cancelled>());
}

fn close(world: &World, random: &mut Random) {
    let stream = Arc::new(connect(world));
    stream.set_read_timeout(Some(random.micros(300))).unwrap();
    let tasks: Vec<_> = (0..1 + random.below(3))
        .map(|_| {
            let stream = stream.clone();
            fibra::spawn(move || {
                loop {
                    match (&*stream).read(&mut [0; 64]) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::NotConnected => return,
                        Err(error) => assert!(is_limit(&error), "{error}"),
                    }
                }
            })
        })
        .collect();
    random.dither();
    (&*stream).write_all(&[0; 100]).unwrap();
    random.dither();
    stream.close();
    assert_eq!((&*stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::NotConnected);
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

fn reset(world: &World, random: &mut Random) {
    let stream = connect(world);
    (0..random.below(3)).for_each(|_| (&stream).write_all(&[0; 3000]).unwrap());
    random.dither();
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}

fn refused(world: &World, random: &mut Random) {
    let error = if random.below(2) == 0 {
        TcpStream::connect(world.closed).unwrap_err()
    } else {
        TcpStream::connect_timeout(&world.closed, PATIENCE).unwrap_err()
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// More than the buffers hold, over a Unix stream, with limits that come at any time.
fn pour(random: &mut Random) {
    let count = random.below(1 << 20) as usize;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let seed = random.next();
    let limit = Some(random.micros(1000));
    let sending = fibra::spawn(move || {
        theirs.set_write_timeout(limit).unwrap();
        send(&theirs, count, &mut Random(seed));
    });
    ours.set_read_timeout(Some(random.micros(1000))).unwrap();
    receive(&ours, count, random);
    end(&ours);
    sending.join().unwrap();
}

fn datagrams(random: &mut Random) {
    let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    theirs.set_read_timeout(Some(random.micros(200))).unwrap();
    for i in 0..random.below(20) {
        ours.send(&i.to_ne_bytes()).unwrap();
        random.dither();
        let mut buf = [0; 9];
        let n = loop {
            match theirs.recv(&mut buf) {
                Err(error) if is_limit(&error) => {}
                other => break other.unwrap(),
            }
        };
        assert_eq!(buf[..n], i.to_ne_bytes());
    }
}

/// Several tasks accept from one listener, some with limits; each connection gets one of them.
fn accept_together(random: &mut Random) {
    let listener = Arc::new(net::listener());
    let address = listener.local_addr().unwrap();
    if random.below(2) == 0 {
        listener.set_accept_timeout(Some(random.micros(300))).unwrap();
    }
    let (count, acceptors) = (1 + random.below(8), 1 + random.below(3));
    let accepted = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..acceptors)
        .map(|_| {
            let (listener, accepted) = (listener.clone(), accepted.clone());
            fibra::spawn(move || {
                loop {
                    match listener.accept() {
                        Ok((mut stream, _)) => {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            stream.write_all(b"x").unwrap();
                        }
                        Err(error) if is_limit(&error) => {}
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::NotConnected),
                    }
                }
            })
        })
        .collect();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    listener.close();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(accepted.load(Ordering::Relaxed) as u64, count);
}

/// Several tasks read single bytes of one source, which they hand around.
fn share_a_source(random: &mut Random) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (ours, theirs) = (Arc::new(Source::new(ours).unwrap()), Source::new(theirs).unwrap());
    let count = random.below(300) as usize;
    let (tell, told) = channel::unbounded();
    for _ in 0..1 + random.below(3) {
        let (ours, tell, seed) = (ours.clone(), tell.clone(), random.next());
        fibra::spawn(move || {
            let mut random = Random(seed);
            loop {
                match random.below(3) {
                    0 => ours.readable().unwrap(),
                    1 => drop(ours.readable_timeout(random.micros(100))),
                    _ => {}
                }
                let mut byte = [0];
                if ours.read_with(|mut stream| stream.read(&mut byte)).unwrap() == 0 {
                    return;
                }
                tell.send(byte[0]).unwrap();
            }
        });
    }
    drop(tell);
    for i in 0..count {
        theirs.write_with(|mut stream| stream.write(&[pattern(i)])).unwrap();
        if i % 8 == 0 {
            random.dither();
        }
    }
    drop(theirs);
    let mut got: Vec<_> = told.iter().collect();
    got.sort_unstable();
    let mut expected = bytes(0..count);
    expected.sort_unstable();
    assert_eq!(got, expected);
}

/// What a plain thread does beside the tasks.
fn from_outside(world: &Arc<World>, handle: &Handle, seed: u64, steps: usize) {
    let mut random = Random(seed);
    for _ in 0..steps {
        match random.below(4) {
            0 => converse(world, &mut random),
            1 => converse_under_limits(world, &mut random),
            2 => refused(world, &mut random),
            _ => {
                // A stream that a task has used comes out here, and goes back.
                let theirs = world.clone();
                let made = handle.spawn(move || {
                    let stream = connect(&theirs);
                    (&stream).write_all(&bytes(0..10)).unwrap();
                    stream
                });
                let stream = made.join().unwrap();
                receive(&stream, 10, &mut random);
                let ended = handle.spawn(move || {
                    stream.shutdown(Shutdown::Write).unwrap();
                    end(&stream);
                });
                ended.join().unwrap();
                world.checked.fetch_add(10, Ordering::Relaxed);
            }
        }
    }
}

/// One runtime from start to end.
fn round(workers: usize, seed: u64, steps: usize) {
    let listener = net::listener();
    let closed = net::ClosedPort::new();
    let world = Arc::new(World {
        echo: listener.local_addr().unwrap(),
        closed: closed.addr,
        open: AtomicUsize::new(0),
        checked: AtomicU64::new(0),
        echoed: AtomicU64::new(0),
    });
    let runtime = Builder::new().workers(workers).shutdown_timeout(100 * PATIENCE).build().unwrap();
    let (handle, stop) = (runtime.handle(), listener.try_clone().unwrap());
    runtime.run(|| serve(&world, listener));
    std::thread::scope(|s| {
        let outsider = s.spawn(|| from_outside(&world, &handle, seed ^ 1, steps));
        runtime.run(|| {
            let roots: Vec<_> = (0..8)
                .map(|root| {
                    let (world, seed) = (world.clone(), seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ root);
                    fibra::spawn(move || {
                        let mut random = Random(seed);
                        (0..steps).for_each(|_| step(&world, &mut random));
                    })
                })
                .collect();
            roots.into_iter().for_each(|root| root.join().unwrap());
        });
        outsider.join().unwrap();
    });
    support::wait_until("the server has seen all go", || world.open.load(Ordering::Relaxed) == 0);
    stop.close();
    drop((runtime, closed));
    assert!(world.checked.load(Ordering::Relaxed) <= world.echoed.load(Ordering::Relaxed));
}

fn stress(workers: usize) {
    // One at a time, since descriptors are counted.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = std::env::var("FIBRA_STRESS_SECONDS").ok();
    let limit = seconds
        .map(|seconds| Duration::from_secs(seconds.parse().expect("FIBRA_STRESS_SECONDS is a number")));
    // The global runtime, in which plain threads' sleeps and spawns would make it later, is counted before.
    fibra::spawn(|| ()).join().unwrap();
    let (start, before) = (Instant::now(), fd_count());
    for seed in 1.. {
        println!("{workers} workers, seed {seed}");
        round(workers, seed, 20);
        assert_eq!(fd_count(), before);
        let goes_on = limit.map_or(seed < 3, |limit| start.elapsed() < limit);
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
