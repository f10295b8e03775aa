//! Times, and the one that so many of them do not exceed.

/// Microseconds; kept only where somebody asks for them.
#[derive(Default)]
pub struct Times(Option<Vec<u64>>);

impl Times {
    pub fn kept() -> Times {
        Times(Some(Vec::new()))
    }

    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub fn add(&mut self, micros: u64) {
        self.0.iter_mut().for_each(|times| times.push(micros));
    }

    /// That of `percent` in the hundred; `None` if there are no times.
    pub fn percentile(&mut self, percent: usize) -> Option<u64> {
        let times = self.0.as_mut()?;
        times.sort_unstable();
        times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn a_percentile_is_a_time_that_came_and_so_many_are_no_longer() {
        let mut times = Times::kept();
        assert_eq!(times.percentile(50), None);
        (1..=200).rev().for_each(|micros| times.add(micros));
        let of = |times: &mut Times, percent| times.percentile(percent);
        assert_eq!((of(&mut times, 50), of(&mut times, 99)), (Some(100), Some(198)));
        assert_eq!(of(&mut times, 100), Some(200));
    }
}
