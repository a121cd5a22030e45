//! Random trees of supervisors and workers, to which random things happen: no orphan, no lost reply, counts add up.
//!
//! A case is a tree, some operations that are done by several tasks at once, and a way in which it all ends. Every actor,
//! every start and every call is counted. `PROPTEST_CASES` sets how many cases there are.

#[path = "support/supervised.rs"]
mod supervised;
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::actor::{
    self, Address, Builder, CallError, ChildSpec, DynamicRef, DynamicSupervisor, Exit, ExitReason, Mailbox,
    Pid, ReplyTo, Restart, Shutdown, StartError, Supervisor, SupervisorRef,
};
use fibra::sync::Mutex;
use proptest::prelude::*;
use supervised::{LONG, PATIENT, silence_expected_panics};
use support::{Counted, Drops, PATIENCE, wait_until, within_patience};

/// A part of a tree.
#[derive(Debug, Clone)]
enum Node {
    /// It ends when its supervisor tells it to; or it is stubborn, and has to be killed.
    Worker {
        stubborn: bool,
        fails: Fails,
    },
    Branch {
        strategy: actor::Strategy,
        intensity: usize,
        children: Vec<(Restart, Node)>,
    },
    /// A dynamic supervisor, and with how many children it begins.
    Pool {
        intensity: usize,
        children: usize,
    },
}

/// How often, of the starts after the first, one fails.
#[derive(Debug, Clone, Copy)]
enum Fails {
    Never,
    Returns(u64),
    Panics(u64),
}

#[derive(Debug, Clone)]
enum Op {
    /// To a worker. The number chooses one of those that ever were.
    Crash(usize),
    Leave(usize),
    Kill(usize),
    Call(usize),
    /// A call that is answered later, or never.
    Ask(usize),
    Answer(usize),
    /// To a supervisor, and the second number chooses a child.
    List(usize),
    Terminate(usize, usize),
    Restart(usize, usize),
    Delete(usize, usize),
    Add(usize),
    Stop(usize),
    KillSupervisor(usize),
    /// To a pool.
    AddToPool(usize),
    TerminateInPool(usize, usize),
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Stop,
    Kill,
    Runtime,
}

fn restart() -> impl Strategy<Value = Restart> {
    prop_oneof![4 => Just(Restart::Permanent), 1 => Just(Restart::Transient), 1 => Just(Restart::Temporary)]
}

fn node() -> impl Strategy<Value = Node> {
    let fails = prop_oneof![
        6 => Just(Fails::Never),
        1 => (2..4u64).prop_map(Fails::Returns),
        1 => (2..4u64).prop_map(Fails::Panics),
    ];
    let worker =
        (prop::bool::weighted(0.1), fails).prop_map(|(stubborn, fails)| Node::Worker { stubborn, fails });
    let pool = (0..20usize, 0..6usize).prop_map(|(intensity, children)| Node::Pool { intensity, children });
    prop_oneof![5 => worker, 1 => pool].prop_recursive(3, 20, 5, |inner| branch(inner.boxed()))
}

fn branch(inner: BoxedStrategy<Node>) -> impl Strategy<Value = Node> {
    use actor::Strategy::{OneForAll, OneForOne, RestForOne};
    let strategy = prop_oneof![Just(OneForOne), Just(OneForAll), Just(RestForOne)];
    (strategy, 0..8usize, prop::collection::vec((restart(), inner), 0..5))
        .prop_map(|(strategy, intensity, children)| Node::Branch { strategy, intensity, children })
}

fn op() -> impl Strategy<Value = Op> {
    let any = || any::<usize>();
    prop_oneof![
        8 => any().prop_map(Op::Crash),
        2 => any().prop_map(Op::Leave),
        2 => any().prop_map(Op::Kill),
        8 => any().prop_map(Op::Call),
        3 => any().prop_map(Op::Ask),
        2 => any().prop_map(Op::Answer),
        3 => any().prop_map(Op::List),
        2 => (any(), any()).prop_map(|(s, c)| Op::Terminate(s, c)),
        2 => (any(), any()).prop_map(|(s, c)| Op::Restart(s, c)),
        1 => (any(), any()).prop_map(|(s, c)| Op::Delete(s, c)),
        2 => any().prop_map(Op::Add),
        1 => any().prop_map(Op::Stop),
        1 => any().prop_map(Op::KillSupervisor),
        2 => any().prop_map(Op::AddToPool),
        1 => (any(), any()).prop_map(|(s, c)| Op::TerminateInPool(s, c)),
    ]
}

enum Job {
    Crash,
    Leave,
    Echo(u64, ReplyTo<u64>),
    Keep(u64, ReplyTo<u64>),
    Answer,
    Exit(Exit),
}

/// What is known of a case while it lasts. What is in here never keeps an actor going for good: the tree is ended.
#[derive(Clone, Default)]
struct World(Arc<Shared>);

#[derive(Default)]
struct Shared {
    made: AtomicUsize,
    drops: Drops,
    pids: Mutex<Vec<Pid>>,
    workers: Mutex<Vec<Address<Job>>>,
    supervisors: Mutex<Vec<(SupervisorRef, Starts)>>,
    pools: Mutex<Vec<DynamicRef>>,
    calls: AtomicUsize,
    answers: AtomicUsize,
    numbers: AtomicU64,
}

/// How often the start function of each child of one supervisor has returned an actor.
type Starts = Arc<Mutex<HashMap<String, u64>>>;

impl World {
    /// To be owned by an actor that is about to be spawned.
    fn counted(&self) -> Counted {
        self.0.made.fetch_add(1, Ordering::SeqCst);
        self.0.drops.counted()
    }

    fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::SeqCst)
    }

    fn spawn_worker(&self, stubborn: bool) -> Result<Address<Job>, StartError> {
        let counted = self.counted();
        let worker = Builder::new().spawn_body(move |mailbox: &Mailbox<Job>| {
            let _counted = counted;
            if stubborn {
                mailbox.trap_exits(Job::Exit);
            }
            work(mailbox);
        })?;
        self.0.pids.lock().push(worker.pid());
        self.0.workers.lock().push(worker.clone());
        Ok(worker)
    }

    fn worker(&self, id: String, starts: &Starts, stubborn: bool, fails: Fails) -> ChildSpec<Address<Job>> {
        let (world, starts, key) = (self.clone(), starts.clone(), id.clone());
        let mut count = 0;
        let start = move || {
            count += 1;
            match fails {
                Fails::Returns(n) if count > 1 && count % n == 0 => {
                    // What it has spawned ends all the same.
                    world.spawn_worker(stubborn)?;
                    return Err(StartError::Init(ExitReason::failed("now and then")));
                }
                Fails::Panics(n) if count > 1 && count % n == 0 => {
                    world.spawn_worker(stubborn)?;
                    panic!("expected: now and then");
                }
                _ => {}
            }
            let worker = world.spawn_worker(stubborn)?;
            *starts.lock().entry(key.clone()).or_default() += 1;
            Ok::<_, StartError>(worker)
        };
        let brief = Shutdown::Timeout(Duration::from_millis(2));
        ChildSpec::new(id, start).shutdown(if stubborn { brief } else { PATIENT })
    }

    fn start_branch(
        &self,
        strategy: actor::Strategy,
        intensity: usize,
        children: &[(Restart, Node)],
    ) -> Result<SupervisorRef, StartError> {
        let starts = Starts::default();
        let mut supervisor = Supervisor::new(strategy).intensity(intensity, LONG);
        for (i, (restart, child)) in children.iter().enumerate() {
            let (id, world) = (i.to_string(), self.clone());
            let count = {
                let (starts, id) = (starts.clone(), id.clone());
                move || *starts.lock().entry(id.clone()).or_default() += 1
            };
            supervisor = match child.clone() {
                Node::Worker { stubborn, fails } => {
                    supervisor.child(self.worker(id, &starts, stubborn, fails).restart(*restart))
                }
                Node::Branch { strategy, intensity, children } => {
                    let start =
                        move || world.start_branch(strategy, intensity, &children).inspect(|_| count());
                    supervisor.child(ChildSpec::new(id, start).restart(*restart))
                }
                Node::Pool { intensity, children } => {
                    let start = move || world.start_pool(intensity, children).inspect(|_| count());
                    supervisor.child(ChildSpec::new(id, start).restart(*restart))
                }
            };
        }
        let supervisor = supervisor.start()?;
        self.0.pids.lock().push(supervisor.pid());
        self.0.supervisors.lock().push((supervisor.clone(), starts));
        Ok(supervisor)
    }

    fn start_pool(&self, intensity: usize, children: usize) -> Result<DynamicRef, StartError> {
        let pool = DynamicSupervisor::new().intensity(intensity, LONG).max_children(8).start()?;
        self.0.pids.lock().push(pool.pid());
        for _ in 0..children {
            // It fails if the pool is ended meanwhile.
            let _ = pool.start_child(self.worker("pooled".into(), &Starts::default(), false, Fails::Never));
        }
        self.0.pools.lock().push(pool.clone());
        Ok(pool)
    }

    fn some_worker(&self, i: usize) -> Option<Address<Job>> {
        let workers = self.0.workers.lock();
        workers.get(i.checked_rem(workers.len())?).cloned()
    }

    fn some_supervisor(&self, i: usize) -> Option<(SupervisorRef, Starts)> {
        let supervisors = self.0.supervisors.lock();
        supervisors.get(i.checked_rem(supervisors.len())?).cloned()
    }

    fn some_pool(&self, i: usize) -> Option<DynamicRef> {
        let pools = self.0.pools.lock();
        pools.get(i.checked_rem(pools.len())?).cloned()
    }

    /// Calls a worker: an answer or an error, and no wait that ends only because the time is over.
    fn call(&self, worker: &Address<Job>, message: fn(u64, ReplyTo<u64>) -> Job) {
        let number = self.number();
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        match worker.call_timeout(PATIENCE, |reply_to| message(number, reply_to)) {
            Ok(answer) => assert_eq!(answer, number),
            Err(error @ CallError::Timeout(_)) => panic!("{error}"),
            Err(_) => {}
        }
        self.0.answers.fetch_add(1, Ordering::SeqCst);
    }

    fn apply(&self, op: Op) -> Option<()> {
        match op {
            Op::Crash(i) => drop(self.some_worker(i)?.send(Job::Crash)),
            Op::Leave(i) => drop(self.some_worker(i)?.send(Job::Leave)),
            Op::Answer(i) => drop(self.some_worker(i)?.send(Job::Answer)),
            Op::Kill(i) => self.some_worker(i)?.pid().kill(),
            Op::Call(i) => self.call(&self.some_worker(i)?, Job::Echo),
            Op::Ask(i) => {
                let (world, worker) = (self.clone(), self.some_worker(i)?);
                fibra::spawn(move || world.call(&worker, Job::Keep));
            }
            Op::List(i) => self.check_counts(&self.some_supervisor(i)?),
            Op::Terminate(i, c) => drop(self.some_supervisor(i)?.0.terminate_child(&(c % 7).to_string())),
            Op::Restart(i, c) => drop(self.some_supervisor(i)?.0.restart_child(&(c % 7).to_string())),
            Op::Delete(i, c) => {
                let (supervisor, starts) = self.some_supervisor(i)?;
                // A child that is added later by this name would begin with other counts; there is none.
                if supervisor.delete_child(&(c % 5).to_string()).is_ok() {
                    starts.lock().remove(&(c % 5).to_string());
                }
            }
            Op::Add(i) => {
                let (supervisor, starts) = self.some_supervisor(i)?;
                let id = format!("added {}", self.number());
                let _ = supervisor.start_child(self.worker(id, &starts, false, Fails::Never));
            }
            Op::Stop(i) => drop(self.some_supervisor(i)?.0.stop()),
            Op::KillSupervisor(i) => self.some_supervisor(i)?.0.pid().kill(),
            Op::AddToPool(i) => {
                let worker = self.worker("pooled".into(), &Starts::default(), false, Fails::Never);
                drop(self.some_pool(i)?.start_child(worker));
            }
            Op::TerminateInPool(i, c) => {
                let pool = self.some_pool(i)?;
                let children = pool.children().ok()?;
                let child = children.get(c.checked_rem(children.len())?)?;
                drop(pool.terminate_child(child.pid.as_ref()?));
            }
        }
        Some(())
    }

    /// What the supervisor says of its children is what their start functions have seen.
    fn check_counts(&self, (supervisor, starts): &(SupervisorRef, Starts)) {
        let seen = || starts.lock().clone();
        loop {
            let before = seen();
            let Ok(children) = supervisor.children() else { return };
            // A start in between can be on either side.
            if seen() == before {
                for child in children {
                    let starts = before.get(&child.id).copied().unwrap_or(0);
                    // Nobody else knows of a child whose start has just returned.
                    let counted = child.restarts + u64::from(child.pid.is_some() || child.restarts > 0);
                    assert!(counted <= starts && starts <= child.restarts + 1, "{child:?}: {starts} starts");
                }
                return;
            }
        }
    }
}

/// What a worker does.
fn work(mailbox: &Mailbox<Job>) {
    let mut kept = Vec::new();
    for job in mailbox {
        match job {
            Job::Crash => actor::exit(ExitReason::failed("crashed")),
            Job::Leave => return,
            Job::Echo(number, reply_to) => reply_to.send(number),
            Job::Keep(number, reply_to) => kept.push((number, reply_to)),
            Job::Answer => {
                kept.drain(..).for_each(|(number, reply_to): (u64, ReplyTo<u64>)| reply_to.send(number))
            }
            // Deaf to requests, but not to the end of a supervisor that was killed: then nobody could end it.
            Job::Exit(exit) if exit.reason != ExitReason::Shutdown => return,
            Job::Exit(_) => {}
        }
    }
}

fn run_case(root: Node, ops: Vec<Vec<Op>>, end: End) {
    silence_expected_panics();
    let world = World::default();
    let supervisors_die =
        end != End::Stop || ops.iter().flatten().any(|op| matches!(op, Op::KillSupervisor(_)));
    let runtime = fibra::Builder::new().workers(2).build().unwrap();
    {
        let world = world.clone();
        runtime.run(move || {
            let Node::Branch { strategy, intensity, children } = root else {
                unreachable!("the root is a branch")
            };
            let root = world.start_branch(strategy, intensity, &children).unwrap();
            let tasks: Vec<_> = ops
                .into_iter()
                .map(|ops| {
                    let world = world.clone();
                    fibra::spawn(move || ops.into_iter().for_each(|op| _ = world.apply(op)))
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let shared = &world.0;
            let supervisors = shared.supervisors.lock().clone();
            supervisors.iter().for_each(|supervisor| world.check_counts(supervisor));
            match end {
                End::Stop => drop(root.stop()),
                End::Kill => root.pid().kill(),
                End::Runtime => return,
            }
            let pids = shared.pids.lock().clone();
            for pid in pids {
                // Only by links, where a supervisor was killed: that takes a moment.
                let ended = if supervisors_die { pid.wait_timeout(PATIENCE) } else { pid.exit_reason() };
                assert!(ended.is_some(), "{pid} has outlived the root");
            }
            wait_until("what began meanwhile has ended too", || {
                shared.pids.lock().iter().all(|pid| !pid.is_alive())
            });
            wait_until("all calls have returned", || {
                shared.calls.load(Ordering::SeqCst) == shared.answers.load(Ordering::SeqCst)
            });
        });
    }
    drop(runtime);
    assert_eq!(world.0.made.load(Ordering::SeqCst), world.0.drops.get());
}

/// Few by default: each has a runtime of its own.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_orphan_no_lost_reply_and_counts_add_up(
        root in branch(node().boxed()),
        ops in prop::collection::vec(prop::collection::vec(op(), 0..30), 1..4),
        end in prop_oneof![3 => Just(End::Stop), 1 => Just(End::Kill), 1 => Just(End::Runtime)],
    ) {
        within_patience(move || run_case(root, ops, end));
    }
}
