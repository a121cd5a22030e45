//! A supervisor's life: it starts children, receives, and starts again.
//!
//! ```text
//!            ┌── a child is to be started ──▶ look at the messages that have come ──▶ start one ──┐
//!  loop ─────┤                                                                                    ├──▶ loop
//!            └── none is ──▶ receive a message ───────────────────────────────────────────────────┘
//!                                 │
//!      an exit signal, too many restarts, a first start that fails
//!                                 ▼
//!                   end all children, then oneself
//! ```
//!
//! The first start of all, a restart, and a start that somebody has asked for are the same thing: the child waits for its
//! start, and the loop comes to it. So there are messages looked at between any two starts, and a supervisor can be stopped
//! in the middle of a restart. Only as many as there were before the start, since the stream may not end.
//!
//! A start that fails is tried again, as a restart that counts like any other; with [`Strategy::OneForOne`] the other
//! children that wait come first. There is no pause in between: the intensity is what ends it.
//!
//! A supervisor that is cancelled because its runtime ends has its children ended in order too, as far as they have not
//! gone by themselves; a kill ends that.

use std::any::Any;
use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::children::{Children, Key, Told};
use super::info::ChildError;
use super::intensity::Intensity;
use super::message::{Asked, Message, Which};
use super::spec::{Begun, Restart, Spec, Strategy};
use crate::actor::mailbox::Mailbox;
use crate::actor::pid::{Exit, Pid};
use crate::actor::quiet::forget_panic;
use crate::actor::reason::ExitReason;
use crate::actor::reply::ReplyTo;
use crate::actor::start_error::StartError;
use crate::cancel::{self, Token};
use crate::{task, thread};

/// What a supervisor is made with.
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) strategy: Strategy,
    pub(super) max_restarts: usize,
    pub(super) within: Duration,
    pub(super) specs: Vec<Spec>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Children have an order and unique names.
    Ordered,
    /// Children come and go, and are known by their actors.
    Dynamic { max_children: usize },
}

/// Who waits for the start of the supervisor: told when all children have been started.
pub(super) type Starter = ReplyTo<Result<(), StartError>>;

/// The body of a supervisor's actor. `parent` is the actor whose exit signals it obeys whatever they say.
pub(super) fn supervise(
    mailbox: &Mailbox<Message>,
    plan: Plan,
    starts: Token,
    parent: Option<Pid>,
    starter: Starter,
) -> ExitReason {
    mailbox.trap_exits(Message::Exit);
    let mut supervisor = Run {
        mailbox,
        children: Children::new(mailbox.own(), plan.kind == Kind::Ordered),
        kind: plan.kind,
        strategy: plan.strategy,
        intensity: Intensity::new(plan.max_restarts, plan.within),
        starts,
        parent,
        starter: Some(starter),
        unread: 0,
        last_start: None,
        finders: Vec::new(),
    };
    match catch_unwind(AssertUnwindSafe(|| supervisor.run(plan.specs))) {
        Ok(reason) => reason,
        Err(payload) if task::cancel::is_cancellation(&*payload) => supervisor.cancelled(payload),
        Err(payload) => resume_unwind(payload),
    }
}

struct Run<'a> {
    mailbox: &'a Mailbox<Message>,
    children: Children<'a>,
    kind: Kind,
    strategy: Strategy,
    intensity: Intensity,
    starts: Token,
    parent: Option<Pid>,
    starter: Option<Starter>,
    /// How many messages are looked at before the next start.
    unread: usize,
    last_start: Option<Key>,
    /// Who has asked for a child that may be about to be started.
    finders: Vec<(Key, ReplyTo<Option<Begun>>)>,
}

/// Whether to go on, or why to end.
type Step = ControlFlow<ExitReason>;

impl Run<'_> {
    fn run(&mut self, specs: Vec<Spec>) -> ExitReason {
        let reason = match self.add_all(specs) {
            Continue(()) => self.serve(),
            Break(reason) => reason,
        };
        // Who has asked for something, and does not get it, is told that the supervisor has ended.
        self.mailbox.own().ends.set(true);
        self.end_children();
        reason
    }

    fn serve(&mut self) -> ExitReason {
        loop {
            // With enough to do the loop does not park.
            task::cancel::deliver();
            self.answer_finders();
            let step = match self.next_message() {
                Some(message) => self.handle(message),
                None => self.start_next(),
            };
            if let Break(reason) = step {
                return reason;
            }
        }
    }

    fn end_children(&mut self) {
        match self.kind {
            Kind::Ordered => self.children.end_all(),
            Kind::Dynamic { .. } => self.children.end_all_together(),
        }
    }

    /// The supervisor unwound, since it was killed or its runtime ends; or since it got an exit signal before it trapped
    /// them.
    fn cancelled(&mut self, payload: Box<dyn Any + Send>) -> ExitReason {
        forget_panic(payload);
        cancel::shield(|| {
            let control = self.mailbox.own().pid.control();
            self.mailbox.own().ends.set(true);
            let ended = control.last_act(|| self.end_children());
            ended.map_or(ExitReason::Killed, |()| control.signalled())
        })
    }

    fn add_all(&mut self, specs: Vec<Spec>) -> Step {
        for spec in specs {
            if self.children.named(&spec.id).is_some() {
                return Break(ExitReason::failed(format_args!("two children are called '{}'", spec.id)));
            }
            self.children.add(spec, None);
        }
        Continue(())
    }

    /// The next message; `None` if it is a child's turn to be started.
    fn next_message(&mut self) -> Option<Message> {
        let is_idle = !self.children.is_any_waiting();
        if is_idle && let Some(starter) = self.starter.take() {
            starter.send(Ok(()));
        }
        // Who keeps us from starting more has told us to end, or is about to.
        if is_idle || self.starts.is_cancelled() {
            let message = self.mailbox.recv().expect("an actor that traps exits has an address");
            self.unread = self.mailbox.len();
            return Some(message);
        }
        self.unread = self.unread.checked_sub(1)?;
        self.mailbox.try_recv().ok()
    }

    fn start_next(&mut self) -> Step {
        let last = self.last_start.filter(|_| self.strategy == Strategy::OneForOne);
        let Some(key) = self.children.next_waiting(last) else { return Continue(()) };
        self.last_start = Some(key);
        let started = self.children.start(key, &self.starts);
        self.unread = self.mailbox.len();
        let Err(error) = started else { return Continue(()) };
        if self.starts.is_cancelled() {
            return Continue(());
        }
        let id = &self.children.get(key).spec.id;
        let failure = format!("child '{id}' failed to start: {}", why(&error));
        if let Some(starter) = self.starter.take() {
            let reason = ExitReason::failed(failure);
            starter.send(Err(match error {
                StartError::Spawn(error) => io::Error::new(error.kind(), reason.to_string()).into(),
                _ => StartError::Init(reason.clone()),
            }));
            return Break(reason);
        }
        // A start function that fails at once would leave the others of this worker no turn.
        thread::yield_now();
        self.count_restart(&failure)
    }

    /// A restart is due. Breaks if it is one too many.
    fn count_restart(&mut self, cause: &str) -> Step {
        if self.intensity.admits(Instant::now()) {
            Continue(())
        } else {
            Break(ExitReason::failed(format_args!("{}: {cause}", self.intensity.exceeded())))
        }
    }

    fn handle(&mut self, message: Message) -> Step {
        match message {
            Message::Exit(exit) => return self.signalled(exit),
            Message::Add(spec, asked) => {
                self.hear_of(&spec.id)?;
                self.add(spec, asked);
            }
            Message::End(which, reply_to) => reply_to.send(self.end(which)),
            Message::Again(id, asked) => {
                self.hear_of(&id)?;
                self.start_again(id, asked);
            }
            Message::Delete(id, reply_to) => {
                self.hear_of(&id)?;
                reply_to.send(self.delete(id));
            }
            Message::Find(id, reply_to) => match self.children.named(&id) {
                Some(key) => return self.find(key, reply_to),
                None => reply_to.send(None),
            },
            Message::List(reply_to) => reply_to.send(self.children.list()),
            Message::Count(reply_to) => reply_to.send(self.children.counts()),
        }
        Continue(())
    }

    fn signalled(&mut self, Exit { from, reason }: Exit) -> Step {
        let told = match &from {
            Some(from) if self.parent.as_ref() == Some(from) => return Break(reason),
            Some(from) => self.children.told(from, &reason),
            None => Told::End,
        };
        match told {
            Told::ChildEnded(key) => self.child_has_ended(key, &reason),
            Told::End if reason != ExitReason::Normal => Break(reason),
            Told::End | Told::OtherEnded => Continue(()),
        }
    }

    fn child_has_ended(&mut self, key: Key, reason: &ExitReason) -> Step {
        let spec = &self.children.get(key).spec;
        let again = match spec.restart {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_normal(),
            Restart::Temporary => false,
        };
        if !again {
            if spec.restart == Restart::Temporary || self.kind != Kind::Ordered {
                self.children.forget(key);
            }
            return Continue(());
        }
        let cause = format!("child '{}' ended: {reason}", spec.id);
        self.count_restart(&cause)?;
        match self.strategy {
            Strategy::OneForOne => self.children.wait_again(key, None),
            Strategy::RestForOne => self.children.end_and_wait_again(key..),
            Strategy::OneForAll => self.children.end_and_wait_again(0..),
        }
        Continue(())
    }

    fn find(&mut self, key: Key, reply_to: ReplyTo<Option<Begun>>) -> Step {
        self.finders.push((key, reply_to));
        self.hear(key)
    }

    /// Who knows that the child of this name has ended asks for what follows from that.
    fn hear_of(&mut self, id: &str) -> Step {
        let step = self.children.named(id).map_or(Continue(()), |key| self.hear(key));
        // If that is the end, it is what the asker is told.
        self.mailbox.own().ends.set(step.is_break());
        step
    }

    /// If a child has ended, but the message of that has not come, it counts as having come now.
    fn hear(&mut self, key: Key) -> Step {
        match self.children.ended_unheard(key) {
            Some(reason) => self.child_has_ended(key, &reason),
            None => Continue(()),
        }
    }

    /// Answers who asked for a child that is not about to be started.
    fn answer_finders(&mut self) {
        if self.finders.is_empty() {
            return;
        }
        let children = &self.children;
        for (key, reply_to) in self.finders.extract_if(.., |(key, _)| !children.is_waiting(*key)) {
            reply_to.send(children.begun(key));
        }
    }

    fn add(&mut self, spec: Spec, asked: Asked) {
        match self.kind {
            Kind::Dynamic { max_children: max } if self.children.len() >= max => {
                asked.send(Err(ChildError::MaxChildren { max }));
            }
            _ if self.children.named(&spec.id).is_some() => {
                asked.send(Err(ChildError::AlreadyPresent { id: spec.id.as_ref().into() }));
            }
            _ => self.children.add(spec, Some(asked)),
        }
    }

    fn end(&mut self, which: Which) -> Result<(), ChildError> {
        let key = match &which {
            Which::Id(id) => self.children.named(id).ok_or_else(|| not_found(id))?,
            Which::Pid(pid) => {
                self.children.of(pid).ok_or_else(|| ChildError::NotFound { child: pid.to_string() })?
            }
        };
        self.children.end(key);
        let child = self.children.get(key);
        // One that was about to be started for the first time has failed to, for who has asked for that.
        let never_ran = child.starts == 0;
        if child.spec.restart == Restart::Temporary || self.kind != Kind::Ordered || never_ran {
            self.children.forget(key);
        }
        Ok(())
    }

    fn start_again(&mut self, id: String, asked: Asked) {
        match self.children.named(&id) {
            None => asked.send(Err(not_found(&id))),
            Some(key) if self.children.is_stopped(key) => self.children.wait_again(key, Some(asked)),
            Some(_) => asked.send(Err(ChildError::Running { id })),
        }
    }

    fn delete(&mut self, id: String) -> Result<(), ChildError> {
        let key = self.children.named(&id).ok_or_else(|| not_found(&id))?;
        if !self.children.is_stopped(key) {
            return Err(ChildError::Running { id });
        }
        self.children.forget(key);
        Ok(())
    }
}

fn not_found(id: &str) -> ChildError {
    ChildError::NotFound { child: format!("'{id}'") }
}

fn why(error: &StartError) -> &dyn std::fmt::Display {
    match error {
        StartError::Init(reason) => reason,
        StartError::Spawn(error) => error,
    }
}
