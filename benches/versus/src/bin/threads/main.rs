//! The peer `threads`: one OS thread for each task, `crossbeam-channel` between them, on all cores whatever `--workers`
//! says. `n` is held to what such a program can do in a few seconds.

mod coordination;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::bounded;
use versus::{Args, BATCH, CAPACITY, LIVE, Parked, Report, SIDES, server};

fn main() {
    let mut args = Args::from_env();
    match &*args.workload {
        "spawn" => args.at_most(2 * BATCH),
        "yield" => args.at_most(1_000_000),
        "pingpong" | "pingpong_cross" => args.at_most(50_000),
        "rendezvous" => args.at_most(200_000),
        "parked" | "sleepers" | "lateness" => args.at_most(10_000),
        _ => {}
    }
    run(&args).print("threads", &args);
}

fn run(args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "spawn" => versus::per_op(n, || spawn_batches(n)),
        "yield" => versus::per_op(n, || yielders(n)),
        "pingpong" | "pingpong_cross" => versus::per_op(n, || pingpong(n)),
        "spsc" => versus::per_op(n, || spsc(n)),
        "mpmc" => versus::per_op(n, || mpmc(n)),
        "parked" => parked(n),
        "sleepers" => versus::seconds(|| sleepers(n)),
        "lateness" => versus::lateness(latenesses(n)),
        "echo_server" => serve(server::echo),
        "http_server" => serve(server::http),
        "echo_readable_server" => Report::skip("a thread's stack stays"),
        "skynet" | "fib" | "fib_half" => Report::skip("too many threads"),
        "pingpong_same" => Report::skip("the kernel places threads"),
        "idle" => Report::skip("no runtime"),
        _ => coordination::run(args),
    }
}

pub(crate) fn join_all<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn spawn_batches(n: usize) {
    for _ in 0..n / BATCH {
        join_all((0..BATCH).map(|_| thread::spawn(|| ())).collect());
    }
}

fn yielders(n: usize) {
    let yielder = move || (0..n / LIVE).for_each(|_| thread::yield_now());
    join_all((0..LIVE).map(|_| thread::spawn(yielder)).collect());
}

fn pingpong(n: usize) {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let left = thread::spawn(move || {
        for i in 0..n {
            ping.send(i).unwrap();
            assert_eq!(ponged.recv(), Ok(i));
        }
    });
    let right = thread::spawn(move || pinged.iter().for_each(|i| pong.send(i).unwrap()));
    join_all(vec![left, right]);
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
    let mut threads = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx) = (tx.clone(), rx.clone());
        threads.push(thread::spawn(move || {
            (0..each).for_each(|i| tx.send(i).unwrap());
            0
        }));
        threads.push(thread::spawn(move || rx.iter().count()));
    }
    drop(tx);
    assert_eq!(join_all(threads).iter().sum::<usize>(), each * SIDES);
}

fn parked(n: usize) -> Report {
    let arrived = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded::<()>(0);
    let memory = Parked::before();
    let mut threads = Vec::with_capacity(n);
    for _ in 0..n {
        let (rx, arrived) = (rx.clone(), arrived.clone());
        threads.push(thread::spawn(move || {
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
        join_all(threads);
    })
}

fn sleepers(n: usize) {
    join_all((0..n).map(|_| thread::spawn(|| thread::sleep(Duration::from_secs(1)))).collect());
}

fn latenesses(n: usize) -> Vec<u64> {
    join_all((0..n).map(|i| thread::spawn(move || versus::late_by(i, thread::sleep))).collect())
}

fn serve(client: fn(TcpStream) -> io::Result<()>) -> Report {
    let listener = TcpListener::bind(server::ADDRESS).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || client(stream));
        }
    });
    server::until_stdin_ends(address)
}
