//! A server that does what each message tells it to, and notes what becomes of it.

use std::sync::{Arc, Mutex};

use fibra::actor::{Builder, Context, ExitReason, GenServer, Info, ReplyTo, Server, StartError};

use super::support::{Counted, Drops};

/// What a message, or the end, has the server do.
pub type Job = Box<dyn FnOnce(&mut Probe, &mut Context<Probe>) + Send>;

pub fn job(f: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) -> Job {
    Box::new(f)
}

/// What the servers of one test have noted.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn note(&self, what: impl ToString) {
        self.0.lock().unwrap().push(what.to_string());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// How a server is to be, and where it notes what becomes of it.
#[derive(Default)]
pub struct Setup {
    pub log: Log,
    pub drops: Drops,
    #[expect(clippy::type_complexity, reason = "named once")]
    pub init: Option<Box<dyn FnOnce(&mut Context<Probe>) -> Result<(), ExitReason> + Send>>,
    pub terminate: Option<Job>,
    pub on_info: Option<fn(&mut Probe, Info, &mut Context<Probe>)>,
    pub on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl Setup {
    pub fn start(self) -> Server<Probe> {
        Probe::start(self).unwrap()
    }

    pub fn start_with(self, builder: Builder) -> Result<Server<Probe>, StartError> {
        builder.start(self)
    }

    pub fn init(
        mut self,
        f: impl FnOnce(&mut Context<Probe>) -> Result<(), ExitReason> + Send + 'static,
    ) -> Self {
        self.init = Some(Box::new(f));
        self
    }

    pub fn terminate(mut self, f: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) -> Self {
        self.terminate = Some(job(f));
        self
    }
}

pub struct Probe {
    pub log: Log,
    /// Answers that it owes.
    pub kept: Vec<ReplyTo<u32>>,
    terminate: Option<Job>,
    on_info: Option<fn(&mut Probe, Info, &mut Context<Probe>)>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
    _counted: Counted,
}

impl GenServer for Probe {
    type Init = Setup;
    type Call = Job;
    type Cast = Job;

    fn init(setup: Setup, context: &mut Context<Self>) -> Result<Self, ExitReason> {
        if let Some(init) = setup.init {
            init(context)?;
        }
        let Setup { log, terminate, on_info, on_drop, .. } = setup;
        Ok(Self { log, kept: Vec::new(), terminate, on_info, on_drop, _counted: setup.drops.counted() })
    }

    fn handle_call(&mut self, call: Job, context: &mut Context<Self>) {
        call(self, context);
    }

    fn handle_cast(&mut self, cast: Job, context: &mut Context<Self>) {
        cast(self, context);
    }

    fn handle_info(&mut self, info: Info, context: &mut Context<Self>) {
        match &info {
            Info::Down(down) => self.log.note(format_args!("down: {}", down.reason)),
            Info::Exit(exit) => self.log.note(format_args!("exit: {}", exit.reason)),
            Info::Timeout => self.log.note("timeout"),
            other => panic!("{other:?}"),
        }
        if let Some(on_info) = self.on_info {
            on_info(self, info, context);
        }
    }

    fn terminate(&mut self, reason: &ExitReason, context: &mut Context<Self>) {
        self.log.note(format_args!("terminate: {reason}"));
        if let Some(terminate) = self.terminate.take() {
            terminate(self, context);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.note("dropped");
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

/// Has the server do something while its caller waits for the answer 0.
pub fn tell(server: &Server<Probe>, f: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) {
    let answer = server.call(|reply_to| {
        job(move |probe, context| {
            f(probe, context);
            reply_to.send(0);
        })
    });
    assert_eq!(answer.unwrap(), 0);
}

/// A call whose answer the server keeps.
pub fn keep(reply_to: ReplyTo<u32>) -> Job {
    job(|probe, _| probe.kept.push(reply_to))
}

/// A call that is answered at once.
pub fn answer(answer: u32) -> impl FnOnce(ReplyTo<u32>) -> Job {
    move |reply_to| job(move |_, _| reply_to.send(answer))
}
