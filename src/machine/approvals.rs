//! Runs that wait for somebody's leave: what is asked, who decides, and what is remembered of it.
//!
//! An agent that asks says nothing more until it is told what was decided, so a run has one request
//! at most. The machine says itself that a decision has come: it is the one that knows which was
//! the first. Whatever ends the run takes its request away without an answer.
use super::access::Who;
use super::conn::Awaits;
use super::keep::Awaited;
use super::pages::to_json;
use super::run::Run;
use super::waiting::{Done, Halt};
use super::{Machine, Output};
use crate::approval::Choice;
use crate::event::{ApprovalRequest, ApprovalResponded, Event, Kind};
use crate::id::{ConnId, GrantId, RunKey};
use crate::record::{Grant, Status, Write};
use crate::time::{Tick, Wall};
use crate::wire::{Reject, approval};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a run waits for.
#[derive(Debug)]
pub struct Pending {
    pub request: ApprovalRequest,
    /// The number of the event that asks: clients know of the request once that is shown.
    pub seq: u64,
    pub asked: Wall,
    /// When it is denied because nobody has decided.
    pub due: Tick,
    /// The same for clients.
    pub expires: Wall,
}

impl Machine {
    /// An agent asks for leave. It may have been given before; else somebody must decide.
    pub(super) fn asked_for_leave(&mut self, event: Event) {
        let Kind::ApprovalRequest(request) = &event.kind else {
            unreachable!("the caller has looked")
        };
        let key = event.run;
        let run = self.runs.table.get_mut(key).expect("the caller just found it");
        if run.status == Status::Running {
            let granted = Some(request).filter(|request| request.allow_permanent);
            let granted = granted.and_then(|request| {
                self.grants.cover(&run.record, &request.tool, &request.arguments)
            });
            if let Some(choice) = granted {
                return self.outputs.push_back(Output::Decide { run: key, choice });
            }
            let timeout = self.config.approval_timeout;
            let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
            assert!(run.approval().is_none(), "an agent that waits has asked for more");
            let seq = run.log.next_seq();
            run.live_mut().approval = Some(Box::new(Pending {
                request: ApprovalRequest::clone(request),
                seq,
                asked: self.now.wall,
                due: self.now.tick.after_duration(timeout),
                expires: Wall(self.now.wall.0.saturating_add(micros)),
            }));
        }
        self.event(event);
        self.arm_run(key);
        let live = self.runs.get(key).and_then(|run| run.live.as_ref());
        if live.is_some_and(|live| live.steers.iter().any(|steer| steer.interrupt)) {
            self.interrupt(key);
        }
    }

    /// Whoever interrupts wants to be heard before anything else is done, so what a run asks for
    /// is denied.
    pub(super) fn interrupt(&mut self, key: RunKey) {
        if self.runs.get(key).is_some_and(|run| run.approval().is_some()) {
            self.settle_approval(key, Choice::Deny, false);
        }
    }

    /// `POST /v1/runs/{id}/approval`: the answer, and the agent on its way again.
    /// Whoever decides by a token of the run decides for this run alone: `is_for_run`.
    pub(super) fn decide(
        &mut self,
        key: RunKey,
        body: &[u8],
        is_for_run: bool,
    ) -> Result<Vec<u8>, Reject> {
        let decision = approval::parse(body)?;
        let choice = decision.choice;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = self.now.tick;
        let Some(pending) = run.shown_approval() else {
            return Err(Reject::ApprovalNotPending);
        };
        let request = &pending.request;
        if decision.request_id.is_some_and(|id| *id != *request.request_id) {
            return Err(Reject::ApprovalNotActive);
        }
        let may_last = request.allow_permanent && !is_for_run;
        if !may_last && matches!(choice, Choice::Session | Choice::Always) {
            return Err(Reject::ApprovalNotPermanent);
        }
        let page = json!({
            "object": "hermes.run.approval_response",
            "run_id": run.id().to_string(),
            "choice": choice.name(),
            "request_id": request.request_id,
            "resolved": 1,
        });
        self.remember(key, choice);
        self.settle_approval(key, choice, false);
        if matches!(choice, Choice::Session | Choice::Always) {
            self.release_covered();
        }
        Ok(to_json(&page))
    }

    /// Lets all runs go on that wait for what is allowed by now.
    fn release_covered(&mut self) {
        let covered = |run: &Run| {
            let request = &run.approval()?.request;
            let may_last = request.allow_permanent;
            may_last.then(|| self.grants.cover(&run.record, &request.tool, &request.arguments))?
        };
        let runs = self.runs.table.iter();
        let released: Vec<(RunKey, Choice)> =
            runs.filter_map(|(key, run)| Some((key, covered(run)?))).collect();
        for (key, choice) in released {
            self.settle_approval(key, choice, false);
        }
    }

    /// Nobody has decided in time.
    pub(super) fn deny_late(&mut self, key: RunKey) {
        self.settle_approval(key, Choice::Deny, true);
        self.arm_run(key);
    }

    /// Tells readers and the agent what was decided about the request that waits.
    fn settle_approval(&mut self, key: RunKey, choice: Choice, expired: bool) {
        let run = self.runs.table.get_mut(key).expect("the caller just found it");
        let pending = run.end_approval().expect("the caller has seen that it waits");
        let at = run.live().said_at.max(self.now.wall);
        let kind = Kind::ApprovalResponded(Box::new(ApprovalResponded {
            choice: choice.name(),
            request_id: pending.request.request_id,
            resolved: 1,
            expired,
        }));
        let seq = run.live().heard;
        self.event(Event { run: key, seq, at, kind });
        self.outputs.push_back(Output::Decide { run: key, choice });
    }

    /// Takes note of a leave that is to hold longer than for this one call.
    fn remember(&mut self, key: RunKey, choice: Choice) {
        let run = self.runs.get(key).expect("the caller just found it");
        let Some(Pending { request, .. }) = run.approval() else { return };
        let session_id = match choice {
            Choice::Session => Some(run.record.session_id.clone()),
            Choice::Always => None,
            Choice::Once | Choice::Deny => return,
        };
        // Another run may have waited for the same.
        let known = self.grants.cover(&run.record, &request.tool, &request.arguments);
        if known.is_some_and(|known| known == Choice::Always || known == choice) {
            return;
        }
        let grant = Arc::new(Grant {
            id: GrantId((self.ids)()),
            owner: run.record.owner.clone(),
            session_id,
            tool: request.tool.as_str().into(),
            arguments: request.arguments.as_str().into(),
            created: self.now.wall,
        });
        self.keep.write(Write::Grant(grant.clone()), None);
        if let Some(id) = self.grants.add(grant) {
            self.keep.write(Write::Revoke { id }, None);
        }
    }

    /// `GET /v1/approvals`: what waits for a decision, the oldest first.
    pub(super) fn list_approvals(&self, who: &Who) -> Vec<u8> {
        let runs = self.runs.table.iter().map(|(_, run)| run);
        let of_key = runs.filter(|run| run.record.owner == who.owner);
        let mut waiting: Vec<(&Run, &Pending)> =
            of_key.filter_map(|run| Some((run, run.shown_approval()?))).collect();
        waiting.sort_by_key(|(run, pending)| (pending.asked, run.record.no));
        let data: Vec<Value> = waiting
            .into_iter()
            .map(|(run, pending)| {
                let mut page = pending.to_json();
                page["run_id"] = run.id().to_string().into();
                page["session_id"] = json!(run.record.session_id);
                page["created_at"] = pending.asked.as_float().into();
                page
            })
            .collect();
        to_json(&json!({ "object": "list", "data": data }))
    }

    /// `GET /v1/approvals/grants`: what is remembered, the oldest first.
    pub(super) fn list_grants(&self, who: &Who) -> Vec<u8> {
        let data: Vec<Value> = self.grants.of(&who.owner).map(|it| grant_json(it)).collect();
        to_json(&json!({ "object": "list", "data": data }))
    }

    /// `DELETE /v1/approvals/grants/{id}`. It counts no more from now on; the answer waits until it
    /// will not come back either.
    pub(super) fn revoke(&mut self, conn: ConnId, who: &Who, name: &str) -> Result<Done, Halt> {
        let asked = GrantId::parse(name);
        let Some(id) = self.grants.of(&who.owner).map(|it| it.id).find(|id| Some(*id) == asked)
        else {
            return Err(Reject::GrantNotFound(name.to_owned()).into());
        };
        self.grants.remove(id);
        self.keep.write(Write::Revoke { id }, Some(Awaited::Revoked { conn }));
        Ok(Done::Awaits(Awaits::Deletion))
    }

    /// A run has left a store in memory; with its last one a session goes.
    pub(super) fn forget_grants_after(&mut self, gone: &Run) {
        let (owner, session_id) = (&gone.record.owner, &*gone.record.session_id);
        if !self.grants.has_session(owner, session_id) {
            return;
        }
        let is_there =
            |run: &Run| run.record.owner == *owner && *run.record.session_id == *session_id;
        if !self.runs.table.iter().any(|(_, run)| is_there(run)) {
            self.grants.forget_session(owner, session_id);
        }
    }
}

impl Pending {
    /// Bytes it holds.
    pub fn held(&self) -> usize {
        let ApprovalRequest { tool, command, description, arguments, .. } = &self.request;
        let texts = [tool, command, description, arguments];
        size_of::<Pending>() + texts.into_iter().map(String::len).sum::<usize>()
    }

    /// As the status and the list show it.
    pub fn to_json(&self) -> Value {
        let request = &self.request;
        json!({
            "request_id": request.request_id,
            "approval_id": request.approval_id,
            "tool": request.tool,
            "command": request.command,
            "description": request.description,
            "choices": request.choices,
            "allow_permanent": request.allow_permanent,
            "expires_at": self.expires.as_float(),
        })
    }
}

fn grant_json(grant: &Grant) -> Value {
    let mut page = json!({
        "id": grant.id.to_string(),
        "choice": if grant.session_id.is_some() { "session" } else { "always" },
        "tool": grant.tool,
        "arguments": grant.arguments,
        "created_at": grant.created.as_float(),
    });
    if let Some(session_id) = &grant.session_id {
        page["session_id"] = json!(session_id);
    }
    page
}
