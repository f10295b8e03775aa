//! What is written to a store, in order and in batches.
use super::{Delivery, Outcome, Record, Status};
use crate::id::{GrantId, HookId, RunNo};
use crate::request::Request;
use crate::time::{Waited, Wall};
use std::sync::Arc;

/// Writes that are stored together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Counts from 1, rising.
    pub number: u64,
    pub writes: Vec<Write>,
    /// The answer to this batch must wait until it would outlive a loss of power.
    pub sync: bool,
    /// The first batch after one that failed. Whoever failed drops all others until it comes.
    pub is_retry: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new run, `Queued`, or `Running` if it begins at once.
    Create { record: Arc<Record>, request: Arc<Request>, status: Status },
    /// A queued run begins.
    Begin { no: RunNo, at: Wall },
    /// What a run has said, in order; a store goes on where the last row of that run ended.
    Events { no: RunNo, rows: Vec<Row> },
    /// The run's last event has been written.
    Finish { no: RunNo, status: Status, at: Wall, next_seq: u64, outcome: Arc<Outcome> },
    /// A finished run goes, with all it said. Runs that went on from it go on from where it did.
    Delete { no: RunNo },
    /// A session goes, with all its runs and grants. None of those runs is unfinished.
    DeleteSession { owner: Arc<str>, id: Box<str> },
    /// A leave is remembered.
    Grant(Arc<Grant>),
    /// It is not any more.
    Revoke { id: GrantId },
    /// Somebody is to be told of what the run has just said.
    Hook(Arc<Delivery>),
    /// That has failed so often, and is to be tried again then.
    HookLater { id: HookId, tries: u32, due: Wall },
    /// It is done, or given up.
    HookDone { id: HookId },
    /// Nothing, to see whether the store can be written to.
    Probe,
}

/// Consecutive deltas of one kind, or one event of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub first_seq: u64,
    pub last_seq: u64,
    /// When the last of them happened.
    pub at: Wall,
    /// The name of the events.
    pub event: &'static str,
    /// The JSON of each event as clients are sent it, each followed by a line end.
    pub lines: String,
}

/// What a store holds when a server begins with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The number of the last run it ever took in.
    pub last_no: u64,
    /// In the order they were created.
    pub unfinished: Vec<Unfinished>,
    /// The oldest first.
    pub grants: Vec<Arc<Grant>>,
}

/// A leave that is remembered: whoever asks for the same call again need not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    /// The name of the key whose runs it is for.
    pub owner: Arc<str>,
    /// The session it is for; `None` if it is for all of them.
    pub session_id: Option<Box<str>>,
    pub tool: Box<str>,
    /// Canonical JSON, at most `GRANT_BYTES_MAX` bytes: it holds for these and no others.
    pub arguments: Box<str>,
    pub created: Wall,
}

/// A run that had not ended when its server did.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    pub record: Arc<Record>,
    /// What it is asked, if it had not begun.
    pub request: Option<Arc<Request>>,
    /// When its last event happened, or it was created.
    pub updated: Wall,
    /// Until it began, if it had.
    pub waited: Waited,
    /// How many events it has.
    pub next_seq: u64,
}

/// What one step of a clean-up came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs that are gone.
    pub gone: Vec<RunNo>,
    /// Grants for sessions that are gone with their last run, and so are gone too.
    pub revoked: Vec<GrantId>,
    /// There is more to be done.
    pub more: bool,
}
