//! The children of a supervisor, in the order in which they were added.
//!
//! | state of a child | from | until |
//! | --- | --- | --- |
//! | waiting | it is added, or is to be started again | `start` |
//! | running | its start function has returned a living actor | the message of its end, `end` |
//! | stopped | it was ended, or has ended and is not to be started again | `wait_again`; it is forgotten |
//!
//! An exit signal can mean two things: an actor that is linked to the supervisor has ended, or somebody asks the supervisor
//! to. So `linked` has all actors that were linked here and whose message has not come yet: children that run, their
//! helpers, and those of both kinds that were ended a moment ago. Each of them sends one such message.
//!
//! All operations take a time that is logarithmic in the number of children, but for those that concern many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, RangeFrom};
use std::sync::Arc;

use super::child::{Child, Failed, State};
use super::info::{ChildInfo, Counts};
use super::message::Asked;
use super::spec::{Begun, Restart, Spec};
use crate::actor::own::Own;
use crate::actor::pid::Pid;
use crate::actor::reason::ExitReason;
use crate::actor::start_error::StartError;
use crate::cancel::Token;

/// A child's place in the order.
pub(super) type Key = u64;

// "waiting" has exactly the children that are waiting, and "linked" names exactly those that run.
pub(super) struct Children<'a> {
    /// The supervisor.
    own: &'a Own,
    all: BTreeMap<Key, Child>,
    /// If names are unique.
    by_name: Option<HashMap<Arc<str>, Key>>,
    linked: HashMap<u64, Linked>,
    waiting: BTreeSet<Key>,
    added: Key,
    running: usize,
    supervisors: usize,
    restarts: u64,
}

/// What an actor that is linked to the supervisor is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Linked {
    Child(Key),
    /// A helper, or an actor that was ended.
    Other,
}

/// What an exit signal says.
pub(super) enum Told {
    /// This child has ended.
    ChildEnded(Key),
    /// Nothing of importance.
    OtherEnded,
    /// The supervisor is to end.
    End,
}

impl<'a> Children<'a> {
    pub(super) fn new(own: &'a Own, named: bool) -> Self {
        Self {
            own,
            all: BTreeMap::new(),
            by_name: named.then(HashMap::new),
            linked: HashMap::new(),
            waiting: BTreeSet::new(),
            added: 0,
            running: 0,
            supervisors: 0,
            restarts: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The child of this name, where names are unique.
    pub(super) fn named(&self, id: &str) -> Option<Key> {
        self.by_name.as_ref()?.get(id).copied()
    }

    /// The child that is this actor.
    pub(super) fn of(&self, pid: &Pid) -> Option<Key> {
        match self.linked.get(&pid.id()) {
            Some(Linked::Child(key)) => Some(*key),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: Key) -> &Child {
        &self.all[&key]
    }

    fn get_mut(&mut self, key: Key) -> &mut Child {
        self.all.get_mut(&key).expect("keys are of children that are known")
    }

    fn is_running(&self, key: Key) -> bool {
        matches!(self.get(key).state, State::Running(_))
    }

    pub(super) fn is_stopped(&self, key: Key) -> bool {
        matches!(self.get(key).state, State::Stopped)
    }

    pub(super) fn is_waiting(&self, key: Key) -> bool {
        self.waiting.contains(&key)
    }

    /// What stands for the child, if it is known and runs.
    pub(super) fn begun(&self, key: Key) -> Option<Begun> {
        match &self.all.get(&key)?.state {
            State::Running(running) => Some(running.begun.clone()),
            _ => None,
        }
    }

    /// Adds a child, which is to be started. Its name must be new.
    pub(super) fn add(&mut self, spec: Spec, asked: Option<Asked>) {
        let key = self.added;
        self.added += 1;
        if let Some(by_name) = &mut self.by_name {
            by_name.insert(spec.id.clone(), key);
        }
        self.supervisors += usize::from(spec.supervises);
        self.all.insert(key, Child::new(spec, asked));
        self.waiting.insert(key);
    }

    /// Forgets a child that does not run.
    pub(super) fn forget(&mut self, key: Key) {
        debug_assert!(!self.is_running(key));
        let Some(child) = self.all.remove(&key) else { return };
        self.waiting.remove(&key);
        if let Some(by_name) = &mut self.by_name {
            by_name.remove(&child.spec.id);
        }
        self.supervisors -= usize::from(child.spec.supervises);
    }

    /// Which child to start next: the first that waits, or the first after `last`.
    pub(super) fn next_waiting(&self, last: Option<Key>) -> Option<Key> {
        let after = last.map(|last| (Bound::Excluded(last), Bound::Unbounded));
        let next = after.and_then(|after| self.waiting.range(after).next());
        next.or_else(|| self.waiting.first()).copied()
    }

    pub(super) fn is_any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Starts a child that is waiting, and tells who has asked for it.
    ///
    /// # Errors
    ///
    /// The start has failed, and nobody had asked for it: the child still waits.
    pub(super) fn start(&mut self, key: Key, starts: &Token) -> Result<(), StartError> {
        let Self { own, all, linked, .. } = self;
        let child = all.get_mut(&key).expect("children that wait are known");
        let is_taken = |pid: &Pid| matches!(linked.get(&pid.id()), Some(Linked::Child(_)));
        match child.start(own, starts, is_taken) {
            Ok(running) => {
                let others = running.helpers.iter().map(|pid| (pid.id(), Linked::Other));
                linked.extend(others.chain([(running.begun.pid.id(), Linked::Child(key))]));
                let begun = running.begun.clone();
                let before = child.becomes(State::Running(running));
                self.restarts += u64::from(child.starts > 0);
                child.starts += 1;
                self.waiting.remove(&key);
                self.running += 1;
                if let State::Waiting(Some(asked)) = before {
                    asked.send(Ok(begun));
                }
                Ok(())
            }
            Err(Failed { error, spawned }) => {
                linked.extend(spawned.iter().map(|pid| (pid.id(), Linked::Other)));
                let State::Waiting(asked) = &mut child.state else { return Err(error) };
                let Some(asked) = asked.take() else { return Err(error) };
                self.stop_waiting(key);
                asked.send(Err(error.into()));
                Ok(())
            }
        }
    }

    /// A child whose start was asked for and failed: one that never ran is not kept.
    fn stop_waiting(&mut self, key: Key) {
        self.waiting.remove(&key);
        let child = self.get_mut(key);
        child.becomes(State::Stopped);
        if child.starts == 0 {
            self.forget(key);
        }
    }

    /// A child that does not run is to be started.
    pub(super) fn wait_again(&mut self, key: Key, asked: Option<Asked>) {
        debug_assert!(!self.is_running(key));
        self.get_mut(key).becomes(State::Waiting(asked));
        self.waiting.insert(key);
    }

    /// Deals with an exit signal from an actor.
    pub(super) fn told(&mut self, from: &Pid, reason: &ExitReason) -> Told {
        // An actor that lives, or that ended for another reason, has asked.
        if from.exit_reason().as_ref() != Some(reason) {
            return Told::End;
        }
        match self.linked.remove(&from.id()) {
            Some(Linked::Child(key)) => {
                self.get(key).end_helpers(self.own);
                self.has_ended(key);
                Told::ChildEnded(key)
            }
            Some(Linked::Other) => Told::OtherEnded,
            None => Told::End,
        }
    }

    /// Why a child has ended whose message has not come yet; it counts as having come now.
    pub(super) fn ended_unheard(&mut self, key: Key) -> Option<ExitReason> {
        let State::Running(running) = &self.get(key).state else { return None };
        let reason = running.begun.pid.exit_reason()?;
        self.linked.insert(running.begun.pid.id(), Linked::Other);
        self.get(key).end_helpers(self.own);
        self.has_ended(key);
        Some(reason)
    }

    fn has_ended(&mut self, key: Key) {
        if let State::Running(_) = self.get_mut(key).becomes(State::Stopped) {
            self.running -= 1;
        }
    }

    /// Ends a child that runs, and does not start one that waits.
    pub(super) fn end(&mut self, key: Key) {
        self.get(key).end(self.own);
        self.has_been_ended(key);
    }

    /// After the end of all that belongs to the child: the messages of their links are on their way.
    fn has_been_ended(&mut self, key: Key) {
        let child = self.get_mut(key);
        child.refuse();
        if let State::Running(running) = &child.state {
            let number = running.begun.pid.id();
            self.linked.insert(number, Linked::Other);
        }
        self.waiting.remove(&key);
        self.has_ended(key);
    }

    /// Ends the children from this one on, the last one first, and has them wait for their start; those that are
    /// temporary are forgotten.
    pub(super) fn end_and_wait_again(&mut self, from: RangeFrom<Key>) {
        let keys: Vec<_> = self.all.range(from).rev().map(|(key, _)| *key).collect();
        for key in keys {
            match &self.get(key).state {
                State::Waiting(_) => continue,
                State::Running(_) => self.end(key),
                State::Stopped => {}
            }
            match self.get(key).spec.restart {
                Restart::Temporary => self.forget(key),
                _ => self.wait_again(key, None),
            }
        }
    }

    /// Ends all children, the last one first.
    pub(super) fn end_all(&mut self) {
        let keys: Vec<_> = self.all.keys().rev().copied().collect();
        keys.into_iter().for_each(|key| self.end(key));
    }

    /// Ends all children at once.
    pub(super) fn end_all_together(&mut self) {
        let own = self.own;
        let mut ending: Vec<_> = self.all.values().rev().flat_map(|child| child.begin_end(own)).collect();
        ending.sort_by_key(|(ending, _)| ending.order());
        ending.iter_mut().for_each(|(ending, _)| ending.insist());
        ending.into_iter().for_each(|(ending, id)| ending.finish(id, &own.pid));
        let keys: Vec<_> = self.all.keys().copied().collect();
        keys.into_iter().for_each(|key| self.has_been_ended(key));
    }

    pub(super) fn list(&self) -> Vec<ChildInfo> {
        self.all.values().map(Child::info).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            specs: self.all.len(),
            running: self.running,
            supervisors: self.supervisors,
            restarts: self.restarts,
        }
    }
}

/// A supervisor that is killed ends nobody. Those below it learn by their links that they are to end, and would do so only
/// when the start that they are in returns.
impl Drop for Children<'_> {
    fn drop(&mut self) {
        for child in self.all.values() {
            if let State::Running(running) = &child.state
                && let Some(starts) = &running.begun.starts
            {
                starts.cancel();
            }
        }
    }
}
