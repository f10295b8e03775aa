//! How long models take to answer.
use super::Ending;
use crate::tally::Times;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Filled by the threads of all runs, read when somebody asks.
#[derive(Debug, Default)]
pub struct ModelTimes {
    /// From the question to the first piece.
    pub first_pieces: Times,
    /// Whole turns that did not fail.
    pub turns: Times,
    /// Turns that failed. Those that were told to stop are none.
    pub failed: AtomicU64,
}

/// A turn that is being said.
pub(super) struct Timed<'a> {
    times: &'a ModelTimes,
    asked: Instant,
    has_begun: bool,
}

impl ModelTimes {
    pub(super) fn ask(&self) -> Timed<'_> {
        Timed { times: self, asked: Instant::now(), has_begun: false }
    }
}

impl Timed<'_> {
    pub fn piece(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.times.first_pieces.note(self.asked.elapsed());
        }
    }

    pub fn end<T>(&self, turn: &Result<T, Ending>) {
        match turn {
            Ok(_) => self.times.turns.note(self.asked.elapsed()),
            Err(Ending::Failed { .. }) => {
                self.times.failed.fetch_add(1, Ordering::Relaxed);
            }
            Err(Ending::Stopped) => {}
        }
    }
}
