//! One run as the server knows it: what it is, how it stands, and what it has said of late.
use super::approvals::Pending;
use super::log::{Log, Place};
use crate::budget::Budget;
use crate::event::{Event, Kind};
use crate::id::{ConnId, RunId};
use crate::limits::STEERS_WAITING_MAX;
use crate::record::{Outcome, Record, Status, Stored};
use crate::request::{Request, Steer};
use crate::time::{Now, Tick, Waited, Wall};
use crate::wire::sse;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub struct Run {
    pub record: Arc<Record>,
    pub status: Status,
    pub updated: Wall,
    /// Until it began to work.
    pub waited: Waited,
    pub log: Log,
    /// What matters only until the run is finished, and is there exactly until then: there are
    /// many more finished runs than others.
    pub live: Option<Box<Live>>,
    /// What came of it, exactly when the run is finished.
    pub outcome: Option<Arc<Outcome>>,
    /// The terminal event has come, and may not have been shown yet: what is said to the run now
    /// is too late.
    pub has_ended: bool,
    pub subscribers: Vec<ConnId>,
    /// The status those who watch were last told of. None until the store has the run.
    pub announced: Option<Status>,
    /// The beginning of its input, on one line; empty where only a store has that.
    pub preview: Box<str>,
    /// When somebody last read the run, asked about it, or made it.
    pub touched: Tick,
    /// When the wheel will next remind us of this run.
    pub armed: Tick,
    /// Listed to have its news sent at the end of this turn.
    pub listed: bool,
    /// Bytes that a store in memory holds of it.
    pub stored_bytes: usize,
    /// What its request weighs, whoever holds it.
    pub request_bytes: usize,
}

// A hundred thousand finished ones must fit.
const _: () = assert!(size_of::<Run>() <= 192);

/// An unfinished run beyond what is known of all.
#[derive(Debug)]
pub struct Live {
    /// What its agent is to be asked. Until it begins.
    pub request: Option<Arc<Request>>,
    /// The last event shown.
    pub last_event: Option<&'static str>,
    /// When the last event happened, shown or not: none that follows may be before it.
    pub said_at: Wall,
    /// How many events its agent has said.
    pub heard: u64,
    /// What clients have said that the agent has not taken in yet, the oldest first.
    pub steers: VecDeque<Arc<Steer>>,
    /// What its agent waits for. Its status says so as soon as the request may be shown.
    pub approval: Option<Box<Pending>>,
    /// When the run began to work.
    pub started: Tick,
    /// How far it may go. Known from when it begins.
    pub budget: Budget,
    /// What `stored_bytes` may come to.
    pub stored_max: usize,
    /// Bytes of an outcome that is on its way to the store.
    pub ending_bytes: usize,
    /// The batch in which it last said something, and where in that batch.
    pub spoke_in: Spoken,
}

impl Live {
    fn new(request: Option<Arc<Request>>, said_at: Wall, started: Tick) -> Live {
        Live {
            request,
            last_event: None,
            said_at,
            heard: 0,
            steers: VecDeque::new(),
            approval: None,
            started,
            budget: Budget::default(),
            stored_max: 0,
            ending_bytes: 0,
            spoke_in: Spoken::default(),
        }
    }

    /// True once it has worked for as long as it may.
    pub fn is_late(&self, now: Tick) -> bool {
        self.late_at().is_some_and(|due| due <= now)
    }

    pub fn late_at(&self) -> Option<Tick> {
        self.budget.wall.map(|limit| self.started.after_duration(limit))
    }

    fn held(&self) -> usize {
        let steers: usize = self.steers.iter().map(|steer| steer.text.len()).sum();
        let approval = self.approval.as_ref().map_or(0, |pending| pending.held());
        self.ending_bytes + steers + approval
    }
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
            waited: Waited::STILL,
            preview: request.as_ref().map_or(Box::from(""), |request| request.input.preview()),
            live: Some(Box::new(Live::new(request, record.created, now.tick))),
            record,
            log: Log::default(),
            outcome: None,
            has_ended: false,
            subscribers: Vec::new(),
            announced: None,
            touched: now.tick,
            armed: Tick(u64::MAX),
            listed: false,
            stored_bytes: 0,
            request_bytes: 0,
        }
    }

    /// A finished run, back from the store; its events stay there.
    pub fn revived(stored: Stored, now: Now) -> Run {
        assert!(stored.status.is_finished(), "an unfinished run was forgotten");
        Run {
            status: stored.status,
            // The clock may have been set back meanwhile.
            updated: stored.updated.max(stored.record.created),
            waited: stored.waited,
            log: Log::closed(stored.next_seq),
            outcome: stored.outcome,
            live: None,
            has_ended: true,
            announced: Some(stored.status),
            ..Run::new(stored.record, None, now)
        }
    }

    pub fn id(&self) -> RunId {
        self.record.id
    }

    /// Takes in the next event, unseen as yet, and numbers it. Its frame is left in `scratch`.
    pub fn take_in(
        &mut self,
        mut event: Event,
        scratch: &mut Vec<u8>,
        segment_max: usize,
    ) -> Taken {
        assert!(!self.has_ended, "a run spoke after its terminal event");
        event.seq = self.log.next_seq();
        // Its agent and the machine each have their own clock.
        let live = self.live_mut();
        event.at = event.at.max(live.said_at);
        live.said_at = event.at;
        match &mut event.kind {
            Kind::Steered(_) => {
                live.steers.pop_front().expect("a steer was taken in that nobody has sent");
            }
            kind if kind.is_terminal() => {
                kind.set_pending_steer(self.take_pending());
                self.end_approval();
            }
            _ => {}
        }
        scratch.clear();
        sse::frame(scratch, self.id(), &event);
        self.log.push(scratch, segment_max);
        let status = Status::after(&event.kind);
        if status.is_some() {
            self.log.seal();
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
        if let Some(live) = &mut self.live {
            live.last_event = Some(name);
        }
        self.updated = self.updated.max(at);
        if self.approval().is_some_and(|pending| pending.seq < written.seq) {
            self.status = Status::WaitingForApproval;
        }
    }

    /// The last event shown.
    pub fn last_event(&self) -> Option<&'static str> {
        self.live.as_ref().map_or(self.status.last_event(), |live| live.last_event)
    }

    /// Has a finished run take as little room as it can while nobody reads it.
    pub fn fold(&mut self, scratch: &mut Vec<u8>) {
        if self.status.is_finished() && self.subscribers.is_empty() {
            self.subscribers = Vec::new();
            self.log.pack(self.record.id, scratch);
        }
    }

    /// What only an unfinished run has.
    pub fn live(&self) -> &Live {
        self.live.as_deref().expect("the run is not finished")
    }

    pub fn live_mut(&mut self) -> &mut Live {
        self.live.as_deref_mut().expect("the run is not finished")
    }

    /// What its agent is to be asked, unless it has begun.
    pub fn request(&self) -> Option<&Arc<Request>> {
        self.live.as_ref()?.request.as_ref()
    }

    /// What its agent waits for.
    pub fn approval(&self) -> Option<&Pending> {
        self.live.as_ref()?.approval.as_deref()
    }

    /// The request that clients know of and may decide on.
    pub fn shown_approval(&self) -> Option<&Pending> {
        self.approval().filter(|_| self.status == Status::WaitingForApproval)
    }

    /// It waits for nobody's leave any more. Returns what it has waited for.
    pub fn end_approval(&mut self) -> Option<Pending> {
        let pending = self.live.as_mut()?.approval.take()?;
        if self.status == Status::WaitingForApproval {
            self.status = Status::Running;
        }
        Some(*pending)
    }

    /// What is left to be taken in when nobody will, one text to a line.
    fn take_pending(&mut self) -> Option<String> {
        let steers = std::mem::take(&mut self.live_mut().steers);
        let texts: Vec<&str> = steers.iter().map(|steer| steer.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Bytes this run holds once it is finished: what counts against `FINISHED_BYTES_MAX`.
    pub fn bytes(&self) -> usize {
        let record = size_of::<Record>() + self.record.session_id.len();
        let said = self.outcome.as_ref().map_or(0, |outcome| outcome.len());
        size_of::<Run>() + record + self.log.len() + said + self.stored_bytes
    }

    /// Bytes it holds beside its record, in memory and on their way.
    pub fn held(&self) -> usize {
        let record = &self.record;
        let texts = [&record.model, &record.instructions];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let outcome = self.outcome.as_ref().map_or(0, |outcome| outcome.len());
        let live = self.live.as_ref().map_or(0, |live| live.held());
        let subscribers = self.subscribers.capacity() * size_of::<ConnId>();
        let said = self.log.room() + self.stored_bytes + outcome + live;
        let webhook = record.webhook.as_ref().map_or(0, |it| size_of_val(&**it) + it.url.len());
        record.session_id.len()
            + self.preview.len()
            + webhook
            + texts
            + self.request_bytes
            + subscribers
            + said
    }

    pub fn check(&self) {
        assert_eq!(self.status.is_finished(), self.log.is_over());
        assert_eq!(self.status.is_finished(), self.outcome.is_some());
        assert!(!self.status.is_finished() || self.has_ended);
        assert_eq!(self.status.is_finished(), self.live.is_none());
        let steers = self.live.as_ref().map_or(0, |live| live.steers.len());
        assert!(steers == 0 || self.status.is_working() && !self.has_ended);
        let is_asking = self.approval().is_some();
        assert!(!is_asking || self.status.is_working() && !self.has_ended);
        assert!(!is_asking || self.request().is_none() && self.status != Status::Stopping);
        let is_shown = self.approval().is_some_and(|pending| pending.seq < self.log.shown_seq());
        assert_eq!(self.status == Status::WaitingForApproval, is_shown);
        assert!(steers <= STEERS_WAITING_MAX);
        assert!(self.status != Status::Queued || self.request().is_some());
        assert!(self.record.created <= self.updated);
        assert!(!self.log.is_packed() || self.subscribers.is_empty(), "a packed log is read");
    }
}
