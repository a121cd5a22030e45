//! How long a supervised child is gone when it crashes.
//!
//! The crashing child notes the time as its last act, in a word that it shares with its successor, which reports how long
//! that is ago as its first.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fibra::Runtime;
use fibra::actor::{
    self, Address, ChildSpec, Context, ExitReason, GenServer, Handle, Server, Strategy, Supervisor,
};
use fibra::channel::{Receiver, Sender, unbounded};
use versus::actors::CRASHES;
use versus::turns;
use versus::{Args, Report};

pub fn run(fibra: &Runtime, args: &Args) -> Report {
    // Nobody reads what a crash has to say.
    panic::set_hook(Box::new(|_| ()));
    let turns = fibra.run(|| {
        turns::take(
            args.n,
            [&mut |ops| crashes(ops, bare, |child| child.send(Crash).unwrap()), &mut |ops| {
                crashes(ops, server, |child| child.cast(Crash).unwrap())
            }],
        )
    });
    Report::new(turns.nanos(0) / 1e3, "µs").with("server_us", turns.nanos(1) / 1e3)
}

struct Crash;

/// What the children of one supervisor share.
#[derive(Clone)]
struct Watch {
    start: Instant,
    /// When the last child crashed, in nanoseconds from the start.
    crashed: Arc<AtomicU64>,
    begun: Sender<Duration>,
}

impl Watch {
    fn begins(&self) {
        let ago = self.start.elapsed().saturating_sub(Duration::from_nanos(self.crashed.load(Relaxed)));
        self.begun.send(ago).unwrap();
    }

    fn crashes(&self) {
        self.crashed.store(self.start.elapsed().as_nanos() as u64, Relaxed);
        panic!("crash");
    }
}

/// A child that is a bare actor.
fn bare(watch: Watch) -> Address<Crash> {
    let init = |_: &actor::Mailbox<Crash>| {
        watch.begins();
        watch
    };
    actor::spawn(init, |watch, Crash| watch.crashes())
}

/// One that is a server, whose start waits for its init.
fn server(watch: Watch) -> Server<Fragile> {
    Fragile::start(watch).unwrap()
}

struct Fragile(Watch);

impl GenServer for Fragile {
    type Init = Watch;
    type Call = ();
    type Cast = Crash;

    fn init(watch: Watch, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        watch.begins();
        Ok(Self(watch))
    }

    fn handle_call(&mut self, (): (), _: &mut Context<Self>) {}

    fn handle_cast(&mut self, Crash: Crash, _: &mut Context<Self>) {
        self.0.crashes()
    }
}

/// The time of `ops` restarts, with a new supervisor for every few of them.
fn crashes<A: Handle>(ops: usize, start: fn(Watch) -> A, crash: impl Fn(A)) -> Duration {
    let mut took = Duration::ZERO;
    for done in (0..ops).step_by(CRASHES) {
        took += crashes_of_one(CRASHES.min(ops - done), start, &crash);
    }
    took
}

fn crashes_of_one<A: Handle>(count: usize, start: fn(Watch) -> A, crash: impl Fn(A)) -> Duration {
    let (begun, begins): (_, Receiver<Duration>) = unbounded();
    let watch = Watch { start: Instant::now(), crashed: Arc::default(), begun };
    let child = ChildSpec::new("child", move || start(watch.clone()));
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .intensity(1_000_000, Duration::from_secs(1))
        .child(child)
        .start()
        .unwrap();
    begins.recv().unwrap();
    let mut took = Duration::ZERO;
    for _ in 0..count {
        crash(supervisor.child("child").unwrap());
        took += begins.recv().unwrap();
    }
    assert_eq!(supervisor.stop(), ExitReason::Shutdown);
    took
}
