//! A tiny pseudo-random generator for choices that need no quality: which victim to steal from first.

use std::cell::Cell;

/// xorshift64*: three shifts and a multiplication, one word of state. Never yields the all-zero state.
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        // An odd constant keeps a zero seed away from the generator's fixed point.
        Self(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    /// A number in `0..bound`, nearly uniform; `bound` must not be 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        let high = x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((high * bound as u64) >> 32) as usize
    }
}
