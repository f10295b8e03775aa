//! What rests in a store: runs, what they said, and the conversations they belong to.
mod hook;
mod query;
mod write;

pub use hook::{Delivered, Delivery, HooksPage};
pub use query::{
    Answer, EventsPage, History, Listed, MessagesPage, Query, RunsPage, Said, SessionListed,
    SessionsPage,
};
pub use write::{Batch, Grant, Pruned, Recovered, Row, Unfinished, Write};

use crate::config::Webhook;
use crate::event::{Kind, Usage};
use crate::id::{RunId, RunNo};
use crate::time::{Waited, Wall};
use std::sync::Arc;

/// What of a run never changes, its input and history aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub no: RunNo,
    pub id: RunId,
    /// The name of the key that asked for the run: what other keys ask for is not found.
    pub owner: Arc<str>,
    /// The session the run belongs to; its own id if it was given none.
    pub session_id: Box<str>,
    /// The model asked for; `None` means the configured one.
    pub model: Option<Box<str>>,
    pub instructions: Option<Box<str>>,
    pub lineage: Lineage,
    pub created: Wall,
    pub idempotency: Option<Box<Idempotency>>,
    /// Whom its client wants told of what happens to it.
    pub webhook: Option<Box<Webhook>>,
}

impl Record {
    /// True if the run is a session of its own, as one is that was given none.
    pub fn is_own_session(&self) -> bool {
        // Not by writing the id out: this is asked several times for each run.
        self.session_id.starts_with("run_") && RunId::parse(&self.session_id) == Some(self.id)
    }
}

/// Where the conversation comes from that a run goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// The client gave all of it: the request's `history`.
    Given,
    /// What this earlier run went on with, and what was said in it.
    After(RunNo),
    /// What its session has come to when the run begins; the request's `history` if that is
    /// nothing.
    Session,
}

/// The name under which a client may ask for the same run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// 1 to 255 visible ASCII characters.
    pub key: Box<str>,
    /// Equal exactly where two requests ask for the same.
    pub fingerprint: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    Running,
    /// It works, and its agent waits for somebody's leave. No store is told so.
    WaitingForApproval,
    Stopping,
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

impl Status {
    pub const ALL: [Status; 8] = [
        Status::Queued,
        Status::Running,
        Status::WaitingForApproval,
        Status::Stopping,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
        Status::Interrupted,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::WaitingForApproval => "waiting_for_approval",
            Status::Stopping => "stopping",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Interrupted => "interrupted",
        }
    }

    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// True while an agent thread has the run.
    pub fn is_working(self) -> bool {
        matches!(self, Status::Running | Status::WaitingForApproval | Status::Stopping)
    }

    pub fn is_finished(self) -> bool {
        !self.is_working() && self != Status::Queued
    }

    /// What a run is once this has happened to it; `None` if it goes on.
    pub fn after(kind: &Kind) -> Option<Status> {
        match kind {
            Kind::Completed(_) => Some(Status::Completed),
            Kind::Failed(_) => Some(Status::Failed),
            Kind::Cancelled(_) => Some(Status::Cancelled),
            Kind::Interrupted(_) => Some(Status::Interrupted),
            _ => None,
        }
    }

    /// The terminal event of a finished run.
    pub fn last_event(self) -> Option<&'static str> {
        match self {
            Status::Completed => Some("run.completed"),
            Status::Failed => Some("run.failed"),
            Status::Cancelled => Some("run.cancelled"),
            Status::Interrupted => Some("run.interrupted"),
            Status::Queued | Status::Running | Status::WaitingForApproval | Status::Stopping => {
                None
            }
        }
    }
}

/// What came of a finished run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub usage: Option<Usage>,
    pub output: Option<Box<str>>,
    pub error: Option<Box<str>>,
    /// What clients said to the run too late.
    pub pending_steer: Option<Box<str>>,
}

impl Outcome {
    /// What of a terminal event is told to those who ask for the run's status.
    pub fn of(kind: Kind) -> Outcome {
        let pending_steer = kind.pending_steer().map(Box::from);
        let (usage, output, error) = match kind {
            Kind::Completed(ending) => (Some(ending.usage), Some(ending.output), None),
            Kind::Failed(ending) => (Some(ending.usage), ending.output, Some(ending.error)),
            Kind::Cancelled(ending) => (Some(ending.usage), ending.output, None),
            Kind::Interrupted(ending) => (None, None, Some(ending.error)),
            _ => (None, None, None),
        };
        let [output, error] = [output, error].map(|text| text.map(String::into_boxed_str));
        Outcome { usage, output, error, pending_steer }
    }

    /// Bytes of its texts.
    pub fn len(&self) -> usize {
        let texts = [&self.output, &self.error, &self.pending_steer];
        texts.into_iter().flatten().map(|text| text.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A run as a store has it. Of an unfinished run the status may be behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub record: Arc<Record>,
    pub status: Status,
    pub updated: Wall,
    pub waited: Waited,
    /// How many events it has.
    pub next_seq: u64,
    pub outcome: Option<Arc<Outcome>>,
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// For people: what is wrong, and what to do next.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No room left on the disk, or a limit on the file's size.
    Full,
    /// The file or its directory cannot be written.
    ReadOnly,
    /// The file holds something else than was written.
    Damaged,
    /// Another process holds it.
    Busy,
    /// The file was made by a later version of this program.
    Newer,
    Other,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
