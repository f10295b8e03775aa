//! What clients say to a run that works, until its agent looks.
use crate::request::Steer;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by a run's thread and whoever may steer the run. Whoever pushes bounds it.
#[derive(Clone, Debug, Default)]
pub struct Inbox(Arc<Mutex<VecDeque<Arc<Steer>>>>);

impl Inbox {
    pub fn new() -> Inbox {
        Inbox::default()
    }

    pub fn push(&self, steer: Arc<Steer>) {
        self.steers().push_back(steer);
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<Arc<Steer>> {
        self.steers().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steers().is_empty()
    }

    /// True while one waits for which the turn's remaining tool calls are to be skipped.
    pub(super) fn interrupts(&self) -> bool {
        self.steers().iter().any(|steer| steer.interrupt)
    }

    fn steers(&self) -> MutexGuard<'_, VecDeque<Arc<Steer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
