//! Several sides of one comparison in one process, a slice of each in turn.
//!
//! Two processes differ by where their code and data happen to lie, and one after the other meets another load of the
//! machine. A difference of some nanoseconds, or a ratio near one, is therefore taken from turns in which every side does
//! the same number of operations: first the difference or ratio within each turn, then the median of those.

use std::time::{Duration, Instant};

use crate::Report;

/// How many turns are measured, after one that is not: so many that most are over before the kernel takes the core away.
pub const TURNS: usize = 201;

/// What a turn of each side took, in nanoseconds an operation.
pub struct Turns<const SIDES: usize> {
    nanos: [Vec<f64>; SIDES],
}

/// Lets each side do about `n` operations. A side gets how many it is to do now, and returns the time that they took, so
/// that it may prepare something before; all its runs together do [`all_of`] that number.
pub fn take<const SIDES: usize>(n: usize, sides: [&mut dyn FnMut(usize) -> Duration; SIDES]) -> Turns<SIDES> {
    take_long(TURNS, each_of(n), sides)
}

/// The same with `ops` operations a turn, for sides that need long for each.
pub fn take_long<const SIDES: usize>(
    count: usize,
    ops: usize,
    sides: [&mut dyn FnMut(usize) -> Duration; SIDES],
) -> Turns<SIDES> {
    let mut turns = Turns { nanos: [const { Vec::new() }; SIDES] };
    for turn in 0..=count {
        for i in 0..SIDES {
            // Another one begins each time, for the first may find caches that the last has left.
            let side = (i + turn) % SIDES;
            let time = sides[side](ops);
            if turn > 0 {
                turns.nanos[side].push(time.as_nanos() as f64 / ops as f64);
            }
        }
    }
    turns
}

/// Takes turns with nobody: nanoseconds an operation, however often the core is taken away in between. `side` does as many
/// operations as it is told.
pub fn alone(n: usize, mut side: impl FnMut(usize)) -> Report {
    let turns = take(n, [&mut |ops| time(|| side(ops))]);
    Report::new(turns.nanos(0), "ns")
}

/// How many operations a side does in one turn of `n` in all.
pub fn each_of(n: usize) -> usize {
    n.div_ceil(TURNS)
}

/// How many operations a side has done when all turns of `n` are over.
pub fn all_of(n: usize) -> usize {
    each_of(n) * (TURNS + 1)
}

/// How long `work` takes.
pub fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

impl<const SIDES: usize> Turns<SIDES> {
    /// What an operation of this side takes: the median turn, in nanoseconds.
    pub fn nanos(&self, side: usize) -> f64 {
        median(self.nanos[side].iter().copied())
    }

    /// By how many nanoseconds an operation of `side` takes longer than one of `other`.
    pub fn extra(&self, side: usize, other: usize) -> f64 {
        median(self.pairs(side, other).map(|(ours, theirs)| ours - theirs))
    }

    /// How many times as long as one of `other` an operation of `side` takes.
    pub fn ratio(&self, side: usize, other: usize) -> f64 {
        median(self.pairs(side, other).map(|(ours, theirs)| ours / theirs))
    }

    fn pairs(&self, side: usize, other: usize) -> impl Iterator<Item = (f64, f64)> {
        self.nanos[side].iter().copied().zip(self.nanos[other].iter().copied())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
