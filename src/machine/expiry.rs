//! What becomes of runs in time: cancelled when they are late or alone, forgotten when nobody asks.
use super::run::{Run, Status};
use super::{Machine, Timer};
use crate::config::OnOrphan;
use crate::event::Cause;
use crate::id::RunKey;
use crate::limits::{FINISHED_BYTES_MAX, IDEMPOTENCY_TTL_MS};
use crate::time::Tick;

/// Keys of forgotten runs that are not worth a clean-up.
const FINISHED_STALE_MIN: usize = 64;

impl Machine {
    /// Makes sure that the wheel reminds us of this run by its deadline.
    pub(super) fn arm_run(&mut self, key: RunKey) {
        let Some(run) = self.runs.table.get(key) else { return };
        let Some(deadline) = self.run_deadline(run) else { return };
        let run = self.runs.table.get_mut(key).expect("it was there a moment ago");
        if deadline < run.armed {
            run.armed = deadline;
            self.wheel.insert(deadline, Timer::Run(key));
        }
    }

    /// When something must be done about a run if nothing happens to it before.
    fn run_deadline(&self, run: &Run) -> Option<Tick> {
        let orphan = run.subscribers.is_empty().then(|| self.orphan_due(run));
        if run.status.is_finished() {
            return orphan;
        }
        if run.status != Status::Running {
            return None;
        }
        let timeout = self.config.run_timeout.map(|limit| run.started.after_duration(limit));
        let orphan = orphan.filter(|_| self.config.on_orphan == OnOrphan::Cancel);
        timeout.into_iter().chain(orphan).min()
    }

    fn orphan_due(&self, run: &Run) -> Tick {
        let due = run.touched.after_duration(self.config.orphan_ttl);
        match run.idempotency_key {
            Some(_) if run.status.is_finished() => due.max(run.touched.after(IDEMPOTENCY_TTL_MS)),
            _ => due,
        }
    }

    /// A run's time may have come.
    pub(super) fn run_due(&mut self, key: RunKey) {
        let now = self.now.tick;
        let Some(run) = self.runs.table.get_mut(key) else { return };
        if run.armed <= now {
            run.armed = Tick(u64::MAX);
        }
        let run = self.runs.table.get(key).expect("it was there a moment ago");
        match self.run_deadline(run) {
            Some(due) if due > now => self.arm_run(key),
            Some(_) if run.status.is_finished() => self.forget(key),
            Some(_) => {
                let limit = self.config.run_timeout;
                let late = limit.is_some_and(|limit| run.started.after_duration(limit) <= now);
                self.cancel(key, if late { Cause::Deadline } else { Cause::Orphan });
            }
            None => {}
        }
    }

    /// Record and history together.
    fn forget(&mut self, key: RunKey) {
        let Some(run) = self.runs.table.remove(key) else { return };
        assert!(run.subscribers.is_empty() && run.status.is_finished());
        self.runs.by_id.remove(&run.id());
        self.runs.finished_bytes -= run.bytes();
        if let Some(key) = &run.idempotency_key {
            self.runs.by_idempotency_key.remove(key);
        }
        let super::runs::Runs { table, finished, .. } = &mut self.runs;
        if finished.len() > 2 * table.len() + FINISHED_STALE_MIN {
            finished.retain(|key| table.get(*key).is_some());
        }
    }

    /// Forgets the longest finished runs that nobody reads, until the rest fits.
    pub(super) fn forget_for_room(&mut self) {
        let mut looked_at = 0;
        while self.runs.finished_bytes > FINISHED_BYTES_MAX && looked_at < self.runs.finished.len()
        {
            let Some(key) = self.runs.finished.pop_front() else { return };
            match self.runs.get(key) {
                Some(run) if run.subscribers.is_empty() && !run.listed => self.forget(key),
                Some(_) => {
                    self.runs.finished.push_back(key);
                    looked_at += 1;
                }
                None => {}
            }
        }
    }
}
