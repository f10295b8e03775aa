//! `POST /v1/runs`: from a body to a run, or to the run it repeats.
use super::Machine;
use super::access::Who;
use super::admit::Admitted;
use super::conn::Awaits;
use super::waiting::{Done, Found, Halt};
use crate::config::Webhook;
use crate::id::{ConnId, RunId, RunKey};
use crate::limits::IDEMPOTENCY_TTL_MS;
use crate::record::{Idempotency, Lineage, Query, Record};
use crate::request::Request;
use crate::time::Wall;
use crate::wire::Reject;
use crate::wire::submit::{self, Submission};
use std::sync::Arc;

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u64 = 5;

impl Machine {
    /// `POST /v1/runs`.
    pub(super) fn submit(
        &mut self,
        admitted: &Admitted,
        body: &[u8],
        found: &Found,
    ) -> Result<Done, Halt> {
        if self.is_draining() {
            let retry_after_s = self.config.drain.as_secs() + RETRY_AFTER_S;
            return Err(Reject::Draining { retry_after_s }.into());
        }
        self.check_memory(body.len())?;
        let who = &admitted.who;
        let submission = submit::parse(body)?;
        let session = session_header(admitted)?;
        self.check_webhook(submission.webhook.as_ref())?;
        let idempotency = idempotency(admitted, body)?;
        if let Some(name) = &submission.provider
            && *name != self.pages.provider
        {
            return Err(Reject::UnknownProvider(name.clone()).into());
        }
        if let Some(idempotency) = &idempotency
            && let Some(run) = self.repeated(who, idempotency, found)?
        {
            return Ok(Done::Awaits(Awaits::Creation { run, replayed: true }));
        }
        // After the replay: what a first try built on may be gone by the time of the second.
        let asked = self.resolve(who, submission, session, found)?;
        self.check_room(who, &asked)?;
        let run = self.create(who, asked, idempotency);
        Ok(Done::Awaits(Awaits::Creation { run, replayed: false }))
    }

    fn check_room(&self, who: &Who, asked: &Asked) -> Result<(), Reject> {
        if self.keep.fault().is_some() {
            return Err(Reject::StoreUnavailable);
        }
        if let Some(max) = self.access.keys.runs_max(who)
            && self.runs.owners.unfinished(&who.owner) >= max as usize
        {
            let (key, retry_after_s) = (who.owner.to_string(), RETRY_AFTER_S);
            return Err(Reject::KeyRuns { key, max, retry_after_s });
        }
        let session = asked.has_session.then_some(&*asked.request.session_id);
        let must_wait = self.runs.must_wait(&who.owner, session, self.config.max_runs);
        if must_wait && self.runs.waiting >= self.config.max_queue {
            return Err(Reject::TooManyRuns { retry_after_s: RETRY_AFTER_S });
        }
        Ok(())
    }

    /// Puts the answer to a submission into the outbox.
    pub(super) fn accepted(
        &mut self,
        id: ConnId,
        admitted: &Admitted,
        key: RunKey,
        replayed: bool,
    ) {
        let tick = self.now.tick;
        let run = self.runs.get_mut(key).expect("a run is not forgotten while a client awaits it");
        run.touched = tick;
        let run_id = run.id();
        let status = if replayed { run.status.name() } else { "started" };
        let page = submit::accepted(run_id, status, replayed);
        let location = run_id.behind("/v1/runs/run_");
        let mut extra = [("Location", location.as_str()); 3];
        let mut extras = 1;
        if replayed {
            extra[extras] = ("Idempotency-Replayed", "true");
            extras += 1;
        }
        if let Some(key) = &admitted.session_key {
            extra[extras] = ("X-Hermes-Session-Key", key);
            extras += 1;
        }
        self.reply(id, &admitted.manner, 202, &extra[..extras], &page);
    }

    /// What the agent is asked, once all that the client left out has been filled in; the history
    /// that is in the store comes when the run begins.
    fn resolve(
        &mut self,
        who: &Who,
        asked: Submission,
        session: Option<&str>,
        found: &Found,
    ) -> Result<Asked, Halt> {
        let previous = match (&asked.previous_response_id, &asked.history) {
            (Some(name), None) => Some(self.previous(who, name, found)?),
            _ => None,
        };
        let run_id = RunId((self.ids)());
        let inherited = previous.as_ref().map(|record| &*record.session_id);
        let named = asked.session_id.as_deref().or(session).or(inherited);
        let lineage = match (&asked.history, &previous) {
            (Some(_), _) => Lineage::Given,
            (None, Some(previous)) => Lineage::After(previous.no),
            (None, None) if named.is_some() => Lineage::Session,
            (None, None) => Lineage::Given,
        };
        let has_session = named.is_some();
        let session_id = named.map_or_else(|| run_id.behind("run_"), str::to_owned);
        let inherited = || previous.as_ref()?.instructions.as_deref().map(str::to_owned);
        let instructions = asked.instructions.or_else(inherited);
        let model = asked.model.filter(|model| !self.pages.is_own_model(model));
        let request = Request {
            run_id,
            session_id,
            input: asked.input,
            history: asked.history.unwrap_or(asked.earlier),
            omitted: 0,
            instructions,
            model,
            provider: asked.provider,
            model_options: asked.model_options,
            budget: asked.budget,
        };
        let webhook = asked.webhook.map(Box::new);
        Ok(Asked { request, has_session, lineage, webhook })
    }

    /// The run of that name, or of that response id.
    fn previous(&mut self, who: &Who, name: &str, found: &Found) -> Result<Arc<Record>, Halt> {
        let run = RunId::parse(name).map(|id| self.run_by_id(who, id, found));
        let run = run.transpose()?.flatten();
        let run = run.and_then(|key| self.runs.get(key));
        let unknown = || Reject::PreviousResponseNotFound(name.to_owned());
        Ok(run.ok_or_else(unknown)?.record.clone())
    }

    /// The run that was asked for by the same request before.
    fn repeated(
        &mut self,
        who: &Who,
        asked: &Idempotency,
        found: &Found,
    ) -> Result<Option<RunKey>, Halt> {
        let Some(run) = self.run_by_key(who, &asked.key, found)? else { return Ok(None) };
        let record = &self.runs.get(run).expect("it was just found").record;
        let known = record.idempotency.as_ref();
        if known.is_none_or(|known| known.fingerprint != asked.fingerprint) {
            return Err(Reject::IdempotencyKeyConflict.into());
        }
        Ok(Some(run))
    }

    /// The run that was asked for under this key.
    fn run_by_key(&mut self, who: &Who, key: &str, found: &Found) -> Result<Option<RunKey>, Halt> {
        if let Some(run) = self.runs.owners.by_idempotency_key(&who.owner, key) {
            return Ok(Some(run));
        }
        if !self.keep.is_durable {
            return Ok(None);
        }
        let since = Wall(self.now.wall.0.saturating_sub(IDEMPOTENCY_TTL_MS * 1_000));
        // Two tries of one request must ask the same: the second may come in another microsecond.
        let since = Wall(since.seconds() / 3600 * 3_600_000_000);
        let query = Query::Idempotent { owner: who.owner.clone(), key: key.into(), since };
        Ok(found.finished_run(query)?.map(|stored| self.revive(stored)))
    }
}

/// A submission that can become a run.
pub struct Asked {
    pub request: Request,
    /// False where it is to be a session of its own, which nobody can have heard of.
    pub has_session: bool,
    pub lineage: Lineage,
    pub webhook: Option<Box<Webhook>>,
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

fn idempotency(admitted: &Admitted, body: &[u8]) -> Result<Option<Idempotency>, Reject> {
    let Some(key) = admitted.idempotency_key.as_deref() else { return Ok(None) };
    submit::idempotency_key(key)?;
    let header = |value: &Option<Box<str>>| value.as_deref().unwrap_or("").to_owned();
    let (session_key, session_id) = (header(&admitted.session_key), header(&admitted.session_id));
    let fingerprint = fingerprint(&[body, session_key.as_bytes(), session_id.as_bytes()]);
    Ok(Some(Idempotency { key: key.into(), fingerprint }))
}

/// What two requests have in common exactly when one repeats the other, also after a restart: a
/// hash of 128 bits (FNV-1a), which only has to tell a client's own requests apart.
fn fingerprint(parts: &[&[u8]]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mix = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    parts.iter().fold(BASIS, |hash, part| {
        let size = part.len().to_le_bytes();
        part.iter().chain(&size).fold(hash, mix)
    })
}
