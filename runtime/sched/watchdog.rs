//! The watchdog: a thread that notices workers whose task runs long.
//!
//! Every [`ROUND`] while somebody is busy it looks at each worker's slice counter. One that has not moved for
//! [`SLICE`] gets its flag raised, and its task yields at its next runtime call. It also announces unstarted tasks that
//! lie on a busy worker while another sleeps (see [`Shared::offer_local`]), and lets the stacks' depot give memory
//! back. When everybody sleeps and there is nothing to give back, it sleeps too, without a timeout: an idle runtime
//! makes no system calls.
//!
//! A worker that gets up rings the [`Alarm`](super::alarm::Alarm) if it sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;
use crate::stack;
use crate::task::cells;

const ROUND: Duration = Duration::from_millis(5);
const SLICE: Duration = Duration::from_millis(10);

/// So many rounds everybody must have slept through before the watchdog sleeps too.
const IDLE_ROUNDS: u32 = 2;

/// While the workers are busy the depot gives memory back only once in so many rounds, a second: it interrupts every core
/// to do so, and what was needed a moment ago will be needed again.
const ROUNDS_PER_BUSY_TRIM: u32 = 200;

/// What the watchdog remembers of a worker.
#[derive(Clone, Copy, Default)]
struct Sighting {
    slice: u32,
    for_rounds: u32,
}

/// The body of the watchdog's thread.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let mut sightings = vec![Sighting::default(); shared.remotes.len()];
    let mut idle_rounds = 0;
    let mut rounds_to_trim = ROUNDS_PER_BUSY_TRIM;
    let mut trimming = true;
    while !shared.alarm.has_ended() {
        let busy = look_at_workers(shared, &mut sightings);
        idle_rounds = if busy { 0 } else { idle_rounds + 1 };
        let idle = idle_rounds > IDLE_ROUNDS;
        rounds_to_trim = rounds_to_trim.saturating_sub(1);
        if idle || rounds_to_trim == 0 {
            rounds_to_trim = ROUNDS_PER_BUSY_TRIM;
            trimming = stack::trim();
        }
        if idle && !trimming {
            cells::trim();
            shared.alarm.sleep(|| shared.remotes.iter().any(|remote| !remote.bed.is_asleep()));
            idle_rounds = 0;
        } else {
            shared.alarm.pause(ROUND);
        }
    }
}

/// Raises the flags of workers that have not moved for a slice. Returns whether any worker is awake, or has been since
/// the last look.
fn look_at_workers(shared: &Shared, sightings: &mut [Sighting]) -> bool {
    let mut busy = false;
    for (remote, sighting) in shared.remotes.iter().zip(sightings) {
        let slice = remote.slice.load(Ordering::Relaxed);
        let moved = slice != sighting.slice;
        let asleep = remote.bed.is_asleep() || remote.answered.load(Ordering::Relaxed);
        busy |= moved || !asleep;
        if moved || asleep {
            *sighting = Sighting { slice, for_rounds: 0 };
            continue;
        }
        sighting.for_rounds += 1;
        if ROUND * sighting.for_rounds >= SLICE {
            remote.preempt.raise();
        }
        if !remote.stealer.is_empty() {
            // It may not come to its unstarted tasks for long, and may not have announced the last one.
            shared.offer();
        }
    }
    busy
}
