//! The control block of an actor: whether it lives, how it can be ended, and who is to be told.
//!
//! | stage | the task | left by |
//! | --- | --- | --- |
//! | unstarted | is a closure in a queue | `start`, on the task's own stack; `end`, if it is never run |
//! | running | runs; its core is known | `end` |
//! | closing | gives its names back; the reason is final, but nobody sees it | `show_reason` |
//! | telling | drops its messages, and gives up its answers | `finish` |
//! | ended | tells monitors and links, is about to return, or has | nobody |
//!
//! `end` leads to telling at once if there are no names.
//!
//! An exit signal does two things under the lock: it notes the reason, and gets the core of a running task, to cancel it
//! afterwards. A task that is not running yet looks for a reason in `start`. The first reason stays, but a kill replaces
//! any other. A kill is more than a signal with the reason `Killed`, which links of a killed actor send. `end` has the
//! last word: the actor's own outcome, or the noted reason if it was cancelled.
//!
//! Whoever wants to be told of the end puts himself in under the lock, or finds the actor ended; `finish` takes them all
//! out in the same critical section that makes the stage `ended`. So everybody is told once, and nobody before the names
//! are free, the messages gone and the callers told. Only the code that runs meanwhile on the ending actor's own stack,
//! destructors of messages, finds it ended from `end` on: it would wait for itself.
//!
//! The lock is held for some instructions that neither park nor run foreign code, and never two at once.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::few::Few;
use super::reason::ExitReason;
use crate::cancel::Token;
use crate::task::core::CoreRef;
use crate::task::park::current_core;

/// Tells somebody of the end; called on the ending actor's stack. It must not panic.
pub(super) type Watcher = Box<dyn FnOnce(&ExitReason) + Send>;

/// See the head of this file. `P` is what refers to an actor.
pub(super) struct Control<P> {
    id: NonZeroU64,
    name: Option<Box<str>>,
    life: Mutex<Life<P>>,
    /// The actor whose answer this one waits for; 0 if it doesn't. For the reports of others.
    asks: AtomicU64,
}

struct Life<P> {
    stage: Stage,
    /// Why it is to end, while it has not; then why it has.
    reason: Option<ExitReason>,
    /// It was killed, and not just told of somebody who was.
    killed: bool,
    relations: Option<Box<Relations<P>>>,
}

enum Stage {
    Unstarted,
    Running(CoreRef),
    /// With the address of who ends it: the task's core, or another's if it is never run.
    Closing(usize),
    Telling(usize),
    Ended,
}

impl Stage {
    fn is_behind_end(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Telling(_) | Self::Ended)
    }
}

/// What few actors have. Made at the first use.
pub(super) struct Relations<P> {
    /// By the numbers of the actors.
    pub(super) links: Few<u64, P>,
    /// By the numbers that they were given.
    pub(super) watchers: Few<NonZeroU64, Watcher>,
    /// Whom the actor watches, by the numbers of those watchers.
    pub(super) monitors: Few<NonZeroU64, P>,
    pub(super) names: Vec<Arc<str>>,
    /// Ends what the actor does shielded from cancellation at its end.
    last_act: Option<Token>,
}

/// What an exit signal met.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended(pub(super) ExitReason);

impl<P> Control<P> {
    pub(super) fn new(id: NonZeroU64, name: Option<Box<str>>) -> Self {
        let life = Life { stage: Stage::Unstarted, reason: None, killed: false, relations: None };
        Self { id, name, life: Mutex::new(life), asks: AtomicU64::new(0) }
    }

    pub(super) fn id(&self) -> u64 {
        self.id.get()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Life<P>> {
        // Nothing in here panics half-way, whoever poisons it.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task runs now. False if it is to end at once.
    pub(super) fn start(&self, core: CoreRef) -> bool {
        let mut life = self.lock();
        life.stage = Stage::Running(core);
        life.reason.is_none()
    }

    /// Why the actor has ended; `None` while it has not.
    pub(super) fn reason(&self) -> Option<ExitReason> {
        let life = self.lock();
        match life.stage {
            Stage::Telling(_) | Stage::Ended => life.reason.clone(),
            _ => None,
        }
    }

    /// Why the running actor was cancelled: the reason of a signal, or the end of its runtime.
    pub(super) fn signalled(&self) -> ExitReason {
        self.lock().reason.clone().unwrap_or(ExitReason::Shutdown)
    }

    /// Ends the actor at its current or next park, for this reason.
    pub(super) fn doom(&self, reason: ExitReason) {
        self.doom_or_kill(reason, false);
    }

    /// As [`doom`](Self::doom), and ends also what the actor does shielded from cancellation at its end.
    pub(super) fn kill(&self) {
        self.doom_or_kill(ExitReason::Killed, true);
    }

    fn doom_or_kill(&self, reason: ExitReason, kill: bool) {
        let mut life = self.lock();
        if life.stage.is_behind_end() {
            return;
        }
        // Not dropped under the lock: the text of a reason is freed by its last owner.
        let _replaced = match life.reason {
            Some(_) if !kill => return,
            _ => life.reason.replace(reason),
        };
        life.killed |= kill;
        let core = match &life.stage {
            Stage::Running(core) => Some(core.clone()),
            _ => None,
        };
        let last_act = life.relations.as_ref().filter(|_| kill).and_then(|all| all.last_act.clone());
        drop(life);
        if let Some(core) = core {
            core.cancel();
        }
        if let Some(token) = last_act {
            token.cancel();
        }
    }

    /// Runs `f` so that a kill ends it, though it is shielded from cancellation. `None` if there was one; before `f` began,
    /// that is dropped.
    pub(super) fn last_act(&self, f: impl FnOnce()) -> Option<()> {
        let token = {
            let mut life = self.lock();
            if life.killed {
                return None;
            }
            life.relations_mut().last_act.get_or_insert_default().clone()
        };
        token.run(f).ok()
    }

    /// The actor ends: for its own reason, or for the one that it was given if that ended it. Returns the reason, and the
    /// names to be given back; if there are any, [`show_reason`](Self::show_reason) follows.
    pub(super) fn end(&self, own: Option<ExitReason>) -> (ExitReason, Vec<Arc<str>>) {
        let by = current_core().addr().get();
        let mut life = self.lock();
        let reason = own.or_else(|| life.reason.clone()).unwrap_or(ExitReason::Shutdown);
        let _replaced = life.reason.replace(reason.clone());
        let names = life.relations.as_mut().map(|all| std::mem::take(&mut all.names)).unwrap_or_default();
        let stage = if names.is_empty() { Stage::Telling(by) } else { Stage::Closing(by) };
        // The core goes with its task, and is not kept by whoever keeps the actor's address.
        let _core = std::mem::replace(&mut life.stage, stage);
        drop(life);
        (reason, names)
    }

    /// The names are free.
    pub(super) fn show_reason(&self) {
        let mut life = self.lock();
        if let Stage::Closing(by) = life.stage {
            life.stage = Stage::Telling(by);
        }
    }

    /// The actor has ended. Returns who is to be told.
    pub(super) fn finish(&self) -> Option<Box<Relations<P>>> {
        let mut life = self.lock();
        debug_assert!(matches!(life.stage, Stage::Telling(_)));
        life.stage = Stage::Ended;
        life.relations.take()
    }

    /// Changes the relations of an actor that has not ended.
    ///
    /// # Errors
    ///
    /// It has, or the caller is what it runs while it ends: why.
    pub(super) fn relate<R>(&self, change: impl FnOnce(&mut Relations<P>) -> R) -> Result<R, Ended> {
        let mut life = self.lock();
        let has_ended = match life.stage {
            Stage::Unstarted | Stage::Running(_) => false,
            Stage::Closing(by) | Stage::Telling(by) => by == current_core().addr().get(),
            Stage::Ended => true,
        };
        life.change_unless(has_ended, change)
    }

    /// As [`relate`](Self::relate), for names, which the actor takes no more once it ends.
    pub(super) fn relate_name(&self, name: Arc<str>) -> Result<(), Ended> {
        let mut life = self.lock();
        let ends = life.stage.is_behind_end();
        life.change_unless(ends, |relations| relations.names.push(name))
    }

    /// The relations, if there are any.
    pub(super) fn with_relations<R>(&self, change: impl FnOnce(&mut Relations<P>) -> R) -> Option<R> {
        self.lock().relations.as_deref_mut().map(change)
    }

    /// Notes whose answer the actor waits for, until the guard is dropped.
    pub(super) fn asks(&self, other: &Self) -> Asking<'_> {
        // Relaxed: others read it for reports alone.
        self.asks.store(other.id(), Ordering::Relaxed);
        Asking(&self.asks)
    }

    /// The number of the actor whose answer this one waits for.
    pub(super) fn asked(&self) -> Option<u64> {
        // Relaxed: see `asks`.
        Some(self.asks.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }
}

/// See [`Control::asks`].
pub(super) struct Asking<'a>(&'a AtomicU64);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Relaxed: see `asks`.
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<P> Life<P> {
    fn change_unless<R>(
        &mut self,
        has_ended: bool,
        change: impl FnOnce(&mut Relations<P>) -> R,
    ) -> Result<R, Ended> {
        match &self.reason {
            Some(reason) if has_ended => Err(Ended(reason.clone())),
            _ => Ok(change(self.relations_mut())),
        }
    }

    fn relations_mut(&mut self) -> &mut Relations<P> {
        self.relations.get_or_insert_with(|| {
            Box::new(Relations {
                links: Few::new(),
                watchers: Few::new(),
                monitors: Few::new(),
                names: Vec::new(),
                last_act: None,
            })
        })
    }
}
