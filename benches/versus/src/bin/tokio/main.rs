//! The peer `tokio`: its multi-thread runtime; work starts in a spawned task, not in `block_on`, whose thread is no worker.
//!
//! tokio has no rendezvous channel: `mpsc::channel(1)` stands in. It has no mpmc channel either: `flume` is the faster one
//! of the two that most programs take, ahead of `async-channel`; `kanal_ns` tells what the fastest known one takes.

mod actors;
mod coordination;

use std::array;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;
use versus::actors::is_actors;
use versus::{Args, BATCH, CAPACITY, CHILDREN, LIVE, Parked, Report, SIDES, http, server};

/// A macro because each crate's channel has types of its own.
macro_rules! mpmc {
    ($channel:expr, $send:ident, $recv:ident, $n:expr) => {{
        let ((tx, rx), each) = ($channel, $n / SIDES);
        let mut tasks = Vec::new();
        for _ in 0..SIDES {
            let (tx, rx) = (tx.clone(), rx.clone());
            tasks.push(tokio::spawn(async move {
                for i in 0..each {
                    tx.$send(i).await.unwrap();
                }
                0
            }));
            tasks.push(tokio::spawn(async move {
                let mut count = 0;
                while rx.$recv().await.is_ok() {
                    count += 1;
                }
                count
            }));
        }
        drop((tx, rx));
        assert_eq!(join_all(tasks).await.iter().sum::<usize>(), each * SIDES);
    }};
}

fn main() {
    let args = Args::from_env();
    run(&args).print("tokio", &args);
}

fn run(args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "echo_server" => return serve(args.workers, echo),
        "echo_readable_server" => return serve(args.workers, echo_when_readable),
        "http_server" => return serve(args.workers, answer),
        _ => {}
    }
    let tokio = Builder::new_multi_thread().worker_threads(args.workers).enable_time().build().unwrap();
    match args.workload.as_str() {
        "spawn" => versus::per_op(n, || enter(&tokio, spawn_batches(n))),
        "yield" => versus::per_op(n, || enter(&tokio, yielders(n))),
        "pingpong" => versus::per_op(n, || enter(&tokio, pingpong(n))),
        "pingpong_same" => {
            let tokio = Builder::new_current_thread().build().unwrap();
            versus::per_op(n, || enter(&tokio, pingpong(n)))
        }
        "spsc" => versus::per_op(n, || enter(&tokio, spsc(n))),
        "mpmc" => {
            let kanal = async move { mpmc!(kanal::bounded_async(CAPACITY), send, recv, n) };
            let kanal = versus::per_op(n, || enter(&tokio, kanal));
            let flume = async move { mpmc!(flume::bounded(CAPACITY), send_async, recv_async, n) };
            versus::per_op(n, || enter(&tokio, flume)).with("kanal_ns", kanal.value())
        }
        "skynet" => versus::seconds(|| {
            let n = n as u64;
            enter(&tokio, async move { assert_eq!(skynet(0, n).await, n * (n - 1) / 2) });
        }),
        "fib" => versus::seconds(|| {
            enter(&tokio, async move { std::hint::black_box(fib(n as u64).await) });
        }),
        "fib_half" => versus::seconds(|| {
            enter(&tokio, async move { std::hint::black_box(fib_half(n as u64).await) });
        }),
        "parked" => parked(&tokio, n),
        "sleepers" => versus::seconds(|| enter(&tokio, sleepers(n))),
        "lateness" => versus::lateness(enter(&tokio, latenesses(n))),
        "idle" => {
            enter(&tokio, async { sleep(Duration::from_millis(10)).await });
            versus::idle(n)
        }
        "pingpong_cross" => Report::skip("tokio places its tasks itself"),
        _ if is_actors(&args.workload) => actors::run(&tokio, args),
        _ => coordination::run(&tokio, args),
    }
}

/// Runs `main` as a task on a worker.
pub(crate) fn enter<T: Send + 'static>(tokio: &Runtime, main: impl Future<Output = T> + Send + 'static) -> T {
    tokio.block_on(async { tokio::spawn(main).await.unwrap() })
}

pub(crate) async fn join_all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn spawn_batches(n: usize) {
    for _ in 0..n / BATCH {
        join_all((0..BATCH).map(|_| tokio::spawn(async {})).collect()).await;
    }
}

async fn yielders(n: usize) {
    let yielder = || async move {
        for _ in 0..n / LIVE {
            yield_now().await;
        }
    };
    join_all((0..LIVE).map(|_| tokio::spawn(yielder())).collect()).await;
}

async fn pingpong(n: usize) {
    let (ping, mut pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let left = tokio::spawn(async move {
        for i in 0..n {
            ping.send(i).await.unwrap();
            assert_eq!(ponged.recv().await, Some(i));
        }
    });
    let right = tokio::spawn(async move {
        while let Some(i) = pinged.recv().await {
            pong.send(i).await.unwrap();
        }
    });
    join_all(vec![left, right]).await;
}

async fn spsc(n: usize) {
    let (tx, mut rx) = mpsc::channel(CAPACITY);
    let producer = tokio::spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    });
    let consumer = tokio::spawn(async move {
        for i in 0..n {
            assert_eq!(rx.recv().await, Some(i));
        }
    });
    join_all(vec![producer, consumer]).await;
}

/// Spawned by a plain function, so that the future's type doesn't contain itself and needs no box.
fn spawn_skynet(first: u64, leaves: u64) -> JoinHandle<u64> {
    tokio::spawn(skynet(first, leaves))
}

async fn skynet(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / CHILDREN as u64;
    let children: [_; CHILDREN] = array::from_fn(|i| spawn_skynet(first + i as u64 * part, part));
    let mut sum = 0;
    for child in children {
        sum += child.await.unwrap();
    }
    sum
}

fn spawn_fib(n: u64) -> JoinHandle<u64> {
    tokio::spawn(fib(n))
}

async fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (spawn_fib(n - 1), spawn_fib(n - 2));
    a.await.unwrap() + b.await.unwrap()
}

fn spawn_fib_half(n: u64) -> JoinHandle<u64> {
    tokio::spawn(fib_half(n))
}

async fn fib_half(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let a = spawn_fib_half(n - 1);
    let b = Box::pin(fib_half(n - 2)).await;
    a.await.unwrap() + b
}

fn parked(tokio: &Runtime, n: usize) -> Report {
    let shared = Arc::new((AtomicUsize::new(0), Notify::new()));
    let memory = Parked::before();
    let main = shared.clone();
    let tasks = enter(tokio, async move {
        let mut tasks = Vec::with_capacity(n);
        for _ in 0..n {
            let shared = main.clone();
            tasks.push(tokio::spawn(async move {
                let woken = shared.1.notified();
                shared.0.fetch_add(1, Relaxed);
                woken.await;
            }));
        }
        while main.0.load(Relaxed) < n {
            yield_now().await;
        }
        sleep(versus::SETTLE).await;
        tasks
    });
    memory.measure(n, || {
        shared.1.notify_waiters();
        enter(tokio, join_all(tasks));
    })
}

async fn sleepers(n: usize) {
    join_all((0..n).map(|_| tokio::spawn(sleep(Duration::from_secs(1)))).collect()).await;
}

async fn latenesses(n: usize) -> Vec<u64> {
    let sleeper = |i| async move {
        let start = Instant::now();
        sleep(versus::nap(i)).await;
        versus::late_since(i, start)
    };
    join_all((0..n).map(|i| tokio::spawn(sleeper(i))).collect()).await
}

fn serve<C>(workers: usize, client: fn(TcpStream) -> C) -> Report
where
    C: Future<Output = io::Result<()>> + Send + 'static,
{
    let tokio = Builder::new_multi_thread().worker_threads(workers).enable_io().build().unwrap();
    let listener = tokio.block_on(TcpListener::bind(server::ADDRESS)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                server::count_connection();
                client(stream).await
            });
        }
    });
    server::until_stdin_ends(address)
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; server::BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn echo_when_readable(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut buffer = vec![0; server::BUFFER];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => stream.write_all(&buffer[..n]).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut connection = http::Connection::default();
    loop {
        let n = stream.read(connection.space()).await?;
        match connection.answer(n) {
            Some(answers) if n > 0 => stream.write_all(answers).await?,
            _ => return Ok(()),
        }
    }
}
