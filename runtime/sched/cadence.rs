//! How often a busy worker reads the clock.
//!
//! A clock reading costs as much as a task switch, so a worker reads it every `stride` picks, and adapts the stride so
//! that a stride lasts about [`TARGET`]: 1 where tasks run long, 1,024 where they only yield.

use std::cell::Cell;
use std::time::{Duration, Instant};

const TARGET: Duration = Duration::from_micros(100);
const MAX_STRIDE: u32 = 1024;

/// When so much time has passed, the worker looks at its timers, its events and the injector even when it is busy.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// See the head of this file.
pub(crate) struct Cadence {
    left: Cell<u32>,
    stride: Cell<u32>,
    last_reading: Cell<Instant>,
    last_look: Cell<Instant>,
}

impl Cadence {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            left: Cell::new(1),
            stride: Cell::new(1),
            last_reading: Cell::new(now),
            last_look: Cell::new(now),
        }
    }

    /// Counts a pick; true when the clock should be read.
    #[inline]
    pub(crate) fn tick(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        left == 0
    }

    /// Takes a reading and adapts the stride. True if it is time to look around.
    pub(crate) fn read(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.last_reading.get());
        let stride = self.stride.get();
        let next = if elapsed < TARGET / 2 {
            stride * 2
        } else if elapsed > TARGET * 2 {
            // Longer than wanted by this factor, which may be huge after one task that hogs the worker.
            let factor = elapsed.as_micros() / TARGET.as_micros();
            u32::try_from(u128::from(stride) / factor).unwrap_or(1)
        } else {
            stride
        };
        self.stride.set(next.clamp(1, MAX_STRIDE));
        self.left.set(self.stride.get());
        self.last_reading.set(now);
        let due = now.saturating_duration_since(self.last_look.get()) >= LOOK_EVERY;
        if due {
            self.last_look.set(now);
        }
        due
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_stride_follows_the_length_of_the_tasks() {
        let cadence = Cadence::new();
        let mut now = Instant::now();
        for _ in 0..20 {
            now += Duration::from_nanos(10) * cadence.stride.get();
            cadence.read(now);
        }
        assert_eq!(cadence.stride.get(), MAX_STRIDE);
        now += Duration::from_millis(10);
        assert!(cadence.read(now), "it is long since the last look");
        assert!(cadence.stride.get() <= 16);
    }
}
