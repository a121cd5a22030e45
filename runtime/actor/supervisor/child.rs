//! One child: its start, and all that belongs to it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::ending::Ending;
use super::info::ChildInfo;
use super::message::Asked;
use super::spec::{Begun, Shutdown, Spec};
use crate::actor::exit;
use crate::actor::own::Own;
use crate::actor::pid::Pid;
use crate::actor::quiet::forget_panic;
use crate::actor::reason::ExitReason;
use crate::actor::start_error::StartError;
use crate::cancel::{Cancelled, Token};

/// A child that a supervisor knows.
pub(super) struct Child {
    pub(super) spec: Spec,
    pub(super) state: State,
    /// How often it has been started.
    pub(super) starts: u64,
}

/// See the head of [`children`](super::children).
pub(super) enum State {
    Running(Running),
    /// Who has asked for the start, if that was not the supervisor itself.
    Waiting(Option<Asked>),
    Stopped,
}

/// What a start has made.
pub(super) struct Running {
    pub(super) begun: Begun,
    /// The other actors that the start function has spawned.
    pub(super) helpers: Vec<Pid>,
}

/// A start that has failed: all that it had spawned has been ended.
pub(super) struct Failed {
    pub(super) error: StartError,
    pub(super) spawned: Vec<Pid>,
}

impl Child {
    pub(super) fn new(spec: Spec, asked: Option<Asked>) -> Self {
        Self { spec, state: State::Waiting(asked), starts: 0 }
    }

    /// Runs the start function in the supervisor's actor, which is `own`. `is_taken` says whether an actor is a child
    /// already.
    pub(super) fn start(
        &mut self,
        own: &Own,
        starts: &Token,
        is_taken: impl FnOnce(&Pid) -> bool,
    ) -> Result<Running, Failed> {
        let spec = &mut self.spec;
        let outcome = catch_unwind(AssertUnwindSafe(|| starts.run(|| own.adopt(|| spec.start()))));
        let mut spawned = own.take_adopted();
        let begun = match outcome {
            Ok(Ok(begun)) => begun,
            Ok(Err(Cancelled)) => Err(StartError::Init(ExitReason::Shutdown)),
            Err(payload) => match exit::reason_of(&*payload) {
                Some(reason) => {
                    forget_panic(payload);
                    Err(StartError::Init(reason))
                }
                // The supervisor itself is to end. What has been spawned is linked to it.
                None => resume_unwind(payload),
            },
        };
        match begun.and_then(|begun| link(begun, &spawned, own, is_taken)) {
            Ok(begun) => {
                spawned.retain(|pid| *pid != begun.pid);
                Ok(Running { begun, helpers: spawned })
            }
            Err(error) => {
                end_in_turn(&spawned, self.spec.shutdown, &self.spec.id, own);
                Err(Failed { error, spawned })
            }
        }
    }

    /// Ends what runs of the child, the helpers after it.
    pub(super) fn end(&self, own: &Own) {
        if let State::Running(running) = &self.state {
            let (by, id) = (&own.pid, &self.spec.id);
            let mut ending =
                Ending::begin(&running.begun.pid, self.spec.shutdown, running.begun.starts.as_ref(), by);
            ending.insist();
            ending.finish(id, by);
            self.end_helpers(own);
        }
    }

    /// Ends the helpers of a child that has ended.
    pub(super) fn end_helpers(&self, own: &Own) {
        if let State::Running(running) = &self.state {
            end_in_turn(&running.helpers, self.spec.shutdown, &self.spec.id, own);
        }
    }

    /// Tells all that belong to the child to end.
    pub(super) fn begin_end(&self, own: &Own) -> impl Iterator<Item = (Ending<'_>, &str)> {
        let running = match &self.state {
            State::Running(running) => Some(running),
            _ => None,
        };
        let how = self.spec.shutdown;
        let actors = running.into_iter().flat_map(|running| {
            let helpers = running.helpers.iter().rev().map(|pid| (pid, None));
            [(&running.begun.pid, running.begun.starts.as_ref())].into_iter().chain(helpers)
        });
        actors.map(move |(pid, starts)| (Ending::begin(pid, how, starts, &own.pid), &*self.spec.id))
    }

    /// It is not to be started. Who has asked for that is told.
    pub(super) fn refuse(&mut self) {
        if let State::Waiting(asked) = &mut self.state
            && let Some(asked) = asked.take()
        {
            asked.send(Err(StartError::Init(ExitReason::Shutdown).into()));
        }
    }

    /// Changes the state, and returns the old one.
    pub(super) fn becomes(&mut self, state: State) -> State {
        mem::replace(&mut self.state, state)
    }

    pub(super) fn info(&self) -> ChildInfo {
        ChildInfo {
            id: self.spec.id.as_ref().into(),
            pid: match &self.state {
                State::Running(running) => Some(running.begun.pid.clone()),
                _ => None,
            },
            restart: self.spec.restart,
            is_supervisor: self.spec.supervises,
            restarts: self.starts.saturating_sub(1),
        }
    }
}

/// Links the supervisor with a child that its start function has not spawned itself.
fn link(
    begun: Begun,
    spawned: &[Pid],
    own: &Own,
    is_taken: impl FnOnce(&Pid) -> bool,
) -> Result<Begun, StartError> {
    if spawned.contains(&begun.pid) {
        return Ok(begun);
    }
    if begun.pid == own.pid || is_taken(&begun.pid) {
        let why =
            format!("the start function returned {}, which is another child, or the supervisor", begun.pid);
        return Err(StartError::Init(ExitReason::failed(why)));
    }
    match begun.pid.exit_reason() {
        Some(reason) => Err(StartError::Init(reason)),
        None => {
            own.pid.link(&begun.pid);
            Ok(begun)
        }
    }
}

/// Ends these actors, the last one first.
fn end_in_turn(actors: &[Pid], how: Shutdown, id: &str, own: &Own) {
    for pid in actors.iter().rev() {
        let mut ending = Ending::begin(pid, how, None, &own.pid);
        ending.insist();
        ending.finish(id, &own.pid);
    }
}
