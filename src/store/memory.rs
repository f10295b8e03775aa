//! A store that ends with its process: runs, what was said in them, and how they hang together.
//!
//! It is asked within the event loop, so nothing here waits and nothing goes over all that was
//! said; only lists that find little and long conversations go over all runs.
mod read;
mod sessions;

use super::{Hands, Store, transcript};
use crate::by_id::ById;
use crate::config::Retain;
use crate::id::{RunId, RunNo};
use crate::limits::SAID_BYTES_MAX;
use crate::record::{
    Answer, Batch, Fault, Lineage, Outcome, Pruned, Query, Record, Recovered, Row, Status, Write,
};
use crate::request::{Content, Message, Request};
use crate::time::{Waited, Wall};
use sessions::{Session, SessionName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keeps runs until they are deleted, and no events of theirs.
#[derive(Debug)]
pub struct Memory {
    /// Bytes of what was said in one run between its input and its output that are kept.
    said_max: usize,
    /// Each apart from the map, whose nodes are half empty where keys only rise.
    runs: BTreeMap<RunNo, Box<Run>>,
    by_id: ById<RunNo>,
    /// Owner and Idempotency-Key of the runs that have one.
    by_key: BTreeSet<(Arc<str>, Arc<str>, RunNo)>,
    /// Which run goes on from this one: each run whose origin is `After`, behind its parent.
    children: BTreeSet<(RunNo, RunNo)>,
    /// Sessions with a name of their own, and runs' own sessions that were gone on with.
    sessions: BTreeMap<SessionName, Session>,
    /// Which sessions have come to this run: each session with a head, behind it.
    heads: BTreeSet<(RunNo, SessionName)>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::within(SAID_BYTES_MAX)
    }
}

#[derive(Debug)]
struct Run {
    record: Arc<Record>,
    asked: Asked,
    origin: Origin,
    status: Status,
    updated: Wall,
    waited: Waited,
    next_seq: u64,
    outcome: Option<Arc<Outcome>>,
    /// What was said between its input and its output, if anything was.
    steps: Option<Box<Steps>>,
}

// A hundred thousand runs must fit.
const _: () = assert!(size_of::<Run>() <= 96);

#[derive(Debug, Default)]
struct Steps {
    messages: Vec<Message>,
    /// Bytes of `messages`, at most.
    bytes: usize,
    /// Older ones that were dropped, being too many.
    omitted: usize,
}

/// What a run was asked.
#[derive(Debug)]
enum Asked {
    /// Whole until the run has ended, since whoever works on it shares it.
    All(Arc<Request>),
    Input(Content),
}

/// What a run goes on from.
#[derive(Clone, Debug)]
enum Origin {
    After(RunNo),
    /// Nothing but the history a client gave with this request, its own or that of a deleted run
    /// it went on from; `None` if that was empty.
    Given(Option<Arc<Request>>),
}

impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn recover(&mut self) -> Result<Recovered, Fault> {
        Ok(Recovered::default())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        batch.writes.iter().for_each(|write| self.write(write));
        Ok(())
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        Ok(self.read(query))
    }

    /// Does nothing: what is in memory is bounded by who puts it there.
    fn prune(&mut self, _: &Retain, _: Wall) -> Result<Pruned, Fault> {
        Ok(Pruned::default())
    }

    fn hands(&self) -> Result<Option<Hands>, Fault> {
        Ok(None)
    }
}

impl Memory {
    /// A store that keeps at most about `said_max` bytes of what was said in one run between its
    /// input and its output; beyond it the older half goes.
    pub fn within(said_max: usize) -> Memory {
        Memory {
            said_max,
            runs: BTreeMap::new(),
            by_id: ById::default(),
            by_key: BTreeSet::new(),
            children: BTreeSet::new(),
            sessions: BTreeMap::new(),
            heads: BTreeSet::new(),
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Create { record, request, status } => self.create(record, request, *status),
            Write::Begin { no, at } => self.begin(*no, *at),
            Write::Events { no, rows } => {
                let said_max = self.said_max;
                self.run_mut(*no).take_in(rows, said_max);
            }
            Write::Finish { no, status, at, next_seq, outcome } => {
                let run = self.run_mut(*no);
                run.status = *status;
                run.updated = run.updated.max(*at);
                run.next_seq = *next_seq;
                run.outcome = Some(outcome.clone());
                run.asked = Asked::Input(run.asked.input().clone());
                self.conclude(*no);
            }
            Write::Delete { no } => self.delete(*no),
            Write::DeleteSession { owner, id } => self.delete_session(owner, id),
            // They end with the process, whose machine has all of them.
            Write::Hook(_) | Write::HookLater { .. } | Write::HookDone { .. } => {}
            // Its grants end with the process, which knows them.
            Write::Grant(_) | Write::Revoke { .. } | Write::Probe => {}
        }
    }

    fn create(&mut self, record: &Arc<Record>, request: &Arc<Request>, status: Status) {
        let no = record.no;
        assert!(self.no_of(record.id).is_none(), "{} was created twice", record.id);
        if let Some(idempotency) = &record.idempotency {
            self.by_key.insert((record.owner.clone(), (*idempotency.key).into(), no));
        }
        self.join_session(record);
        self.runs.insert(no, Box::new(Run::new(record, request)));
        // Not before: whoever looks for an id looks at the runs it may lead to.
        self.by_id.insert(record.id, no);
        match record.lineage {
            Lineage::After(parent) => self.go_on_from(parent, no),
            Lineage::Session if status != Status::Queued => self.go_on_with_session(no),
            Lineage::Session | Lineage::Given => {}
        }
        self.run_mut(no).status = status;
        if status != Status::Queued {
            self.run_mut(no).waited = Waited::between(record.created, record.created);
        }
    }

    fn begin(&mut self, no: RunNo, at: Wall) {
        let run = self.run_mut(no);
        run.status = Status::Running;
        run.updated = run.updated.max(at);
        run.waited = Waited::between(run.record.created, at);
        if run.record.lineage == Lineage::Session {
            self.go_on_with_session(no);
        }
    }

    /// A run's session has come to that run, unless nothing was said in it.
    fn conclude(&mut self, no: RunNo) {
        let run = &self.runs[&no];
        if !run.has_spoken() {
            return;
        }
        let (name, at) = (run.session_name(), run.updated);
        if let Some(session) = self.sessions.get_mut(&name) {
            session.updated = session.updated.max(at);
            self.set_head(&name, Some(no));
        }
    }

    fn delete(&mut self, no: RunNo) {
        let Some(run) = self.runs.remove(&no) else { return };
        self.by_id.remove(run.record.id, |other| other == no);
        if let Some(idempotency) = &run.record.idempotency {
            self.by_key.remove(&(run.record.owner.clone(), (*idempotency.key).into(), no));
        }
        let parent = run.origin.parent();
        if let Some(parent) = parent {
            self.children.remove(&(parent, no));
        }
        let orphans = self.children.range((no, RunNo(0))..=(no, RunNo(u64::MAX)));
        for (_, orphan) in orphans.copied().collect::<Vec<_>>() {
            self.children.remove(&(no, orphan));
            self.run_mut(orphan).origin = run.origin.clone();
            self.children.extend(parent.map(|parent| (parent, orphan)));
        }
        for name in self.sessions_come_to(no) {
            self.set_head(&name, parent);
        }
        self.leave_session(no, &run.session_name());
    }

    fn delete_session(&mut self, owner: &Arc<str>, id: &str) {
        let runs = self.session(owner, id).map(|session| session.runs.clone());
        // From the newest on, so that few of them must be given another parent.
        runs.into_iter().flatten().rev().for_each(|no| self.delete(no));
    }

    fn go_on_with_session(&mut self, no: RunNo) {
        let session = self.sessions.get(&self.runs[&no].session_name());
        if let Some(head) = session.and_then(|session| session.head) {
            self.go_on_from(head, no);
        }
    }

    /// Gives a run its parent, unless that has been deleted meanwhile.
    fn go_on_from(&mut self, parent: RunNo, no: RunNo) {
        if self.runs.contains_key(&parent) {
            self.run_mut(no).origin = Origin::After(parent);
            self.children.insert((parent, no));
        }
    }

    fn no_of(&self, id: RunId) -> Option<RunNo> {
        self.by_id.find(id, |no| self.runs[&no].record.id == id)
    }

    fn run_mut(&mut self, no: RunNo) -> &mut Run {
        self.runs.get_mut(&no).expect("a run is created before anything else is written of it")
    }
}

impl Run {
    fn new(record: &Arc<Record>, request: &Arc<Request>) -> Run {
        Run {
            record: record.clone(),
            origin: Origin::Given((!request.history.is_empty()).then(|| request.clone())),
            asked: Asked::All(request.clone()),
            status: Status::Queued,
            updated: record.created,
            waited: Waited::STILL,
            next_seq: 0,
            outcome: None,
            steps: None,
        }
    }

    fn session_name(&self) -> SessionName {
        (self.record.owner.clone(), (*self.record.session_id).into())
    }

    /// True if more happened to it than its end: only then a session has come to it.
    fn has_spoken(&self) -> bool {
        self.status.is_finished() && self.next_seq > 1
    }

    fn take_in(&mut self, rows: &[Row], said_max: usize) {
        for row in rows {
            self.updated = self.updated.max(row.at);
            self.next_seq = row.last_seq + 1;
            if transcript::TELLING.contains(&row.event) {
                self.steps.get_or_insert_default().take_in(row, said_max);
            }
        }
    }

    fn steps(&self) -> &[Message] {
        self.steps.as_ref().map_or(&[], |steps| &steps.messages)
    }
}

impl Steps {
    fn take_in(&mut self, row: &Row, said_max: usize) {
        row.lines.lines().for_each(|line| transcript::take_in(&mut self.messages, line));
        self.bytes += row.lines.len();
        if self.bytes > said_max {
            self.drop_older();
        }
    }

    /// Drops the older half, calls together with their results.
    fn drop_older(&mut self) {
        let half = self.messages.len() / 2;
        let is_result = |message: &&Message| message.call_id.is_some();
        let results = self.messages[half..].iter().take_while(is_result).count();
        self.omitted += self.messages.drain(..half + results).count();
        self.bytes = self.messages.iter().map(Message::len).sum();
    }
}

impl Asked {
    fn input(&self) -> &Content {
        match self {
            Asked::All(request) => &request.input,
            Asked::Input(input) => input,
        }
    }
}

impl Origin {
    fn parent(&self) -> Option<RunNo> {
        match self {
            Origin::After(parent) => Some(*parent),
            Origin::Given(_) => None,
        }
    }
}
