//! Actors as everybody knows them, whatever their messages are: by number, name and fate.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use super::control::{Control, Ended, Watcher};
use super::reason::ExitReason;
use crate::task::current::next_id;

/// An actor that may have ended: its identity, and the means to end it and to learn of its end.
///
/// Erlang's process identifier. Cheap to clone. It does not keep the actor's mailbox open, as an
/// [`Address`](super::Address) does.
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, ExitReason};
///
/// let actor = actor::spawn(|_| (), |(), _message: u32| ());
/// let pid = actor.pid().clone();
/// assert!(pid.is_alive());
/// pid.kill();
/// assert_eq!(pid.wait(), ExitReason::Killed);
/// ```
#[derive(Clone)]
pub struct Pid(Arc<dyn Process>);

/// What all actors have in common.
pub(super) trait Process: Send + Sync {
    fn control(&self) -> &Control<Pid>;
    /// Makes a message of an exit signal, if the actor traps exits.
    fn trap(&self, exit: Exit) -> Result<(), Exit>;
}

/// A linked actor has ended, or somebody has [asked](Pid::exit) this one to: the message that an actor gets instead of
/// ending as well if it [traps exits](super::Mailbox::trap_exits).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Who has ended, or who asked; `None` if that was no actor.
    pub from: Option<Pid>,
    /// Why.
    pub reason: ExitReason,
}

/// A monitored actor has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// The actor.
    pub pid: Pid,
    /// Why it has ended.
    pub reason: ExitReason,
    /// What [`monitor`](super::Mailbox::monitor) returned.
    pub monitor: MonitorId,
}

/// Names one monitoring of one actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MonitorId {
    pid: Pid,
    number: NonZeroU64,
}

impl Pid {
    pub(super) fn new(process: Arc<dyn Process>) -> Self {
        Self(process)
    }

    pub(super) fn control(&self) -> &Control<Self> {
        self.0.control()
    }

    /// The actor's number: unique among all tasks, threads and actors of this process, ended ones included. It is the
    /// number of its task in panic messages and reports.
    pub fn id(&self) -> u64 {
        self.control().id()
    }

    /// The name given by [`Builder::name`](super::Builder::name). Names for the [registry](super::register) are other ones.
    pub fn name(&self) -> Option<&str> {
        self.control().name()
    }

    /// Whether the actor has not ended.
    pub fn is_alive(&self) -> bool {
        self.exit_reason().is_none()
    }

    /// Why the actor has ended; `None` while it has not.
    pub fn exit_reason(&self) -> Option<ExitReason> {
        self.control().reason()
    }

    /// Ends the actor at its current or next park, whether it traps exits or not. Only a
    /// [shield](crate::cancel::shield) holds that back, and a destructor that parks while the actor unwinds.
    pub fn kill(&self) {
        self.control().kill();
    }

    /// Deals with an exit signal.
    pub(super) fn signal(&self, exit: Exit) {
        if let Err(exit) = self.0.trap(exit)
            && exit.reason != ExitReason::Normal
        {
            self.control().doom(exit.reason);
        }
    }

    /// Has the watcher called at the actor's end; at once, if that has been.
    pub(super) fn watch(&self, number: NonZeroU64, watcher: Watcher) {
        let mut watcher = Some(watcher);
        let watching = self.control().relate(|relations| {
            if let Some(watcher) = watcher.take() {
                relations.watchers.insert(number, watcher);
            }
        });
        if let (Err(Ended(reason)), Some(watcher)) = (watching, watcher) {
            watcher(&reason);
        }
    }

    /// Takes a watcher back. False: it has been called, or is about to be.
    pub(super) fn unwatch(&self, number: NonZeroU64) -> bool {
        // Dropped without the lock: it may be the last to hold an address.
        let watcher = self.control().with_relations(|relations| relations.watchers.remove(&number));
        watcher.flatten().is_some()
    }

    /// Links two actors, of which `self` is the running one or has not run yet. An actor that has ended already sends the
    /// other one its exit signal.
    pub(super) fn link(&self, other: &Self) {
        if self == other {
            return;
        }
        let here = self.control().relate(|relations| relations.links.insert(other.id(), other.clone()));
        if let Err(Ended(reason)) = here {
            return other.signal(Exit { from: Some(self.clone()), reason });
        }
        let there = other.control().relate(|relations| relations.links.insert(self.id(), self.clone()));
        if let Err(Ended(reason)) = there {
            other.break_link(self, reason);
        }
    }

    /// Takes a link back. What the other one's end has already done to this one remains.
    pub(super) fn unlink(&self, other: &Self) {
        for (one, number) in [(self, other.id()), (other, self.id())] {
            // Dropped without the lock.
            let _link = one.control().with_relations(|relations| relations.links.remove(&number));
        }
    }

    /// Tells a linked actor, if it is still linked, that this one has ended.
    pub(super) fn break_link(&self, linked: &Self, reason: ExitReason) {
        let link = linked.control().with_relations(|relations| relations.links.remove(&self.id()));
        if link.flatten().is_some() {
            linked.signal(Exit { from: Some(self.clone()), reason });
        }
    }
}

impl MonitorId {
    /// A new one, unlike any other.
    pub(super) fn new(pid: Pid) -> Self {
        Self { pid, number: next_id() }
    }

    pub(super) fn number(&self) -> NonZeroU64 {
        self.number
    }

    /// The monitored actor.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Pid {}

impl Hash for Pid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// In the order of their making, by and large.
impl Ord for Pid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id().cmp(&other.id())
    }
}

impl PartialOrd for Pid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pid").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// `actor 12 'phone'`, or `actor 12` without a name.
impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {}", self.id())?;
        self.name().map_or(Ok(()), |name| write!(f, " '{name}'"))
    }
}
