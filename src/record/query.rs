//! What a store is asked, and what it answers. A run of another owner is one that is not there.
use super::{HooksPage, Status, Stored};
use crate::event::Usage;
use crate::id::{RunId, RunNo};
use crate::request::Message;
use crate::time::{Waited, Wall};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    Run {
        owner: Arc<str>,
        id: RunId,
    },
    /// The latest run with this Idempotency-Key, if it was created at `since` or later.
    Idempotent {
        owner: Arc<str>,
        key: Box<str>,
        since: Wall,
    },
    /// Runs that match, the newest first.
    Runs {
        owner: Arc<str>,
        status: Option<Status>,
        session_id: Option<Box<str>>,
        /// Only runs older than this one; all if there is no such run.
        after: Option<RunId>,
        limit: usize,
    },
    /// What a run said, from one event on: as many as fit, and at least one.
    Events {
        no: RunNo,
        from_seq: u64,
        bytes_max: usize,
    },
    /// What a run that begins goes on with.
    History {
        no: RunNo,
        bytes_max: usize,
    },
    /// The latest used first.
    Sessions {
        owner: Arc<str>,
        limit: usize,
        offset: usize,
    },
    Session {
        owner: Arc<str>,
        id: Box<str>,
    },
    /// What was said in a session, as its next run would be told it.
    Messages {
        owner: Arc<str>,
        id: Box<str>,
        limit: usize,
        offset: usize,
        /// From the end backwards; each page still has the oldest first.
        latest: bool,
    },
    /// Deliveries that wait, the next one of each origin, those due first.
    Hooks {
        limit: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Run` and `Idempotent`.
    Run(Option<Box<Stored>>),
    Runs(RunsPage),
    Events(EventsPage),
    History(History),
    Sessions(SessionsPage),
    Session(Option<Box<SessionListed>>),
    /// `None` if there is no such session.
    Messages(Option<MessagesPage>),
    Hooks(HooksPage),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunsPage {
    pub runs: Vec<Listed>,
    pub has_more: bool,
}

/// A run as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub id: RunId,
    pub status: Status,
    pub created: Wall,
    pub updated: Wall,
    pub waited: Waited,
    pub session_id: Box<str>,
    pub model: Option<Box<str>>,
    /// The beginning of its input, on one line.
    pub preview: Box<str>,
    pub usage: Option<Usage>,
    pub error: Option<Box<str>>,
}

/// Events of one run as `Row::lines` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsPage {
    /// The event of the first line.
    pub first_seq: u64,
    /// Empty if the run or the event is not there.
    pub lines: String,
}

/// A conversation, the oldest message first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub messages: Vec<Message>,
    /// Older messages that were left out.
    pub omitted: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionsPage {
    pub sessions: Vec<SessionListed>,
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionListed {
    pub id: Box<str>,
    pub created: Wall,
    pub updated: Wall,
    /// How many runs it has, all branches included.
    pub runs: u64,
    /// The beginning of its first run's input, on one line.
    pub preview: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessagesPage {
    pub messages: Vec<Said>,
    pub has_more: bool,
}

/// A message, and where it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The run it was said in; `None` if a client gave it as history.
    pub run: Option<RunId>,
    pub at: Wall,
    pub message: Message,
}
