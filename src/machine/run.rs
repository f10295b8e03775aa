//! One run as the server knows it: what was asked, how it stands, and all that was said.
use super::log::Log;
use crate::event::{Event, Kind};
use crate::id::{ConnId, RunId};
use crate::limits::STEERS_WAITING_MAX;
use crate::request::{Request, Steer};
use crate::time::{Now, Tick, Wall};
use crate::wire::sse;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub struct Run {
    pub request: Arc<Request>,
    pub status: Status,
    pub created: Wall,
    pub updated: Wall,
    pub log: Log,
    pub last_event: Option<&'static str>,
    /// The terminal event, exactly when the run is finished.
    pub ending: Option<Kind>,
    /// What clients have said that the agent has not taken in yet, the oldest first.
    pub steers: VecDeque<Arc<Steer>>,
    pub subscribers: Vec<ConnId>,
    /// When somebody last read the run, asked about it, or made it.
    pub touched: Tick,
    /// When the run began to work.
    pub started: Tick,
    /// When the wheel will next remind us of this run.
    pub armed: Tick,
    /// Listed to have its news sent at the end of this turn.
    pub listed: bool,
    pub idempotency_key: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    Running,
    Stopping,
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Stopping => "stopping",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Interrupted => "interrupted",
        }
    }

    /// True while an agent thread has the run.
    pub fn is_working(self) -> bool {
        matches!(self, Status::Running | Status::Stopping)
    }

    pub fn is_finished(self) -> bool {
        !self.is_working() && self != Status::Queued
    }

    fn after(kind: &Kind) -> Option<Status> {
        match kind {
            Kind::Completed(_) => Some(Status::Completed),
            Kind::Failed(_) => Some(Status::Failed),
            Kind::Cancelled(_) => Some(Status::Cancelled),
            Kind::Interrupted(_) => Some(Status::Interrupted),
            _ => None,
        }
    }
}

impl Run {
    pub fn new(request: Arc<Request>, now: Now) -> Run {
        Run {
            request,
            status: Status::Queued,
            created: now.wall,
            updated: now.wall,
            log: Log::default(),
            last_event: None,
            ending: None,
            steers: VecDeque::new(),
            subscribers: Vec::new(),
            touched: now.tick,
            started: now.tick,
            armed: Tick(u64::MAX),
            listed: false,
            idempotency_key: None,
        }
    }

    pub fn id(&self) -> RunId {
        self.request.run_id
    }

    /// Takes in the next event; the one that ends the run is kept for those who ask later.
    ///
    /// `scratch` is where the frame is made.
    pub fn push(&mut self, mut event: Event, scratch: &mut Vec<u8>) {
        assert!(!self.status.is_finished(), "a run spoke after its terminal event");
        assert_eq!(event.seq, self.log.next_seq(), "a gap in seq");
        match &mut event.kind {
            Kind::Steered(_) => {
                self.steers.pop_front().expect("a steer was taken in that nobody has sent");
            }
            kind if kind.is_terminal() => kind.set_pending_steer(self.take_pending()),
            _ => {}
        }
        scratch.clear();
        sse::frame(scratch, self.id(), &event);
        self.log.push(scratch);
        self.last_event = Some(event.kind.name());
        self.updated = self.updated.max(event.at);
        if let Some(status) = Status::after(&event.kind) {
            self.log.seal(sse::CLOSED);
            self.status = status;
            self.ending = Some(event.kind);
        }
    }

    /// What is left to be taken in when nobody will, one text to a line.
    fn take_pending(&mut self) -> Option<String> {
        let steers = std::mem::take(&mut self.steers);
        let texts: Vec<&str> = steers.iter().map(|steer| steer.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Bytes this run holds once it is finished: what counts against `FINISHED_BYTES_MAX`.
    pub fn bytes(&self) -> usize {
        let said = match &self.ending {
            Some(Kind::Completed(completed)) => completed.output.len(),
            Some(Kind::Failed(failed)) => failed.output.as_ref().map_or(0, String::len),
            Some(Kind::Cancelled(cancelled)) => cancelled.output.as_ref().map_or(0, String::len),
            _ => 0,
        };
        let pending = self.ending.as_ref().and_then(Kind::pending_steer).map_or(0, str::len);
        size_of::<Run>() + self.log.len() + self.request.len() + said + pending
    }

    pub fn check(&self) {
        assert_eq!(self.status.is_finished(), self.log.is_sealed());
        assert_eq!(self.status.is_finished(), self.ending.is_some());
        assert!(self.steers.is_empty() || self.status.is_working());
        assert!(self.steers.len() <= STEERS_WAITING_MAX);
        assert!(self.created <= self.updated);
    }
}
