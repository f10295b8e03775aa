//! What rests in a durable store, as simple as it can be said: runs with all their events, and what
//! each session has come to. It holds whoever writes to the rules of writing.
use runwire::id::{HookId, RunId, RunNo};
use runwire::limits::IDEMPOTENCY_TTL_MS;
use runwire::record::{
    Answer, Batch, Delivery, EventsPage, Grant, History, HooksPage, Lineage, Listed, MessagesPage,
    Outcome, Query, Record, Recovered, Row, RunsPage, Said, SessionListed, SessionsPage, Status,
    Stored, Unfinished, Write,
};
use runwire::request::{Message, Request};
use runwire::store::transcript;
use runwire::time::{Waited, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct Content {
    last_no: u64,
    pub runs: BTreeMap<RunNo, Kept>,
    /// What each session has come to. Runs that are sessions of their own have none here, until
    /// they are gone on with.
    heads: BTreeMap<Box<str>, Option<RunNo>>,
    /// Leave that is remembered, the oldest first.
    pub grants: Vec<Arc<Grant>>,
    /// Deliveries that have not been made.
    pub hooks: BTreeMap<HookId, Delivery>,
}

#[derive(Clone)]
pub struct Kept {
    pub record: Arc<Record>,
    pub request: Arc<Request>,
    pub status: Status,
    updated: Wall,
    waited: Waited,
    parent: Option<RunNo>,
    /// What came before it and before all its parents.
    given: Vec<Message>,
    /// Each event as clients are sent it.
    pub lines: Vec<Box<str>>,
    outcome: Option<Arc<Outcome>>,
}

impl Content {
    pub fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Create { record, request, status } => self.create(record, request, *status),
                Write::Begin { no, at } => self.begin(*no, *at),
                Write::Events { no, rows } => self.say(*no, rows),
                Write::Finish { no, status, at, next_seq, outcome } => {
                    let run = self.runs.get_mut(no).expect("no such run has an end");
                    assert!(!run.status.is_finished(), "{no:?} ended twice");
                    assert_eq!(*next_seq, run.lines.len() as u64, "its last word is not there");
                    (run.status, run.updated) = (*status, *at);
                    run.outcome = Some(outcome.clone());
                    self.conclude(*no);
                }
                Write::Delete { no } => {
                    self.hooks.retain(|_, it| it.run != *no);
                    self.delete(*no);
                }
                Write::DeleteSession { id, .. } => {
                    for no in self.of_session(id) {
                        self.hooks.retain(|_, it| it.run != no);
                        self.delete(no);
                    }
                    self.grants.retain(|it| it.session_id.as_ref() != Some(id));
                }
                Write::Grant(grant) => self.grant(grant),
                Write::Revoke { id } => self.grants.retain(|it| it.id != *id),
                Write::Hook(delivery) => {
                    let known = self.hooks.insert(delivery.id, Delivery::clone(delivery));
                    assert!(known.is_none(), "an id was used twice");
                }
                Write::HookLater { id, tries, due } => {
                    if let Some(known) = self.hooks.get_mut(id) {
                        (known.tries, known.due) = (*tries, *due);
                    }
                }
                Write::HookDone { id } => drop(self.hooks.remove(id)),
                Write::Probe => {}
            }
        }
    }

    /// In the place of one for the same call.
    fn grant(&mut self, grant: &Arc<Grant>) {
        let call = |it: &Grant| (it.session_id.clone(), it.arguments.clone());
        self.grants.retain(|it| call(it) != call(grant));
        self.grants.push(grant.clone());
    }

    fn create(&mut self, record: &Arc<Record>, request: &Arc<Request>, status: Status) {
        assert!(record.no.0 > self.last_no, "a number was used twice");
        self.last_no = record.no.0;
        let session = &record.session_id;
        if !record.is_own_session() && !self.heads.contains_key(session) {
            let own = self.by_name(session).filter(|run| run.record.is_own_session());
            let head = own.filter(|run| run.has_spoken()).map(|run| run.record.no);
            self.heads.insert(session.clone(), head);
        }
        let parent = match record.lineage {
            Lineage::After(no) => Some(no).filter(|no| self.runs.contains_key(no)),
            Lineage::Given | Lineage::Session => None,
        };
        let given = if parent.is_none() { request.history.clone() } else { Vec::new() };
        let run = Kept {
            record: record.clone(),
            request: request.clone(),
            status: Status::Queued,
            updated: record.created,
            waited: Waited::STILL,
            parent,
            given,
            lines: Vec::new(),
            outcome: None,
        };
        self.runs.insert(record.no, run);
        if status == Status::Running {
            self.begin(record.no, record.created);
        }
    }

    fn begin(&mut self, no: RunNo, at: Wall) {
        let session = self.runs[&no].record.session_id.clone();
        let working = |other: &&RunNo| self.runs[other].status == Status::Running;
        let busy = self.of_session(&session).iter().any(|other| working(&other));
        assert!(!busy, "two runs of {session} at once");
        let head = self.heads.get(&session).copied().flatten();
        let run = self.runs.get_mut(&no).expect("it was there a moment ago");
        assert_eq!(run.status, Status::Queued, "{no:?} began twice");
        run.waited = Waited::between(run.record.created, at);
        (run.status, run.updated) = (Status::Running, at);
        if run.record.lineage == Lineage::Session && head.is_some() {
            (run.parent, run.given) = (head, Vec::new());
        }
    }

    fn say(&mut self, no: RunNo, rows: &[Row]) {
        let run = self.runs.get_mut(&no).expect("no such run can say anything");
        assert!(!run.status.is_finished(), "{no:?} spoke after its end");
        for row in rows {
            assert_eq!(row.first_seq, run.lines.len() as u64, "a gap in {no:?}");
            run.lines.extend(row.lines.lines().map(Box::from));
            assert_eq!(row.last_seq + 1, run.lines.len() as u64, "a row of another length");
            let is_delta = row.event.ends_with(".delta");
            assert!(is_delta || row.first_seq == row.last_seq, "two steps in one row");
            let name = format!("{{\"event\":\"{}\",", row.event);
            assert!(row.lines.lines().all(|line| line.starts_with(&name)), "not of one kind");
            run.updated = row.at;
        }
    }

    fn conclude(&mut self, no: RunNo) {
        let run = &self.runs[&no];
        if run.has_spoken()
            && let Some(head) = self.heads.get_mut(&run.record.session_id)
        {
            *head = Some(no);
        }
    }

    pub fn delete(&mut self, no: RunNo) {
        let Some(gone) = self.runs.remove(&no) else { return };
        assert!(gone.status.is_finished(), "{no:?} was deleted before its end");
        for run in self.runs.values_mut().filter(|run| run.parent == Some(no)) {
            (run.parent, run.given) = (gone.parent, gone.given.clone());
        }
        for head in self.heads.values_mut().filter(|head| **head == Some(no)) {
            *head = gone.parent;
        }
        if self.of_session(&gone.record.session_id).is_empty() {
            self.heads.remove(&gone.record.session_id);
        }
    }

    pub fn recover(&self) -> Recovered {
        let unfinished = self.runs.values().filter(|run| !run.status.is_finished());
        let unfinished = unfinished.map(|run| Unfinished {
            record: run.record.clone(),
            request: (run.status == Status::Queued).then(|| run.request.clone()),
            updated: run.updated,
            waited: run.waited,
            next_seq: run.lines.len() as u64,
        });
        let (last_no, grants) = (self.last_no, self.grants.clone());
        Recovered { last_no, unfinished: unfinished.collect(), grants }
    }

    /// The oldest finished runs beyond `runs`, whose keys are not good any more: a few at most.
    pub fn superfluous(&self, runs: Option<u64>, now: Wall) -> Vec<RunNo> {
        let finished = self.runs.values().filter(|run| run.status.is_finished());
        let finished: Vec<&Kept> = finished.collect();
        let room = runs.map_or(usize::MAX, |runs| runs as usize);
        let goes = finished[..finished.len().saturating_sub(room)].iter().filter(|run| {
            let since = Wall(now.0.saturating_sub(IDEMPOTENCY_TTL_MS * 1_000));
            run.record.idempotency.is_none() || run.record.created < since
        });
        goes.map(|run| run.record.no).take(2).collect()
    }

    pub fn by_id(&self, id: RunId) -> Option<&Kept> {
        self.runs.values().find(|run| run.record.id == id)
    }

    fn by_name(&self, name: &str) -> Option<&Kept> {
        self.by_id(RunId::parse(name).filter(|_| name.starts_with("run_"))?)
    }

    fn of_session(&self, session: &str) -> Vec<RunNo> {
        let of = self.runs.values().filter(|run| *run.record.session_id == *session);
        of.map(|run| run.record.no).collect()
    }
}

impl Content {
    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Run { owner, id } => {
                let run = self.by_id(*id).filter(|run| run.record.owner == *owner);
                Answer::Run(run.map(|run| Box::new(run.stored())))
            }
            Query::Idempotent { key, since, .. } => {
                let is_meant = |run: &&Kept| {
                    let known = run.record.idempotency.as_ref();
                    known.is_some_and(|known| known.key == *key) && run.record.created >= *since
                };
                let found = self.runs.values().rev().find(is_meant);
                Answer::Run(found.map(|run| Box::new(run.stored())))
            }
            Query::Runs { status, session_id, after, limit, .. } => {
                let after = after.and_then(|id| self.by_id(id)).map(|run| run.record.no);
                let older = self.runs.range(..after.unwrap_or(RunNo(u64::MAX))).rev();
                let mut found = older.map(|(_, run)| run).filter(|run| {
                    status.is_none_or(|status| run.status == status)
                        && session_id.as_ref().is_none_or(|id| *id == run.record.session_id)
                });
                let runs = found.by_ref().take(*limit).map(Kept::listed).collect();
                Answer::Runs(RunsPage { runs, has_more: found.next().is_some() })
            }
            Query::Events { no, from_seq, bytes_max } => {
                Answer::Events(self.page(*no, *from_seq, *bytes_max))
            }
            Query::History { no, .. } => {
                let messages = self.history(self.runs.get(no));
                Answer::History(History { messages, omitted: 0 })
            }
            Query::Sessions { limit, offset, .. } => {
                let mut all: Vec<_> = self.heads.keys().map(|id| self.session(id)).collect();
                all.sort_by_key(|session| std::cmp::Reverse(session.as_ref().map(|it| it.updated)));
                let mut rest = all.into_iter().flatten().skip(*offset);
                let sessions = rest.by_ref().take(*limit).collect();
                Answer::Sessions(SessionsPage { sessions, has_more: rest.next().is_some() })
            }
            Query::Session { id, .. } => Answer::Session(self.session(id).map(Box::new)),
            Query::Hooks { limit } => Answer::Hooks(self.hooks_due(*limit)),
            Query::Messages { id, limit, offset, .. } => {
                Answer::Messages(self.session(id).map(|_| self.messages(id, *limit, *offset)))
            }
        }
    }

    fn hooks_due(&self, limit: usize) -> HooksPage {
        let mut firsts: BTreeMap<&str, &Delivery> = BTreeMap::new();
        for hook in self.hooks.values() {
            let first = firsts.entry(hook.origin()).or_insert(hook);
            if hook.due < first.due {
                *first = hook;
            }
        }
        let mut deliveries: Vec<Delivery> = firsts.into_values().cloned().collect();
        deliveries.sort_by_key(|it| (it.due, it.id));
        deliveries.truncate(limit);
        let more = deliveries.len() < self.hooks.len();
        HooksPage { deliveries, more }
    }

    /// As many events as fit, and at least one.
    fn page(&self, no: RunNo, from_seq: u64, bytes_max: usize) -> EventsPage {
        let known = self.runs.get(&no).map_or(&[][..], |run| &run.lines);
        let mut lines = String::new();
        for line in known.iter().skip(from_seq as usize) {
            if !lines.is_empty() && lines.len() + line.len() >= bytes_max {
                break;
            }
            lines += line;
            lines.push('\n');
        }
        EventsPage { first_seq: from_seq, lines }
    }

    /// What came before a run.
    fn history(&self, run: Option<&Kept>) -> Vec<Message> {
        let Some(run) = run else { return Vec::new() };
        match run.parent {
            None => run.given.clone(),
            Some(parent) => self.history_with(parent),
        }
    }

    fn history_with(&self, no: RunNo) -> Vec<Message> {
        let run = &self.runs[&no];
        let mut messages = self.history(Some(run));
        let lines = run.lines.iter().map(|line| &**line);
        let output = run.outcome.as_ref().and_then(|outcome| outcome.output.as_deref());
        messages.extend(transcript::said(&run.request.input, lines, output));
        messages
    }

    fn session(&self, id: &str) -> Option<SessionListed> {
        let runs = self.of_session(id);
        let (first, last) = (runs.first()?, runs.last()?);
        Some(SessionListed {
            id: id.into(),
            created: self.runs[first].record.created,
            updated: self.runs[last].updated,
            runs: runs.len() as u64,
            preview: self.runs[first].request.input.preview(),
        })
    }

    fn messages(&self, id: &str, limit: usize, offset: usize) -> MessagesPage {
        let own = || self.by_name(id).filter(|run| run.has_spoken()).map(|run| run.record.no);
        let head = self.heads.get(id).copied().unwrap_or_else(own);
        let all = head.map(|head| self.history_with(head)).unwrap_or_default();
        let said = |message| Said { run: None, at: Wall(0), message };
        let has_more = all.len() > offset + limit;
        let messages = all.into_iter().skip(offset).take(limit).map(said).collect();
        MessagesPage { messages, has_more }
    }
}

impl Kept {
    fn has_spoken(&self) -> bool {
        self.status.is_finished() && self.lines.len() > 1
    }

    fn stored(&self) -> Stored {
        Stored {
            record: self.record.clone(),
            status: self.status,
            updated: self.updated,
            waited: self.waited,
            next_seq: self.lines.len() as u64,
            outcome: self.outcome.clone(),
        }
    }

    fn listed(&self) -> Listed {
        Listed {
            id: self.record.id,
            status: self.status,
            created: self.record.created,
            updated: self.updated,
            waited: self.waited,
            session_id: self.record.session_id.clone(),
            model: None,
            preview: self.request.input.preview(),
            usage: None,
            error: None,
        }
    }
}
