//! What was given to the store, and what has become of it.
use super::News;
use crate::machine::Input;
use crate::record::{Batch, Fault, FaultKind};

#[derive(Default)]
pub struct Ledger {
    /// The last batch given, and the last one that is to be synced.
    given: u64,
    given_to_sync: u64,
    committed: u64,
    synced: u64,
    /// Why the last one failed that did.
    fault: Option<Fault>,
}

impl Ledger {
    pub fn give(&mut self, batch: &Batch) {
        self.given = batch.number;
        if wants_sync(batch) {
            self.given_to_sync = batch.number;
        }
    }

    /// What the machine is told of it.
    pub fn enter(&mut self, news: News) -> Option<Input<'static>> {
        match news {
            News::Committed(number) => self.committed = number,
            News::Synced(number) => {
                self.synced = number;
                self.committed = self.committed.max(number);
            }
            News::Unstored { number, fault } => {
                self.fault = Some(fault.clone());
                return Some(Input::Unstored { number, fault });
            }
            News::Unsynced(fault) => {
                self.fault = Some(fault);
                return None;
            }
            News::Short(is_short) => return Some(Input::Short(is_short)),
            News::Answered { asker, answer } => return Some(Input::Answered { asker, answer }),
            News::Pruned(done) => return Some(Input::Pruned(done)),
        }
        Some(Input::Stored { committed: self.committed, synced: self.synced })
    }

    /// For the end, when there is nobody to tell.
    pub fn enter_all(&mut self, news: impl IntoIterator<Item = News>) {
        news.into_iter().for_each(|news| drop(self.enter(news)));
    }

    /// Fails if something is missing from the store, or from the disk.
    pub fn close(self) -> Result<(), Fault> {
        if self.committed >= self.given && self.synced >= self.given_to_sync {
            return Ok(());
        }
        let message = "The store ended before it had taken all in.".to_owned();
        Err(self.fault.unwrap_or(Fault { kind: FaultKind::Other, message }))
    }
}

/// A retry is synced whether it asks for it or not: a sync may be what had failed.
pub fn wants_sync(batch: &Batch) -> bool {
    batch.sync || batch.is_retry
}
