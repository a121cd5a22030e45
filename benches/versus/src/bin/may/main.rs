//! The peer `may`: stackful coroutines with its default stacks of 32 KiB.
//!
//! Its channels are all unbounded. A semaphore of 128 slots bounds those of `spsc` and `mpmc`, at next to no cost; in
//! `pingpong` its `mpsc` stands in for the rendezvous, and `spsc_ns` tells what its less general `spsc` takes. Each stack
//! takes two of the kernel's 65,530 map entries, so `n` is held to 30,000 where tasks live all at once.

mod coordination;

use std::array;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use may::coroutine::{self, JoinHandle};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::{Semphore, mpmc, mpsc, spsc};
use versus::{Args, BATCH, CAPACITY, CHILDREN, LIVE, Parked, Report, SIDES, server};

/// As many coroutines as the kernel's default `vm.max_map_count` has room for.
const MOST: usize = 30_000;

/// A macro because each flavour of channel has types of its own.
macro_rules! pingpong {
    ($channel:path, $n:expr) => {{
        let (n, (ping, pinged), (pong, ponged)) = ($n, $channel(), $channel());
        let left = go!(move || {
            for i in 0..n {
                ping.send(i).unwrap();
                assert_eq!(ponged.recv(), Ok(i));
            }
        });
        let right = go!(move || (0..n).for_each(|_| pong.send(pinged.recv().unwrap()).unwrap()));
        join_all(vec![left, right]);
    }};
}
fn main() {
    let mut args = Args::from_env();
    if matches!(&*args.workload, "parked" | "sleepers" | "lateness") {
        args.at_most(MOST);
    }
    run(&args).print("may", &args);
}

fn run(args: &Args) -> Report {
    let n = args.n;
    let workers = if args.workload == "pingpong_same" { 1 } else { args.workers };
    may::config().set_workers(workers).set_stack_size(0x1000);
    if args.workload == "spawn" {
        // Else it would map and unmap nine stacks of ten.
        may::config().set_pool_capacity(BATCH);
    }
    // A coroutine that dies for want of a stack would leave others waiting for it, some of them for ever.
    std::panic::set_hook(Box::new(|panic| {
        // A cancellation is a panic without a message.
        if panic.payload_as_str().is_some() {
            eprintln!("{panic}");
            std::process::abort()
        }
    }));
    enter(|| ()); // Starts the scheduler outside of the measurement.
    match args.workload.as_str() {
        "spawn" => versus::per_op(n, || enter(move || spawn_batches(n))),
        "yield" => versus::per_op(n, || enter(move || yielders(n))),
        "pingpong" | "pingpong_same" => {
            let special = versus::per_op(n, || enter(move || pingpong!(spsc::channel, n)));
            versus::per_op(n, || enter(move || pingpong!(mpsc::channel, n))).with("spsc_ns", special.value())
        }
        "spsc" => versus::per_op(n, || enter(move || one_to_one(n))),
        "mpmc" => versus::per_op(n, || enter(move || many_to_many(n))),
        "skynet" => versus::seconds(|| {
            let n = n as u64;
            assert_eq!(enter(move || skynet(0, n)), n * (n - 1) / 2);
        }),
        "fib" => versus::seconds(|| {
            std::hint::black_box(enter(move || fib(n as u64)));
        }),
        "fib_half" => versus::seconds(|| {
            std::hint::black_box(enter(move || fib_half(n as u64)));
        }),
        "parked" => parked(n),
        "sleepers" => versus::seconds(|| enter(move || sleepers(n))),
        "lateness" => versus::lateness(enter(move || latenesses(n))),
        "idle" => {
            enter(|| coroutine::sleep(Duration::from_millis(10)));
            versus::idle(n)
        }
        "echo_server" => serve(server::echo),
        "http_server" => serve(server::http),
        "echo_readable_server" => Report::skip("its sockets don't say when they can be read"),
        "pingpong_cross" => Report::skip("may places its tasks itself"),
        _ => coordination::run(args),
    }
}

/// Runs `main` as a coroutine on a worker.
pub(crate) fn enter<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> T {
    go!(main).join().unwrap()
}

pub(crate) fn join_all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    tasks.into_iter().map(|task| task.join().unwrap()).collect()
}

fn spawn_batches(n: usize) {
    for _ in 0..n / BATCH {
        join_all((0..BATCH).map(|_| go!(|| ())).collect());
    }
}

fn yielders(n: usize) {
    let yielder = move || (0..n / LIVE).for_each(|_| coroutine::yield_now());
    join_all((0..LIVE).map(|_| go!(yielder)).collect());
}

fn one_to_one(n: usize) {
    let (tx, rx) = spsc::channel();
    let slots = Arc::new(Semphore::new(CAPACITY));
    let free = slots.clone();
    let producer = go!(move || {
        for i in 0..n {
            slots.wait();
            tx.send(i).unwrap();
        }
    });
    let consumer = go!(move || {
        for i in 0..n {
            assert_eq!(rx.recv(), Ok(i));
            free.post();
        }
    });
    join_all(vec![producer, consumer]);
}

fn many_to_many(n: usize) {
    let (tx, rx) = mpmc::channel();
    let slots = Arc::new(Semphore::new(CAPACITY));
    let each = n / SIDES;
    let mut tasks = Vec::new();
    for _ in 0..SIDES {
        let (tx, rx, slots, free) = (tx.clone(), rx.clone(), slots.clone(), slots.clone());
        tasks.push(go!(move || {
            for i in 0..each {
                slots.wait();
                tx.send(i).unwrap();
            }
        }));
        tasks.push(go!(move || {
            for _ in 0..each {
                rx.recv().unwrap();
                free.post();
            }
        }));
    }
    join_all(tasks);
}

fn skynet(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / CHILDREN as u64;
    let children: [_; CHILDREN] = array::from_fn(|i| go!(move || skynet(first + i as u64 * part, part)));
    children.into_iter().map(|child| child.join().unwrap()).sum()
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (go!(move || fib(n - 1)), go!(move || fib(n - 2)));
    a.join().unwrap() + b.join().unwrap()
}

fn fib_half(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let a = go!(move || fib_half(n - 1));
    let b = fib_half(n - 2);
    a.join().unwrap() + b
}

fn parked(n: usize) -> Report {
    let arrived = Arc::new(AtomicUsize::new(0));
    let memory = Parked::before();
    let main = arrived.clone();
    let tasks = enter(move || {
        let mut tasks = Vec::with_capacity(n);
        for _ in 0..n {
            let arrived = main.clone();
            tasks.push(go!(move || {
                arrived.fetch_add(1, Relaxed);
                coroutine::park();
            }));
        }
        while main.load(Relaxed) < n {
            coroutine::yield_now();
        }
        coroutine::sleep(versus::SETTLE);
        tasks
    });
    memory.measure(n, || {
        enter(move || {
            tasks.iter().for_each(|task| task.coroutine().unpark());
            join_all(tasks);
        });
    })
}

fn sleepers(n: usize) {
    join_all((0..n).map(|_| go!(|| coroutine::sleep(Duration::from_secs(1)))).collect());
}

fn latenesses(n: usize) -> Vec<u64> {
    join_all((0..n).map(|i| go!(move || versus::late_by(i, coroutine::sleep))).collect())
}

fn serve(client: fn(TcpStream) -> io::Result<()>) -> Report {
    let listener = TcpListener::bind(server::ADDRESS).unwrap();
    let address = listener.local_addr().unwrap();
    go!(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            go!(move || {
                server::count_connection();
                client(stream)
            });
        }
    });
    server::until_stdin_ends(address)
}
