//! `POST /v1/runs`: from a body to a run, or to the run it repeats.
use super::Machine;
use super::admit::Admitted;
use super::pages::{output_of, to_json};
use crate::id::{ConnId, RunId, RunKey};
use crate::request::{Content, Message, Request};
use crate::wire::Reject;
use crate::wire::submit::{self, Submission};
use serde::Serialize;
use std::hash::{DefaultHasher, Hasher};

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u64 = 5;
/// What two requests have in common exactly when one repeats the other: a hash of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64, u64);

impl Fingerprint {
    pub fn of(parts: &[&[u8]]) -> Fingerprint {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        };
        Fingerprint(half(0), half(1))
    }
}

#[derive(Serialize)]
struct Accepted<'a> {
    run_id: &'a str,
    status: &'a str,
    replayed: bool,
    response_id: String,
}

impl Machine {
    /// `POST /v1/runs`.
    pub(super) fn submit(
        &mut self,
        id: ConnId,
        admitted: &Admitted,
        body: &[u8],
    ) -> Result<(), Reject> {
        if self.is_draining() {
            let retry_after_s = self.config.drain.as_secs() + RETRY_AFTER_S;
            return Err(Reject::Draining { retry_after_s });
        }
        let submission = submit::parse(body)?;
        let session = session_header(admitted)?;
        let idempotency_key = idempotency_key(admitted)?;
        if submission.provider.as_ref().is_some_and(|name| *name != self.pages.provider) {
            return Err(Reject::UnknownProvider(submission.provider.unwrap_or_default()));
        }
        let fingerprint = idempotency_key.map(|_| {
            let header = |value: &Option<Box<str>>| value.as_deref().unwrap_or("").to_owned();
            let (key, id) = (header(&admitted.session_key), header(&admitted.session_id));
            Fingerprint::of(&[body, key.as_bytes(), id.as_bytes()])
        });
        if let Some((key, fingerprint)) = idempotency_key.zip(fingerprint)
            && let Some((run, known)) = self.runs.by_idempotency_key.get(key)
        {
            if *known != fingerprint {
                return Err(Reject::IdempotencyKeyConflict);
            }
            let run = *run;
            self.accepted(id, admitted, run, true);
            return Ok(());
        }
        // After the replay: what a first try built on may be forgotten by the time of the second.
        let request = self.resolve(submission, session)?;
        if self.runs.working >= self.config.max_runs
            && self.runs.queue.len() >= self.config.max_queue
        {
            return Err(Reject::TooManyRuns { retry_after_s: RETRY_AFTER_S });
        }
        let run = self.create(request);
        if let Some((key, fingerprint)) = idempotency_key.zip(fingerprint) {
            self.runs.by_idempotency_key.insert(key.into(), (run, fingerprint));
            let record = self.runs.get_mut(run).expect("it was just created");
            record.idempotency_key = Some(key.into());
        }
        self.accepted(id, admitted, run, false);
        self.start_next();
        Ok(())
    }

    fn accepted(&mut self, id: ConnId, admitted: &Admitted, key: RunKey, replayed: bool) {
        let tick = self.now.tick;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = tick;
        let run_id = run.id();
        let name = run_id.to_string();
        let status = if replayed { run.status.name() } else { "started" };
        let page = Accepted { run_id: &name, status, replayed, response_id: run_id.response_id() };
        let location = format!("/v1/runs/{name}");
        let mut extra = vec![("Location", location.as_str())];
        if replayed {
            extra.push(("Idempotency-Replayed", "true"));
        }
        if let Some(key) = &admitted.session_key {
            extra.push(("X-Hermes-Session-Key", key));
        }
        self.reply(id, &admitted.manner, 202, &extra, &to_json(&page));
    }

    /// What the agent is asked, once all that the client left out has been filled in.
    fn resolve(&mut self, asked: Submission, session: Option<&str>) -> Result<Request, Reject> {
        let previous = match (&asked.previous_response_id, &asked.history) {
            (Some(name), None) => Some(self.previous(name)?),
            _ => None,
        };
        let run_id = RunId((self.ids)());
        let inherited = previous.as_ref().map(|request| request.session_id.as_str());
        let session = asked.session_id.as_deref().or(session).or(inherited).map(str::to_owned);
        let instructions = asked.instructions.or_else(|| previous.as_ref()?.instructions.clone());
        let history = match (asked.history, &previous) {
            (Some(history), _) => history,
            (None, Some(previous)) => previous.history.clone(),
            (None, None) => asked.earlier,
        };
        let model = asked.model.filter(|model| !self.pages.is_own_model(model));
        Ok(Request {
            run_id,
            session_id: session.unwrap_or_else(|| run_id.to_string()),
            input: asked.input,
            history,
            instructions,
            model,
            provider: asked.provider,
            model_options: asked.model_options,
        })
    }

    /// An earlier run as a conversation: its request, with the answer at the end of its history.
    fn previous(&self, name: &str) -> Result<Request, Reject> {
        let found = RunId::parse(name).and_then(|id| self.runs.by_id.get(&id));
        let run = found.and_then(|key| self.runs.get(*key));
        let run = run.ok_or_else(|| Reject::PreviousResponseNotFound(name.to_owned()))?;
        let mut request = Request::clone(&run.request);
        request.history.push(Message { role: "user".to_owned(), content: request.input.clone() });
        if let Some(output) = output_of(run) {
            let content = Content::Text(output.to_owned());
            request.history.push(Message { role: "assistant".to_owned(), content });
        }
        Ok(request)
    }
}

/// The session a header names: its id before its key. `None` when there is no such header.
fn session_header(admitted: &Admitted) -> Result<Option<&str>, Reject> {
    let headers = [
        (&admitted.session_key, "X-Hermes-Session-Key"),
        (&admitted.session_id, "X-Hermes-Session-Id"),
    ];
    for (value, name) in headers {
        value.as_deref().map_or(Ok(()), |value| submit::header_id(value, name))?;
    }
    let named = admitted.session_id.as_deref().or(admitted.session_key.as_deref());
    Ok(named.filter(|name| !name.is_empty()))
}

fn idempotency_key(admitted: &Admitted) -> Result<Option<&str>, Reject> {
    let key = admitted.idempotency_key.as_deref();
    key.map_or(Ok(()), submit::idempotency_key).map(|()| key)
}
