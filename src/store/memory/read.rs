//! What the store in memory answers.
use super::{Memory, Origin, Run, Session};
use crate::id::{RunId, RunNo};
use crate::record::{
    Answer, EventsPage, History, HooksPage, Listed, MessagesPage, Query, RunsPage, Said,
    SessionListed, SessionsPage, Status, Stored,
};
use crate::request::Message;
use crate::store::transcript;
use crate::time::Wall;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

impl Memory {
    pub(super) fn read(&self, query: &Query) -> Answer {
        match query {
            Query::Run { owner, id } => answer(self.run_of(owner, *id)),
            Query::Idempotent { owner, key, since } => answer(self.idempotent(owner, key, *since)),
            Query::Runs { owner, status, session_id, after, limit } => {
                Answer::Runs(self.list(owner, *status, session_id.as_deref(), *after, *limit))
            }
            Query::Events { .. } => Answer::Events(EventsPage::default()),
            Query::History { no, bytes_max } => Answer::History(self.history(*no, *bytes_max)),
            Query::Sessions { owner, limit, offset } => {
                Answer::Sessions(self.list_sessions(owner, *limit, *offset))
            }
            Query::Session { owner, id } => {
                let session = self.session(owner, id);
                Answer::Session(session.map(|session| Box::new(self.listed(id, &session))))
            }
            Query::Hooks { .. } => Answer::Hooks(HooksPage::default()),
            Query::Messages { owner, id, limit, offset, latest } => {
                let page = |head| self.page(head, *limit, *offset, *latest);
                let session = self.session(owner, id);
                Answer::Messages(session.map(|it| it.head.map(page).unwrap_or_default()))
            }
        }
    }

    pub(super) fn run_of(&self, owner: &str, id: RunId) -> Option<&Run> {
        let run = &self.runs[&self.no_of(id)?];
        (*run.record.owner == *owner).then_some(run)
    }

    pub(super) fn session(&self, owner: &Arc<str>, id: &str) -> Option<Cow<'_, Session>> {
        let named = self.sessions.get(&(owner.clone(), id.into())).map(Cow::Borrowed);
        named.or_else(|| self.own_session(owner, id).map(Cow::Owned))
    }

    fn idempotent(&self, owner: &Arc<str>, key: &str, since: Wall) -> Option<&Run> {
        let of = |no| (owner.clone(), Arc::from(key), RunNo(no));
        let (_, _, no) = self.by_key.range(of(0)..=of(u64::MAX)).next_back()?;
        let run = &self.runs[no];
        (run.record.created >= since).then_some(run)
    }

    fn list(
        &self,
        owner: &str,
        status: Option<Status>,
        session_id: Option<&str>,
        after: Option<RunId>,
        limit: usize,
    ) -> RunsPage {
        let after = after.and_then(|id| self.run_of(owner, id)).map(|run| run.record.no);
        let older = self.runs.range(..after.unwrap_or(RunNo(u64::MAX))).rev();
        let mut found = older.map(|(_, run)| run).filter(|run| {
            status.is_none_or(|status| status == run.status)
                && *run.record.owner == *owner
                && session_id.is_none_or(|id| *run.record.session_id == *id)
        });
        let runs = found.by_ref().take(limit).map(|run| run.listed()).collect();
        RunsPage { runs, has_more: found.next().is_some() }
    }

    fn list_sessions(&self, owner: &Arc<str>, limit: usize, offset: usize) -> SessionsPage {
        let first = (owner.clone(), Arc::from(""));
        let of_owner = self.sessions.range(first..).take_while(|(name, _)| name.0 == *owner);
        let mut latest: Vec<_> =
            of_owner.map(|(name, session)| (Reverse(session.updated), name)).collect();
        latest.sort_unstable();
        let mut rest = latest.into_iter().skip(offset).map(|(_, name)| name);
        let sessions = rest.by_ref().take(limit);
        let sessions = sessions.map(|name| self.listed(&name.1, &self.sessions[name])).collect();
        SessionsPage { sessions, has_more: rest.next().is_some() }
    }

    fn listed(&self, id: &str, session: &Session) -> SessionListed {
        let first = session.runs.first().expect("a session has runs");
        SessionListed {
            id: id.into(),
            created: session.created,
            updated: session.updated,
            runs: session.runs.len() as u64,
            preview: self.runs[first].asked.input().preview(),
        }
    }

    /// What a run goes on with: whole runs, as many of the newest as fit, and at least one.
    fn history(&self, no: RunNo, bytes_max: usize) -> History {
        let Some(run) = self.runs.get(&no) else { return History::default() };
        let mut taken = Vec::new();
        let (mut bytes, mut omitted) = (0, 0);
        for part in self.before(&run.origin, run.record.created) {
            bytes += part.bytes();
            omitted += part.omitted();
            // The bytes only grow: once one is left out, so are all older ones.
            if taken.is_empty() || bytes <= bytes_max {
                taken.push(part);
            } else {
                omitted += part.len();
            }
        }
        let oldest_first = taken.iter().rev();
        let messages = oldest_first.flat_map(|part| part.said(0..part.len()));
        History { messages: messages.map(|said| said.message).collect(), omitted }
    }

    fn page(&self, head: RunNo, limit: usize, offset: usize, latest: bool) -> MessagesPage {
        let head = Origin::After(head);
        let mut parts: Vec<Part<'_>> = self.before(&head, Wall::default()).collect();
        parts.reverse();
        let total = parts.iter().map(Part::len).sum();
        let wanted = window(total, limit, offset, latest);
        let mut messages = Vec::new();
        let mut first = 0;
        for part in &parts {
            let within = |at: usize| at.saturating_sub(first).min(part.len());
            messages.extend(part.said(within(wanted.start)..within(wanted.end)));
            first += part.len();
        }
        let has_more = if latest { wanted.start > 0 } else { wanted.end < total };
        MessagesPage { messages, has_more }
    }

    /// The conversation that led to `origin`, the newest part first. `at` is when it was given, if
    /// a client gave all of it.
    fn before<'a>(&'a self, origin: &'a Origin, at: Wall) -> impl Iterator<Item = Part<'a>> {
        let mut next = Some((origin, at));
        std::iter::from_fn(move || match next.take()? {
            (Origin::After(no), _) => {
                let run = &self.runs[no];
                next = Some((&run.origin, run.record.created));
                Some(Part::Run(run))
            }
            (Origin::Given(request), at) => {
                request.as_ref().map(|request| Part::Given(&request.history, at))
            }
        })
    }
}

/// What a conversation is put together from.
enum Part<'a> {
    Run(&'a Run),
    Given(&'a [Message], Wall),
}

impl<'a> Part<'a> {
    fn len(&self) -> usize {
        match self {
            Part::Run(run) => 1 + run.steps().len() + usize::from(!run.output().is_empty()),
            Part::Given(messages, _) => messages.len(),
        }
    }

    /// Bytes of all its messages, the role of an answer it has not included.
    fn bytes(&self) -> usize {
        let sum = |messages: &[Message]| messages.iter().map(Message::len).sum::<usize>();
        match self {
            Part::Run(run) => {
                let roles = "user".len() + "assistant".len();
                roles + run.asked.input().len() + sum(run.steps()) + run.output().len()
            }
            Part::Given(messages, _) => sum(messages),
        }
    }

    /// Messages that are not kept.
    fn omitted(&self) -> usize {
        match self {
            Part::Run(run) => run.steps.as_ref().map_or(0, |steps| steps.omitted),
            Part::Given(..) => 0,
        }
    }

    fn said(&self, range: Range<usize>) -> impl Iterator<Item = Said> {
        range.map(|index| match self {
            Part::Run(run) => run.said(index),
            Part::Given(messages, at) => {
                Said { run: None, at: *at, message: messages[index].clone() }
            }
        })
    }
}

impl Run {
    fn output(&self) -> &str {
        let output = self.outcome.as_ref().and_then(|outcome| outcome.output.as_deref());
        output.unwrap_or_default()
    }

    /// Its input, its steps, its output: all that followed the input is told as of its end.
    fn said(&self, index: usize) -> Said {
        let message = match index.checked_sub(1) {
            None => transcript::question(self.asked.input()),
            Some(step) => match self.steps().get(step) {
                Some(message) => message.clone(),
                None => transcript::assistant(self.output()),
            },
        };
        let at = if index == 0 { self.record.created } else { self.updated };
        Said { run: Some(self.record.id), at, message }
    }

    fn listed(&self) -> Listed {
        let outcome = self.outcome.as_deref();
        Listed {
            id: self.record.id,
            status: self.status,
            created: self.record.created,
            updated: self.updated,
            waited: self.waited,
            session_id: self.record.session_id.clone(),
            model: self.record.model.clone(),
            preview: self.asked.input().preview(),
            usage: outcome.and_then(|outcome| outcome.usage),
            error: outcome.and_then(|outcome| outcome.error.as_deref()).map(Box::from),
        }
    }

    fn stored(&self) -> Stored {
        Stored {
            record: self.record.clone(),
            status: self.status,
            updated: self.updated,
            waited: self.waited,
            next_seq: self.next_seq,
            outcome: self.outcome.clone(),
        }
    }
}

fn answer(run: Option<&Run>) -> Answer {
    Answer::Run(run.map(|run| Box::new(run.stored())))
}

/// Which of `total` messages a page shows.
fn window(total: usize, limit: usize, offset: usize, latest: bool) -> Range<usize> {
    if latest {
        let end = total.saturating_sub(offset);
        end.saturating_sub(limit)..end
    } else {
        let start = offset.min(total);
        start..start.saturating_add(limit).min(total)
    }
}
