//! The word from outside that a run is over, and how it reaches a thread that blocks.
pub use crate::event::Cause;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by a run's thread and whoever may end the run.
///
/// Cancelling sets a flag and calls every hook; a hook must free a blocked call of the run's
/// thread (shut a socket down, write to a pipe) without blocking itself.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    cause: Option<Cause>,
    hooks: Vec<(u64, Box<dyn Fn() + Send>)>,
    next_hook: u64,
}

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// The first cause stays.
    pub fn cancel(&self, cause: Cause) {
        let mut state = self.state();
        if state.cause.is_none() {
            state.cause = Some(cause);
            for (_, hook) in &state.hooks {
                hook();
            }
            self.0.told.notify_all();
        }
    }

    pub fn cause(&self) -> Option<Cause> {
        self.state().cause
    }

    pub fn is_cancelled(&self) -> bool {
        self.cause().is_some()
    }

    /// Sleeps for `time`, or until the word comes. True if it has come.
    pub fn wait(&self, time: Duration) -> bool {
        let is_open = |state: &mut State| state.cause.is_none();
        let waited = self.0.told.wait_timeout_while(self.state(), time, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.cause.is_some()
    }

    /// Has `hook` called on cancelling, at once if that has already happened, until the guard
    /// is dropped.
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) -> Hook {
        let mut state = self.state();
        if state.cause.is_some() {
            hook();
        }
        let id = state.next_hook;
        state.next_hook += 1;
        state.hooks.push((id, Box::new(hook)));
        Hook { cancel: self.clone(), id }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.cause()).finish()
    }
}

/// A registered hook; dropping it takes the hook back.
#[must_use = "dropping the guard takes the hook back"]
pub struct Hook {
    cancel: Cancel,
    id: u64,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.cancel.state().hooks.retain(|(id, _)| *id != self.id);
    }
}
