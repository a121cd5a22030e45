//! Actors as users of tokio write them: a task that loops over an `mpsc` channel, with a `oneshot` for each answer. It ends
//! when its senders are gone, which its `JoinHandle` tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;
use versus::actors::{MAILBOX, idle, sum};
use versus::turns::{self, time};
use versus::{Args, BATCH, Report};

use crate::enter;

enum Message {
    Echo(usize, oneshot::Sender<usize>),
    Add(usize),
    TakeSum(oneshot::Sender<usize>),
}

pub fn run(tokio: &Runtime, args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "actor_spawn" => turns::alone(n, |ops| enter(tokio, lives(ops))),
        "call" => {
            let address = enter(tokio, async { spawn().0 });
            turns::alone(n, |ops| enter(tokio, calls(address.clone(), ops)))
        }
        "cast" => {
            let (bounded, unbounded) = enter(tokio, async { (spawn().0, spawn_unbounded()) });
            let turns = turns::take(
                n,
                [&mut |ops| time(|| enter(tokio, casts(bounded.clone(), ops))), &mut |ops| {
                    time(|| enter(tokio, unbounded_casts(unbounded.clone(), ops)))
                }],
            );
            let (bounded, unbounded) = (turns.nanos(0), turns.nanos(1));
            Report::new(bounded.min(unbounded), "ns")
                .with("bounded_ns", bounded)
                .with("unbounded_ns", unbounded)
        }
        "actors_idle" => idle(
            n,
            || enter(tokio, spawn_waiting(n)),
            |actors| {
                let addresses = actors.iter().map(|(address, _)| address.clone()).collect();
                enter(tokio, call_each(addresses));
            },
            |actors| enter(tokio, end_all(actors)),
        ),
        _ => Report::skip("tokio has neither servers nor supervisors"),
    }
}

fn spawn() -> (Sender<Message>, JoinHandle<()>) {
    let (address, mut mailbox) = mpsc::channel(MAILBOX);
    let task = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(message) = mailbox.recv().await {
            handle(&mut sum, message);
        }
    });
    (address, task)
}

fn spawn_unbounded() -> UnboundedSender<Message> {
    let (address, mut mailbox) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut sum = 0;
        while let Some(message) = mailbox.recv().await {
            handle(&mut sum, message);
        }
    });
    address
}

fn handle(sum: &mut usize, message: Message) {
    // Whoever has asked may be gone.
    let _ = match message {
        Message::Echo(value, reply) => reply.send(value),
        Message::Add(i) => {
            *sum += i;
            Ok(())
        }
        Message::TakeSum(reply) => reply.send(std::mem::take(sum)),
    };
}

async fn call(address: &Sender<Message>, message: impl FnOnce(oneshot::Sender<usize>) -> Message) -> usize {
    let (reply, answer) = oneshot::channel();
    address.send(message(reply)).await.ok().unwrap();
    answer.await.unwrap()
}

async fn lives(ops: usize) {
    for i in 0..ops {
        let (address, task) = spawn();
        assert_eq!(call(&address, |reply| Message::Echo(i, reply)).await, i);
        drop(address);
        task.await.unwrap();
    }
}

async fn calls(address: Sender<Message>, ops: usize) {
    for i in 0..ops {
        assert_eq!(call(&address, |reply| Message::Echo(i, reply)).await, i);
    }
}

async fn casts(address: Sender<Message>, ops: usize) {
    for i in 1..=ops {
        address.send(Message::Add(i)).await.ok().unwrap();
    }
    assert_eq!(call(&address, Message::TakeSum).await, sum(ops));
}

async fn unbounded_casts(address: UnboundedSender<Message>, ops: usize) {
    for i in 1..=ops {
        address.send(Message::Add(i)).ok().unwrap();
    }
    let (reply, answer) = oneshot::channel();
    address.send(Message::TakeSum(reply)).ok().unwrap();
    assert_eq!(answer.await.unwrap(), sum(ops));
}

async fn spawn_waiting(n: usize) -> Vec<(Sender<Message>, JoinHandle<()>)> {
    let (mut actors, begun) = (Vec::with_capacity(n), Arc::new(AtomicUsize::new(0)));
    while actors.len() < n {
        for _ in 0..BATCH.min(n - actors.len()) {
            let (address, mut mailbox) = mpsc::channel(MAILBOX);
            let begun = begun.clone();
            let task = tokio::spawn(async move {
                begun.fetch_add(1, Relaxed);
                let mut sum = 0;
                while let Some(message) = mailbox.recv().await {
                    handle(&mut sum, message);
                }
            });
            actors.push((address, task));
        }
        while begun.load(Relaxed) < actors.len() {
            yield_now().await;
        }
    }
    sleep(versus::SETTLE).await;
    actors
}

async fn call_each(addresses: Vec<Sender<Message>>) {
    for address in addresses {
        assert_eq!(call(&address, |reply| Message::Echo(1, reply)).await, 1);
    }
}

async fn end_all(actors: Vec<(Sender<Message>, JoinHandle<()>)>) {
    for (address, task) in actors {
        drop(address);
        task.await.unwrap();
    }
}
