//! From `std` and tokio to fibra.
//!
//! Code that uses threads moves over by its `use` lines. Async code loses its colour: an `async fn` becomes a `fn`,
//! `f().await` becomes `f()`, and no type need be `Send` or pinned for it. What has another meaning stands
//! [at the end](self#what-differs).
//!
//! # std, crossbeam, parking_lot, rayon
//!
//! | before | fibra |
//! | --- | --- |
//! | `std::thread::{spawn, scope, sleep, park, Builder, JoinHandle}` | [`fibra::thread`](crate::thread)`::{…}`: the same names and signatures |
//! | `fn main() { … }` | the same: the global runtime starts with the first task; or [`fibra::run(\|\| …)`](crate::run()) |
//! | `thread_local! { static X: … }` | [`task_local! { static X: … }`](crate::task_local!): a thread's is shared by its tasks |
//! | `let (tx, rx) = mpsc::channel();` | [`channel::unbounded()`](crate::channel::unbounded); receivers can be cloned too |
//! | `let (tx, rx) = mpsc::sync_channel(n);` | [`channel::bounded(n)`](crate::channel::bounded) |
//! | `crossbeam_channel::{…}` | [`fibra::channel`](crate::channel)`::{…}`: the same API |
//! | `*m.lock().unwrap() += 1` | [`*m.lock() += 1`](crate::sync::Mutex): no poisoning |
//! | `guard = c.wait(guard).unwrap()` | [`c.wait(&mut guard)`](crate::sync::Condvar) |
//! | `l.read().unwrap()`, `l.write().unwrap()` | [`l.read()`, `l.write()`](crate::sync::RwLock) |
//! | `parking_lot::{Mutex, RwLock, Condvar}` | [`fibra::sync`](crate::sync)`::{…}`: the same API |
//! | `std::sync::{Barrier, Once, OnceLock, LazyLock}` | `fibra::sync::{…}`: the same API, and the initialiser may park |
//! | `Arc`, atomics | std's |
//! | `std::net`, `std::fs`, `std::process`, `std::io::{stdin, copy, pipe}` | [`fibra::net`](crate::net), [`fs`](crate::fs), [`process`](crate::process), [`io`](crate::io): the same names |
//! | `items.par_iter().map(f).collect()` | [`pool::map(items, f)`](crate::pool::map), [`items.iter().par_map(f)`](crate::pool::ParMap) |
//! | `ctrlc::set_handler(f)` | [`signal::ctrl_c()?.recv()`](crate::signal::ctrl_c) |
//!
//! ```
//! use fibra::{channel, sync::Mutex, thread}; // was: std::{sync::{Mutex, mpsc}, thread}
//!
//! let total = Mutex::new(0);
//! let (tx, rx) = channel::bounded(8); // was: mpsc::sync_channel(8)
//! thread::scope(|s| {
//!     let total = &total;
//!     for _ in 0..2 {
//!         let rx = rx.clone(); // was: an Arc<Mutex<Receiver<_>>>
//!         s.spawn(move || rx.iter().for_each(|n: u32| *total.lock() += n));
//!     }
//!     s.spawn(move || (1..=100).for_each(|n| tx.send(n).unwrap()));
//! });
//! assert_eq!(total.into_inner(), 5050);
//! ```
//!
//! # Tokio: tasks
//!
//! | tokio | fibra |
//! | --- | --- |
//! | `#[tokio::main] async fn main() { … }` | `fn main() { fibra::run(\|\| { … }) }` |
//! | `async fn f() -> T`, `f().await` | `fn f() -> T`, `f()` |
//! | `let h = tokio::spawn(async move { … });` | [`let h = fibra::spawn(move \|\| { … });`](crate::spawn) or [`go!({ … })`](crate::go) |
//! | `h.await?` | [`h.join()`](crate::JoinHandle::join): `Err` holds the payload of a panic |
//! | `h.abort()`, `error.is_cancelled()` | [`h.cancel()`](crate::JoinHandle::cancel), `payload.is::<`[`Cancelled`](crate::Cancelled)`>()` |
//! | `tokio::join!(a(), b())` | `let a = go!(a()); let b = b(); let a = a.join();` or a [`scope`](crate::scope()) |
//! | `let mut set = JoinSet::new();` | [`let set = Group::new();`](crate::task::Group) its tasks may [borrow](crate::task::Group::in_scope) |
//! | `set.spawn(f());` | `set.spawn(\|\| f());` |
//! | `set.join_next().await` | [`set.next()`](crate::task::Group::next) |
//! | `set.join_all().await`, `try_join_all(…).await?` | `set.values()`, [`set.wait()?`](crate::task::Group::wait) in the order of spawning |
//! | `set.abort_all()`, `set.shutdown().await` | `set.cancel()`, `drop(set)` |
//! | `select_ok(futures).await` | [`set.first_ok()`](crate::task::Group::first_ok) |
//! | `stream.buffer_unordered(n)` | [`Group::new().limit(n)`](crate::task::Group::limit) |
//! | `timeout(d, f()).await`, `timeout_at(t, f()).await` | [`timeout(d, \|\| f())`](crate::timeout), [`deadline(t, \|\| f())`](crate::deadline) |
//! | `sleep(d).await` | [`fibra::sleep(d)`](crate::sleep) |
//! | `let mut i = interval(d); i.tick().await` | [`let i = channel::tick(d); i.recv()`](crate::channel::tick) |
//! | `yield_now().await` | [`fibra::yield_now()`](crate::yield_now) |
//! | `spawn_blocking(move \|\| …).await?`, `block_in_place` | [`fibra::blocking(\|\| …)`](crate::blocking): the closure may borrow |
//! | `LocalSet`, `spawn_local` | [`fibra::spawn_local(\|\| …)`](crate::spawn_local) |
//! | `Builder::new_multi_thread().worker_threads(n).build()?` | [`Builder::new().workers(n).build()?`](crate::Builder) |
//! | `Handle::current().spawn(…)`, `runtime.block_on(f())` | [`Handle::current().spawn(…)`](crate::Handle), [`runtime.run(\|\| f())`](crate::Runtime::run) |
//! | `task_local! { static ID: u64; }`, `ID.scope(7, f()).await` | [`task_local! { static inherit ID: Cell<u64> = Cell::new(0); }`](crate::task_local!), `ID.set(7)` |
//! | `impl Stream<Item = T>`, `while let Some(x) = s.next().await` | `impl Iterator<Item = T>`, `for x in s` |
//!
//! ```
//! use std::time::Duration;
//! use fibra::{Cancelled, task::Group, timeout};
//!
//! fn square(n: u64) -> u64 {
//!     fibra::sleep(Duration::from_millis(n)); // was: sleep(…).await
//!     n * n
//! }
//!
//! fibra::run(|| {
//!     let set = Group::new();
//!     for n in 1..=3 {
//!         set.spawn(move || square(n));
//!     }
//!     let mut sum = 0;
//!     while let Some((_index, result)) = set.next() {
//!         sum += result.unwrap();
//!     }
//!     assert_eq!(sum, 14);
//!
//!     // Any blocking code, however deep it waits.
//!     assert!(timeout(Duration::from_millis(1), || square(3_600_000)).is_err());
//!
//!     let task = fibra::go!(square(3_600_000));
//!     task.cancel();
//!     assert!(task.join().unwrap_err().is::<Cancelled>());
//! });
//! ```
//!
//! A value for a task and for those that it spawns:
//!
//! ```
//! use std::cell::Cell;
//!
//! fibra::task_local! {
//!     static inherit REQUEST: Cell<u64> = Cell::new(0);
//! }
//!
//! fibra::run(|| {
//!     let requests = [7, 8].map(|id| {
//!         fibra::go!({
//!             REQUEST.set(id);
//!             fibra::go!(REQUEST.get()).join().unwrap()
//!         })
//!     });
//!     assert_eq!(requests.map(|task| task.join().unwrap()), [7, 8]);
//! });
//! ```
//!
//! # Tokio: channels, locks, cancellation
//!
//! | tokio | fibra |
//! | --- | --- |
//! | `let (tx, mut rx) = mpsc::channel(n);` | [`channel::bounded(n)`](crate::channel::bounded), [`unbounded()`](crate::channel::unbounded) |
//! | `tx.send(v).await?`, `tx.try_send(v)?` | `tx.send(v)?`, `tx.try_send(v)?` |
//! | `while let Some(v) = rx.recv().await { … }` | `for v in &rx { … }` |
//! | `tx.blocking_send(v)` from a thread | `tx.send(v)`: it is the same |
//! | `oneshot::channel()` | [`channel::oneshot::channel()`](crate::channel::oneshot::channel) |
//! | `watch::channel(v)`, `rx.changed().await?`, `rx.borrow()` | [`channel::watch::channel(v)`](crate::channel::watch), `rx.recv()?` returns the new value, `rx.borrow()` |
//! | `broadcast::channel(n)`, `rx.recv().await` | [`channel::broadcast::channel(n)`](crate::channel::broadcast), `rx.recv()`; `Lagged(n)` as there |
//! | `select! { Some(v) = rx.recv() => …, _ = sleep(d) => … }` | [`select! { recv(rx) -> v => …, default(d) => … }`](crate::select) |
//! | `select! { biased; … }` | [`select_biased! { … }`](crate::select_biased) |
//! | `select!` over other futures | [`timeout`](crate::timeout), [`Token::run`](crate::cancel::Token::run), or a task for each that sends its result |
//! | `m.lock().await`, `l.read().await`, `l.write().await` | [`m.lock()`](crate::sync::Mutex), [`l.read()`, `l.write()`](crate::sync::RwLock) |
//! | `s.acquire().await?`, `s.acquire_owned().await?` | [`s.acquire()?`, `s.acquire_owned()?`](crate::sync::Semaphore) |
//! | `n.notified().await`, `n.notify_one()`, `n.notify_waiters()` | [`n.notified().wait()`, `n.notify_one()`, `n.notify_waiters()`](crate::sync::Notify) |
//! | `barrier.wait().await` | [`barrier.wait()`](crate::sync::Barrier) |
//! | `cell.get_or_init(\|\| f()).await` | [`OnceLock`](crate::sync::OnceLock)`::get_or_init(f)`: `f` may park |
//! | `CancellationToken::new()`, `t.child_token()` | [`Token::new()`, `t.child()`](crate::cancel::Token) |
//! | `t.cancel()`, `t.drop_guard()` | `t.cancel()`, `t.drop_guard()`; `t.cancel_with(reason)` |
//! | `t.cancelled().await` | `t.cancelled().recv()`, `recv(t.cancelled()) -> _ => …` in [`select!`](crate::select) |
//! | `t.run_until_cancelled(f()).await` | [`t.run(\|\| f())`](crate::cancel::Token::run) |
//! | `TaskTracker`, `tracker.close()`, `tracker.wait().await` | [`WaitGroup`](crate::sync::WaitGroup), `wg.wait()` |
//!
//! ```
//! use std::time::Duration;
//! use fibra::cancel::Token;
//! use fibra::channel::{self, broadcast, oneshot, select, watch};
//!
//! fibra::run(|| {
//!     // An actor: requests with a oneshot each for the answer, until the token is cancelled.
//!     let (requests, inbox) = channel::bounded::<(u32, oneshot::Sender<u32>)>(8);
//!     let token = Token::new();
//!     let cancelled = token.child().cancelled();
//!     let actor = fibra::go!({
//!         let mut served = 0;
//!         loop {
//!             select! {
//!                 recv(inbox) -> request => {
//!                     let (n, answer) = request.unwrap();
//!                     let _ = answer.send(n + 1);
//!                     served += 1;
//!                 }
//!                 recv(cancelled) -> _ => break served,
//!             }
//!         }
//!     });
//!     let (answer, result) = oneshot::channel();
//!     requests.send((41, answer)).unwrap();
//!     assert_eq!(result.recv(), Ok(42));
//!     token.cancel();
//!     assert_eq!(actor.join().unwrap(), 1);
//!
//!     // The latest value, and every value.
//!     let (level, watched) = watch::channel(0);
//!     let (events, heard) = broadcast::channel(16);
//!     for n in 1..=3 {
//!         level.send(n).unwrap();
//!         events.send(n).unwrap();
//!     }
//!     assert_eq!(*watched.recv().unwrap(), 3);
//!     assert_eq!([heard.recv(), heard.recv(), heard.recv()], [Ok(1), Ok(2), Ok(3)]);
//!
//!     // Whatever waits, under a token.
//!     let stop = Token::new();
//!     let waiter = {
//!         let stop = stop.clone();
//!         fibra::go!(stop.run(|| fibra::sleep(Duration::from_secs(3600))))
//!     };
//!     stop.cancel();
//!     assert!(waiter.join().unwrap().is_err());
//! });
//! ```
//!
//! # Tokio: input and output
//!
//! | tokio | fibra |
//! | --- | --- |
//! | `tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream}` | [`fibra::net::{…}`](crate::net) |
//! | `AsyncReadExt`, `AsyncWriteExt`, `AsyncBufReadExt` | `std::io::{Read, Write, BufRead}` |
//! | `stream.into_split()` | [`stream.into_split()`](crate::net::TcpStream::into_split); or read and write through `&stream` |
//! | `io::copy(&mut r, &mut w).await?`, `copy_bidirectional` | [`io::copy(&mut r, &mut w)?`](crate::io::copy), two of them in a [`scope`](crate::scope()) |
//! | `tokio::fs::read(path).await?` | [`fs::read(path)?`](crate::fs::read) |
//! | `Command::new(…).output().await?` | [`Command::new(…).output()?`](crate::process::Command) |
//! | `signal::ctrl_c().await?` | [`signal::ctrl_c()?.recv()`](crate::signal::ctrl_c) |
//! | `AsyncFd::new(fd)?` | [`io::Source::new(fd)?`](crate::io::Source) |
//! | an async client library | a blocking one over our sockets; see the examples `http_client`, `tls_echo`, `websocket` |
//!
//! ```
//! use std::io::{self, BufRead, BufReader, Write};
//! use fibra::net::{TcpListener, TcpStream};
//!
//! fibra::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = listener.local_addr()?;
//!     let server = fibra::go!({
//!         let (stream, _) = listener.accept()?;
//!         for line in BufReader::new(&stream).lines() {
//!             writeln!(&stream, "you said {}", line?)?;
//!         }
//!         io::Result::Ok(())
//!     });
//!     let mut stream = TcpStream::connect(addr)?;
//!     stream.write_all(b"hello\n")?;
//!     let mut answer = String::new();
//!     BufReader::new(&stream).read_line(&mut answer)?;
//!     assert_eq!(answer, "you said hello\n");
//!     drop(stream);
//!     server.join().unwrap()
//! })?;
//! # io::Result::Ok(())
//! ```
//!
//! # What differs
//!
//! From threads:
//!
//! - *Many tasks share an OS thread.* Its thread-locals are theirs in common. A std lock held across a park, or a
//!   `std::sync::LazyLock` whose initialiser parks, can deadlock it: use those of [`sync`](crate::sync).
//! - *A call that blocks the OS thread holds up all of its tasks*: give it to [`blocking`](crate::blocking). So does a
//!   long computation without a call of this library in it; a [`yield_now`](crate::yield_now) now and then will do.
//! - *A task can be cancelled*, and then unwinds at a park; a thread can't. A `catch_unwind` around a park catches that
//!   too, in vain: it comes again at the next park.
//! - *When `main` returns from [`run`](crate::run()), the tasks that are left are cancelled and awaited.* Those of the
//!   global runtime end with the process, as threads do.
//! - *A stack has 260 KiB of address space*, where a thread's has 2 MiB, and takes memory only where it was used:
//!   [`stack_size`](crate::Builder::stack_size), [`on_thread_stack`](crate::on_thread_stack).
//!
//! From tokio:
//!
//! - *Nothing is lazy*: what was a future that does nothing until it is awaited is a call that does it.
//! - *Cancelling does not drop a future between two polls: it unwinds a task where it parks.* So code without parks is
//!   never torn, a destructor may itself wait, and a call that succeeds has not lost anything, in `select!` or under a
//!   `timeout`; see [`cancel`](crate::cancel).
//! - *A task stays on its worker once it has started*: guards, `Rc`s and thread-locals may live across a park, and no
//!   `Send` bound spreads from one. Only what a closure takes along at its spawn must be `Send`.
//! - *`select!` chooses among channel operations*, not among futures.
//! - *A dropped [`JoinHandle`](crate::JoinHandle) detaches*, as there; a dropped [`Group`](crate::task::Group) cancels
//!   and waits.
//! - *A parked task takes a page of memory* and half a kilobyte of page tables, where a small future takes some hundred
//!   bytes.
