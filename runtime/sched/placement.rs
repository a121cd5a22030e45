//! Where an unstarted task starts: the only balance between workers, since a started task stays.
//!
//! A worker that is about to start a task sends it to another one in two cases:
//!
//! - It has many more *started tasks* than the one with the fewest: by a quarter and [`SLACK`].
//! - It watches many more *descriptors*: by an eighth and [`IO_SLACK`]. The tasks of a server may be too few for the first
//!   rule, and would pile up where the listener is: the worker that accepts a connection comes first to its task, too.
//!   Whether a task will wait for a descriptor can't be known, so this works on credit, and computations that are
//!   spawned on a worker with many descriptors are not sent away for long.

use std::cell::Cell;

use crossbeam_utils::CachePadded;

use super::shared::Remote;

/// More than the depth of common trees of tasks: with 32, workers whose chains of parked parents differed in length sent
/// each other the leaves, in the wrong order, and `fib(30)` kept 30,000 stacks alive instead of a hundred.
const SLACK: u32 = 128;

const IO_SLACK: u32 = 4;

/// So many tasks are sent away for their descriptors' sake before one of them has to have waited for one.
const CREDIT: u32 = 4;

type Remotes = [CachePadded<Remote>];

/// One worker's decisions.
#[derive(Default)]
pub(crate) struct Placement {
    /// How many descriptors the others watched at the last use of the credit. Another number: somebody waits there.
    seen: Cell<u32>,
    used: Cell<u32>,
}

impl Placement {
    /// Where a task should start that is about to start on `here`, which has `started` others; `None`: here.
    #[inline]
    pub(crate) fn elsewhere<'a>(
        &self,
        here: &Remote,
        started: u32,
        remotes: &'a Remotes,
    ) -> Option<&'a Remote> {
        let sources = sources(here);
        if started <= SLACK && sources <= IO_SLACK {
            return None;
        }
        self.where_fewer_wait(sources, remotes).or_else(|| where_fewer_run(started, remotes))
    }

    /// Forgives what was sent away in vain. To be called every few milliseconds.
    pub(crate) fn forgive(&self) {
        self.used.set(0);
    }

    fn where_fewer_wait<'a>(&self, mine: u32, remotes: &'a Remotes) -> Option<&'a Remote> {
        let least = remotes.iter().min_by_key(|remote| sources(remote))?;
        let fewest = sources(least);
        if mine <= fewest + fewest / 8 + IO_SLACK {
            return None;
        }
        let others =
            remotes.iter().fold(0u32, |sum, remote| sum.wrapping_add(sources(remote))).wrapping_sub(mine);
        if self.seen.replace(others) != others {
            self.used.set(0);
        }
        self.used.set(self.used.get() + 1);
        (self.used.get() <= CREDIT).then_some(least)
    }
}

fn sources(remote: &Remote) -> u32 {
    remote.driver.selector().sources()
}

fn where_fewer_run(mine: u32, remotes: &Remotes) -> Option<&Remote> {
    let least = remotes.iter().min_by_key(|remote| remote.load())?;
    let fewest = least.load();
    (mine > fewest + fewest / 4 + SLACK).then_some(least)
}
