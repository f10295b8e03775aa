//! The simplest store that could be right: a list of runs and a list of sessions, gone through
//! from end to end for every question.
use runwire::event::{Event, Kind};
use runwire::id::{RunId, RunNo};
use runwire::record::{
    Answer, EventsPage, History, Lineage, Listed, MessagesPage, Outcome, Query, Record, RunsPage,
    Said, SessionListed, SessionsPage, Status, Stored,
};
use runwire::request::{Content, Message, Request, ToolCall};
use runwire::store::transcript::NO_RESULT;
use runwire::time::{Waited, Wall};
use std::sync::Arc;

#[derive(Default)]
pub struct Model {
    pub runs: Vec<Run>,
    sessions: Vec<Session>,
}

pub struct Run {
    pub record: Arc<Record>,
    pub request: Arc<Request>,
    pub status: Status,
    pub updated: Wall,
    waited: Waited,
    pub events: Vec<Event>,
    outcome: Option<Arc<Outcome>>,
    parent: Option<RunNo>,
    given: Vec<Message>,
    /// When what was given was given.
    given_at: Wall,
}

struct Session {
    owner: Arc<str>,
    id: Box<str>,
    created: Wall,
    updated: Wall,
    head: Option<RunNo>,
}

impl Model {
    pub fn create(&mut self, record: &Arc<Record>, request: &Arc<Request>, status: Status) {
        if self.named(&record.owner, &record.session_id).is_none() && !record.is_own_session() {
            let own = self.own_session(&record.owner, &record.session_id);
            self.sessions.push(own.unwrap_or_else(|| Session {
                owner: record.owner.clone(),
                id: record.session_id.clone(),
                created: record.created,
                updated: record.created,
                head: None,
            }));
        }
        if let Some(session) = self.named(&record.owner, &record.session_id) {
            self.sessions[session].updated = record.created;
        }
        let parent = match record.lineage {
            Lineage::After(no) => self.runs.iter().any(|run| run.record.no == no).then_some(no),
            Lineage::Session | Lineage::Given => None,
        };
        self.runs.push(Run {
            record: record.clone(),
            request: request.clone(),
            status: Status::Queued,
            updated: record.created,
            waited: Waited::STILL,
            events: Vec::new(),
            outcome: None,
            parent,
            given: if parent.is_some() { Vec::new() } else { request.history.clone() },
            given_at: record.created,
        });
        if status == Status::Running {
            self.begin(record.no, record.created);
        }
    }

    pub fn begin(&mut self, no: RunNo, at: Wall) {
        let record = self.run(no).record.clone();
        let session = self.named(&record.owner, &record.session_id);
        let head = session.and_then(|session| self.sessions[session].head);
        let run = self.run_mut(no);
        (run.status, run.updated) = (Status::Running, at);
        run.waited = Waited::between(record.created, at);
        if record.lineage == Lineage::Session && head.is_some() {
            (run.parent, run.given) = (head, Vec::new());
        }
    }

    pub fn say(&mut self, no: RunNo, event: Event) {
        let run = self.run_mut(no);
        assert_eq!(event.seq, run.events.len() as u64);
        run.updated = event.at;
        run.events.push(event);
    }

    pub fn finish(&mut self, no: RunNo, kind: Kind, at: Wall) {
        let run = self.run_mut(no);
        (run.status, run.updated) = (Status::after(&kind).unwrap(), at);
        run.outcome = Some(Arc::new(Outcome::of(kind)));
        let (said_something, record) = (run.events.len() > 1, run.record.clone());
        let session = self.named(&record.owner, &record.session_id);
        if let Some(session) = session.filter(|_| said_something) {
            self.sessions[session].updated = at;
            self.sessions[session].head = Some(no);
        }
    }

    pub fn delete(&mut self, no: RunNo) {
        let Some(at) = self.runs.iter().position(|run| run.record.no == no) else { return };
        let gone = self.runs.remove(at);
        for run in self.runs.iter_mut().filter(|run| run.parent == Some(no)) {
            run.parent = gone.parent;
            run.given = gone.given.clone();
            run.given_at = gone.given_at;
        }
        for session in self.sessions.iter_mut().filter(|session| session.head == Some(no)) {
            session.head = gone.parent;
        }
        let runs = &self.runs;
        self.sessions.retain(|session| runs.iter().any(|run| session.has(run)));
    }

    pub fn delete_session(&mut self, owner: &str, id: &str) {
        let is_meant = |run: &&Run| *run.record.owner == *owner && *run.record.session_id == *id;
        let runs: Vec<_> = self.runs.iter().filter(is_meant).map(|run| run.record.no).collect();
        runs.into_iter().for_each(|no| self.delete(no));
    }

    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Run { owner, id } => {
                let mut runs = self.runs.iter();
                let is_meant = |run: &&Run| run.record.id == *id && run.record.owner == *owner;
                Answer::Run(runs.find(is_meant).map(|run| Box::new(run.stored())))
            }
            Query::Idempotent { owner, key, since } => {
                let is_meant = |run: &&Run| {
                    let idempotency = run.record.idempotency.as_ref();
                    run.record.owner == *owner && idempotency.is_some_and(|it| it.key == *key)
                };
                let latest = self.runs.iter().rfind(is_meant);
                let latest = latest.filter(|run| run.record.created >= *since);
                Answer::Run(latest.map(|run| Box::new(run.stored())))
            }
            Query::Runs { owner, status, session_id, after, limit } => {
                let mut runs: Vec<&Run> = self.runs.iter().collect();
                runs.retain(|run| run.record.owner == *owner);
                let after = runs.iter().position(|run| Some(run.record.id) == *after);
                runs.truncate(after.unwrap_or(runs.len()));
                runs.retain(|run| status.is_none_or(|status| run.status == status));
                runs.retain(|run| {
                    session_id.as_ref().is_none_or(|id| run.record.session_id == *id)
                });
                runs.reverse();
                let shown = runs.iter().take(*limit).map(|run| run.listed());
                Answer::Runs(RunsPage { runs: shown.collect(), has_more: runs.len() > *limit })
            }
            Query::Events { .. } => Answer::Events(EventsPage::default()),
            Query::History { no, .. } => {
                let run = self.run(*no);
                let messages = self.before(run).into_iter().map(|said| said.message).collect();
                Answer::History(History { messages, omitted: 0 })
            }
            Query::Sessions { owner, limit, offset } => {
                let mut sessions: Vec<&Session> = self.sessions.iter().collect();
                sessions.retain(|session| session.owner == *owner);
                sessions.sort_by_key(|session| std::cmp::Reverse(session.updated));
                let has_more = sessions.len() > limit + offset;
                let shown = sessions.into_iter().skip(*offset).take(*limit);
                let sessions = shown.map(|session| self.listed(session)).collect();
                Answer::Sessions(SessionsPage { sessions, has_more })
            }
            Query::Session { owner, id } => {
                let session = self.session(owner, id, |session| self.listed(session));
                Answer::Session(session.map(Box::new))
            }
            Query::Hooks { .. } => unreachable!("the script has none"),
            Query::Messages { owner, id, limit, offset, latest } => {
                let all = self.session(owner, id, |session| self.said_in(session));
                Answer::Messages(all.map(|all| page(all, *limit, *offset, *latest)))
            }
        }
    }

    fn run(&self, no: RunNo) -> &Run {
        self.runs.iter().find(|run| run.record.no == no).expect("the script knows what is there")
    }

    fn run_mut(&mut self, no: RunNo) -> &mut Run {
        self.runs.iter_mut().find(|run| run.record.no == no).expect("as above")
    }

    fn named(&self, owner: &str, id: &str) -> Option<usize> {
        self.sessions.iter().position(|it| *it.owner == *owner && *it.id == *id)
    }

    fn own_session(&self, owner: &Arc<str>, id: &str) -> Option<Session> {
        let is_meant = |run: &&Run| run.record.owner == *owner && *run.record.session_id == *id;
        let run = self.runs.iter().find(is_meant)?;
        Some(Session {
            owner: owner.clone(),
            id: id.into(),
            created: run.record.created,
            updated: run.updated,
            head: (run.status.is_finished() && run.events.len() > 1).then_some(run.record.no),
        })
    }

    fn session<T>(&self, owner: &Arc<str>, id: &str, tell: impl Fn(&Session) -> T) -> Option<T> {
        match self.named(owner, id) {
            Some(named) => Some(tell(&self.sessions[named])),
            None => self.own_session(owner, id).map(|session| tell(&session)),
        }
    }

    fn listed(&self, session: &Session) -> SessionListed {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| session.has(run)).collect();
        SessionListed {
            id: session.id.clone(),
            created: session.created,
            updated: session.updated,
            runs: runs.len() as u64,
            preview: runs[0].request.input.preview(),
        }
    }

    fn said_in(&self, session: &Session) -> Vec<Said> {
        let head = session.head.map(|head| self.run(head));
        head.map(|head| [self.before(head), head.said()].concat()).unwrap_or_default()
    }

    fn before(&self, run: &Run) -> Vec<Said> {
        match run.parent.map(|parent| self.run(parent)) {
            Some(parent) => [self.before(parent), parent.said()].concat(),
            None => {
                let given = run.given.iter().cloned();
                given.map(|message| Said { run: None, at: run.given_at, message }).collect()
            }
        }
    }
}

impl Session {
    fn has(&self, run: &Run) -> bool {
        run.record.owner == self.owner && run.record.session_id == self.id
    }
}

impl Run {
    fn stored(&self) -> Stored {
        Stored {
            record: self.record.clone(),
            status: self.status,
            updated: self.updated,
            waited: self.waited,
            next_seq: self.events.len() as u64,
            outcome: self.outcome.clone(),
        }
    }

    fn listed(&self) -> Listed {
        let outcome = self.outcome.clone().unwrap_or_default();
        Listed {
            id: self.record.id,
            status: self.status,
            created: self.record.created,
            updated: self.updated,
            waited: self.waited,
            session_id: self.record.session_id.clone(),
            model: self.record.model.clone(),
            preview: self.request.input.preview(),
            usage: outcome.usage,
            error: outcome.error.as_deref().map(Box::from),
        }
    }

    fn said(&self) -> Vec<Said> {
        let input = Message::new("user", self.request.input.clone());
        let mut all = vec![input];
        for (index, event) in self.events.iter().enumerate() {
            all.extend(self.told(index, &event.kind));
        }
        let output = self.outcome.as_ref().and_then(|outcome| outcome.output.as_deref());
        all.extend(output.filter(|text| !text.is_empty()).map(assistant));
        let id: Option<RunId> = Some(self.record.id);
        let times = [self.record.created].into_iter().chain(std::iter::repeat(self.updated));
        let said = all.into_iter().zip(times);
        said.map(|(message, at)| Said { run: id, at, message }).collect()
    }

    /// The messages one event makes, looking back and ahead from it.
    fn told(&self, index: usize, kind: &Kind) -> Vec<Message> {
        match kind {
            Kind::MessageInterim(interim)
                if !matches!(self.next(index), Some(Kind::ToolStarted(_))) =>
            {
                vec![assistant(&interim.text)]
            }
            Kind::ToolStarted(call) => {
                let before = match self.before(index) {
                    Some(Kind::MessageInterim(interim)) => &*interim.text,
                    _ => "",
                };
                let ends = self.events[index..].iter().find_map(|event| match &event.kind {
                    Kind::ToolCompleted(end) if end.tool_call_id == call.tool_call_id => {
                        let mark = if end.error { "[tool error] " } else { "" };
                        Some(format!("{mark}{}", end.result))
                    }
                    _ => None,
                });
                let result = ends.unwrap_or(NO_RESULT.to_owned());
                let (id, name) = (call.tool_call_id.clone(), call.tool.clone());
                let calls = vec![ToolCall { id, name, arguments: call.args.to_string() }];
                let calling = Message { calls, ..assistant(before) };
                vec![calling, Message::result(&call.tool_call_id, result)]
            }
            Kind::Steered(steered) => {
                vec![Message::new("user", Content::Text(steered.text.clone()))]
            }
            _ => Vec::new(),
        }
    }

    fn next(&self, index: usize) -> Option<&Kind> {
        self.events[index + 1..].iter().map(|event| &event.kind).find(|kind| tells(kind))
    }

    fn before(&self, index: usize) -> Option<&Kind> {
        self.events[..index].iter().rev().map(|event| &event.kind).find(|kind| tells(kind))
    }
}

fn tells(kind: &Kind) -> bool {
    matches!(kind.name(), "message.interim" | "tool.started" | "run.steered")
}

fn assistant(text: &str) -> Message {
    Message::new("assistant", Content::Text(text.to_owned()))
}

fn page(mut all: Vec<Said>, limit: usize, offset: usize, latest: bool) -> MessagesPage {
    if latest {
        all.reverse();
    }
    let has_more = all.len() > limit + offset;
    let mut messages: Vec<Said> = all.into_iter().skip(offset).take(limit).collect();
    if latest {
        messages.reverse();
    }
    MessagesPage { messages, has_more }
}
