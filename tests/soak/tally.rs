//! What was done, how often, and what failed.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

/// Failures that are shown whole; what fails often fails for one reason.
const SHOWN: usize = 5;

#[derive(Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    pub fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub fn add(&self, what: &'static str, number: u64) {
        *self.counts().entry(what).or_default() += number;
    }

    pub fn get(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or(0)
    }

    pub fn fail(&self, what: String) {
        self.failures.lock().expect("nobody panics with it").push(what);
    }

    pub fn has_failed(&self) -> bool {
        !self.failures.lock().expect("nobody panics with it").is_empty()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.counts.lock().expect("nobody panics with it")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in self.counts().iter() {
            writeln!(f, "{count:10}  {what}")?;
        }
        let failures = self.failures.lock().expect("nobody panics with it");
        writeln!(f, "{:10}  FAILURES", failures.len())?;
        failures.iter().take(SHOWN).try_for_each(|failure| writeln!(f, "\n  {failure}"))
    }
}
