//! The peer `fibra`: what the comparison is about.

mod actors;
mod coordination;
mod restarts;
mod servers;

use std::array;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fibra::channel::bounded;
use fibra::net::{TcpListener, TcpStream};
use fibra::sync::WaitGroup;
use fibra::thread::{self, JoinHandle};
use fibra::{Builder, Runtime};
use versus::actors::is_actors;
use versus::{Args, BATCH, CAPACITY, CHILDREN, LIVE, Parked, Report, SIDES, server};

fn main() {
    let args = Args::from_env();
    run(&args).print("fibra", &args);
}

fn run(args: &Args) -> Report {
    let n = args.n;
    let fibra = Builder::new().workers(args.workers).build().unwrap();
    match args.workload.as_str() {
        "spawn" => versus::per_op(n, || fibra.run(|| spawn_batches(n))),
        "yield" => versus::per_op(n, || fibra.run(|| yielders(n))),
        "pingpong" => versus::per_op(n, || fibra.run(|| pingpong(n, [None, None]))),
        "pingpong_same" => versus::per_op(n, || fibra.run(|| pingpong(n, [Some(0), Some(0)]))),
        "pingpong_cross" if args.workers > 1 => {
            versus::per_op(n, || fibra.run(|| pingpong(n, [Some(0), Some(1)])))
        }
        "spsc" => versus::per_op(n, || fibra.run(|| spsc(n))),
        "mpmc" => versus::per_op(n, || fibra.run(|| mpmc(n))),
        "skynet" => versus::seconds(|| {
            let n = n as u64;
            assert_eq!(fibra.run(|| skynet(0, n)), n * (n - 1) / 2);
        }),
        "fib" => versus::seconds(|| {
            std::hint::black_box(fibra.run(|| fib(n as u64)));
        }),
        "fib_half" => versus::seconds(|| {
            std::hint::black_box(fibra.run(|| fib_half(n as u64)));
        }),
        "parked" => fibra.run(|| parked(n)),
        "sleepers" => versus::seconds(|| fibra.run(|| sleepers(n))),
        "lateness" => versus::lateness(fibra.run(|| latenesses(n))),
        "idle" => {
            fibra.run(|| thread::sleep(Duration::from_millis(10)));
            versus::idle(n)
        }
        "echo_server" => serve(fibra, server::echo),
        "echo_readable_server" => serve(fibra, echo_when_readable),
        "http_server" => serve(fibra, server::http),
        "pingpong_cross" => Report::skip("needs two workers"),
        _ if is_actors(&args.workload) => actors::run(&fibra, args),
        _ => coordination::run(&fibra, args),
    }
}

pub(crate) fn join_all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    tasks.into_iter().map(|task| task.join().unwrap()).collect()
}

fn spawn_batches(n: usize) {
    for _ in 0..n / BATCH {
        let wg = WaitGroup::new();
        (0..BATCH).for_each(|_| wg.go(|| ()));
        wg.wait();
    }
}

fn yielders(n: usize) {
    let wg = WaitGroup::new();
    for _ in 0..LIVE {
        wg.go(move || (0..n / LIVE).for_each(|_| thread::yield_now()));
    }
    wg.wait();
}

/// A task that is placed on `worker` by hand, or by the runtime.
pub(crate) fn task(worker: Option<usize>) -> thread::Builder {
    worker.map_or(thread::Builder::new(), |worker| thread::Builder::new().worker(worker))
}

fn pingpong(n: usize, [left, right]: [Option<usize>; 2]) {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let left = task(left).spawn(move || {
        for i in 0..n {
            ping.send(i).unwrap();
            assert_eq!(ponged.recv(), Ok(i));
        }
    });
    let right = task(right).spawn(move || pinged.iter().for_each(|i| pong.send(i).unwrap()));
    join_all(vec![left.unwrap(), right.unwrap()]);
}

fn spsc(n: usize) {
    let (tx, rx) = bounded(CAPACITY);
    let producer = thread::spawn(move || (0..n).for_each(|i| tx.send(i).unwrap()));
    let consumer = thread::spawn(move || (0..n).for_each(|i| assert_eq!(rx.recv(), Ok(i))));
    join_all(vec![producer, consumer]);
}

fn mpmc(n: usize) {
    let (tx, rx) = bounded(CAPACITY);
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(thread::spawn(move || {
            (0..each).for_each(|i| tx.send(i).unwrap());
            0
        }));
        tasks.push(thread::spawn(move || rx.iter().count()));
    }
    drop(tx);
    assert_eq!(join_all(tasks).iter().sum::<usize>(), each * SIDES);
}

fn skynet(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / CHILDREN as u64;
    let children: [_; CHILDREN] =
        array::from_fn(|i| thread::spawn(move || skynet(first + i as u64 * part, part)));
    children.into_iter().map(|child| child.join().unwrap()).sum()
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (thread::spawn(move || fib(n - 1)), thread::spawn(move || fib(n - 2)));
    a.join().unwrap() + b.join().unwrap()
}

fn fib_half(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let a = thread::spawn(move || fib_half(n - 1));
    let b = fib_half(n - 2);
    a.join().unwrap() + b
}

fn parked(n: usize) -> Report {
    let arrived = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded::<()>(0);
    let memory = Parked::before();
    let mut tasks = Vec::with_capacity(n);
    for _ in 0..n {
        let (rx, arrived) = (rx.clone(), arrived.clone());
        tasks.push(thread::spawn(move || {
            arrived.fetch_add(1, Relaxed);
            rx.recv().unwrap_err();
        }));
    }
    while arrived.load(Relaxed) < n {
        thread::yield_now();
    }
    thread::sleep(versus::SETTLE);
    memory.measure(n, || {
        drop(tx);
        join_all(tasks);
    })
}

fn sleepers(n: usize) {
    let wg = WaitGroup::new();
    (0..n).for_each(|_| wg.go(|| thread::sleep(Duration::from_secs(1))));
    wg.wait();
}

fn latenesses(n: usize) -> Vec<u64> {
    join_all((0..n).map(|i| thread::spawn(move || versus::late_by(i, thread::sleep))).collect())
}

fn serve(fibra: Runtime, client: fn(TcpStream) -> io::Result<()>) -> Report {
    let listener = TcpListener::bind(server::ADDRESS).unwrap();
    let address = listener.local_addr().unwrap();
    fibra.handle().spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                server::count_connection();
                client(stream)
            });
        }
    });
    let report = server::until_stdin_ends(address);
    // Its end would wait for the listener, which has none.
    std::mem::forget(fibra);
    report
}

/// The buffer is on the heap: one in the stack would leave its page behind.
fn echo_when_readable(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable()?;
        if !server::echo_once(&mut stream, &mut vec![0; server::BUFFER])? {
            return Ok(());
        }
    }
}
