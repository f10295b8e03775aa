//! How long things took: a histogram with fixed bounds, for one thread or for many.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets: in microseconds, and in seconds as they are written. What takes
/// longer than the last has a bucket of its own.
pub const BOUNDS: [(u64, &str); 16] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
    (120_000_000, "120"),
    (600_000_000, "600"),
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// For each bucket what belongs to it and to none before it.
    pub counts: [u64; BUCKETS],
    /// All of it together, in microseconds.
    pub sum_us: u64,
}

impl Tally {
    pub fn note(&mut self, took: Duration) {
        let us = micros(took);
        self.counts[bucket(us)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

/// A tally that any thread may add to without waiting for another.
#[derive(Debug, Default)]
pub struct Times {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Times {
    pub fn note(&self, took: Duration) {
        let us = micros(took);
        self.counts[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What has been noted so far. What is noted meanwhile may be in one number and not yet in
    /// the other.
    pub fn read(&self) -> Tally {
        let mut tally = Tally { sum_us: self.sum_us.load(Ordering::Relaxed), ..Tally::default() };
        for (count, shared) in tally.counts.iter_mut().zip(&self.counts) {
            *count = shared.load(Ordering::Relaxed);
        }
        tally
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn bucket(us: u64) -> usize {
    BOUNDS.partition_point(|(bound, _)| *bound < us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_are_written_as_they_are() {
        assert!(BOUNDS.is_sorted_by(|one, next| one.0 < next.0));
        for (us, seconds) in BOUNDS {
            assert_eq!(seconds.parse::<f64>().expect("a number"), us as f64 / 1e6);
            assert_eq!(seconds, (us as f64 / 1e6).to_string());
        }
    }

    #[test]
    fn what_takes_exactly_a_bound_belongs_to_its_bucket() {
        let (mut tally, times) = (Tally::default(), Times::default());
        for us in [0, 100, 101, 600_000_000, 600_000_001] {
            tally.note(Duration::from_micros(us));
            times.note(Duration::from_micros(us));
        }
        assert_eq!((tally.counts[0], tally.counts[1]), (2, 1));
        assert_eq!((tally.counts[BUCKETS - 2], tally.counts[BUCKETS - 1]), (1, 1));
        assert_eq!(tally.sum_us, 1_200_000_202);
        assert_eq!(times.read(), tally);
    }
}
