//! Lists out of the store: runs, sessions, and what was said in one.
use super::Machine;
use super::access::Who;
use super::admit::Admitted;
use super::pages::to_json;
use super::waiting::{Found, Halt};
use crate::id::RunId;
use crate::limits::{LIST_MAX, MESSAGES_MAX};
use crate::record::{Answer, Listed, Query, Said, SessionListed, Status};
use crate::wire::head::{decoded, query_value};
use crate::wire::{Reject, message};
use serde_json::{Value, json};
use std::borrow::Cow;

/// How many entries a list has unless it is asked for another number.
const RUNS: usize = 20;
const SESSIONS: usize = 50;

const LIMIT: &str = "a number from 1 to 100";
const _: () = assert!(LIST_MAX == 100);

const AFTER: &str = "the id of a run that is there";

impl Machine {
    /// `GET /v1/runs?status=&session_id=&limit=&after=`.
    pub(super) fn list_runs(
        &mut self,
        admitted: &Admitted,
        found: &Found,
    ) -> Result<Vec<u8>, Halt> {
        let asked = Asked(admitted);
        let status = asked.status()?;
        let limit = asked.limit()?.unwrap_or(RUNS);
        if limit > LIST_MAX {
            return Err(Reject::Parameter { name: "limit", wants: LIMIT }.into());
        }
        // The store does not know which of the working runs wait for leave, or are about to stop.
        let stored_status = match status {
            Some(Status::Stopping | Status::WaitingForApproval) => Some(Status::Running),
            status => status,
        };
        let session_id = asked.text("session_id")?.map(|id| Box::from(&*id));
        let after = asked.after()?;
        if let Some(id) = after
            && self.run_by_id(&admitted.who, id, found)?.is_none()
        {
            // From the top, a client that pages would read everything again.
            return Err(Reject::Parameter { name: "after", wants: AFTER }.into());
        }
        let owner = admitted.who.owner.clone();
        let query = Query::Runs { owner, status: stored_status, session_id, after, limit };
        let Answer::Runs(page) = found.answer(query)? else {
            return Err(Reject::StoreUnreadable.into());
        };
        let shown = page.runs.iter().map(|listed| self.up_to_date(listed));
        let shown = shown.filter(|listed| status.is_none_or(|status| listed.status == status));
        let data: Vec<Value> = shown.map(|listed| self.run_json(&listed)).collect();
        let last_id = page.runs.last().map(|listed| listed.id.to_string());
        Ok(to_json(&json!({
            "object": "list",
            "data": data,
            "limit": limit,
            "has_more": page.has_more,
            "last_id": last_id,
        })))
    }

    /// What is in memory is younger than what a store has said a moment ago.
    fn up_to_date(&self, listed: &Listed) -> Listed {
        let mut listed = listed.clone();
        let run = self.runs.by_id(listed.id).and_then(|key| self.runs.get(key));
        if let Some(run) = run {
            (listed.status, listed.updated) = (run.status, run.updated);
            listed.waited = run.waited;
        }
        listed
    }

    pub(super) fn run_json(&self, run: &Listed) -> Value {
        let mut page = json!({
            "object": "hermes.run",
            "run_id": run.id.to_string(),
            "status": run.status.name(),
            "created_at": run.created.as_float(),
            "updated_at": run.updated.as_float(),
            "session_id": run.session_id,
            "model": run.model.as_deref().unwrap_or(&self.pages.model),
            "preview": run.preview,
        });
        if let Some(began) = run.waited.began(run.created) {
            page["started_at"] = json!(began.as_float());
        }
        if let Some(usage) = &run.usage {
            page["usage"] = json!(usage);
        }
        if let Some(error) = &run.error {
            page["error"] = json!(error);
        }
        page
    }

    /// `GET /v1/sessions?limit=&offset=`.
    pub(super) fn list_sessions(
        &self,
        admitted: &Admitted,
        found: &Found,
    ) -> Result<Vec<u8>, Halt> {
        let asked = Asked(admitted);
        let limit = asked.limit()?.unwrap_or(SESSIONS).min(LIST_MAX);
        let offset = asked.offset()?;
        let query = Query::Sessions { owner: admitted.who.owner.clone(), limit, offset };
        let Answer::Sessions(page) = found.answer(query)? else {
            return Err(Reject::StoreUnreadable.into());
        };
        let data: Vec<Value> = page.sessions.iter().map(session_json).collect();
        Ok(to_json(&json!({
            "object": "list",
            "data": data,
            "limit": limit,
            "offset": offset,
            "has_more": page.has_more,
        })))
    }

    /// `GET /v1/sessions/{id}`.
    pub(super) fn session(&self, who: &Who, name: &str, found: &Found) -> Result<Vec<u8>, Halt> {
        let session = session_json(self.find_session(who, name, found)?);
        Ok(to_json(&json!({ "object": "hermes.session", "session": session })))
    }

    pub(super) fn find_session<'a>(
        &self,
        who: &Who,
        name: &str,
        found: &'a Found,
    ) -> Result<&'a SessionListed, Halt> {
        let query = Query::Session { owner: who.owner.clone(), id: name.into() };
        match found.answer(query)? {
            Answer::Session(Some(session)) => Ok(session),
            _ => Err(Reject::SessionNotFound(name.to_owned()).into()),
        }
    }

    /// `GET /v1/sessions/{id}/messages?limit=&offset=&order=oldest|latest`.
    pub(super) fn messages(
        &self,
        name: &str,
        admitted: &Admitted,
        found: &Found,
    ) -> Result<Vec<u8>, Halt> {
        let asked = Asked(admitted);
        let (limit, offset, order) = (asked.limit()?, asked.offset()?, asked.order()?);
        // Who asks for no number wants to see how things stand.
        let latest = order.unwrap_or(limit.is_none());
        let limit = limit.unwrap_or(MESSAGES_MAX).min(MESSAGES_MAX);
        let (owner, id) = (admitted.who.owner.clone(), Box::from(name));
        let Answer::Messages(Some(page)) =
            found.answer(Query::Messages { owner, id, limit, offset, latest })?
        else {
            return Err(Reject::SessionNotFound(name.to_owned()).into());
        };
        let data: Vec<Value> = page.messages.iter().map(|said| said_json(said, name)).collect();
        Ok(to_json(&json!({
            "object": "list",
            "session_id": name,
            "pagination": {
                "limit": limit,
                "offset": offset,
                "order": if latest { "latest" } else { "oldest" },
                "returned": data.len(),
            },
            "data": data,
            "limit": limit,
            "offset": offset,
            "has_more": page.has_more,
        })))
    }
}

/// What a request asks of a list.
struct Asked<'a>(&'a Admitted);

impl Asked<'_> {
    /// A parameter; one that is empty counts as not given. Of two it is not clear which is meant.
    fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Reject> {
        let query = self.0.query.as_deref();
        let names = query.unwrap_or("").split('&').map(|pair| pair.split('=').next());
        if names.filter(|it| *it == Some(name)).count() > 1 {
            return Err(Reject::Parameter { name, wants: "given once" });
        }
        let value = query_value(query, name).filter(|value| !value.is_empty());
        let wants = "%-encoded UTF-8";
        let decoded = value.map(|value| decoded(value).ok_or(Reject::Parameter { name, wants }));
        decoded.transpose()
    }

    fn number(&self, name: &'static str, wants: &'static str) -> Result<Option<usize>, Reject> {
        let value = self.text(name)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.map(|text| {
            let number = text.parse().ok().filter(|_| digits(&text));
            number.ok_or(Reject::Parameter { name, wants })
        });
        number.transpose()
    }

    fn limit(&self) -> Result<Option<usize>, Reject> {
        let (name, wants) = ("limit", "a number, 1 or more");
        match self.number(name, wants)? {
            Some(0) => Err(Reject::Parameter { name, wants }),
            limit => Ok(limit),
        }
    }

    fn offset(&self) -> Result<usize, Reject> {
        Ok(self.number("offset", "a number, 0 or more")?.unwrap_or(0))
    }

    /// True for the latest first page; `None` if that is left open.
    fn order(&self) -> Result<Option<bool>, Reject> {
        let (name, wants) = ("order", "oldest or latest");
        match self.text(name)?.as_deref() {
            None => Ok(None),
            Some("oldest") => Ok(Some(false)),
            Some("latest") => Ok(Some(true)),
            Some(_) => Err(Reject::Parameter { name, wants }),
        }
    }

    fn status(&self) -> Result<Option<Status>, Reject> {
        let (name, wants) = ("status", "the status of a run, such as running or completed");
        let unknown = Reject::Parameter { name, wants };
        self.text(name)?.map(|text| Status::parse(&text).ok_or(unknown)).transpose()
    }

    fn after(&self) -> Result<Option<RunId>, Reject> {
        let unknown = Reject::Parameter { name: "after", wants: AFTER };
        self.text("after")?.map(|text| RunId::parse(&text).ok_or(unknown)).transpose()
    }
}

/// The names that clients in the field know come first; a run tells the same by the others.
fn session_json(session: &SessionListed) -> Value {
    let (created, updated) = (session.created.as_float(), session.updated.as_float());
    json!({
        "id": session.id,
        "source": "api_server",
        "started_at": created,
        "last_active": updated,
        "preview": session.preview,
        "session_id": session.id,
        "created_at": created,
        "updated_at": updated,
        "runs": session.runs,
    })
}

fn said_json(said: &Said, session_id: &str) -> Value {
    let mut page = message::write(&said.message);
    page.insert("session_id".to_owned(), session_id.into());
    page.insert("timestamp".to_owned(), said.at.as_float().into());
    page.insert("run_id".to_owned(), json!(said.run.map(|id| id.to_string())));
    page.into()
}
