//! A store that keeps its word: after a fault it takes nothing until a retry, and a panic is one.
use super::store::weight;
use crate::agent::panic_text;
use crate::config::Retain;
use crate::net::measures::StoreTimes;
use crate::record::{Answer, Batch, Fault, FaultKind, Pruned, Query};
use crate::store::Store;
use crate::time::Wall;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub struct Keeper {
    store: Box<dyn Store>,
    /// Exactly while nothing but a retry is taken.
    is_shut: bool,
    times: Arc<StoreTimes>,
}

impl Keeper {
    pub fn new(store: Box<dyn Store>, times: Arc<StoreTimes>) -> Keeper {
        Keeper { store, is_shut: false, times }
    }

    /// False if `batch` is to be dropped.
    pub fn admits(&mut self, batch: &Batch) -> bool {
        self.is_shut &= !batch.is_retry;
        !self.is_shut
    }

    /// Returns false if it was shut already.
    pub fn shut(&mut self) -> bool {
        !std::mem::replace(&mut self.is_shut, true)
    }

    pub fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        let begun = Instant::now();
        let done = guarded(|| self.store.commit(batch));
        self.times.commits.note(begun.elapsed());
        if done.is_ok() {
            self.times.rows.fetch_add(weight(batch).0 as u64, Ordering::Relaxed);
        }
        self.is_shut = done.is_err();
        done
    }

    /// True while the store lives off its reserve.
    pub fn is_short(&self) -> bool {
        self.store.is_short()
    }

    pub fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        let begun = Instant::now();
        let answer = guarded(|| self.store.answer(query));
        self.times.reads.note(begun.elapsed());
        answer
    }

    pub fn prune(&mut self, retain: &Retain, now: Wall) -> Result<Pruned, Fault> {
        guarded(|| self.store.prune(retain, now))
    }
}

/// A panic becomes a fault. What it left half done is the store's own to notice: it is told to
/// store nothing more but what it is given anew.
pub fn guarded<T>(act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let message = format!("The store crashed: {}.", panic_text(&*panic));
        Err(Fault { kind: FaultKind::Other, message })
    })
}
