//! Names under which actors are found.
//!
//! One table for the whole process, under a lock that nobody holds while foreign code runs. A name is in the table and in
//! its owner's [`Relations`](super::control::Relations); the owner's end takes both out. Who registers puts it into the
//! table first: if the owner ends before the name is in its relations, that is found out, and the name taken back.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::control::Ended;
use super::handle::Handle;
use super::pid::Pid;
use super::reason::ExitReason;

static NAMES: LazyLock<RwLock<HashMap<Arc<str>, Entry>>> = LazyLock::new(RwLock::default);

struct Entry {
    pid: Pid,
    handle: Box<dyn Any + Send + Sync>,
}

/// Why a name can't be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Somebody has it.
    #[non_exhaustive]
    Taken {
        /// The name.
        name: String,
        /// Who has it.
        by: Pid,
    },
    /// The actor has ended.
    #[non_exhaustive]
    Ended {
        /// The name.
        name: String,
        /// The actor.
        pid: Pid,
        /// Why it has ended.
        reason: ExitReason,
    },
}

/// Gives an actor a name, under which [`whereis`] finds this handle. An actor may have several.
///
/// Names belong to the whole process. A name is free again when its owner has ended, before the owner's links and
/// monitors are told; or by [`unregister`]. The table keeps the handle, so a named actor does not end because all other
/// addresses are gone. Never parks.
///
/// # Errors
///
/// If the name is taken, also by the same actor; or if the actor has ended.
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, Address};
///
/// let printer = actor::spawn(|_| (), |(), line: String| println!("{line}"));
/// actor::register("printer", &printer)?;
/// let found: Address<String> = actor::whereis("printer").unwrap();
/// assert_eq!(found, printer);
/// assert!(actor::register("printer", &printer).is_err());
/// printer.pid().kill();
/// printer.pid().wait();
/// assert_eq!(actor::whereis::<Address<String>>("printer"), None);
/// # Ok::<(), fibra::actor::RegisterError>(())
/// ```
pub fn register(name: &str, actor: &impl Handle) -> Result<(), RegisterError> {
    let pid = actor.pid();
    let key: Arc<str> = name.into();
    let entry = Entry { pid: pid.clone(), handle: Box::new(actor.clone()) };
    {
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = names.get(name) {
            let by = owner.pid.clone();
            drop(names);
            return Err(RegisterError::Taken { name: name.into(), by });
        }
        names.insert(key.clone(), entry);
    }
    pid.control().relate_name(key.clone()).map_err(|Ended(reason)| {
        forget(&[key], &pid);
        RegisterError::Ended { name: name.into(), pid, reason }
    })
}

/// The actor of this name, as the handle that was [registered](register), or as a [`Pid`].
///
/// `None` if nobody has the name, or if the handle is of another type. Sending to what is found may fail, since the actor
/// may end at any time. Never parks.
pub fn whereis<A: Handle>(name: &str) -> Option<A> {
    let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
    let entry = names.get(name)?;
    let handle = entry.handle.downcast_ref::<A>();
    handle.or_else(|| (&entry.pid as &dyn Any).downcast_ref()).cloned()
}

/// Takes a name from its owner. False if nobody has it.
pub fn unregister(name: &str) -> bool {
    let removed = NAMES.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    let Some(Entry { pid, handle }) = removed else { return false };
    pid.control().with_relations(|relations| relations.names.retain(|other| **other != *name));
    // Without the locks.
    drop(handle);
    true
}

/// All names that somebody has, sorted.
pub fn registered() -> Vec<String> {
    let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<_> = names.keys().map(|name| String::from(&**name)).collect();
    drop(names);
    all.sort_unstable();
    all
}

/// Takes these names out, as far as this actor has them.
pub(super) fn forget(of: &[Arc<str>], pid: &Pid) {
    if of.is_empty() {
        return;
    }
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    let mut removed = Vec::new();
    for name in of {
        if names.get(name).is_some_and(|entry| entry.pid == *pid) {
            removed.extend(names.remove(name));
        }
    }
    drop(names);
    // Without the lock.
    drop(removed);
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { name, by } => write!(f, "the name \"{name}\" is taken by {by}"),
            Self::Ended { name, pid, reason } => {
                write!(f, "{pid} can't be registered as \"{name}\": it has ended: {reason}")
            }
        }
    }
}

impl Error for RegisterError {}
