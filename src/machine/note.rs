//! What an operator may read of in the log: who, when and how, but never what was said, unless
//! `Config::log_content` is set.
use super::{Machine, Output};
use crate::event::{Event, Kind, Usage};
use crate::id::{ConnId, HookId, RunId, RunKey};
use crate::record::Status;
use crate::request::Request;
use crate::text::preview;
use crate::time::Tick;
use crate::wire::head::Head;
use std::sync::Arc;
use std::time::Duration;

/// Characters of what is shown of an input or output, or of a path.
const SHOWN_CHARS_MAX: usize = 300;

/// Something for the log.
#[derive(Debug)]
pub enum Note {
    RunBegun(RunBegun),
    RunEnded(RunEnded),
    /// A request that was answered. Only with `Config::log_requests`.
    Request(Answered),
    /// The store could not take what it was given, for this reason.
    StoreFails(String),
    StoreIsWell,
    /// A delivery to a webhook has failed.
    HookFailed(HookFailed),
}

#[derive(Debug)]
pub struct RunBegun {
    pub run: RunId,
    /// The name of the key that has asked for it.
    pub owner: Arc<str>,
    /// The beginning of what is asked, with secrets masked. Only with `Config::log_content`.
    pub input: Option<String>,
}

#[derive(Debug)]
pub struct RunEnded {
    pub run: RunId,
    pub owner: Arc<str>,
    pub status: Status,
    /// Why it has failed.
    pub reason: Option<&'static str>,
    pub took: Duration,
    /// How many events it has.
    pub events: u64,
    pub usage: Usage,
    /// The beginning of its output or error. Only with `Config::log_content`.
    pub output: Option<String>,
}

#[derive(Debug)]
pub struct HookFailed {
    pub id: HookId,
    /// Scheme, host and port: the rest of an address may be secret.
    pub origin: Box<str>,
    pub event: Box<str>,
    pub why: Box<str>,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried again; `None` if it is given up.
    pub again_ms: Option<u64>,
}

#[derive(Debug)]
pub struct Answered {
    pub method: &'static str,
    /// As the client wrote it, without the query. `-` where there was none to be read.
    pub path: Box<str>,
    pub status: u16,
    /// From the end of the head to the answer, or to the head of a stream.
    pub ms: u64,
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Heard {
    method: &'static str,
    path: Box<str>,
    at: Tick,
}

impl Heard {
    /// Bytes it holds.
    pub fn held(&self) -> usize {
        size_of::<Heard>() + self.path.len()
    }
}

impl Machine {
    pub(super) fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(Box::new(note)));
    }

    /// Remembers a request for the line of the log that tells of its answer.
    pub(super) fn heard(&mut self, id: ConnId, head: &Head<'_>) {
        if !self.config.log_requests {
            return;
        }
        let (method, path) =
            (head.method.name(), preview(&self.secrets.mask(head.path), SHOWN_CHARS_MAX).into());
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        conn.heard = Some(Box::new(Heard { method, path, at: self.now.tick }));
    }

    /// A request is being answered with this status.
    pub(super) fn replied(&mut self, id: ConnId, status: u16) {
        self.metrics.replied(status);
        if !self.config.log_requests {
            return;
        }
        let heard = self.conns.get_mut(id).and_then(|conn| conn.heard.take());
        let unknown = || Box::new(Heard { method: "-", path: "-".into(), at: self.now.tick });
        let Heard { method, path, at } = *heard.unwrap_or_else(unknown);
        let ms = self.now.tick.0 - at.0;
        self.note(Note::Request(Answered { method, path, status, ms }));
    }

    pub(super) fn run_begins(&mut self, key: RunKey, request: &Request) {
        self.metrics.runs_begun += 1;
        let run = self.runs.get(key).expect("the caller just used it");
        let (id, owner) = (run.id(), run.record.owner.clone());
        let input = self.shown(|| request.input.to_text());
        self.note(Note::RunBegun(RunBegun { run: id, owner, input }));
    }

    /// Takes note of an event that its run is about to take in.
    pub(super) fn take_note(&mut self, event: &Event) {
        self.metrics.hear(event);
        let Some(status) = Status::after(&event.kind) else { return };
        let run = self.runs.get(event.run).expect("the caller just found it");
        let (reason, usage) = match &event.kind {
            Kind::Failed(ending) => (Some(ending.reason), ending.usage),
            Kind::Completed(ending) => (None, ending.usage),
            Kind::Cancelled(ending) => (None, ending.usage),
            _ => (None, Usage::default()),
        };
        let took = Duration::from_millis(self.now.tick.0 - run.live().started.0);
        self.metrics.run_ended(status, reason, took);
        self.metrics.spend(usage);
        let (id, owner) = (run.id(), run.record.owner.clone());
        let events = run.log.next_seq() + 1;
        let output = self.shown(|| said_last(&event.kind).to_owned());
        self.note(Note::RunEnded(RunEnded {
            run: id,
            owner,
            status,
            reason,
            took,
            events,
            usage,
            output,
        }));
    }

    /// The beginning of a text, where texts may be shown.
    fn shown(&self, text: impl FnOnce() -> String) -> Option<String> {
        let is_wanted = self.config.log_content;
        is_wanted.then(|| preview(&self.secrets.mask(&text()), SHOWN_CHARS_MAX))
    }
}

fn said_last(kind: &Kind) -> &str {
    match kind {
        Kind::Completed(ending) => &ending.output,
        Kind::Failed(ending) => &ending.error,
        Kind::Interrupted(ending) => &ending.error,
        Kind::Cancelled(ending) => ending.output.as_deref().unwrap_or(""),
        _ => "",
    }
}
