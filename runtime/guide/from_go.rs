//! From Go to fibra.
//!
//! A goroutine is a *task* here, and most of Go has a line that does the same. All of it works from tasks and from plain
//! OS threads alike. What has no counterpart, or another meaning, stands [at the end](self#what-differs).
//!
//! # Tasks
//!
//! | Go | fibra |
//! | --- | --- |
//! | `func main() { … }` | `fn main() { fibra::run(\|\| { … }) }` |
//! | `go f(x)` | `fibra::go!(f(x));` |
//! | `go func() { … }()` | `fibra::go!({ … });` or [`fibra::spawn(move \|\| { … })`](crate::spawn) |
//! | a channel for the one result | [`let y = fibra::go!(f(x)).join().unwrap();`](crate::JoinHandle::join) |
//! | `var wg sync.WaitGroup` | [`let wg = WaitGroup::new();`](crate::sync::WaitGroup) |
//! | `wg.Go(f)`, `wg.Wait()` | `wg.go(f);` `wg.wait();` |
//! | `wg.Add(1)`, `defer wg.Done()` | [`let _done = wg.guard();`](crate::sync::WaitGroup::guard) |
//! | `time.Sleep(d)` | [`fibra::sleep(d)`](crate::sleep) |
//! | `runtime.Gosched()` | [`fibra::yield_now()`](crate::yield_now) |
//! | `runtime.GOMAXPROCS(n)`, `GOMAXPROCS=n` | [`Builder::new().workers(n)`](crate::Builder::workers), `FIBRA_WORKERS=n` |
//! | `runtime.GOMAXPROCS(0)` | [`Handle::current().workers()`](crate::Handle::workers) |
//! | `runtime.LockOSThread()` | not needed: a task that has started stays on its OS thread |
//! | `runtime.NumGoroutine()` | none yet |
//! | `debug.SetMaxStack(n)` | [`Builder::new().stack_size(n)`](crate::Builder::stack_size): of every stack, which does not grow |
//!
//! ```
//! use fibra::sync::WaitGroup;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! static SUM: AtomicU32 = AtomicU32::new(0);
//!
//! fibra::run(|| {
//!     let wg = WaitGroup::new();
//!     for n in 1..=100 {
//!         wg.go(move || _ = SUM.fetch_add(n, Relaxed)); // `move`: each task has its own n
//!     }
//!     wg.wait();
//!     assert_eq!(SUM.load(Relaxed), 5050);
//! });
//! ```
//!
//! # Channels
//!
//! | Go | fibra |
//! | --- | --- |
//! | `ch := make(chan int)` | [`let (tx, rx) = channel::bounded(0);`](crate::channel::bounded) |
//! | `ch := make(chan int, 8)` | `let (tx, rx) = channel::bounded(8);` |
//! | (none) | [`channel::unbounded()`](crate::channel::unbounded), [`oneshot`](crate::channel::oneshot), [`watch`](crate::channel::watch), [`broadcast`](crate::channel::broadcast) |
//! | `chan<- int`, `<-chan int` | [`Sender<i32>`](crate::channel::Sender), [`Receiver<i32>`](crate::channel::Receiver); clone them to share them |
//! | `ch <- v` | [`tx.send(v).unwrap();`](crate::channel::Sender::send) |
//! | `v := <-ch` | [`let v = rx.recv().unwrap();`](crate::channel::Receiver::recv) |
//! | `if v, ok := <-ch; ok { … }` | `if let Ok(v) = rx.recv() { … }` |
//! | `for v := range ch { … }` | `for v in &rx { … }` |
//! | `close(ch)` | `drop(tx);` the last clone to go closes the channel |
//! | `len(ch)`, `cap(ch)` | `rx.len()`, `rx.capacity()` |
//! | a nil channel | [`channel::never()`](crate::channel::never()) |
//!
//! Closing is dropping. A receiver gets what is left in the channel, and then an error, as with `ok` in Go:
//!
//! ```
//! use fibra::channel;
//!
//! fibra::run(|| {
//!     let (tx, rx) = channel::bounded(2);
//!     let doubled = fibra::go!(rx.iter().map(|n| 2 * n).collect::<Vec<i32>>());
//!     for n in [1, 2, 3] {
//!         tx.send(n).unwrap();
//!     }
//!     drop(tx); // close(ch)
//!     assert_eq!(doubled.join().unwrap(), [2, 4, 6]);
//!
//!     // What Go does not have: a sender learns that nobody receives any more, and has its message back.
//!     let (tx, rx) = channel::bounded(2);
//!     drop(rx);
//!     assert_eq!(tx.send("anybody?").unwrap_err().into_inner(), "anybody?");
//! });
//! ```
//!
//! # Select and time
//!
//! | Go | fibra |
//! | --- | --- |
//! | `select { case v := <-a: … }` | [`select! { recv(a) -> v => … }`](crate::select) |
//! | `case b <- v: …` | `send(b, v) -> result => …` |
//! | `default: …` | `default => …` |
//! | `case <-time.After(d): …` | `default(d) => …`, or `recv(after(d)) -> _ => …` |
//! | `select {}` | [`channel::never::<()>().recv()`](crate::channel::never()) |
//! | `reflect.Select(cases)` | [`channel::Select`](crate::channel::Select) |
//! | `time.After(d)` | [`channel::after(d)`](crate::channel::after), [`channel::at(instant)`](crate::channel::at) |
//! | `t := time.NewTimer(d)` | `let mut t = channel::after(d);` |
//! | `t.Reset(d)`, `t.Stop()` | `t = channel::after(d);` `t = channel::never();` |
//! | `time.NewTicker(d)`, `time.Tick(d)` | [`channel::tick(d)`](crate::channel::tick) |
//! | `t := time.AfterFunc(d, f)`, `t.Stop()` | `let t = fibra::go!({ fibra::sleep(d); f() });` [`t.cancel()`](crate::JoinHandle::cancel) |
//!
//! ```
//! use std::time::Duration;
//! use fibra::channel::{self, after, select, tick};
//!
//! fibra::run(|| {
//!     let (tx, rx) = channel::bounded(1);
//!     let empty = select! {
//!         recv(rx) -> _ => false,
//!         default => true,
//!     };
//!     let sent = select! {
//!         send(tx, 7) -> result => result.is_ok(),
//!         recv(after(Duration::from_secs(60))) -> _ => false,
//!     };
//!     let received = select! {
//!         recv(rx) -> n => n, // Ok(7); after a close it would be an Err, and Go's zero value with ok == false
//!         default(Duration::from_secs(60)) => unreachable!("a message lies there"),
//!     };
//!     assert_eq!((empty, sent, received), (true, true, Ok(7)));
//!
//!     // A ticker, a deadline, and an arm that is switched off by setting its channel to nil.
//!     let ticks = tick(Duration::from_millis(1));
//!     let mut end = channel::never();
//!     let mut count = 0;
//!     loop {
//!         select! {
//!             recv(ticks) -> _ => count += 1,
//!             recv(end) -> _ => break,
//!         }
//!         if count == 3 {
//!             end = after(Duration::from_millis(1));
//!         }
//!     }
//!     assert!(count >= 3);
//! });
//! ```
//!
//! # Locks and atomics
//!
//! | Go | fibra |
//! | --- | --- |
//! | `var mu sync.Mutex; var n int` | [`let n = Mutex::new(0);`](crate::sync::Mutex) the lock owns what it guards |
//! | `mu.Lock(); n++; mu.Unlock()` | `*n.lock() += 1;` |
//! | `mu.Lock(); defer mu.Unlock()` | `let mut n = n.lock();` unlocked where the guard is dropped |
//! | `mu.TryLock()` | `if let Some(mut n) = n.try_lock() { … }` |
//! | `rw.RLock()`, `rw.Lock()` | [`rw.read()`, `rw.write()`](crate::sync::RwLock) |
//! | `c := sync.NewCond(&mu)` | [`let c = Condvar::new();`](crate::sync::Condvar) |
//! | `for !ready { c.Wait() }` | `c.wait_while(&mut guard, \|ready\| !*ready);` |
//! | `c.Signal()`, `c.Broadcast()` | `c.notify_one();` `c.notify_all();` |
//! | `once.Do(f)` | [`once.call_once(f);`](crate::sync::Once) |
//! | `get := sync.OnceValue(f)` | [`static GET: LazyLock<T> = LazyLock::new(f);`](crate::sync::LazyLock) or a [`OnceLock`](crate::sync::OnceLock) |
//! | `semaphore.NewWeighted(n)`, `s.Acquire(ctx, k)` | [`Semaphore::new(n)`](crate::sync::Semaphore), `s.acquire_many(k)` |
//! | `var n atomic.Int64`, `n.Add(1)`, `n.Load()` | `let n = AtomicI64::new(0);` `n.fetch_add(1, SeqCst);` `n.load(SeqCst)`: std's |
//! | `sync.Map` | `RwLock<HashMap<K, V>>` |
//! | `go vet` on copied locks, `go test -race` | the compiler: see below |
//!
//! ```
//! use std::collections::VecDeque;
//! use fibra::sync::{Condvar, Mutex};
//!
//! /// A queue with a limit, as one would write it with sync.Cond.
//! static QUEUE: Mutex<VecDeque<u32>> = Mutex::new(VecDeque::new());
//! static CHANGED: Condvar = Condvar::new();
//!
//! fibra::run(|| {
//!     let producer = fibra::go!(for n in 0..100 {
//!         let mut queue = QUEUE.lock();
//!         CHANGED.wait_while(&mut queue, |queue| queue.len() == 10);
//!         queue.push_back(n);
//!         CHANGED.notify_all();
//!     });
//!     let mut sum = 0;
//!     for _ in 0..100 {
//!         let mut queue = QUEUE.lock();
//!         CHANGED.wait_while(&mut queue, |queue| queue.is_empty());
//!         sum += queue.pop_front().unwrap();
//!         CHANGED.notify_all();
//!     }
//!     producer.join().unwrap();
//!     assert_eq!(sum, 4950);
//! });
//! ```
//!
//! The counter that Go's race detector finds at run time, if it happens, does not compile here, because two tasks would
//! have it in their hands at once:
//!
//! ```compile_fail,E0499
//! let mut count = 0;
//! fibra::scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| count += 1);
//!     }
//! });
//! ```
//!
//! With a lock or as an atomic it does, and is exact. (What the compiler can't see is a race of a higher order, such as a
//! load and a later store: see the example `race`.)
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use fibra::sync::Mutex;
//!
//! let (locked, atomic) = (Mutex::new(0), AtomicU32::new(0));
//! fibra::scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| *locked.lock() += 1);
//!         s.spawn(|| atomic.fetch_add(1, Relaxed));
//!     }
//! });
//! assert_eq!((locked.into_inner(), atomic.into_inner()), (4, 4));
//! ```
//!
//! # Context
//!
//! | Go | fibra |
//! | --- | --- |
//! | `ctx := context.Background()` | [`let ctx = Context::background();`](crate::cancel::Context) |
//! | `ctx, cancel := context.WithCancel(ctx)` | `let ctx = ctx.with_cancel();` |
//! | `cancel()`, `cancel(cause)` | `ctx.cancel();` `ctx.cancel_with(cause);` |
//! | `defer cancel()` | not needed to free anything; to cancel on leaving: [`Token::drop_guard`](crate::cancel::Token::drop_guard) |
//! | `context.WithTimeout(ctx, d)`, `WithDeadline(ctx, t)` | `ctx.with_timeout(d)`, `ctx.with_deadline(t)` |
//! | `context.WithValue(ctx, key, v)`, `ctx.Value(key)` | `ctx.with_value(v)`, `ctx.value::<V>()`: the type is the key |
//! | `context.WithoutCancel(ctx)` | `ctx.without_cancel()` |
//! | `case <-ctx.Done(): …` | `recv(ctx.done()) -> _ => …` in [`select!`](crate::select) |
//! | `ctx.Err()`, `context.Cause(ctx)`, `ctx.Deadline()` | `ctx.err()`, `ctx.cause()`, `ctx.deadline()` |
//! | a `ctx` parameter in every blocking function | [`ctx.run(\|\| …)`](crate::cancel::Context::run) around any blocking code |
//! | `context.WithTimeout` for a single call | [`fibra::timeout(d, \|\| …)`](crate::timeout), [`fibra::deadline(t, \|\| …)`](crate::deadline) |
//! | `if ctx.Err() != nil` in a loop that computes | [`cancel::check()?`](crate::cancel::check) |
//!
//! A function that blocks need not know of contexts: where it waits it unwinds, and its destructors run.
//!
//! ```
//! use std::time::Duration;
//! use fibra::cancel::{Context, ContextError};
//! use fibra::channel::{self, Receiver, select};
//!
//! struct User(&'static str);
//!
//! /// Knows nothing of contexts.
//! fn first_of(messages: &Receiver<u32>) -> u32 {
//!     messages.recv().unwrap()
//! }
//!
//! /// Does as one would in Go.
//! fn first_or_end(ctx: &Context, messages: &Receiver<u32>) -> Result<u32, ContextError> {
//!     let done = ctx.done();
//!     select! {
//!         recv(messages) -> message => Ok(message.unwrap()),
//!         recv(done) -> _ => Err(ctx.err().unwrap()),
//!     }
//! }
//!
//! fibra::run(|| {
//!     let (_tx, rx) = channel::bounded(1);
//!     let request = Context::background().with_value(User("ann")).with_cancel();
//!     let query = request.with_timeout(Duration::from_millis(5));
//!     assert_eq!(query.value::<User>().unwrap().0, "ann");
//!
//!     assert_eq!(query.run(|| first_of(&rx)), Err(ContextError::DeadlineExceeded));
//!     assert_eq!(first_or_end(&query, &rx), Err(ContextError::DeadlineExceeded));
//!     assert_eq!(request.err(), None);
//!
//!     request.cancel_with("the client has gone");
//!     assert_eq!(request.run(|| first_of(&rx)), Err(ContextError::Cancelled));
//!     assert_eq!(request.cause().unwrap().to_string(), "the client has gone");
//! });
//! ```
//!
//! # Errgroup
//!
//! | Go | fibra |
//! | --- | --- |
//! | `g, ctx := errgroup.WithContext(ctx)` | [`let g = Group::new().cancel_if(Result::is_err);`](crate::task::Group) |
//! | `var g errgroup.Group` (nobody is cancelled) | `let g = Group::new().independent();` |
//! | `g.SetLimit(n)` | [`Group::new().limit(n)`](crate::task::Group::limit) |
//! | `g.Go(func() error { … })` | [`g.spawn(\|\| { …; Ok(()) });`](crate::task::Group::spawn) |
//! | `g.TryGo(f)` | [`g.try_spawn(f)`](crate::task::Group::try_spawn) |
//! | `if err := g.Wait(); err != nil { return err }` | [`let values = g.wait()?;`](crate::task::Group::wait) with all results, in order |
//! | results on a channel, as they come | `for (index, result) in &g { … }` |
//! | the first success, by hand | [`g.first_ok()`](crate::task::Group::first_ok) |
//! | goroutines that use the caller's variables | [`fibra::scope(\|s\| …)`](crate::scope()), [`Group::in_scope(s)`](crate::task::Group::in_scope) |
//!
//! In Go a cancelled group's functions must watch `ctx`; here they unwind where they wait.
//!
//! ```
//! use fibra::task::Group;
//!
//! fn fetch(page: u32) -> Result<String, String> {
//!     match page {
//!         13 => Err(format!("no page {page}")),
//!         _ => Ok(format!("page {page}")),
//!     }
//! }
//!
//! fibra::run(|| {
//!     let g = Group::new().limit(2);
//!     for page in 0..4 {
//!         g.spawn(move || fetch(page));
//!     }
//!     assert_eq!(g.wait().unwrap(), ["page 0", "page 1", "page 2", "page 3"]);
//!
//!     let g = Group::new().cancel_if(Result::is_err);
//!     g.spawn(|| {
//!         fibra::thread::park(); // for ever, if nobody cancelled it
//!         fetch(1)
//!     });
//!     g.spawn(|| fetch(13));
//!     assert_eq!(g.wait().unwrap_err(), "no page 13");
//! });
//! ```
//!
//! # Network, processes, signals
//!
//! | Go | fibra |
//! | --- | --- |
//! | `ln, err := net.Listen("tcp", addr)` | [`let ln = TcpListener::bind(addr)?;`](crate::net::TcpListener) |
//! | `for { conn, err := ln.Accept(); go serve(conn) }` | `for conn in ln.incoming() { let conn = conn?; fibra::go!(serve(conn)); }` |
//! | `net.Dial("tcp", addr)`, `net.DialTimeout(…, d)` | [`TcpStream::connect(addr)?`](crate::net::TcpStream), `connect_timeout(&addr, d)?` |
//! | `conn.Read(buf)`, `conn.Write(buf)` | `conn.read(&mut buf)?`, `conn.write_all(&buf)?` (`std::io`'s traits) |
//! | `conn.SetDeadline(t)` | `conn.set_read_deadline(Some(t)); conn.set_write_deadline(Some(t));` |
//! | `conn.CloseWrite()` | `conn.shutdown(Shutdown::Write)?` |
//! | `conn.Close()`, to end a `Read` elsewhere | [`conn.close()`](crate::net::TcpStream::close); else just drop it |
//! | `io.Copy(dst, src)`, `io.Pipe()` | [`io::copy(&mut src, &mut dst)?`](crate::io::copy), [`io::pipe()?`](crate::io::pipe) |
//! | `bufio.NewReader(conn)`, `bufio.Scanner` | `std::io::BufReader::new(conn)`, its `lines()` |
//! | `os.ReadFile(path)`, `os.Open(path)` | [`fs::read(path)?`](crate::fs::read), [`File::open(path)?`](crate::fs::File) |
//! | `exec.Command(name, args…).Output()` | [`Command::new(name).args([…]).output()?`](crate::process::Command) |
//! | `exec.CommandContext` with a timeout | [`child.wait_timeout(d)?`](crate::process::Child::wait_timeout), then `child.kill()?`: ending the wait ends no process |
//! | `signal.Notify(ch, os.Interrupt)` | [`let rx = signal::ctrl_c()?;`](crate::signal::ctrl_c) or [`signal::signals([…])?`](crate::signal::signals) |
//! | `server.Shutdown(ctx)` | [`signal::Shutdown`](crate::signal::Shutdown): waits for the signal, and for the work that is left |
//! | a cgo call that blocks | [`fibra::blocking(\|\| …)`](crate::blocking) |
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::net::Shutdown;
//! use std::time::{Duration, Instant};
//! use fibra::net::{TcpListener, TcpStream};
//!
//! fn serve(mut conn: TcpStream) -> io::Result<()> {
//!     conn.set_read_deadline(Some(Instant::now() + Duration::from_secs(60)));
//!     let mut question = String::new();
//!     conn.read_to_string(&mut question)?;
//!     conn.write_all(question.to_uppercase().as_bytes())
//! }
//!
//! fibra::run(|| {
//!     let ln = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = ln.local_addr()?;
//!     fibra::go!({
//!         for conn in ln.incoming() {
//!             fibra::go!(serve(conn?));
//!         }
//!         io::Result::Ok(())
//!     });
//!     let mut conn = TcpStream::connect(addr)?;
//!     conn.write_all(b"hello")?;
//!     conn.shutdown(Shutdown::Write)?;
//!     let mut answer = String::new();
//!     conn.read_to_string(&mut answer)?;
//!     assert_eq!(answer, "HELLO");
//!     io::Result::Ok(())
//! })?;
//! # io::Result::Ok(())
//! ```
//!
//! ```
//! use std::{io, time::Duration};
//! use fibra::channel::select;
//! use fibra::process::Command;
//! use fibra::signal::{self, Signal};
//!
//! fibra::run(|| {
//!     let output = Command::new("echo").arg("hello").output()?;
//!     assert_eq!(output.stdout, b"hello\n");
//!
//!     let mut child = Command::new("sleep").arg("3600").spawn()?;
//!     if child.wait_timeout(Duration::from_millis(1))?.is_none() {
//!         child.kill()?;
//!     }
//!     assert!(!child.wait()?.success());
//!
//!     let interrupts = signal::ctrl_c()?;
//!     Signal::SIGINT.raise()?; // what ctrl-C does
//!     select! {
//!         recv(interrupts) -> signal => assert_eq!(signal, Ok(Signal::SIGINT)),
//!         default(Duration::from_secs(60)) => unreachable!("it has come"),
//!     }
//!     io::Result::Ok(())
//! })?;
//! # io::Result::Ok(())
//! ```
//!
//! # Panics
//!
//! | Go | fibra |
//! | --- | --- |
//! | `panic("…")` | `panic!("…")` |
//! | `defer f()` | a value whose destructor does it |
//! | `recover()` in a deferred function | [`std::panic::catch_unwind(\|\| …)`](std::panic::catch_unwind), or `join()` of a task: an `Err` with the payload |
//! | a panic that nobody recovers ends the program | it ends the task, with std's message on stderr; `join()` tells |
//!
//! ```
//! fibra::run(|| {
//!     let task = fibra::go!({
//!         let empty: Vec<i32> = Vec::new();
//!         empty[0]
//!     });
//!     let payload = task.join().unwrap_err();
//!     assert!(payload.downcast_ref::<String>().unwrap().contains("out of bounds"));
//! });
//! ```
//!
//! # Patterns
//!
//! | Go | fibra |
//! | --- | --- |
//! | `done := make(chan struct{})`, `close(done)` tells all | [`Token`](crate::cancel::Token): `token.cancel()`, `recv(token.cancelled())` |
//! | a pool: n goroutines that range over one channel | the same, with `rx.clone()`; to compute, [`pool::map`](crate::pool::map) |
//! | a channel of capacity n as a limit | [`Semaphore::new(n)`](crate::sync::Semaphore) |
//! | fan-in: one channel, many senders | `tx.clone()` for each; the channel closes with the last of them |
//! | the first answer wins | [`Group::first_ok`](crate::task::Group::first_ok), which cancels the others |
//!
//! A pipeline: generate, square on three workers, add up. Each stage ends when the one before has.
//!
//! ```
//! use fibra::channel;
//!
//! fibra::run(|| {
//!     let (numbers, to_square) = channel::bounded(0);
//!     let (squares, to_add) = channel::bounded(0);
//!     fibra::go!((1..=10).for_each(|n: u32| numbers.send(n).unwrap()));
//!     for _ in 0..3 {
//!         let (to_square, squares) = (to_square.clone(), squares.clone());
//!         fibra::go!(to_square.iter().for_each(|n| squares.send(n * n).unwrap()));
//!     }
//!     drop(squares); // the workers have clones of it
//!     assert_eq!(to_add.iter().sum::<u32>(), 385);
//! });
//! ```
//!
//! # What differs
//!
//! - *A channel is closed by dropping its senders*, so nobody closes one twice or sends on a closed one. It has another
//!   end too: when the last receiver is gone, `send` returns the message in an error, where Go would wait for ever.
//! - *A task stays on its OS thread once it has started.* New tasks are balanced over the workers, started ones are
//!   not.
//! - *Nothing preempts a task that makes no call of this library.* One that makes some gives way after 10 ms; a long
//!   loop needs a [`yield_now`](crate::yield_now) now and then. A foreign call that blocks needs
//!   [`blocking`](crate::blocking).
//! - *Cancellation unwinds*, at the current or next park: no function needs a context for it, and any function that
//!   parks can be left by it. What must not be, stands in [`cancel::shield`](crate::cancel::shield).
//! - *When [`run`](crate::run()) returns the tasks that are left are cancelled*, and it waits for them to unwind. In Go
//!   they are just gone.
//! - *A panic ends its task and not the program.* Locks don't poison.
//! - *In `select!` a message is made when its arm has been chosen*; Go evaluates all of them before.
//! - *A stack does not grow.* Its address space is fixed, 260 KiB by default; an overflow ends the program with the
//!   task's name.
//! - *A deadlock is not reported*: there is no "all goroutines are asleep" yet.
