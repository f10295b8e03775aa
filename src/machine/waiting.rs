//! Requests that need the store before they can be answered.
//!
//! What is not in memory is asked for, and once it is there the request is carried out anew from
//! its beginning, with all that was found: so that no answer rests on what was true before a wait.
use super::access::Who;
use super::admit::Admitted;
use super::conn::{Awaits, Phase, Waiting};
use super::pages::to_json;
use super::route::Route;
use super::run::Run;
use super::{Asker, Machine, Output};
use crate::id::{ConnId, RunId, RunKey};
use crate::record::{Answer, Fault, Query, Stored};
use crate::time::Tick;
use crate::wire::Reject;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;

/// Why a request is not answered at once.
#[derive(Debug)]
pub enum Halt {
    Refused(Reject),
    /// This must be known first.
    Asks(Query),
}

impl From<Reject> for Halt {
    fn from(reject: Reject) -> Halt {
        Halt::Refused(reject)
    }
}

/// What a request has come to.
#[derive(Debug)]
pub enum Done {
    /// Its answer is in the outbox.
    Answered,
    /// It is a stream now.
    Streams,
    Awaits(Awaits),
}

/// What a request has learnt from the store so far, each with how many runs had left memory when
/// it was last known to be true.
#[derive(Debug, Default)]
pub struct Found(Vec<(Query, Answer, u64)>);

impl Found {
    /// The answer to `query`; without one the request halts until there is one.
    pub fn answer(&self, query: Query) -> Result<&Answer, Halt> {
        let known = self.0.iter().find(|(asked, ..)| *asked == query);
        known.map(|(_, answer, _)| answer).ok_or(Halt::Asks(query))
    }

    /// A finished run that is the answer to `query`; an unfinished one would be in memory.
    pub(super) fn finished_run(&self, query: Query) -> Result<Option<&Stored>, Halt> {
        match self.answer(query)? {
            Answer::Run(Some(stored)) if stored.status.is_finished() => Ok(Some(stored)),
            _ => Ok(None),
        }
    }

    /// Bytes it holds, about: an answer is a page of a list at most, or what came of a run.
    pub fn held(&self) -> usize {
        self.0.len() * ANSWER_BYTES
    }

    /// Drops what may not be true any more.
    fn refresh(&mut self, left: &Left) {
        self.0.retain(|(query, _, since)| !left.concerns(query, *since));
        self.0.iter_mut().for_each(|(.., since)| *since = left.count());
    }
}

/// What an answer is charged with.
const ANSWER_BYTES: usize = 2 * 1024;
/// Departures that are remembered at once; questions that have seen more of them are asked again.
const LEFT_MAX: usize = 1_024;

/// Runs that left memory while the store was being asked. An answer about one of them may tell of
/// the time before: of a run since deleted, or that there is none although it came and went.
#[derive(Debug, Default)]
pub struct Left {
    /// Questions without an answer yet. While there is none, nothing is remembered.
    asking: usize,
    /// How many had left before the first of `runs`.
    forgotten: u64,
    runs: VecDeque<Gone>,
}

#[derive(Debug)]
struct Gone {
    id: RunId,
    owner: Arc<str>,
    idempotency_key: Option<Box<str>>,
}

impl Left {
    fn count(&self) -> u64 {
        self.forgotten + self.runs.len() as u64
    }

    pub fn note(&mut self, run: &Run) {
        if self.asking == 0 {
            return;
        }
        if self.runs.len() == LEFT_MAX {
            self.runs.pop_front();
            self.forgotten += 1;
        }
        let idempotency = run.record.idempotency.as_ref();
        self.runs.push_back(Gone {
            id: run.id(),
            owner: run.record.owner.clone(),
            idempotency_key: idempotency.map(|known| known.key.clone()),
        });
    }

    /// The store has deleted runs that may not have been in memory: whatever it was asked before
    /// is asked again.
    pub fn note_deletions(&mut self) {
        if self.asking > 0 {
            self.forgotten = self.count() + 1;
            self.runs.clear();
        }
    }

    fn answered(&mut self) {
        self.asking -= 1;
        if self.asking == 0 {
            self.forgotten = self.count();
            self.runs.clear();
        }
    }

    /// True if an answer to `query` may tell of a run that has left since `since` had.
    fn concerns(&self, query: &Query, since: u64) -> bool {
        let of = |gone: &Gone| match query {
            Query::Run { id, .. } => gone.id == *id,
            Query::Idempotent { owner, key, .. } => {
                gone.idempotency_key.as_ref() == Some(key) && gone.owner == *owner
            }
            _ => false,
        };
        match since.checked_sub(self.forgotten) {
            Some(from) => self.runs.iter().skip(from as usize).any(of),
            None => matches!(query, Query::Run { .. } | Query::Idempotent { .. }),
        }
    }
}

impl Machine {
    /// Carries out a request, or has it wait.
    pub(super) fn attempt(&mut self, id: ConnId, admitted: Admitted, body: &[u8], found: Found) {
        let close = admitted.manner.close;
        match self.dispatch(id, &admitted, body, &found) {
            Ok(Done::Answered) => self.answered(id, close || self.is_draining()),
            Ok(Done::Streams) => {}
            Ok(Done::Awaits(awaits)) => self.wait_for(id, admitted, awaits),
            Err(Halt::Refused(reject)) => self.refuse(id, admitted.manner, &reject),
            Err(Halt::Asks(query)) => {
                // Its body is kept meanwhile.
                if let Err(reject) = self.check_all_memory(body.len()) {
                    return self.refuse(id, admitted.manner, &reject);
                }
                let since = self.left.count();
                self.ask(Asker::Conn(id), query.clone());
                self.wait(id, admitted, Awaits::Answer { query, since, body: body.into(), found });
            }
        }
    }

    pub(super) fn ask(&mut self, asker: Asker, query: Query) {
        self.left.asking += 1;
        if self.may_ask(asker, &query) {
            self.outputs.push_back(Output::Ask { asker, query });
        }
    }

    /// Waits for something that comes to pass once the store has it, if it has not.
    fn wait_for(&mut self, id: ConnId, admitted: Admitted, awaits: Awaits) {
        match awaits {
            Awaits::Creation { run, replayed } if !self.keep.is_creating(run) => {
                let close = admitted.manner.close;
                self.accepted(id, &admitted, run, replayed);
                return self.answered(id, close || self.is_draining());
            }
            Awaits::Creation { run, .. } => self.keep.tell_of(run, id),
            _ => {}
        }
        self.wait(id, admitted, awaits);
    }

    fn wait(&mut self, id: ConnId, admitted: Admitted, awaits: Awaits) {
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        conn.phase = Phase::Waiting(Box::new(Waiting { admitted, awaits }));
        conn.seen = 0;
        conn.due = Tick(u64::MAX);
    }

    /// Takes a connection out of its wait, if it still waits.
    pub(super) fn end_wait(&mut self, id: ConnId) -> Option<Waiting> {
        let conn = self.conns.get_mut(id)?;
        match std::mem::replace(&mut conn.phase, Phase::Head { begun: false }) {
            Phase::Waiting(waiting) => Some(*waiting),
            phase => {
                conn.phase = phase;
                None
            }
        }
    }

    /// The store has answered.
    pub(super) fn store_answered(&mut self, asker: Asker, answer: Result<Answer, Fault>) {
        self.metrics.store_faults += u64::from(answer.is_err());
        match (asker, answer) {
            (Asker::Run(run), Ok(Answer::History(history))) => self.history_told(run, history),
            (Asker::Run(run), _) => self.history_lost(run),
            (Asker::Hooks, Ok(Answer::Hooks(page))) => self.hooks_told(Some(page)),
            (Asker::Hooks, _) => self.hooks_told(None),
            (Asker::Conn(id), Ok(Answer::Events(page))) => self.page_told(id, &page),
            (Asker::Conn(id), answer) => self.answer_told(id, answer),
        }
        self.left.answered();
        if let Some((asker, query)) = self.next_question() {
            self.outputs.push_back(Output::Ask { asker, query });
        }
    }

    fn answer_told(&mut self, id: ConnId, told: Result<Answer, Fault>) {
        if self
            .conns
            .get(id)
            .is_some_and(|conn| !conn.cursors().is_empty() || matches!(conn.phase, Phase::Feed(_)))
        {
            return self.close(id);
        }
        let Some(Waiting { admitted, awaits }) = self.end_wait(id) else { return };
        let Awaits::Answer { query, since, body, mut found } = awaits else {
            unreachable!("only who asks is answered")
        };
        match told {
            Ok(answer) => {
                found.0.push((query, answer, since));
                found.refresh(&self.left);
                self.attempt(id, admitted, &body, found);
            }
            Err(_) => self.refuse(id, admitted.manner, &Reject::StoreUnreadable),
        }
    }

    /// The store has the run this client waits for.
    pub(super) fn created(&mut self, id: ConnId) {
        let Some(Waiting { admitted, awaits }) = self.end_wait(id) else { return };
        let Awaits::Creation { run, replayed } = awaits else {
            unreachable!("only who has submitted waits for a run")
        };
        self.accepted(id, &admitted, run, replayed);
        self.answered(id, admitted.manner.close || self.is_draining());
    }

    /// The store has deleted what this client wanted deleted.
    pub(super) fn deleted(&mut self, id: ConnId) {
        let Some(Waiting { admitted, .. }) = self.end_wait(id) else { return };
        let page = match &admitted.route {
            Route::Session(name) => {
                json!({ "object": "hermes.session.deleted", "id": name, "deleted": true })
            }
            Route::Run(name) => {
                json!({ "object": "hermes.run.deleted", "run_id": name, "deleted": true })
            }
            Route::Grant(name) => {
                json!({ "object": "hermes.approval_grant.deleted", "id": name, "deleted": true })
            }
            route => unreachable!("nothing is deleted at {route:?}"),
        };
        self.reply(id, &admitted.manner, 200, &[], &to_json(&page));
        self.answered(id, admitted.manner.close || self.is_draining());
    }

    pub(super) fn refuse_waiting(&mut self, id: ConnId, reject: &Reject) {
        if let Some(waiting) = self.end_wait(id) {
            self.refuse(id, waiting.admitted.manner, reject);
        }
    }

    /// The run of that name, if this client may know of it.
    pub(super) fn find_run(
        &mut self,
        who: &Who,
        name: &str,
        found: &Found,
    ) -> Result<RunKey, Halt> {
        let id = RunId::parse(name).filter(|_| name.starts_with("run_"));
        let run = id.map(|id| self.run_by_id(who, id, found)).transpose()?.flatten();
        run.ok_or_else(|| Reject::RunNotFound(name.to_owned()).into())
    }

    /// A run from memory, or else from the store. Another key's run is none.
    pub(super) fn run_by_id(
        &mut self,
        who: &Who,
        id: RunId,
        found: &Found,
    ) -> Result<Option<RunKey>, Halt> {
        if let Some(key) = self.runs.by_id(id) {
            // Until the store has it, it may never have been.
            let is_there = self.runs.is_of(key, &who.owner) && !self.keep.is_creating(key);
            return Ok(Some(key).filter(|_| is_there));
        }
        if !self.keep.is_durable {
            return Ok(None);
        }
        let stored = found.finished_run(Query::Run { owner: who.owner.clone(), id })?;
        Ok(stored.map(|stored| self.revive(stored)))
    }

    /// Brings a finished run back into memory, its events aside.
    pub(super) fn revive(&mut self, stored: &Stored) -> RunKey {
        let id = stored.record.id;
        if let Some(known) = self.runs.by_id(id) {
            return known;
        }
        // Before it is there, since nobody holds it yet.
        self.forget_for_room();
        let run = Run::revived(stored.clone(), self.now);
        let bytes = run.bytes();
        let key = self.runs.insert(run);
        self.runs.note_finished(key, bytes);
        self.arm_run(key);
        key
    }
}
