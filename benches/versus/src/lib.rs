//! What the peers share: the command line, the workloads' constants, the measurements and the one line of output.
//!
//! ```text
//! peer-<name> <workload> [--workers N] [--n N]
//! {"peer":"tokio","workload":"yield","workers":2,"n":5000000,"value":23.1,"unit":"ns","cpu_seconds":0.2,"peak_bytes":…}
//! ```
//!
//! [`server::SERVERS`] are workloads as well, but their values come from the load, which is a process of its own.
//! Smaller is better for every value. A peer that has no such workload prints `skip` with a reason instead of a value.
//! Fields beyond those above (`p99_us`, `pte_per_task`, …) are numbers as well; the driver prints their medians.

pub mod actors;
pub mod epoll;
pub mod histogram;
pub mod http;
pub mod proc;
pub mod server;
pub mod socket;
pub mod turns;
pub mod work;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// Empty tasks that live at once in `spawn`.
pub const BATCH: usize = 10_000;
/// Tasks that yield to each other in `yield`.
pub const LIVE: usize = 1_000;
/// Capacity of the channels in `spsc` and `mpmc`.
pub const CAPACITY: usize = 128;
/// Producers, and also consumers, in `mpmc`.
pub const SIDES: usize = 4;
/// Children of each inner task in `skynet`.
pub const CHILDREN: usize = 10;
/// Tasks that share the counter of `mutex_8`.
pub const LOCKERS: usize = 8;
/// Messages in each of the two channels of `select` before a choice; also what lies ready in `timeout_ready`.
pub const FILL: usize = 1_000;
/// Tasks that are parked at once in `cancel`.
pub const CANCELLED: usize = 100;
/// Children in `scope`.
pub const SCOPED: usize = 10;
/// The deadline in `timeout_ready` and `timeout_parked`: far off, so that it is never met.
pub const FAR: Duration = Duration::from_secs(60);
/// How long `parked` waits after the last task has said that it is about to park.
pub const SETTLE: Duration = Duration::from_millis(100);

/// The command line of a peer.
pub struct Args {
    pub workload: String,
    pub workers: usize,
    pub n: usize,
}

impl Args {
    /// Reads the process's arguments; a mistake ends the process with a message and status 2.
    pub fn from_env() -> Args {
        Args::parse(std::env::args().skip(1)).unwrap_or_else(|message| {
            eprintln!("{message}\nusage: <peer> <workload> [--workers N] [--n N]");
            std::process::exit(2)
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let workload = words.next().ok_or("no workload given")?;
        let known = workloads().find(|w| w.name == workload).map(|w| w.n);
        let known = known.or(server::SERVERS.contains(&&*workload).then_some(0));
        let n = known.ok_or_else(|| format!("no workload is called {workload}"))?;
        let mut args = Args { workload, workers: 2, n };
        while let Some(word) = words.next() {
            let field = match word.as_str() {
                "--workers" => &mut args.workers,
                "--n" => &mut args.n,
                _ => return Err(format!("unknown argument {word}")),
            };
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            *field = value.parse().map_err(|_| format!("{word} needs a number, not {value}"))?;
        }
        Ok(args)
    }

    /// Lowers `n` to what this peer can do; the output tells the `n` that was used.
    pub fn at_most(&mut self, n: usize) {
        self.n = self.n.min(n);
    }
}

/// One row of the comparison.
pub struct Workload {
    pub name: &'static str,
    /// How many of the unit below a run does, unless `--n` says otherwise.
    pub n: usize,
    pub what: &'static str,
}

const fn row(name: &'static str, n: usize, what: &'static str) -> Workload {
    Workload { name, n, what }
}

/// All workloads in the order of the table.
pub fn workloads() -> impl Iterator<Item = &'static Workload> {
    WORKLOADS.iter().chain(actors::WORKLOADS)
}

/// All but those of actors, with what `n` counts.
const WORKLOADS: &[Workload] = &[
    row("spawn", 1_000_000, "spawn + WaitGroup, batches of 10,000 empty tasks; ns a task"),
    row("yield", 5_000_000, "1,000 live tasks that yield; ns a yield"),
    row("pingpong", 1_000_000, "two rendezvous channels, nothing placed by hand; ns a round trip"),
    row("pingpong_same", 1_000_000, "the same with both tasks on one worker"),
    row("pingpong_cross", 200_000, "the same with the tasks on two workers"),
    row("spsc", 5_000_000, "a channel of capacity 128, one producer, one consumer; ns an item"),
    row("mpmc", 4_000_000, "a channel of capacity 128, four producers, four consumers; ns an item"),
    row("skynet", 1_000_000, "a tree with ten children a task and n leaves that sums up; s"),
    row("fib", 30, "fib(n): each call spawns its two calls and joins them; s"),
    row("fib_half", 30, "fib(n): each call spawns one of its two calls, does the other itself, and joins; s"),
    row("parked", 100_000, "n tasks parked at once; resident bytes a task"),
    row("sleepers", 10_000, "n tasks sleep 1 s; s"),
    row("lateness", 100_000, "n sleepers of 1 to 1,000 ms; mean lateness in µs"),
    row("idle", 10, "an idle runtime, n seconds; wake-ups of its threads"),
    row("rendezvous", 1_000_000, "a channel of capacity 0, four senders, four receivers; ns an item"),
    row("mutex_8", 8_000_000, "eight tasks add to one counter under a lock; ns a lock"),
    row("mutex", 10_000_000, "a lock that nobody else wants: lock, add one, unlock; ns"),
    row("rwlock_read", 10_000_000, "the same with the read lock of a reader-writer lock, nothing added; ns"),
    row(
        "semaphore",
        10_000_000,
        "a semaphore with one permit, which nobody else wants: acquire, release; ns",
    ),
    row("select", 2_000_000, "the choice between two channels that have messages; ns a message"),
    row(
        "timeout_ready",
        2_000_000,
        "receive a message that is there, with a deadline; ns more than without one",
    ),
    row(
        "timeout_parked",
        500_000,
        "the same with a wait for the message, on one worker where the peer can say so",
    ),
    row("cancel", 20_000, "cancel a parked task and join it, on one worker where the peer can say so; µs"),
    row("scope", 200_000, "a scope with ten empty children; times a spawn and join"),
    row("pool_map", 1_000, "a parallel map of n items of 10 µs; times the serial loop"),
];

/// Whether the workload called `name` is one in which tasks wait for each other: `rendezvous` and all after it.
pub fn is_coordination(name: &str) -> bool {
    WORKLOADS.iter().skip_while(|w| w.name != "rendezvous").any(|w| w.name == name)
}

/// A row of the comparison for which a server runs, and another process loads it.
pub struct Served {
    pub name: &'static str,
    /// One of [`server::SERVERS`].
    pub server: &'static str,
    /// The mode of the load.
    pub load: &'static str,
    pub connections: usize,
    pub what: &'static str,
}

const fn served(
    name: &'static str,
    server: &'static str,
    load: &'static str,
    connections: usize,
    what: &'static str,
) -> Served {
    Served { name, server, load, connections, what }
}

/// These rows in the order of the table.
pub const SERVED: &[Served] = &[
    served(
        "echo_64",
        "echo_server",
        "echo",
        64,
        "64 B there and back, n connections; the server's CPU µs a request",
    ),
    served("echo_1000", "echo_server", "echo", 1_000, "the same with more connections"),
    served(
        "http_64",
        "http_server",
        "http",
        64,
        "GET, kept alive, n connections; the server's CPU µs a request",
    ),
    served("http_1000", "http_server", "http", 1_000, "the same with more connections"),
    served(
        "conns_idle",
        "echo_server",
        "idle",
        10_000,
        "n connections whose tasks have echoed once and wait, each with a buffer of 4 KiB; resident bytes a connection",
    ),
    served(
        "conns_idle_readable",
        "echo_readable_server",
        "idle",
        10_000,
        "the same with tasks that wait until they can read before they take a buffer",
    ),
    served(
        "conns_sequential",
        "echo_server",
        "sequential",
        10_000,
        "n connections, each answered before the next one comes; percent of them on the busiest worker",
    ),
];

/// What a run of a workload came to.
#[derive(Default)]
pub struct Report(Map<String, Value>);

impl Report {
    /// A run that measured `value` in `unit`.
    pub fn new(value: f64, unit: &str) -> Report {
        Report::default().with("value", value).with("unit", unit)
    }

    /// The peer has nothing that does this workload.
    pub fn skip(why: &str) -> Report {
        Report::default().with("skip", why)
    }

    /// The measured value, for a run that reports two of them.
    pub fn value(&self) -> f64 {
        self.0["value"].as_f64().expect("the value is a number")
    }

    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Report {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Prints the line of a peer.
    pub fn print(self, peer: &str, args: &Args) {
        let report = self
            .with("peer", peer)
            .with("workload", &*args.workload)
            .with("workers", args.workers)
            .with("n", args.n)
            .with("cpu_seconds", proc::cpu_seconds())
            .with("peak_bytes", proc::status_bytes("VmHWM"));
        report.print_fields();
    }

    /// Prints the line of a program that is no peer.
    pub fn print_fields(self) {
        println!("{}", json!(self.0));
    }
}

/// Runs `work`, which does `ops` operations; the value is nanoseconds per operation.
pub fn per_op(ops: usize, work: impl FnOnce()) -> Report {
    let start = Instant::now();
    work();
    Report::new(start.elapsed().as_nanos() as f64 / ops as f64, "ns")
}

/// Cancels `n` tasks, [`CANCELLED`] at a time: `batch` parks as many, and returns how long it took to cancel and join
/// them. The value is the median batch's microseconds a task.
pub fn cancel(n: usize, batch: impl FnMut() -> Duration) -> Report {
    let mut batches: Vec<_> = iter::repeat_with(batch).take(n / CANCELLED).collect();
    batches.sort_unstable();
    let nanos = batches[batches.len() / 2].as_nanos() as f64;
    Report::new(nanos / CANCELLED as f64 / 1e3, "µs")
}

/// Runs `work`; the value is seconds.
pub fn seconds(work: impl FnOnce()) -> Report {
    let start = Instant::now();
    work();
    Report::new(start.elapsed().as_secs_f64(), "s")
}

/// Counts that it was dropped: a cancelled task must have dropped what it held.
pub struct CountDrop(pub Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// By how many nanoseconds an operation of the first side takes longer than one of the second.
pub fn extra(turns: turns::Turns<2>) -> Report {
    Report::new(turns.extra(0, 1), "ns").with("with_ns", turns.nanos(0)).with("without_ns", turns.nanos(1))
}

/// The sum of what all receivers of `rendezvous` receive: every sender counts from 0.
pub fn rendezvous_sum(n: usize) -> usize {
    let each = n / SIDES;
    SIDES * (each * (each - 1) / 2)
}

/// `n` or a little more, so that each turn of `select` takes whole fills of the channels.
pub fn whole_fills(n: usize) -> usize {
    n.next_multiple_of(turns::TURNS * FILL)
}

/// Fills two channels, then takes as many messages as lie in one of them by choosing, so that none is ever empty before a
/// choice; again and again until it has taken `$ops`. Evaluates to the time of the choices, and adds to `$taken` how often
/// each channel was chosen. A macro because each crate's select is one.
#[macro_export]
macro_rules! choose {
    ($select:ident, $channel:path, $ops:expr, $taken:expr) => {{
        let (one, two) = ($channel($crate::FILL), $channel($crate::FILL));
        let (mut took, mut missing) = (::std::time::Duration::ZERO, [$crate::FILL; 2]);
        for _ in 0..$ops / $crate::FILL {
            (0..missing[0]).for_each(|_| one.0.send(0).unwrap());
            (0..missing[1]).for_each(|_| two.0.send(1).unwrap());
            missing = [0, 0];
            took += $crate::turns::time(|| {
                for _ in 0..$crate::FILL {
                    $select! {
                        recv(one.1) -> message => missing[message.unwrap()] += 1,
                        recv(two.1) -> message => missing[message.unwrap()] += 1,
                    }
                }
            });
            $taken = ::std::array::from_fn(|i| $taken[i] + missing[i]);
        }
        took
    }};
}

/// Panics unless two channels that always had messages were chosen `n` times in all, each about as often as the other.
pub fn assert_fair(taken: [usize; 2], n: usize) {
    assert_eq!(taken[0] + taken[1], n);
    assert!(
        taken.iter().all(|&taken| taken > n * 2 / 5),
        "{taken:?} of {n} were taken from the two channels"
    );
}

/// How long sleeper `i` of `lateness` sleeps.
pub fn nap(i: usize) -> Duration {
    Duration::from_millis((i * 7919 % 1000 + 1) as u64)
}

/// Runs `sleep` for a nap of sleeper `i`; nanoseconds by which it came back too late.
pub fn late_by(i: usize, sleep: impl FnOnce(Duration)) -> u64 {
    let start = Instant::now();
    sleep(nap(i));
    late_since(i, start)
}

/// Nanoseconds by which sleeper `i`, started at `start`, is late now.
pub fn late_since(i: usize, start: Instant) -> u64 {
    start.elapsed().saturating_sub(nap(i)).as_nanos() as u64
}

/// The value is the mean of the latenesses in µs.
pub fn lateness(mut nanos: Vec<u64>) -> Report {
    nanos.sort_unstable();
    let mean = nanos.iter().sum::<u64>() as f64 / nanos.len() as f64;
    let p99 = nanos[(nanos.len() * 99).div_ceil(100) - 1];
    Report::new(mean / 1e3, "µs").with("p99_us", p99 as f64 / 1e3)
}

/// Memory of `parked`: read before the first spawn, and again when all tasks are parked.
pub struct Parked {
    start: Instant,
    rss: u64,
    pte: u64,
}

impl Parked {
    pub fn before() -> Parked {
        let (rss, pte) = (proc::status_bytes("VmRSS"), proc::status_bytes("VmPTE"));
        Parked { start: Instant::now(), rss, pte }
    }

    /// All `n` tasks are parked: measures, then lets `wake_and_join` end them. The value is resident bytes per task.
    pub fn measure(self, n: usize, wake_and_join: impl FnOnce()) -> Report {
        let spawned = self.start.elapsed();
        let per_task = |now: u64, before: u64| now.saturating_sub(before) as f64 / n as f64;
        let report = Report::new(per_task(proc::status_bytes("VmRSS"), self.rss), "B")
            .with("pte_per_task", per_task(proc::status_bytes("VmPTE"), self.pte))
            .with("spawn_s", spawned.as_secs_f64());
        let start = Instant::now();
        wake_and_join();
        report.with("wake_join_s", start.elapsed().as_secs_f64())
    }
}

/// Leaves the runtime alone for `seconds`, after one second in which it may settle; the value is how often its threads
/// (all but the calling one) went to sleep again, which is how often they were woken.
pub fn idle(seconds: usize) -> Report {
    std::thread::sleep(Duration::from_secs(1));
    let (before, cpu) = (proc::wakeups_of_others(), proc::cpu_seconds());
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let woken = proc::wakeups_of_others().saturating_sub(before);
    Report::new(woken as f64, "wake-ups").with("idle_cpu_s", proc::cpu_seconds() - cpu)
}
