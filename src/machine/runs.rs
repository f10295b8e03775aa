//! All runs: made, queued, started, stopped, ended, and in the end forgotten.
use super::admit::Admitted;
use super::run::{Run, Status};
use super::{Counts, Drain, Machine, Output, Timer};
use crate::config::OnOrphan;
use crate::event::{Cancelled, Cause, Event, Interrupted, Kind, Runtime, Usage};
use crate::id::{ConnId, RunId, RunKey};
use crate::limits::{DRAIN_LAST_WORD_MS, FINISHED_BYTES_MAX, IDEMPOTENCY_TTL_MS};
use crate::request::{Message, Request};
use crate::slab::Slab;
use crate::time::Tick;
use crate::wire::Reject;
use crate::wire::submit::{self, Submission};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u64 = 5;
const RUNS_MAX: usize = u32::MAX as usize;
/// Keys of forgotten runs that are not worth a clean-up.
const FINISHED_STALE_MIN: usize = 64;

pub struct Runs {
    table: Slab<RunKey, Run>,
    // Ordered, so that the same inputs give the same outputs on every machine.
    by_id: BTreeMap<RunId, RunKey>,
    by_idempotency_key: BTreeMap<Box<str>, (RunKey, Fingerprint)>,
    /// Runs that wait for a thread, the next one first.
    queue: VecDeque<RunKey>,
    working: usize,
    /// Finished runs, the longest finished first. Holds keys of runs already forgotten.
    finished: VecDeque<RunKey>,
    finished_bytes: usize,
    subscribers: usize,
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

#[derive(Serialize)]
struct StatusPage<'a> {
    object: &'static str,
    run_id: String,
    status: &'static str,
    created_at: f64,
    updated_at: f64,
    session_id: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
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
        let inherited = previous.as_deref().map(|request| request.session_id.as_str());
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
    fn previous(&self, name: &str) -> Result<Arc<Request>, Reject> {
        let found = RunId::parse(name).and_then(|id| self.runs.by_id.get(&id));
        let run = found.and_then(|key| self.runs.get(*key));
        let run = run.ok_or_else(|| Reject::PreviousResponseNotFound(name.to_owned()))?;
        let mut request = Request::clone(&run.request);
        request.history.push(Message { role: "user".to_owned(), content: request.input.clone() });
        if let Some(output) = output_of(run) {
            let content = crate::request::Content::Text(output.to_owned());
            request.history.push(Message { role: "assistant".to_owned(), content });
        }
        Ok(Arc::new(request))
    }

    fn create(&mut self, request: Request) -> RunKey {
        let id = request.run_id;
        let run = Run::new(Arc::new(request), self.now);
        let key = self.runs.table.insert(run).expect("memory ends long before run keys do");
        let taken = self.runs.by_id.insert(id, key);
        assert!(taken.is_none(), "the source of ids repeats itself");
        self.runs.queue.push_back(key);
        key
    }

    /// Hands waiting runs to agent threads while there is room.
    fn start_next(&mut self) {
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

    pub(super) fn status_of(&mut self, key: RunKey) -> Vec<u8> {
        let tick = self.now.tick;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = tick;
        let model = run.request.model.as_deref().unwrap_or(&self.pages.model);
        let (usage, error) = match &run.ending {
            Some(Kind::Completed(ending)) => (Some(ending.usage), None),
            Some(Kind::Failed(ending)) => (Some(ending.usage), Some(ending.error.as_str())),
            Some(Kind::Cancelled(ending)) => (Some(ending.usage), None),
            Some(Kind::Interrupted(ending)) => (None, Some(ending.error.as_str())),
            _ => (None, None),
        };
        to_json(&StatusPage {
            object: "hermes.run",
            run_id: run.id().to_string(),
            status: run.status.name(),
            created_at: run.created.as_float(),
            updated_at: run.updated.as_float(),
            session_id: &run.request.session_id,
            model,
            last_event: run.last_event,
            output: output_of(run),
            usage,
            error,
        })
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
    fn cancel(&mut self, key: RunKey, cause: Cause) {
        let Some(run) = self.runs.table.get_mut(key) else { return };
        run.touched = self.now.tick;
        match run.status {
            Status::Queued => {
                let ending = Cancelled { usage: Usage::default(), output: None };
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
            Status::Queued => self.runs.queue.retain(|waiting| *waiting != key),
            _ => self.runs.working -= 1,
        }
        self.arm_run(key);
        self.forget_for_room();
        self.start_next();
        self.drain_on();
    }

    pub(super) fn interrupt_queued(&mut self) {
        for key in self.runs.queue.clone() {
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

    /// Makes sure that the wheel reminds us of this run by its deadline.
    pub(super) fn arm_run(&mut self, key: RunKey) {
        let Some(run) = self.runs.table.get(key) else { return };
        let Some(deadline) = self.run_deadline(run) else { return };
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
        if run.status != Status::Running {
            return None;
        }
        let timeout = self.config.run_timeout.map(|limit| run.started.after_duration(limit));
        let orphan = orphan.filter(|_| self.config.on_orphan == OnOrphan::Cancel);
        timeout.into_iter().chain(orphan).min()
    }

    fn orphan_due(&self, run: &Run) -> Tick {
        let due = run.touched.after_duration(self.config.orphan_ttl);
        match run.idempotency_key {
            Some(_) if run.status.is_finished() => due.max(run.touched.after(IDEMPOTENCY_TTL_MS)),
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
                let limit = self.config.run_timeout;
                let late = limit.is_some_and(|limit| run.started.after_duration(limit) <= now);
                self.cancel(key, if late { Cause::Deadline } else { Cause::Orphan });
            }
            None => {}
        }
    }

    /// Record and history together.
    fn forget(&mut self, key: RunKey) {
        let Some(run) = self.runs.table.remove(key) else { return };
        assert!(run.subscribers.is_empty() && run.status.is_finished());
        self.runs.by_id.remove(&run.id());
        self.runs.finished_bytes -= run.bytes();
        if let Some(key) = &run.idempotency_key {
            self.runs.by_idempotency_key.remove(key);
        }
        let Runs { table, finished, .. } = &mut self.runs;
        if finished.len() > 2 * table.len() + FINISHED_STALE_MIN {
            finished.retain(|key| table.get(*key).is_some());
        }
    }

    /// Forgets the longest finished runs that nobody reads, until the rest fits.
    fn forget_for_room(&mut self) {
        let mut looked_at = 0;
        while self.runs.finished_bytes > FINISHED_BYTES_MAX && looked_at < self.runs.finished.len()
        {
            let Some(key) = self.runs.finished.pop_front() else { return };
            match self.runs.get(key) {
                Some(run) if run.subscribers.is_empty() && !run.listed => self.forget(key),
                Some(_) => {
                    self.runs.finished.push_back(key);
                    looked_at += 1;
                }
                None => {}
            }
        }
    }
}

fn interrupted(error: &str) -> Kind {
    Kind::Interrupted(Box::new(Interrupted { error: error.to_owned() }))
}

fn output_of(run: &Run) -> Option<&str> {
    match run.ending.as_ref()? {
        Kind::Completed(ending) => Some(&ending.output),
        Kind::Failed(ending) => ending.output.as_deref(),
        Kind::Cancelled(ending) => ending.output.as_deref(),
        _ => None,
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

fn to_json(page: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(page).expect("a page of strings and numbers is always JSON")
}
