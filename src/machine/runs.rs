//! All runs: made, queued, begun, stopped, ended, and in the end forgotten.
use super::access::Who;
use super::conn::Awaits;
use super::keep::Awaited;
use super::ledger::{Scale, request_weight};
use super::log::Log;
use super::owners::Owners;
use super::pages::to_json;
use super::run::Run;
use super::submit::Asked;
use super::waiting::{Done, Found, Halt};
use super::{Asker, Counts, Drain, Machine, Output};
use crate::by_id::ById;
use crate::event::{Cancelled, Cause, Event, Failed, Interrupted, Kind, Runtime, Usage};
use crate::id::{ConnId, RunId, RunKey};
use crate::limits::DRAIN_LAST_WORD_MS;
use crate::record::{
    History, Idempotency, Lineage, Outcome, Query, Record, Status, Unfinished, Write,
};
use crate::time::{Waited, Wall};
use crate::wire::Reject;
use crate::wire::redact::Redact;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const RUNS_MAX: usize = u32::MAX as usize;

pub struct Runs {
    pub(super) table: Scale<RunKey, Run>,
    by_id: ById<RunKey>,
    pub(super) owners: Owners,
    /// Runs that wait for a thread, the next one first.
    pub(super) queue: VecDeque<RunKey>,
    /// Runs that have begun and have no thread yet.
    starting: BTreeMap<RunKey, Starting>,
    /// Runs that have not begun.
    pub(super) waiting: usize,
    pub(super) working: usize,
    /// Finished runs, the longest finished first. Holds keys of runs already forgotten.
    pub(super) finished: VecDeque<RunKey>,
    pub(super) finished_bytes: usize,
    pub(super) subscribers: usize,
}

/// What keeps a run that has begun from being handed to a thread.
#[derive(Clone, Copy, Debug)]
struct Starting {
    /// The store does not have it yet that the run has begun.
    awaits_store: bool,
    awaits_history: bool,
}

impl Runs {
    pub fn new() -> Runs {
        Runs {
            table: Scale::new(RUNS_MAX),
            by_id: ById::default(),
            owners: Owners::default(),
            queue: VecDeque::new(),
            starting: BTreeMap::new(),
            waiting: 0,
            working: 0,
            finished: VecDeque::new(),
            finished_bytes: 0,
            subscribers: 0,
        }
    }

    /// The run in memory that has this id.
    pub fn by_id(&self, id: RunId) -> Option<RunKey> {
        self.by_id.find(id, |key| self.table.get(key).is_some_and(|run| run.id() == id))
    }

    pub fn get(&self, key: RunKey) -> Option<&Run> {
        self.table.get(key)
    }

    pub fn get_mut(&mut self, key: RunKey) -> Option<&mut Run> {
        self.table.get_mut(key)
    }

    pub fn insert(&mut self, run: Run) -> RunKey {
        let id = run.id();
        assert!(self.by_id(id).is_none(), "the source of ids repeats itself");
        // A finished run comes back for somebody who names it; its key may be another's by now.
        let record = (!run.has_ended).then(|| run.record.clone());
        let key = self.table.insert(run).expect("memory ends long before run keys do");
        self.by_id.insert(id, key);
        if let Some(record) = record {
            self.owners.note(&record, key);
        }
        key
    }

    /// Takes a run out of memory.
    pub fn remove(&mut self, key: RunKey) -> Option<Run> {
        let run = self.table.remove(key)?;
        self.by_id.remove(run.id(), |other| other == key);
        self.owners.forget(&run.record, key);
        Some(run)
    }

    pub fn note_finished(&mut self, key: RunKey, bytes: usize) {
        self.finished_bytes += bytes;
        self.finished.push_back(key);
    }

    pub fn subscribed(&mut self) {
        self.subscribers += 1;
    }

    pub fn unsubscribed(&mut self) {
        self.subscribers -= 1;
    }

    /// True if this run is `owner`'s.
    pub fn is_of(&self, key: RunKey, owner: &str) -> bool {
        self.table.get(key).is_some_and(|run| *run.record.owner == *owner)
    }

    /// True if a run asked for now could not begin at once. Without a session it begins one.
    pub fn must_wait(&self, owner: &str, session: Option<&str>, working_max: usize) -> bool {
        self.working >= working_max || session.is_some_and(|id| self.is_in_use(owner, id))
    }

    /// True while a session has an unfinished run.
    pub fn is_in_use(&self, owner: &str, session_id: &str) -> bool {
        self.owners.line(owner, session_id).is_some()
            || self.own_session(owner, session_id).is_some()
    }

    /// The unfinished run that is this session by itself.
    fn own_session(&self, owner: &str, session_id: &str) -> Option<RunKey> {
        let key = self.by_id(RunId::parse(session_id)?)?;
        let run = self.table.get(key).filter(|run| *run.record.owner == *owner)?;
        (run.record.is_own_session() && !run.status.is_finished()).then_some(key)
    }

    /// Has a run stand in line if its session has, or may have, others. Returns true if there is
    /// one before it.
    fn join_line(&mut self, key: RunKey, record: &Record) -> bool {
        if record.is_own_session() {
            return false;
        }
        let first = self.own_session(&record.owner, &record.session_id);
        self.owners.join_line(key, record, first)
    }

    /// Takes a run off the queue; at once if it is the next one, as each is when a drain begins.
    fn leave_queue(&mut self, key: RunKey) {
        match self.queue.front() {
            Some(next) if *next == key => drop(self.queue.pop_front()),
            _ => self.queue.retain(|waiting| *waiting != key),
        }
    }

    /// A run that has begun to be one no more: takes it out of all that leads to a thread.
    fn leave(&mut self, key: RunKey, was: Status, record: &Record) {
        match was {
            Status::Queued => {
                self.waiting -= 1;
                self.leave_queue(key);
            }
            _ => self.working -= 1,
        }
        self.starting.remove(&key);
        if let Some(next) = self.owners.leave(key, record) {
            self.queue.push_back(next);
        }
    }

    /// True while a run has begun and has no agent yet.
    pub fn is_starting(&self, key: RunKey) -> bool {
        self.starting.contains_key(&key)
    }

    /// Runs that have not ended.
    pub fn unfinished(&self) -> usize {
        self.waiting + self.working
    }

    pub fn counts(&self, conns: usize) -> Counts {
        Counts {
            conns,
            subscribers: self.subscribers,
            queued: self.waiting,
            working: self.working,
            finished: self.table.len() - self.unfinished(),
            history_bytes: self.finished_bytes,
            idempotency_keys: self.owners.idempotency_keys(),
        }
    }

    pub fn check(&self) {
        let count =
            |is: fn(Status) -> bool| self.table.iter().filter(|(_, run)| is(run.status)).count();
        assert_eq!(self.waiting, count(|status| status == Status::Queued));
        assert_eq!(self.working, count(Status::is_working));
        assert_eq!(self.by_id.len(), self.table.len());
        let records = self.table.iter().filter(|(_, run)| !run.status.is_finished());
        self.owners.check(records.map(|(_, run)| &*run.record.owner));
        let subscribers: usize = self.table.iter().map(|(_, run)| run.subscribers.len()).sum();
        assert_eq!(self.subscribers, subscribers);
        let finished = self.table.iter().filter(|(_, run)| run.status.is_finished());
        assert_eq!(self.finished_bytes, finished.map(|(_, run)| run.bytes()).sum::<usize>());
        for (key, run) in self.table.iter() {
            run.check();
            assert_eq!(self.by_id(run.id()), Some(key));
        }
        self.check_order();
    }

    /// No run is waited for in vain, and of no session do two runs work.
    fn check_order(&self) {
        let status = |key: &RunKey| self.table.get(*key).map(|run| run.status);
        for line in self.owners.lines() {
            assert!(!line.is_empty(), "a session has a line of nobody");
            let behind = line.iter().skip(1);
            assert!(behind.clone().all(|key| status(key) == Some(Status::Queued)));
            assert!(behind.clone().all(|key| !self.queue.contains(key)));
        }
        for (key, run) in self.table.iter().filter(|(_, run)| run.status == Status::Queued) {
            let line = self.owners.line(&run.record.owner, &run.record.session_id);
            let is_behind = line.is_some_and(|line| line.iter().skip(1).any(|k| *k == key));
            assert!(is_behind || run.has_ended || self.queue.contains(&key), "forgotten in line");
        }
        for key in self.starting.keys() {
            let run = self.table.get(*key).expect("a starting run is not forgotten");
            assert!(run.status == Status::Running && run.request().is_some() && !run.has_ended);
        }
    }
}

impl Machine {
    pub(super) fn create(
        &mut self,
        who: &Who,
        asked: Asked,
        idempotency: Option<Idempotency>,
    ) -> RunKey {
        let Asked { request, has_session, lineage, webhook } = asked;
        let record = Arc::new(Record {
            no: self.keep.next_no(),
            id: request.run_id,
            owner: who.owner.clone(),
            session_id: request.session_id.as_str().into(),
            model: request.model.as_deref().map(Box::from),
            instructions: request.instructions.as_deref().map(Box::from),
            lineage,
            created: self.now.wall,
            idempotency: idempotency.map(Box::new),
            webhook,
        });
        let request = Arc::new(request);
        let mut run = Run::new(record.clone(), Some(request.clone()), self.now);
        run.request_bytes = request_weight(&request);
        run.stored_bytes = if self.keep.is_durable { 0 } else { request.len() };
        run.live_mut().stored_max = run.stored_bytes + self.shares.said;
        let key = self.runs.insert(run);
        self.runs.waiting += 1;
        let is_behind = has_session && self.runs.join_line(key, &record);
        let begins = !is_behind && self.runs.queue.is_empty() && self.has_room();
        let status = if begins { Status::Running } else { Status::Queued };
        self.keep.create(Write::Create { record, request, status }, key);
        if begins {
            self.take_up(key);
            self.keep.also_awaits(Awaited::Begun(key));
        } else if !is_behind {
            self.runs.queue.push_back(key);
        }
        key
    }

    /// Takes in a run that had not ended when the last server did: one that had begun is over.
    pub(super) fn take_over(&mut self, unfinished: Unfinished) {
        let Unfinished { record, request, updated, waited, next_seq } = unfinished;
        let has_begun = request.is_none();
        let mut run = Run::new(record.clone(), request, self.now);
        run.request_bytes = run.request().map_or(0, |request| request_weight(request));
        run.log = Log::resumed(next_seq);
        run.updated = updated.max(record.created);
        run.live_mut().said_at = run.updated;
        let key = self.runs.insert(run);
        self.runs.waiting += 1;
        if has_begun {
            self.take_up(key);
            self.runs.get_mut(key).expect("it was just taken in").waited = waited;
            self.conclude(key, interrupted("The server ended while the run was working."));
        } else if !self.runs.join_line(key, &record) {
            self.runs.queue.push_back(key);
        }
        self.announce(key);
    }

    fn has_room(&self) -> bool {
        self.runs.working < self.config.max_runs
            && !self.is_draining()
            && self.keep.fault().is_none()
    }

    /// Has waiting runs begin while there is room.
    pub(super) fn start_next(&mut self) {
        while self.has_room() {
            let Some(key) = self.runs.queue.pop_front() else { return };
            let Some(run) = self.runs.get(key).filter(|run| !run.has_ended) else { continue };
            let no = run.record.no;
            self.take_up(key);
            let at = self.runs.get(key).expect("it was there a moment ago").updated;
            self.keep.write(Write::Begin { no, at }, Some(Awaited::Begun(key)));
        }
    }

    /// From now on the run counts as working; it gets a thread once the store knows.
    fn take_up(&mut self, key: RunKey) {
        let now = self.now;
        let run = self.runs.get_mut(key).expect("a waiting run is not forgotten");
        run.status = Status::Running;
        run.updated = run.updated.max(now.wall);
        run.waited = Waited::between(run.record.created, run.updated);
        let awaits_history = run.record.lineage != Lineage::Given;
        self.runs.waiting -= 1;
        self.runs.working += 1;
        self.runs.starting.insert(key, Starting { awaits_store: true, awaits_history });
        self.announce(key);
    }

    /// The store knows that the run has begun, and so what it goes on with.
    pub(super) fn ask_history(&mut self, key: RunKey) {
        let awaits = self.runs.starting.get(&key).is_some_and(|it| it.awaits_history);
        if let Some(run) = self.runs.get(key).filter(|_| awaits) {
            let query = Query::History { no: run.record.no, bytes_max: self.shares.history_load };
            self.ask(Asker::Run(key), query);
        }
    }

    pub(super) fn history_told(&mut self, key: RunKey, history: History) {
        let Some(starting) = self.runs.starting.get_mut(&key) else { return };
        starting.awaits_history = false;
        let run = self.runs.table.get_mut(key).expect("a starting run is not forgotten");
        let request =
            run.live_mut().request.as_mut().expect("a starting run knows what it is asked");
        let request = Arc::make_mut(request);
        (request.history, request.omitted) = (history.messages, history.omitted);
        run.request_bytes = request_weight(request);
        self.launch(key);
    }

    /// The store cannot say what was said before.
    pub(super) fn history_lost(&mut self, key: RunKey) {
        if self.runs.starting.contains_key(&key) {
            let error = "The conversation so far could not be read from the store.";
            self.conclude(key, failed("store_unavailable", error));
        }
    }

    /// That the run has begun would outlive a loss of power.
    pub(super) fn is_begun(&mut self, key: RunKey) {
        if let Some(starting) = self.runs.starting.get_mut(&key) {
            starting.awaits_store = false;
            self.launch(key);
        }
    }

    /// Hands a run to an agent thread if nothing keeps it from that.
    fn launch(&mut self, key: RunKey) {
        let Some(Starting { awaits_store: false, awaits_history: false }) =
            self.runs.starting.get(&key)
        else {
            return;
        };
        self.runs.starting.remove(&key);
        let run = self.runs.table.get_mut(key).expect("a starting run is not forgotten");
        let request = run.live_mut().request.take().expect("a starting run knows what it is asked");
        let budget = request.budget.within(&self.config.budget);
        run.touched = self.now.tick;
        let live = run.live_mut();
        (live.started, live.budget) = (self.now.tick, budget);
        self.run_begins(key, &request);
        self.outputs.push_back(Output::Start { run: key, request, budget });
        let run = self.runs.get(key).expect("it was there a moment ago");
        let steers = run.live().steers.iter().cloned();
        self.outputs.extend(steers.map(|steer| Output::Steer { run: key, steer }));
        self.arm_run(key);
    }

    /// `POST /v1/runs/{id}/stop`: the answer, and the run on its way out.
    pub(super) fn stop(&mut self, key: RunKey) -> Vec<u8> {
        let run = self.runs.get(key).expect("the caller just found it");
        if run.status.is_finished() {
            return self.status_of(key, Redact::NOTHING);
        }
        let name = run.id().to_string();
        self.cancel(key, Cause::Stop);
        to_json(&serde_json::json!({ "run_id": name, "status": "stopping" }))
    }

    /// Ends a run from outside: at once if it has no thread yet, else by telling its agent.
    pub(super) fn cancel(&mut self, key: RunKey, cause: Cause) {
        let Some(run) = self.runs.table.get_mut(key) else { return };
        run.touched = self.now.tick;
        if run.has_ended {
            return;
        }
        run.end_approval();
        match run.status {
            Status::Running if !self.runs.starting.contains_key(&key) => {
                run.status = Status::Stopping;
                run.updated = run.updated.max(self.now.wall);
                self.outputs.push_back(Output::Cancel { run: key, cause });
            }
            Status::Queued | Status::Running => self.conclude(key, unstarted(cause)),
            _ => {}
        }
        self.announce(key);
    }

    pub(super) fn cancel_working(&mut self, cause: Cause) {
        for key in self.working_runs() {
            self.cancel(key, cause);
        }
    }

    /// Hears an agent. What comes after its run was ended by force finds it closed.
    pub(super) fn hear(&mut self, event: Event) {
        let Some(run) = self.runs.table.get_mut(event.run) else { return };
        if !run.has_ended {
            let live = run.live_mut();
            assert_eq!(event.seq, live.heard, "a gap in what the agent has said");
            live.heard += 1;
            match event.kind {
                Kind::ApprovalRequest(_) => self.asked_for_leave(event),
                _ => self.event(event),
            }
        }
    }

    /// Takes in an event of a run that has not ended.
    pub(super) fn event(&mut self, mut event: Event) {
        let key = event.run;
        // Who answered, where the agent has not said: whoever was announced.
        if let Kind::Completed(ending) = &mut event.kind
            && ending.runtime == Runtime::default()
        {
            ending.runtime = self.pages.runtime();
        }
        self.take_note(&event);
        let run = self.runs.table.get_mut(key).expect("the caller just found it");
        let taken = run.take_in(event, &mut self.scratch, self.shares.segment);
        self.metrics.event_bytes += self.scratch.len() as u64;
        if run.has_ended {
            self.runs.starting.remove(&key);
        }
        self.keep_said(key, taken);
        self.announce(key);
    }

    /// Ends a run that has no thread to speak for it, or one that no longer answers.
    fn conclude(&mut self, key: RunKey, kind: Kind) {
        let Some(run) = self.runs.get(key) else { return };
        if !run.has_ended {
            let live = run.live();
            let (seq, at) = (live.heard, live.said_at.max(self.now.wall));
            self.event(Event { run: key, seq, at, kind });
        }
    }

    /// The run's terminal event may be shown.
    pub(super) fn finish(
        &mut self,
        key: RunKey,
        status: Status,
        outcome: Arc<Outcome>,
        name: &'static str,
        at: Wall,
    ) {
        let tick = self.now.tick;
        let run = self.runs.table.get_mut(key).expect("an unfinished run is not forgotten");
        let was = std::mem::replace(&mut run.status, status);
        run.outcome = Some(outcome);
        run.live = None;
        // A store in memory keeps a history that a client gave, for runs that go on from it.
        if self.keep.is_durable || run.record.lineage != Lineage::Given {
            run.request_bytes = 0;
        }
        run.touched = tick;
        let written = run.log.written();
        let record = run.record.clone();
        self.show(key, written, name, at);
        let nobody_watches = self.watchers.is_empty();
        let run = self.runs.get_mut(key).expect("it was there a moment ago");
        if nobody_watches {
            // Nobody is told of it again but from the store, which has it too.
            run.preview = Box::default();
        }
        run.fold(&mut self.scratch);
        let bytes = run.bytes();
        self.runs.note_finished(key, bytes);
        self.runs.leave(key, was, &record);
        self.arm_run(key);
        self.forget_for_room();
    }

    /// Undoes what `create` has done: the store could not take the run, and nobody knows of it.
    pub(super) fn drop_uncreated(&mut self, key: RunKey) {
        let Some(run) = self.runs.remove(key) else { return };
        assert!(run.subscribers.is_empty(), "somebody reads a run that was never promised");
        self.runs.leave(key, run.status, &run.record);
    }

    pub(super) fn interrupt_queued(&mut self) {
        let queued = self.runs.table.iter().filter(|(_, run)| run.status == Status::Queued);
        let mut queued: Vec<_> = queued.map(|(key, run)| (run.record.no, key)).collect();
        queued.sort_unstable();
        for (_, key) in queued {
            if self.runs.get(key).is_some_and(|run| !run.has_ended) {
                self.conclude(key, interrupted("The server stopped before the run began."));
            }
        }
    }

    /// The grace is over: every working run is told to end.
    pub(super) fn end_grace(&mut self) {
        let until = self.now.tick.after(DRAIN_LAST_WORD_MS);
        self.set_drain(Drain::LastWords { until }, until);
        self.cancel_working(Cause::Shutdown);
    }

    /// Agents that have not answered to that are spoken for.
    pub(super) fn interrupt_all(&mut self) {
        for key in self.working_runs() {
            if self.runs.get(key).is_some_and(|run| !run.has_ended) {
                self.conclude(key, interrupted("The server stopped while the run was working."));
            }
        }
    }

    fn working_runs(&self) -> Vec<RunKey> {
        let working = self.runs.table.iter().filter(|(_, run)| run.status.is_working());
        working.map(|(key, _)| key).collect()
    }

    /// `DELETE /v1/runs/{id}`.
    pub(super) fn delete_run(&mut self, conn: ConnId, key: RunKey) -> Result<Done, Halt> {
        let run = self.runs.get(key).expect("the caller just found it");
        if !run.status.is_finished() {
            return Err(Reject::RunNotFinished.into());
        }
        if self.keep.fault().is_some() {
            return Err(Reject::StoreUnavailable.into());
        }
        let no = run.record.no;
        self.keep.write(Write::Delete { no }, Some(Awaited::RunDeleted { conn, run: key }));
        Ok(Done::Awaits(Awaits::Deletion))
    }

    pub(super) fn run_deleted(&mut self, conn: ConnId, run: RunKey) {
        self.recall_hooks_of(run);
        self.forget_deleted(run);
        self.deleted(conn);
    }

    /// `DELETE /v1/sessions/{id}`.
    pub(super) fn delete_session(
        &mut self,
        conn: ConnId,
        who: &Who,
        name: &str,
        found: &Found,
    ) -> Result<Done, Halt> {
        self.find_session(who, name, found)?;
        if self.runs.is_in_use(&who.owner, name) {
            return Err(Reject::SessionInUse.into());
        }
        if self.keep.fault().is_some() {
            return Err(Reject::StoreUnavailable.into());
        }
        let (owner, session_id): (_, Box<str>) = (who.owner.clone(), name.into());
        self.keep.write(
            Write::DeleteSession { owner: owner.clone(), id: session_id.clone() },
            Some(Awaited::SessionDeleted { conn, owner, session_id }),
        );
        Ok(Done::Awaits(Awaits::Deletion))
    }

    pub(super) fn session_deleted(&mut self, conn: ConnId, owner: &str, session_id: &str) {
        self.left.note_deletions();
        self.grants.forget_session(owner, session_id);
        let of_session =
            |run: &Run| *run.record.session_id == *session_id && *run.record.owner == *owner;
        let runs = self.runs.table.iter().filter(|(_, run)| of_session(run));
        let runs: Vec<RunKey> = runs.map(|(key, _)| key).collect();
        for run in runs {
            self.recall_hooks_of(run);
            self.forget_deleted(run);
        }
        self.recall_all_hooks();
        // A durable store may have had more of them.
        if self.keep.is_durable {
            self.announce_unknown(Some(owner));
        }
        self.deleted(conn);
    }
}

fn interrupted(error: &str) -> Kind {
    Kind::Interrupted(Box::new(Interrupted { error: error.to_owned(), pending_steer: None }))
}

fn failed(reason: &'static str, error: &str) -> Kind {
    let (error, usage) = (error.to_owned(), Usage::default());
    let (budget, output, pending_steer) = (None, None, None);
    Kind::Failed(Box::new(Failed { error, reason, budget, usage, output, pending_steer }))
}

/// The end of a run that has no agent to say it.
fn unstarted(cause: Cause) -> Kind {
    match cause {
        Cause::Stop | Cause::Orphan => Kind::Cancelled(Box::new(Cancelled {
            usage: Usage::default(),
            output: None,
            pending_steer: None,
        })),
        Cause::Shutdown => interrupted("The server stopped before the run began."),
        Cause::Budget(_) => unreachable!("a run that has not begun uses up nothing"),
        Cause::Store => failed("store_unavailable", "The store could not keep the run's events."),
    }
}
