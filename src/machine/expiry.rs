//! What becomes of runs in time: cancelled when they are late or alone, forgotten when nobody asks.
use super::metrics::Evicted;
use super::run::Run;
use super::{Machine, Output, Timer};
use crate::budget::Limit;
use crate::config::OnOrphan;
use crate::event::Cause;
use crate::id::RunKey;
use crate::limits::{IDEMPOTENCY_TTL_MS, PRUNE_EVERY_MS, PRUNE_PAUSE_MS};
use crate::record::{Fault, Pruned, Status, Write};
use crate::time::Tick;
use std::time::Duration;

/// Keys of forgotten runs that are not worth a clean-up.
const FINISHED_STALE_MIN: usize = 64;
/// How often a working run is looked at, at most.
const REMIND_MIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Makes sure that the wheel reminds us of this run by its deadline.
    pub(super) fn arm_run(&mut self, key: RunKey) {
        let Some(run) = self.runs.table.get(key) else { return };
        let Some(mut deadline) = self.run_deadline(run) else { return };
        if !run.status.is_finished() {
            // Once it is, somebody must look whether it is to be forgotten: one reminder, early
            // enough for both, is half the memory of two.
            let ttl = self.config.orphan_ttl.max(REMIND_MIN);
            deadline = deadline.min(self.now.tick.after_duration(ttl));
        }
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
        let works = matches!(run.status, Status::Running | Status::WaitingForApproval);
        if !works || run.request().is_some() {
            return None;
        }
        let timeout = run.live().late_at();
        let orphan = orphan.filter(|_| self.config.on_orphan == OnOrphan::Cancel);
        let approval = run.approval().map(|pending| pending.due);
        timeout.into_iter().chain(orphan).chain(approval).min()
    }

    fn orphan_due(&self, run: &Run) -> Tick {
        let due = run.touched.after_duration(self.config.orphan_ttl);
        match run.record.idempotency {
            Some(_) if run.status.is_finished() && !self.keep.is_durable => {
                due.max(run.touched.after(IDEMPOTENCY_TTL_MS))
            }
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
                let late = run.live().is_late(now);
                let undecided = run.approval().is_some_and(|pending| pending.due <= now);
                match (late, undecided) {
                    (true, _) => self.cancel(key, Cause::Budget(Limit::Wall)),
                    (false, true) => self.deny_late(key),
                    (false, false) => self.cancel(key, Cause::Orphan),
                }
            }
            None => {}
        }
    }

    /// Takes a finished run out of memory, and thereby out of a store that is memory too.
    fn forget(&mut self, key: RunKey) {
        if let Some(run) = self.forget_run(key)
            && !self.keep.is_durable
        {
            self.keep.write(Write::Delete { no: run.record.no }, None);
            self.announce_deleted(run.id(), &run.record.owner);
            self.forget_grants_after(&run);
        }
    }

    fn forget_run(&mut self, key: RunKey) -> Option<Run> {
        let run = self.runs.remove(key)?;
        assert!(run.subscribers.is_empty() && run.status.is_finished());
        self.runs.finished_bytes -= run.bytes();
        self.left.note(&run);
        let super::runs::Runs { table, finished, .. } = &mut self.runs;
        if finished.len() > 2 * table.len() + FINISHED_STALE_MIN {
            finished.retain(|key| table.get(*key).is_some());
        }
        Some(run)
    }

    /// The store has deleted this run: whoever reads it is sent away.
    pub(super) fn forget_deleted(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key).filter(|run| run.status.is_finished()) else { return };
        run.subscribers.clone().into_iter().for_each(|id| self.run_is_gone(id, key));
        if let Some(run) = self.forget_run(key) {
            self.announce_deleted(run.id(), &run.record.owner);
        }
    }

    /// Forgets the longest finished runs that nobody reads, until the rest fits.
    pub(super) fn forget_for_room(&mut self) {
        let bytes_max = match self.keep.is_durable {
            // A store that is memory too has nothing to give them back.
            true if self.is_tight() => 0,
            true => self.shares.finished_cache,
            false => self.shares.finished,
        };
        let mut looked_at = 0;
        while self.runs.finished_bytes > bytes_max && looked_at < self.runs.finished.len() {
            let Some(key) = self.runs.finished.pop_front() else { return };
            match self.runs.get(key) {
                Some(run) if run.subscribers.is_empty() && !run.listed && !self.is_awaited(key) => {
                    self.metrics.evict(Evicted::Run);
                    self.forget(key);
                }
                Some(_) => {
                    self.runs.finished.push_back(key);
                    looked_at += 1;
                }
                None => {}
            }
        }
    }

    /// True while a client waits to be told of the run.
    fn is_awaited(&self, key: RunKey) -> bool {
        self.keep.is_creating(key)
    }

    /// Has the store cleaned up: what need not be retained goes, and what is left of what was
    /// deleted.
    pub(super) fn prune(&mut self) {
        if self.keep.is_durable && !self.is_draining() {
            let retain = self.config.retain;
            self.outputs.push_back(Output::Prune { retain, now: self.now.wall });
        }
    }

    /// The store has come this far with that. What it could not do it is asked to do again.
    pub(super) fn pruned(&mut self, pruned: Result<Pruned, Fault>) {
        let pruned = pruned.unwrap_or_default();
        pruned.revoked.iter().for_each(|id| self.grants.remove(*id));
        if !pruned.gone.is_empty() {
            self.left.note_deletions();
            // They are few: a step takes milliseconds.
            let is_gone = |run: &Run| pruned.gone.contains(&run.record.no);
            let runs = self.runs.table.iter().filter(|(_, run)| is_gone(run));
            let runs: Vec<RunKey> = runs.map(|(key, _)| key).collect();
            if runs.len() < pruned.gone.len() {
                self.announce_unknown(None);
            }
            runs.into_iter().for_each(|run| self.forget_deleted(run));
        }
        let pause = if pruned.more { PRUNE_PAUSE_MS } else { PRUNE_EVERY_MS };
        self.wheel.insert(self.now.tick.after(pause), Timer::Prune);
    }
}
