//! Actors: spawned, called, cast to, and waiting by the million.

use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fibra::Runtime;
use fibra::actor::{self, Address, ExitReason, ReplyTo};
use fibra::thread;
use versus::actors::{idle, sum};
use versus::turns::{self, time};
use versus::{Args, BATCH, Report};

use crate::{restarts, servers, task};

enum Message {
    Echo(usize, ReplyTo<usize>),
    Add(usize),
    TakeSum(ReplyTo<usize>),
    Stop,
}

pub fn run(fibra: &Runtime, args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "actor_spawn" => fibra.run(|| spawn(n)),
        "call" => {
            let anywhere = fibra.run(|| call(n, None));
            // Fewer between two workers, which may have to wake each other.
            let [here, there] =
                [(0, n), (args.workers - 1, n / 10)].map(|(worker, n)| placed(fibra, worker, call, n));
            anywhere.with("one_worker_ns", here).with("two_workers_ns", there)
        }
        "cast" => {
            let anywhere = fibra.run(|| cast(n, None));
            let [here, there] = [0, args.workers - 1].map(|worker| placed(fibra, worker, cast, n));
            anywhere.with("one_worker_ns", here).with("two_workers_ns", there)
        }
        "actors_idle" => fibra.run(|| idle(n, || spawn_waiting(n), |actors| call_each(actors), end_all)),
        "restart" => restarts::run(fibra, args),
        _ => servers::run(fibra, args),
    }
}

/// The value of `measure` with the actor on `worker` and its caller on the first one.
fn placed(fibra: &Runtime, worker: usize, measure: fn(usize, Option<usize>) -> Report, n: usize) -> f64 {
    fibra.run(|| task(Some(0)).spawn(move || measure(n, Some(worker)).value()).unwrap().join().unwrap())
}

/// An actor on `worker`, or where the runtime places it.
fn builder(worker: Option<usize>) -> actor::Builder {
    worker.map_or(actor::Builder::new(), |worker| actor::Builder::new().worker(worker))
}

fn handle(sum: &mut usize, message: Message) -> ControlFlow<()> {
    match message {
        Message::Echo(value, reply_to) => reply_to.send(value),
        Message::Add(i) => *sum += i,
        Message::TakeSum(reply_to) => reply_to.send(mem::take(sum)),
        Message::Stop => return ControlFlow::Break(()),
    }
    ControlFlow::Continue(())
}

fn echo(actor: &Address<Message>, value: usize) -> usize {
    actor.call(|reply_to| Message::Echo(value, reply_to)).unwrap()
}

/// Waits until the actor has stopped.
fn has_stopped(actor: &Address<Message>) {
    assert_eq!(actor.pid().wait(), ExitReason::Normal);
}

fn spawn(n: usize) -> Report {
    let turns = turns::take(
        n,
        [&mut |ops| repeat(ops, called), &mut |ops| repeat(ops, messaged), &mut |ops| repeat(ops, spawned)],
    );
    Report::new(turns.nanos(0), "ns")
        .with("message_exit_ns", turns.nanos(1))
        .with("spawn_exit_ns", turns.nanos(2))
}

fn repeat(ops: usize, operation: fn()) -> Duration {
    time(|| (0..ops).for_each(|_| operation()))
}

/// Spawns an actor, calls it, stops it, and waits until it has stopped.
fn called() {
    let actor = actor::spawn(|_| 0, handle);
    assert_eq!(echo(&actor, 1), 1);
    actor.send(Message::Stop).unwrap();
    has_stopped(&actor);
}

/// The same with an actor that answers nothing.
fn messaged() {
    let actor = actor::spawn(|_| 0, handle);
    actor.send(Message::Stop).unwrap();
    has_stopped(&actor);
}

/// The same with one that stops by itself.
fn spawned() {
    let actor = actor::spawn_body(|_: &actor::Mailbox<Message>| ());
    has_stopped(&actor);
}

fn call(n: usize, worker: Option<usize>) -> Report {
    let actor = builder(worker).spawn(|_| 0, handle).unwrap();
    turns::alone(n, |ops| (0..ops).for_each(|i| assert_eq!(echo(&actor, i), i)))
}

fn cast(n: usize, worker: Option<usize>) -> Report {
    let bounded = builder(worker).spawn(|_| 0, handle).unwrap();
    let unbounded = builder(worker).unbounded().spawn(|_| 0, handle).unwrap();
    let turns = turns::take(
        n,
        [&mut |ops| time(|| casts(&bounded, ops)), &mut |ops| time(|| casts(&unbounded, ops))],
    );
    Report::new(turns.nanos(0), "ns").with("unbounded_ns", turns.nanos(1))
}

fn casts(actor: &Address<Message>, ops: usize) {
    (1..=ops).for_each(|i| actor.send(Message::Add(i)).unwrap());
    assert_eq!(actor.call(Message::TakeSum).unwrap(), sum(ops));
}

fn spawn_waiting(n: usize) -> Vec<Address<Message>> {
    let (mut actors, begun) = (Vec::with_capacity(n), Arc::new(AtomicUsize::new(0)));
    while actors.len() < n {
        for _ in 0..BATCH.min(n - actors.len()) {
            let begun = begun.clone();
            let init = move |_: &actor::Mailbox<Message>| {
                begun.fetch_add(1, Relaxed);
                0
            };
            actors.push(actor::spawn(init, handle));
        }
        while begun.load(Relaxed) < actors.len() {
            thread::yield_now();
        }
    }
    thread::sleep(versus::SETTLE);
    actors
}

fn call_each(actors: &[Address<Message>]) {
    actors.iter().for_each(|actor| assert_eq!(echo(actor, 1), 1));
}

/// They stop when nobody can send to them any more.
fn end_all(actors: Vec<Address<Message>>) {
    for actor in actors {
        let pid = actor.pid();
        drop(actor);
        assert_eq!(pid.wait(), ExitReason::Normal);
    }
}
