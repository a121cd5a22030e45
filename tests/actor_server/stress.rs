//! Many clients of a server that panics now and then and is started anew: no call is lost or counted twice. Servers that
//! are ended, killed and given up at any moment: no state is lost or dropped twice, nobody waits in vain.
//!
//! `FIBRA_STRESS_SECONDS=600 cargo test --release --test actor_server stress` goes on for longer, with new seeds; each is
//! printed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fibra::actor::{Builder, CallError, Context, ExitReason, GenServer, Info, ReplyTo, Server};
use fibra::sync::Mutex;

use super::probe::{Log, Probe, Setup, tell};
use super::support::{Counted, Drops, PATIENCE, within_patience};

const CLIENTS: u64 = 8;
const CALLS: u64 = 2_000;

/// What outlives the single servers.
#[derive(Default)]
struct Ledger {
    sum: AtomicU64,
    starts: AtomicU64,
    panics: AtomicU64,
    terminated: AtomicU64,
    states: Drops,
    casts: Drops,
}

/// Enters into the ledger what it is told to, and panics instead now and then.
struct Till {
    ledger: Arc<Ledger>,
    kept: Vec<(u64, ReplyTo<u64>)>,
    random: u64,
    _counted: Counted,
}

/// A number, which is also the answer.
enum Call {
    Enter(u64, ReplyTo<u64>),
    EnterLater(u64, ReplyTo<u64>),
}

/// A step of xorshift.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

impl Till {
    /// Enters the number and answers, or does neither.
    fn enter(&mut self, number: u64, reply_to: ReplyTo<u64>) {
        if next(&mut self.random).is_multiple_of(200) {
            self.ledger.panics.fetch_add(1, Ordering::Relaxed);
            // Not a panic, whose messages would fill the screen; it unwinds in the same way.
            std::panic::resume_unwind(Box::new("it crashed"));
        }
        self.ledger.sum.fetch_add(number, Ordering::Relaxed);
        reply_to.send(number);
    }

    fn enter_kept(&mut self) {
        for (number, reply_to) in std::mem::take(&mut self.kept) {
            self.enter(number, reply_to);
        }
    }
}

impl GenServer for Till {
    type Init = (Arc<Ledger>, u64);
    type Call = Call;
    type Cast = Counted;

    fn init((ledger, seed): Self::Init, context: &mut Context<Self>) -> Result<Self, ExitReason> {
        let start = ledger.starts.fetch_add(1, Ordering::Relaxed);
        let _counted = ledger.states.counted();
        // Who waits for a later answer is not forgotten when no more calls come.
        context.set_timeout(Some(Duration::from_millis(1)));
        Ok(Self { ledger, kept: Vec::new(), random: seed * 1_000_003 + start + 1, _counted })
    }

    fn handle_call(&mut self, call: Call, _: &mut Context<Self>) {
        match call {
            Call::Enter(number, reply_to) => self.enter(number, reply_to),
            Call::EnterLater(number, reply_to) => {
                self.kept.push((number, reply_to));
                if self.kept.len() == 3 {
                    self.enter_kept();
                }
            }
        }
    }

    fn handle_info(&mut self, _: Info, _: &mut Context<Self>) {
        self.enter_kept();
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
        assert!(matches!(reason, ExitReason::Normal | ExitReason::Panic(_)), "{reason}");
        self.ledger.terminated.fetch_add(1, Ordering::Relaxed);
    }
}

/// The server that serves at present.
struct Desk {
    ledger: Arc<Ledger>,
    seed: u64,
    till: Mutex<Server<Till>>,
}

impl Desk {
    fn start(ledger: &Arc<Ledger>, seed: u64) -> Server<Till> {
        Builder::new().capacity(4).start((ledger.clone(), seed)).unwrap()
    }

    fn till(&self) -> Server<Till> {
        self.till.lock().clone()
    }

    /// Another one in place of one that has ended, unless somebody has seen to that.
    fn replace(&self, ended: &Server<Till>) {
        let mut till = self.till.lock();
        if *till == *ended {
            *till = Self::start(&self.ledger, self.seed);
        }
    }
}

/// Returns the sum of what was entered, and how many casts were made.
fn client(desk: &Desk, mut random: u64) -> (u64, usize) {
    let (mut entered, mut casts) = (0, 0);
    for _ in 0..CALLS {
        let till = desk.till();
        let number = next(&mut random) % 1_000_000;
        let outcome = match random % 8 {
            0 => till.call_timeout(PATIENCE, |reply_to| Call::EnterLater(number, reply_to)),
            1 => {
                casts += 1;
                // Given back, or lost with a server that crashes: it is dropped, once.
                let _ = till.cast(desk.ledger.casts.counted());
                continue;
            }
            _ => till.call_timeout(PATIENCE, |reply_to| Call::Enter(number, reply_to)),
        };
        match outcome {
            Ok(answer) => {
                assert_eq!(answer, number, "this is the answer to another call");
                entered += number;
            }
            Err(CallError::Exited { callee, reason, .. }) => {
                assert_eq!(callee, till.pid());
                assert_eq!(reason, ExitReason::Panic("it crashed".into()));
                desk.replace(&till);
            }
            Err(other) => panic!("{other}"),
        }
    }
    (entered, casts)
}

/// Half of the clients are tasks, the others threads.
fn round(workers: usize, seed: u64) {
    let ledger = Arc::new(Ledger::default());
    let shared = ledger.clone();
    let run = fibra::Builder::new().workers(workers).run(move || {
        let till = Mutex::new(Desk::start(&shared, seed));
        let desk = Arc::new(Desk { ledger: shared, seed, till });
        let (mut tasks, mut threads) = (Vec::new(), Vec::new());
        for i in 0..CLIENTS {
            let (desk, random) = (desk.clone(), seed * CLIENTS + i + 1);
            if i % 2 == 0 {
                tasks.push(fibra::spawn(move || client(&desk, random)));
            } else {
                threads.push(std::thread::spawn(move || client(&desk, random)));
            }
        }
        let mut outcomes: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        outcomes.extend(threads.into_iter().map(|thread| fibra::blocking(|| thread.join()).unwrap()));
        let stopped = desk.till().stop();
        (outcomes, stopped)
    });
    let (outcomes, stopped) = run.unwrap();
    let ledger = Arc::into_inner(ledger).expect("every server has let go of it");
    assert_eq!(outcomes.iter().map(|(entered, _)| entered).sum::<u64>(), ledger.sum.into_inner());
    assert_eq!(outcomes.iter().map(|(_, casts)| casts).sum::<usize>(), ledger.casts.get());
    let (starts, panics) = (ledger.starts.into_inner(), ledger.panics.into_inner());
    assert!(panics > 0);
    // The last one may have crashed with nobody left to see to it.
    assert_eq!(starts, panics + u64::from(stopped == ExitReason::Normal));
    assert_eq!((starts, starts), (ledger.terminated.into_inner(), ledger.states.get() as u64));
}

/// Servers that are told to end, and killed, at any moment of their lives.
fn ends(workers: usize, seed: u64) {
    const SERVERS: u64 = 500;
    let (drops, began, finished) = (Drops::new(), Log::default(), Log::default());
    let counts = (drops.clone(), began.clone(), finished.clone());
    let run = fibra::Builder::new().workers(workers).run(move || {
        let mut random = seed * 7_919;
        let one = |i: u64| {
            let (began, finished, mut steps) = (began.clone(), finished.clone(), next(&mut random));
            let pause = |step: u64| (0..step % 4).for_each(|_| fibra::yield_now());
            let setup =
                Setup { drops: drops.clone(), on_drop: Some(Box::new(fibra::yield_now)), ..Setup::default() };
            let terminate = move |_: &mut Probe, _: &mut Context<Probe>| {
                began.note(i);
                pause(steps);
                finished.note(i);
            };
            let server = setup.terminate(terminate).start();
            let pid = server.pid();
            let reason = ExitReason::failed("told to");
            let ended = (pid.clone(), reason.clone());
            steps >>= 8;
            fibra::spawn(move || {
                pause(steps);
                ended.0.exit(ended.1);
            });
            let killed = pid.clone();
            steps >>= 8;
            fibra::spawn(move || {
                pause(steps);
                pause(steps >> 4);
                killed.kill();
            });
            steps >>= 8;
            pause(steps);
            drop(server);
            (i, pid)
        };
        let servers: Vec<_> = (0..SERVERS).map(one).collect();
        servers.into_iter().map(|(i, pid)| (i.to_string(), pid.wait())).collect::<Vec<_>>()
    });
    let reasons = run.unwrap();
    let (drops, began, finished) = (counts.0, counts.1.all(), counts.2.all());
    assert_eq!(drops.get() as u64, SERVERS);
    assert_eq!(began.iter().collect::<HashSet<_>>().len(), began.len(), "terminate is called once");
    for (i, reason) in reasons {
        let (began, finished) = (began.contains(&i), finished.contains(&i));
        assert!(began || !finished);
        assert!(reason == ExitReason::Killed || finished, "{reason}, but terminate did not come to its end");
    }
}

/// Starts that are given up at any moment.
fn starts(workers: usize, seed: u64) {
    let (drops, inits) = (Drops::new(), Drops::new());
    let counts = (drops.clone(), inits.clone());
    let run = fibra::Builder::new().workers(workers).run(move || {
        let mut random = seed * 104_729;
        let mut started = 0;
        for _ in 0..500 {
            let (init, steps) = (inits.counted(), next(&mut random));
            let setup = Setup { drops: drops.clone(), ..Setup::default() }.init(move |_| {
                let _init = init;
                (0..steps % 4).for_each(|_| fibra::yield_now());
                Ok(())
            });
            let starter = fibra::spawn(move || {
                let server = setup.start();
                tell(&server, |_, _| ());
                server.stop()
            });
            (0..(steps >> 8) % 6).for_each(|_| fibra::yield_now());
            starter.cancel();
            started += usize::from(starter.join().is_ok());
        }
        started
    });
    // The end of the runtime has waited for all of them.
    let started = run.unwrap();
    assert_eq!(counts.1.get(), 500);
    assert!(started <= counts.0.get(), "those that began have had a state");
}

fn stress(workers: usize) {
    let seconds = std::env::var("FIBRA_STRESS_SECONDS").ok();
    let limit = seconds
        .map(|seconds| Duration::from_secs(seconds.parse().expect("FIBRA_STRESS_SECONDS is a number")));
    let start = Instant::now();
    for seed in 1.. {
        println!("{workers} workers, seed {seed}");
        within_patience(move || {
            round(workers, seed);
            ends(workers, seed);
            starts(workers, seed);
        });
        if limit.map_or(seed == 2, |limit| start.elapsed() >= limit) {
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
