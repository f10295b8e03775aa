//! What clients say to a run that works, until its agent looks.
use super::Cancel;
use crate::approval::Choice;
use crate::request::Steer;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shared by a run's thread and whoever may steer the run. Whoever pushes bounds it.
#[derive(Clone, Debug, Default)]
pub struct Inbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Something has been decided, or the run was told to end.
    decided: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    steers: VecDeque<Arc<Steer>>,
    choice: Option<Choice>,
    /// The run was told to end: nobody waits any more.
    is_over: bool,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox::default()
    }

    pub fn push(&self, steer: Arc<Steer>) {
        self.waiting().steers.push_back(steer);
    }

    /// Lets the agent go on that waits in `await_choice`, or is about to.
    pub fn decide(&self, choice: Choice) {
        self.waiting().choice = Some(choice);
        self.0.decided.notify_all();
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<Arc<Steer>> {
        self.waiting().steers.pop_front()
    }

    /// True if all that was pushed has been taken.
    pub fn is_empty(&self) -> bool {
        self.waiting().steers.is_empty()
    }

    /// True while one waits for which the turn's remaining tool calls are to be skipped.
    pub(super) fn interrupts(&self) -> bool {
        self.waiting().steers.iter().any(|steer| steer.interrupt)
    }

    /// Blocks until `decide` was called, or the run is told to end: then `None`.
    pub(super) fn await_choice(&self, cancel: &Cancel) -> Option<Choice> {
        let shared = self.0.clone();
        let _hook = cancel.on_cancel(move || {
            lock(&shared.waiting).is_over = true;
            shared.decided.notify_all();
        });
        let undecided = |waiting: &mut Waiting| waiting.choice.is_none() && !waiting.is_over;
        let waited = self.0.decided.wait_while(self.waiting(), undecided);
        waited.unwrap_or_else(PoisonError::into_inner).choice.take()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.0.waiting)
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
