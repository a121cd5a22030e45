//! Counts of durations at a resolution of 0.8 %, in constant memory: 128 buckets for each power of two.

use std::time::Duration;

/// Bits of a value that its bucket keeps, the leading one aside.
const BITS: u32 = 7;

/// How often each duration was seen, and the longest one exactly.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; bucket(u64::MAX) + 1], total: 0, max: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let nanos = duration.as_nanos() as u64;
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// In nanoseconds.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The shortest time, in nanoseconds, within which `share` of all came; 0 if there were none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map_or(0, |bucket| upper_end(bucket).min(self.max))
    }
}

fn bucket(value: u64) -> usize {
    let shift = (value | 1).ilog2().saturating_sub(BITS);
    // Below 256 each value has a bucket of its own; from there on the leading bit counts as well, once per shift.
    ((shift as usize) << BITS) + (value >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    let leading = (bucket - (shift << BITS)) as u64;
    (leading << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_at_most_a_percent_wide() {
        let mut last = 0;
        for value in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) + (1 << bit) / 3]).chain([0, u64::MAX]) {
            let end = upper_end(bucket(value));
            assert!(end >= value && end - value <= value / 128, "{value} is counted as {end}");
        }
        for value in 0..100_000 {
            assert!(bucket(value) == last || bucket(value) == last + 1);
            last = bucket(value);
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=100).for_each(|nanos| histogram.add(Duration::from_nanos(nanos)));
        assert_eq!([0.5, 0.99, 1.0].map(|share| histogram.quantile(share)), [50, 99, 100]);
        assert_eq!((histogram.total(), histogram.max()), (100, 100));
    }
}
