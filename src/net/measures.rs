//! What the machine cannot count, since it has no clock and sees no thread but its own.
use crate::agent::ModelTimes;
use crate::machine::Measures;
use crate::tally::Times;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the store's threads take, filled by them.
#[derive(Debug, Default)]
pub struct StoreTimes {
    pub commits: Times,
    pub syncs: Times,
    pub reads: Times,
    /// Things written.
    pub rows: AtomicU64,
}

/// Lines of this process's log that were dropped because nobody took them. Whoever writes the log
/// counts them here.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// All of it, as it is now.
pub fn gather(store: &StoreTimes, models: Option<&ModelTimes>) -> Measures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut measures = Measures {
        resident_bytes: number(&status, "VmRSS:") * 1024,
        threads: number(&status, "Threads:"),
        commits: store.commits.read(),
        syncs: store.syncs.read(),
        reads: store.reads.read(),
        rows: store.rows.load(Ordering::Relaxed),
        log_lines_dropped: LOG_LINES_DROPPED.load(Ordering::Relaxed),
        ..Measures::default()
    };
    if let Some(models) = models {
        measures.first_pieces = models.first_pieces.read();
        measures.turns = models.turns.read();
        measures.turns_failed = models.failed.load(Ordering::Relaxed);
    }
    measures
}

/// The number on the line that begins with `name`; 0 if there is none, as on other systems.
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
