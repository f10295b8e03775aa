//! Times, and the one that so many of them do not exceed.
use std::collections::BinaryHeap;

/// Microseconds. A heap is slower than a list that is sorted, and a tenth of its code.
pub type Times = BinaryHeap<u64>;

/// In order, to be asked for percentiles.
pub struct Sorted(Vec<u64>);

impl Sorted {
    pub fn new(times: Times) -> Sorted {
        Sorted(times.into_sorted_vec())
    }

    /// That of `percent` in the hundred; `None` if there are no times.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        self.0.get((self.0.len() * percent).div_ceil(100).saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Sorted, Times};

    #[test]
    fn a_percentile_is_a_time_that_came_and_so_many_are_no_longer() {
        assert_eq!(Sorted::new(Times::new()).percentile(50), None);
        let times = Sorted::new((1..=200).rev().collect());
        let found = [0, 50, 99, 100].map(|percent| times.percentile(percent));
        assert_eq!(found, [Some(1), Some(100), Some(198), Some(200)]);
    }
}
