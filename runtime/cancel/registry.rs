//! Who is to be told when a token is cancelled: closures that run under it, tokens derived from it, receivers.
//!
//! ```text
//! Node (parent) ◀── Arc ── Node (child)        a child keeps its ancestors alive
//!   │  Registry ── Weak ──▶ child              a parent only knows its children
//!   │           ── address ▶ Region            in the frame of a `run`, which takes it out before it returns
//! ```
//!
//! A node is locked alone, never two at once, for a few instructions that neither park nor run foreign code. So the
//! order in which a tree is cancelled, extended and dropped from several threads can't deadlock. A child that is
//! derived meanwhile is either in the list that the canceller takes, or finds its parent cancelled.

use std::convert::Infallible;
use std::error::Error;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use slab::Slab;

use crate::channel::{self, Receiver, Sender};
use crate::task::core::{Ended, ThreadCore};
use crate::task::region::Region;

/// Why a token was cancelled.
pub type Reason = Arc<dyn Error + Send + Sync>;

/// What the handles of one token share.
pub(super) struct Node {
    /// Set once, under the registry's lock, with the reason.
    cancelled: AtomicBool,
    registry: Mutex<Registry>,
    /// The token that this one was derived from, and our place in its list.
    parent: Option<(Arc<Node>, usize)>,
}

#[derive(Default)]
struct Registry {
    reason: Option<Reason>,
    children: Slab<Weak<Node>>,
    regions: Slab<RegionPtr>,
    /// Made when somebody first asks for a receiver; the sender goes at the cancellation.
    signal: Option<(Option<Sender<Infallible>>, Receiver<Infallible>)>,
}

/// A region that is told of the cancellation; valid while it is in the list.
struct RegionPtr(NonNull<Region>);

// SAFETY: what others do with a region they may do from any thread (`Region::end`, `Region::core`).
unsafe impl Send for RegionPtr {}

/// Takes a region out of its token's list when dropped.
pub(super) struct Registered<'a> {
    node: &'a Node,
    place: Option<usize>,
}

impl Node {
    pub(super) fn root() -> Arc<Self> {
        Arc::new(Self::new(Registry::default(), None))
    }

    fn new(registry: Registry, parent: Option<(Arc<Node>, usize)>) -> Self {
        let cancelled = AtomicBool::new(registry.reason.is_some());
        Self { cancelled, registry: Mutex::new(registry), parent }
    }

    pub(super) fn child(self: &Arc<Self>) -> Arc<Self> {
        let mut registry = self.lock();
        if let Some(reason) = registry.reason.clone() {
            drop(registry);
            return Arc::new(Self::new(Registry { reason: Some(reason), ..Registry::default() }, None));
        }
        Arc::new_cyclic(|child| {
            let place = registry.children.insert(Weak::clone(child));
            Self::new(Registry::default(), Some((Arc::clone(self), place)))
        })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        // Acquire: pairs with the Release in `cancel_one`; what the canceller did before is visible.
        self.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.lock().reason.clone()
    }

    /// A receiver that is disconnected by the cancellation.
    pub(super) fn receiver(&self) -> Receiver<Infallible> {
        let mut registry = self.lock();
        let is_cancelled = registry.reason.is_some();
        let (_, receiver) = registry.signal.get_or_insert_with(|| {
            let (sender, receiver) = channel::bounded(0);
            (Some(sender).filter(|_| !is_cancelled), receiver)
        });
        receiver.clone()
    }

    /// Cancels this node and all that descend from it. False if it was cancelled already.
    pub(super) fn cancel(self: &Arc<Self>, reason: &Reason) -> bool {
        let mut left = Vec::new();
        let first = self.cancel_one(reason, &mut left);
        while let Some(node) = left.pop() {
            node.cancel_one(reason, &mut left);
        }
        first
    }

    fn cancel_one(&self, reason: &Reason, children: &mut Vec<Arc<Node>>) -> bool {
        let mut claimed: Vec<NonNull<ThreadCore>> = Vec::new();
        let signal = {
            let mut registry = self.lock();
            if registry.reason.is_some() {
                return false;
            }
            registry.reason = Some(Arc::clone(reason));
            // Release: pairs with the Acquire in `is_cancelled`.
            self.cancelled.store(true, Ordering::Release);
            children.extend(registry.children.iter().filter_map(|(_, child)| child.upgrade()));
            // Under the lock, since a region must not be left meanwhile. A wait that we claim here goes on until the
            // loop below ends it.
            claimed.extend(registry.regions.iter().filter_map(|(_, region)| {
                // SAFETY: what is in the list has not been left, since that takes it out, under our lock.
                let region = unsafe { region.0.as_ref() };
                region.end().then(|| region.core())
            }));
            registry.signal.as_mut().and_then(|(sender, _)| sender.take())
        };
        for core in claimed {
            // SAFETY: `end` has claimed this wait for us; each is ended once.
            unsafe { ThreadCore::end_wait(core, Ended::Cancelled) };
        }
        // Wakes those who listen.
        drop(signal);
        true
    }

    /// Has `region` ended by the cancellation, until the value returned is dropped. Ends it at once if that has happened.
    pub(super) fn register(&self, region: &Region) -> Registered<'_> {
        let mut registry = self.lock();
        let is_cancelled = registry.reason.is_some();
        let place = (!is_cancelled).then(|| registry.regions.insert(RegionPtr(NonNull::from(region))));
        drop(registry);
        if is_cancelled {
            // Its owner is the caller, who does not wait: there is nothing to claim.
            region.end();
        }
        Registered { node: self, place }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Nothing panics under the lock.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the parent's list.
    fn leave_parent(&mut self) -> Option<Arc<Node>> {
        let (parent, place) = self.parent.take()?;
        parent.lock().children.remove(place);
        Some(parent)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.node.lock().regions.remove(place);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // By a loop: a chain of a hundred thousand tokens, dropped by recursion, would overflow the stack.
        let mut parent = self.leave_parent();
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.leave_parent();
        }
    }
}
