//! The same with actors that are a `GenServer`.

use std::mem;

use fibra::Runtime;
use fibra::actor::{Context, ExitReason, GenServer, ReplyTo, Server};
use versus::actors::sum;
use versus::turns;
use versus::{Args, Report};

/// A server that echoes, and adds up what it is sent.
struct Counter(usize);

enum Call {
    Echo(usize, ReplyTo<usize>),
    TakeSum(ReplyTo<usize>),
}

struct Add(usize);

impl GenServer for Counter {
    type Init = ();
    type Call = Call;
    type Cast = Add;

    fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self(0))
    }

    fn handle_call(&mut self, call: Call, _: &mut Context<Self>) {
        match call {
            Call::Echo(value, reply_to) => reply_to.send(value),
            Call::TakeSum(reply_to) => reply_to.send(mem::take(&mut self.0)),
        }
    }

    fn handle_cast(&mut self, Add(i): Add, _: &mut Context<Self>) {
        self.0 += i;
    }
}

pub fn run(fibra: &Runtime, args: &Args) -> Report {
    let n = args.n;
    match args.workload.as_str() {
        "server_spawn" => fibra.run(|| turns::alone(n, |ops| (0..ops).for_each(|_| spawn()))),
        "server_call" => fibra.run(|| {
            let server = Counter::start(()).unwrap();
            turns::alone(n, |ops| (0..ops).for_each(|i| assert_eq!(echo(&server, i), i)))
        }),
        _ => fibra.run(|| {
            let server = Counter::start(()).unwrap();
            turns::alone(n, |ops| casts(&server, ops))
        }),
    }
}

/// Starts a server, calls it, stops it, and waits until it has stopped.
fn spawn() {
    let server = Counter::start(()).unwrap();
    assert_eq!(echo(&server, 1), 1);
    assert_eq!(server.stop(), ExitReason::Normal);
}

fn echo(server: &Server<Counter>, value: usize) -> usize {
    server.call(|reply_to| Call::Echo(value, reply_to)).unwrap()
}

fn casts(server: &Server<Counter>, ops: usize) {
    (1..=ops).for_each(|i| server.cast(Add(i)).unwrap());
    assert_eq!(server.call(Call::TakeSum).unwrap(), sum(ops));
}
