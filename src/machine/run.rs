//! One run as the server knows it: what it is, how it stands, and what it has said of late.
use super::log::{Log, Place};
use crate::event::{Event, Kind};
use crate::id::{ConnId, RunId};
use crate::limits::STEERS_WAITING_MAX;
use crate::record::{Outcome, Record, Status, Stored};
use crate::request::{Request, Steer};
use crate::time::{Now, Tick, Wall};
use crate::wire::sse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Run {
    pub record: Arc<Record>,
    /// What its agent is to be asked. Until it begins.
    pub request: Option<Arc<Request>>,
    pub status: Status,
    pub updated: Wall,
    /// When the last event happened, shown or not: none that follows may be before it.
    pub said_at: Wall,
    pub log: Log,
    /// The last event shown.
    pub last_event: Option<&'static str>,
    /// What came of it, exactly when the run is finished.
    pub outcome: Option<Arc<Outcome>>,
    /// The terminal event has come, and may not have been shown yet: what is said to the run now
    /// is too late.
    pub has_ended: bool,
    /// What clients have said that the agent has not taken in yet, the oldest first.
    pub steers: VecDeque<Arc<Steer>>,
    pub subscribers: Vec<ConnId>,
    /// When somebody last read the run, asked about it, or made it.
    pub touched: Tick,
    /// When the run began to work.
    pub started: Tick,
    /// How long it may work. Known from when it begins.
    pub wall: Option<Duration>,
    /// When the wheel will next remind us of this run.
    pub armed: Tick,
    /// Listed to have its news sent at the end of this turn.
    pub listed: bool,
    /// Bytes that a store in memory holds of it.
    pub stored_bytes: usize,
    /// The batch in which it last said something, and where in that batch.
    pub spoke_in: Spoken,
}

/// Where a run's words lie in a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spoken {
    pub batch: u64,
    pub write: usize,
    pub mark: usize,
}

/// An event that was taken in.
pub struct Taken {
    pub name: &'static str,
    pub seq: u64,
    pub at: Wall,
    pub written: Place,
    pub end: Option<(Status, Outcome)>,
}

impl Run {
    pub fn new(record: Arc<Record>, request: Option<Arc<Request>>, now: Now) -> Run {
        Run {
            status: Status::Queued,
            updated: record.created,
            said_at: record.created,
            record,
            request,
            log: Log::default(),
            last_event: None,
            outcome: None,
            has_ended: false,
            steers: VecDeque::new(),
            subscribers: Vec::new(),
            touched: now.tick,
            started: now.tick,
            wall: None,
            armed: Tick(u64::MAX),
            listed: false,
            stored_bytes: 0,
            spoke_in: Spoken::default(),
        }
    }

    /// A finished run, back from the store; its events stay there.
    pub fn revived(stored: Stored, now: Now) -> Run {
        assert!(stored.status.is_finished(), "an unfinished run was forgotten");
        Run {
            status: stored.status,
            // The clock may have been set back meanwhile.
            updated: stored.updated.max(stored.record.created),
            log: Log::closed(stored.next_seq),
            last_event: stored.status.last_event(),
            outcome: stored.outcome,
            has_ended: true,
            ..Run::new(stored.record, None, now)
        }
    }

    pub fn id(&self) -> RunId {
        self.record.id
    }

    /// Takes in the next event, unseen as yet. Its frame is left in `scratch`.
    pub fn take_in(&mut self, mut event: Event, scratch: &mut Vec<u8>) -> Taken {
        assert!(!self.has_ended, "a run spoke after its terminal event");
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
        self.said_at = self.said_at.max(event.at);
        let status = Status::after(&event.kind);
        if status.is_some() {
            self.log.seal(sse::CLOSED);
            self.has_ended = true;
        }
        Taken {
            name: event.kind.name(),
            seq: event.seq,
            at: event.at,
            written: self.log.written(),
            end: status.map(|status| (status, Outcome::of(event.kind))),
        }
    }

    /// Lets readers see what was said up to `written`, of which the last was the event `name`.
    pub fn show(&mut self, written: Place, name: &'static str, at: Wall) {
        self.log.show(written);
        self.last_event = Some(name);
        self.updated = self.updated.max(at);
    }

    /// What is left to be taken in when nobody will, one text to a line.
    fn take_pending(&mut self) -> Option<String> {
        let steers = std::mem::take(&mut self.steers);
        let texts: Vec<&str> = steers.iter().map(|steer| steer.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Bytes this run holds once it is finished: what counts against `FINISHED_BYTES_MAX`.
    pub fn bytes(&self) -> usize {
        let record = size_of::<Record>() + self.record.session_id.len();
        let said = self.outcome.as_ref().map_or(0, |outcome| outcome.len());
        size_of::<Run>() + record + self.log.len() + said + self.stored_bytes
    }

    pub fn check(&self) {
        assert_eq!(self.status.is_finished(), self.log.is_over());
        assert_eq!(self.status.is_finished(), self.outcome.is_some());
        assert!(!self.status.is_finished() || self.has_ended);
        assert!(self.steers.is_empty() || self.status.is_working() && !self.has_ended);
        assert!(self.steers.len() <= STEERS_WAITING_MAX);
        assert!(self.status != Status::Queued || self.request.is_some());
        assert!(!self.status.is_finished() || self.request.is_none());
        assert!(self.record.created <= self.updated);
    }
}
