//! All runs: made, queued, started, stopped, ended, and in the end forgotten.
use super::pages::to_json;
use super::run::{Run, Status};
use super::submit::Fingerprint;
use super::{Counts, Drain, Machine, Output};
use crate::event::{Cancelled, Cause, Event, Interrupted, Kind, Runtime, Usage};
use crate::id::{RunId, RunKey};
use crate::limits::DRAIN_LAST_WORD_MS;
use crate::request::Request;
use crate::slab::Slab;
use crate::wire::Reject;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const RUNS_MAX: usize = u32::MAX as usize;
pub struct Runs {
    pub(super) table: Slab<RunKey, Run>,
    // Ordered, so that the same inputs give the same outputs on every machine.
    pub(super) by_id: BTreeMap<RunId, RunKey>,
    pub(super) by_idempotency_key: BTreeMap<Box<str>, (RunKey, Fingerprint)>,
    /// Runs that wait for a thread, the next one first.
    pub(super) queue: VecDeque<RunKey>,
    pub(super) working: usize,
    /// Finished runs, the longest finished first. Holds keys of runs already forgotten.
    pub(super) finished: VecDeque<RunKey>,
    pub(super) finished_bytes: usize,
    pub(super) subscribers: usize,
}

impl Runs {
    pub fn new() -> Runs {
        Runs {
            table: Slab::new(RUNS_MAX),
            by_id: BTreeMap::new(),
            by_idempotency_key: BTreeMap::new(),
            queue: VecDeque::new(),
            working: 0,
            finished: VecDeque::new(),
            finished_bytes: 0,
            subscribers: 0,
        }
    }

    pub fn get(&self, key: RunKey) -> Option<&Run> {
        self.table.get(key)
    }

    pub fn get_mut(&mut self, key: RunKey) -> Option<&mut Run> {
        self.table.get_mut(key)
    }

    pub fn subscribed(&mut self) {
        self.subscribers += 1;
    }

    pub fn unsubscribed(&mut self) {
        self.subscribers -= 1;
    }

    /// Takes a run off the queue; at once if it is the next one, as each is when a drain begins.
    fn leave_queue(&mut self, key: RunKey) {
        match self.queue.front() {
            Some(next) if *next == key => drop(self.queue.pop_front()),
            _ => self.queue.retain(|waiting| *waiting != key),
        }
    }

    /// Runs that have not ended.
    pub fn unfinished(&self) -> usize {
        self.queue.len() + self.working
    }

    pub fn counts(&self, conns: usize) -> Counts {
        Counts {
            conns,
            subscribers: self.subscribers,
            queued: self.queue.len(),
            working: self.working,
            finished: self.table.len() - self.unfinished(),
            history_bytes: self.finished_bytes,
            idempotency_keys: self.by_idempotency_key.len(),
        }
    }

    pub fn check(&self) {
        let count =
            |is: fn(Status) -> bool| self.table.iter().filter(|(_, run)| is(run.status)).count();
        assert_eq!(self.queue.len(), count(|status| status == Status::Queued));
        assert_eq!(self.working, count(Status::is_working));
        assert_eq!(self.by_id.len(), self.table.len());
        let subscribers: usize = self.table.iter().map(|(_, run)| run.subscribers.len()).sum();
        assert_eq!(self.subscribers, subscribers);
        let finished = self.table.iter().filter(|(_, run)| run.status.is_finished());
        assert_eq!(self.finished_bytes, finished.map(|(_, run)| run.bytes()).sum::<usize>());
        for (key, run) in self.table.iter() {
            run.check();
            assert_eq!(self.by_id.get(&run.id()), Some(&key));
        }
    }
}

impl Machine {
    pub(super) fn create(&mut self, request: Request) -> RunKey {
        let id = request.run_id;
        let run = Run::new(Arc::new(request), self.now);
        let key = self.runs.table.insert(run).expect("memory ends long before run keys do");
        let taken = self.runs.by_id.insert(id, key);
        assert!(taken.is_none(), "the source of ids repeats itself");
        self.runs.queue.push_back(key);
        key
    }

    /// Hands waiting runs to agent threads while there is room.
    pub(super) fn start_next(&mut self) {
        while self.runs.working < self.config.max_runs && !self.is_draining() {
            let Some(key) = self.runs.queue.pop_front() else { return };
            let run = self.runs.get_mut(key).expect("a waiting run is not forgotten");
            run.status = Status::Running;
            run.started = self.now.tick;
            run.updated = run.updated.max(self.now.wall);
            let request = run.request.clone();
            self.runs.working += 1;
            self.outputs.push_back(Output::Start { run: key, request });
            self.arm_run(key);
        }
    }

    pub(super) fn find_run(&self, name: &str) -> Result<RunKey, Reject> {
        let id = RunId::parse(name).filter(|_| name.starts_with("run_"));
        let key = id.and_then(|id| self.runs.by_id.get(&id));
        key.copied().ok_or_else(|| Reject::RunNotFound(name.to_owned()))
    }

    /// `POST /v1/runs/{id}/stop`: the answer, and the run on its way out.
    pub(super) fn stop(&mut self, key: RunKey) -> Vec<u8> {
        let run = self.runs.get(key).expect("the caller just found it");
        if run.status.is_finished() {
            return self.status_of(key);
        }
        let name = run.id().to_string();
        self.cancel(key, Cause::Stop);
        to_json(&serde_json::json!({ "run_id": name, "status": "stopping" }))
    }

    /// Ends a run from outside: at once if it waits, else by telling its agent.
    pub(super) fn cancel(&mut self, key: RunKey, cause: Cause) {
        let Some(run) = self.runs.table.get_mut(key) else { return };
        run.touched = self.now.tick;
        match run.status {
            Status::Queued => {
                let ending =
                    Cancelled { usage: Usage::default(), output: None, pending_steer: None };
                self.conclude(key, Kind::Cancelled(Box::new(ending)));
            }
            Status::Running => {
                run.status = Status::Stopping;
                run.updated = run.updated.max(self.now.wall);
                self.outputs.push_back(Output::Cancel { run: key, cause });
            }
            _ => {}
        }
    }

    /// Takes in an event. One that comes after a run was ended by force finds it closed.
    pub(super) fn event(&mut self, mut event: Event) {
        let key = event.run;
        // Who answered, where the agent has not said: whoever was announced.
        if let Kind::Completed(ending) = &mut event.kind
            && ending.runtime == Runtime::default()
        {
            ending.runtime = self.pages.runtime();
        }
        let Some(run) = self.runs.table.get_mut(key) else { return };
        if run.status.is_finished() {
            return;
        }
        let (before, start) = (run.status, run.log.start());
        run.push(event, &mut self.scratch);
        let (finished, dropped) = (run.status.is_finished(), run.log.start() > start);
        if !run.listed {
            run.listed = true;
            self.news.push_back(key);
        }
        if dropped {
            self.cut_off(key);
        }
        if finished {
            self.finished(key, before);
        }
    }

    /// Ends a run that has no thread to speak for it, or one that no longer answers.
    fn conclude(&mut self, key: RunKey, kind: Kind) {
        let Some(run) = self.runs.get(key) else { return };
        let at = run.updated.max(self.now.wall);
        let seq = run.log.next_seq();
        self.event(Event { run: key, seq, at, kind });
    }

    fn finished(&mut self, key: RunKey, before: Status) {
        let tick = self.now.tick;
        let run = self.runs.get_mut(key).expect("the caller just used it");
        run.touched = tick;
        let bytes = run.bytes();
        self.runs.finished_bytes += bytes;
        self.runs.finished.push_back(key);
        match before {
            Status::Queued => self.runs.leave_queue(key),
            _ => self.runs.working -= 1,
        }
        self.arm_run(key);
        self.forget_for_room();
        self.start_next();
        self.drain_on();
    }

    pub(super) fn interrupt_queued(&mut self) {
        while let Some(key) = self.runs.queue.front().copied() {
            self.conclude(key, interrupted("The server stopped before the run began."));
        }
    }

    /// The grace is over: every working run is told to end.
    pub(super) fn end_grace(&mut self) {
        let until = self.now.tick.after(DRAIN_LAST_WORD_MS);
        self.set_drain(Drain::LastWords { until }, until);
        for key in self.working_runs() {
            self.cancel(key, Cause::Shutdown);
        }
    }

    /// Agents that have not answered to that are spoken for.
    pub(super) fn interrupt_all(&mut self) {
        for key in self.working_runs() {
            self.conclude(key, interrupted("The server stopped while the run was working."));
        }
    }

    fn working_runs(&self) -> Vec<RunKey> {
        let working = self.runs.table.iter().filter(|(_, run)| run.status.is_working());
        working.map(|(key, _)| key).collect()
    }
}

fn interrupted(error: &str) -> Kind {
    Kind::Interrupted(Box::new(Interrupted { error: error.to_owned(), pending_steer: None }))
}
