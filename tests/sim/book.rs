//! What the world knows for certain: each run's events as its agent said them, and the frames in
//! which the first subscriber got them.
use crate::store::{Content, Kept};
use runwire::approval::Choice;
use runwire::event::{ApprovalRequest, ApprovalResponded, Event, Kind};
use runwire::id::{RunId, RunKey, RunNo};
use runwire::record::{Lineage, Record as Known};
use runwire::request::Request;
use runwire::time::Tick;
use runwire::wire::redact::Redact;
use runwire::wire::sse;
use std::collections::{BTreeMap, BTreeSet};

/// What the server says for an agent that cannot be heard any more.
const SPOKEN_FOR: [&str; 2] = [
    "The server stopped while the run was working.",
    "The server ended while the run was working.",
];

#[derive(Default)]
pub struct Book {
    pub runs: BTreeMap<RunId, Record>,
    /// The run that each Idempotency-Key made.
    pub keys: BTreeMap<String, RunId>,
    /// What was submitted without a key, each by its number.
    pub submitted: Vec<Submitted>,
    /// Sessions that somebody wanted deleted: none of their runs is safe.
    pub doomed_sessions: BTreeSet<String>,
    /// The last run that began in each session.
    pub begun: BTreeMap<String, RunNo>,
    /// Runs are never forgotten, only deleted.
    pub is_durable: bool,
    /// There is a budget for memory, which these worlds may use up.
    pub is_scarce: bool,
    /// Runs do not go on from each other.
    pub is_simple: bool,
    /// The last turn in which as many runs waited as may.
    pub queue_full_at: u64,
    /// The last turn in which the store took nothing.
    pub failing_at: Option<u64>,
    /// Times that what was shown was compared with what a store still had after a crash.
    pub frames_survived: u64,
    /// Runs that began with something said before.
    pub histories: u64,
    /// Turns of the world so far.
    pub turn: u64,
    /// The last turn in which no further run had a place.
    pub full_at: u64,
    pub draining: bool,
    pub now: Tick,
    /// As `--orphan-ttl`.
    pub ttl_ms: u64,
    /// Texts for steers so far: each is another.
    pub steers_made: u64,
    /// Steers told of in frames that clients have read, and those told of as too late.
    pub steers_told: (u64, u64),
    /// What leave was given for: the session or all of them, and the arguments.
    pub grants: Vec<(Option<String>, String)>,
    /// Times that leave was asked for and decided on, and that it was known from before.
    pub decided: u64,
    pub granted: u64,
    /// Frames read by all clients together: a world in which nothing happens proves nothing.
    pub frames_read: u64,
    /// Events left out for readers with tokens.
    pub left_out: u64,
    /// Requests that were refused because memory was scarce.
    pub spared: u64,
}

/// What a client wanted of a run that it asked for.
#[derive(Clone, Default)]
pub struct Submitted {
    pub session: Option<String>,
    pub previous: Option<RunId>,
    /// What it gave as history, each text by itself.
    pub history: Option<Vec<String>>,
    /// It was told that there is no such run.
    pub is_refused: bool,
}

#[derive(Default)]
pub struct Record {
    pub key: Option<RunKey>,
    pub no: RunNo,
    pub session: String,
    /// A client has read that there is such a run.
    pub is_promised: bool,
    /// How clients have read that it ended.
    pub told_end: Option<String>,
    /// Somebody wanted it deleted.
    pub is_doomed: bool,
    /// The turn in which all could know that it is gone.
    pub gone_at: Option<u64>,
    pub has_idempotency_key: bool,
    /// What all readers are told: by its agent, and by the machine about what was decided.
    pub said: Vec<Kind>,
    /// How many events its agent has said.
    heard: u64,
    /// Requests about which a client has read that its decision was the one.
    pub answered: BTreeSet<String>,
    /// The turn in which its agent began.
    pub started_at_turn: u64,
    /// Its agent was told to end.
    pub is_leaving: bool,
    /// What clients have said to it and the machine has accepted.
    pub steers: Vec<String>,
    frames: BTreeMap<u64, Vec<u8>>,
    pub made_at: Tick,
    /// When its agent said its last word.
    pub ended_at: Option<Tick>,
    /// The sequence number of its terminal event, once somebody has seen it.
    pub last_seq: Option<u64>,
    /// The turn in which somebody first saw that.
    pub shown_end_at: Option<u64>,
}

impl Book {
    pub fn made(&mut self, id: RunId) -> &mut Record {
        let made_at = self.now;
        self.runs.entry(id).or_insert_with(|| Record { made_at, ..Record::default() })
    }

    pub fn said(&mut self, id: RunId, event: &Event) {
        let now = self.now;
        let record = self.made(id);
        assert_eq!(event.seq, record.heard);
        record.heard += 1;
        let waits = matches!(record.said.last(), Some(Kind::ApprovalRequest(_)));
        assert!(!waits || event.kind.is_terminal(), "{id} goes on without leave");
        record.said.push(event.kind.clone());
        if event.kind.is_terminal() {
            record.ended_at = Some(now);
        }
    }

    /// What a run has asked for was decided, and readers are told.
    pub fn decided(&mut self, id: RunId, choice: Choice) {
        let record = self.made(id);
        let Some(Kind::ApprovalRequest(request)) = record.said.last() else {
            panic!("{id} has asked for nothing")
        };
        let (request_id, arguments) = (request.request_id.clone(), request.arguments.clone());
        assert!(request.choices.contains(&choice.name()), "{choice:?} was not offered");
        let (expired, resolved) = (false, 1);
        let responded = ApprovalResponded { choice: choice.name(), request_id, resolved, expired };
        record.said.push(Kind::ApprovalResponded(Box::new(responded)));
        let session = record.session.clone();
        match choice {
            Choice::Session => self.grants.push((Some(session), arguments)),
            Choice::Always => self.grants.push((None, arguments)),
            Choice::Once | Choice::Deny => {}
        }
        self.decided += 1;
    }

    /// It need not be asked for, and readers are told nothing.
    pub fn granted(&mut self, id: RunId, choice: Choice) {
        let record = self.made(id);
        let Some(Kind::ApprovalRequest(request)) = record.said.pop() else {
            panic!("{id} has asked for nothing")
        };
        let session = Some(record.session.clone()).filter(|_| choice == Choice::Session);
        let grant = (session, request.arguments);
        assert!(self.grants.contains(&grant), "{id} was given leave by nobody: {grant:?}");
        self.granted += 1;
    }

    pub fn steered(&mut self, key: RunKey, text: &str) {
        let record = self.runs.values_mut().find(|record| record.key == Some(key));
        record.expect("a run nobody has started").steers.push(text.to_owned());
    }

    /// The machine has written down a run: it must be what was asked for.
    pub fn created(&mut self, known: &Known, request: &Request) {
        let record = self.made(known.id);
        (record.no, record.session) = (known.no, known.session_id.to_string());
        let Some(number) = number_of(request) else { return };
        let Submitted { session, previous, history, is_refused } = &self.submitted[number];
        assert!(!is_refused, "a run that was refused was created");
        let previous = previous.map(|id| &self.runs[&id]);
        let inherited = previous.map(|run| run.session.clone());
        let named = session.clone().or(inherited.filter(|_| history.is_none()));
        assert_eq!(named.clone().unwrap_or(known.id.to_string()), *known.session_id);
        let lineage = match (history, previous, named) {
            (Some(_), ..) => Lineage::Given,
            (None, Some(previous), _) => Lineage::After(previous.no),
            (None, None, Some(_)) => Lineage::Session,
            (None, None, None) => Lineage::Given,
        };
        assert_eq!(known.lineage, lineage);
        let given = request.history.iter().map(|message| message.content.to_text());
        assert!(given.eq(history.iter().flatten().cloned()), "another history was given");
    }

    /// An agent is about to work on this run.
    pub fn begins(&mut self, id: RunId, key: RunKey, working: impl Iterator<Item = RunId>) {
        let turn = self.turn;
        let session = self.made(id).session.clone();
        let mut working = working.map(|other| &self.runs[&other].session);
        assert!(working.all(|other| *other != session), "two runs of {session} at once");
        let record = self.made(id);
        (record.key, record.started_at_turn) = (Some(key), turn);
        let (no, gone) = (record.no, record.gone_at.is_some());
        assert!(!gone, "{id} was deleted before it began");
        let before = self.begun.insert(session, no);
        assert!(before.is_none_or(|before| before < no), "runs of a session began out of order");
    }

    /// A run may be gone because somebody wanted it gone.
    pub fn is_doomed(&self, id: RunId) -> bool {
        let Some(record) = self.runs.get(&id) else { return true };
        record.is_doomed || self.doomed_sessions.contains(&record.session)
    }

    /// A run may be forgotten once it has been over for as long as orphans are kept.
    pub fn may_be_forgotten(&self, id: RunId) -> bool {
        let Some(record) = self.runs.get(&id) else { return true };
        if self.is_durable || self.is_doomed(id) {
            return self.is_doomed(id);
        }
        if self.is_scarce && record.ended_at.is_some() {
            return true;
        }
        let ended_at = record.ended_at.unwrap_or(record.made_at);
        !record.has_idempotency_key && ended_at.after(self.ttl_ms) <= self.now
    }

    /// What the next event must be for a reader that is not told of everything: all up to the one in
    /// this frame must have been kinds that are left out, and this one none of them.
    pub fn pass_over(&mut self, id: RunId, from: u64, redact: Redact, frame: &[u8]) -> u64 {
        if redact == Redact::NOTHING {
            return from;
        }
        let is_hidden = |kind: &Kind| match kind {
            Kind::ToolStarted(_) | Kind::ToolCompleted(_) => redact.tools,
            Kind::ApprovalRequest(_) => redact.hides_requests(),
            Kind::ReasoningDelta(_) | Kind::ReasoningAvailable(_) => redact.reasoning,
            _ => false,
        };
        let said = &self.runs[&id].said;
        let hidden = said.iter().skip(from as usize).take_while(|kind| is_hidden(kind)).count();
        self.left_out += hidden as u64;
        let next = from + hidden as u64;
        let label = format!("id: {next}\n");
        assert!(frame.starts_with(label.as_bytes()), "{id}: not event {next}, but another one");
        next
    }

    /// Compares what a client got as event `seq` with what others got and with what was said.
    /// Returns true if it ends the run.
    pub fn check_frame(&mut self, id: RunId, seq: u64, frame: &[u8]) -> bool {
        self.frames_read += 1;
        let record = self.runs.get_mut(&id).expect("a client follows a run nobody knows");
        match record.frames.get(&seq) {
            Some(known) => assert!(known == frame, "{id} {seq}: two clients got different bytes"),
            None => {
                let told = record.check_new(id, seq, frame);
                self.steers_told.0 += told.0;
                self.steers_told.1 += told.1;
                record.frames.insert(seq, frame.to_vec());
            }
        }
        let ends = record.last_seq == Some(seq);
        if ends {
            record.shown_end_at = record.shown_end_at.or(Some(self.turn));
        }
        ends
    }

    /// Runs that clients know of.
    pub fn known(&self) -> Vec<RunId> {
        let known = self.runs.iter().filter(|(_, record)| record.is_promised);
        known.map(|(id, _)| *id).collect()
    }
}

impl Book {
    /// A process has ended and a store has been found with `content`. All that was promised must be
    /// in it; and unless it `lost_power`, all that was shown.
    pub fn crashed(&mut self, content: &Content, lost_power: bool) {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        for id in ids {
            let doomed = self.is_doomed(id);
            let record = self.runs.get_mut(&id).expect("just listed");
            let Some(kept) = content.by_id(id) else {
                assert!(!record.is_promised || doomed, "{id} was promised and is lost");
                self.runs.remove(&id);
                self.keys.retain(|_, run| *run != id);
                continue;
            };
            assert!(record.gone_at.is_none(), "{id} was deleted and is back");
            let status = kept.status;
            let told_end = record.told_end.as_ref();
            assert!(told_end.is_none_or(|told| told == status.name()), "{id} was {told_end:?}");
            self.frames_survived += record.survives(id, kept, lost_power);
            record.key = None;
            record.is_leaving = status.is_working();
            assert!(record.last_seq.is_none() || status.is_finished(), "a last word was lost");
            if !status.is_finished() {
                record.ended_at = None;
            }
        }
        for number in content.runs.values().filter_map(|run| number_of(&run.request)) {
            assert!(!self.submitted[number].is_refused, "a run that was refused is there");
        }
    }
}

/// Under which number something was submitted.
fn number_of(request: &Request) -> Option<usize> {
    let text = request.input.to_text();
    text.strip_prefix('n')?.split(' ').next()?.parse().ok()
}

impl Record {
    /// The events that are still there are those that were said and shown. Returns how many had
    /// been shown.
    fn survives(&mut self, id: RunId, kept: &Kept, lost_power: bool) -> u64 {
        let (lines, is_finished) = (&kept.lines, kept.status.is_finished());
        let count = lines.len() as u64;
        if lost_power {
            self.frames.retain(|seq, _| *seq < count);
        }
        for (seq, known) in &self.frames {
            let line = lines.get(*seq as usize).expect("an event that was shown is lost");
            let mut frame = Vec::new();
            sse::frame_of_json(&mut frame, *seq, line);
            assert!(frame[..frame.len() - 2] == **known, "{id} {seq}: it is another event now");
        }
        self.said.truncate(lines.len());
        if !is_finished {
            // What waited in a process for the agent's next look went with it.
            let taken = self.said.iter().filter(|kind| matches!(kind, Kind::Steered(_)));
            self.steers.truncate(taken.count());
        }
        self.frames.len() as u64
    }

    /// What it has asked for and how that was decided, the oldest first.
    pub fn requests(&self) -> Vec<&ApprovalRequest> {
        let requests = self.said.iter().filter_map(|kind| match kind {
            Kind::ApprovalRequest(request) => Some(&**request),
            _ => None,
        });
        requests.collect()
    }

    /// A client was told that its decision was the one.
    pub fn is_decided(&mut self, request_id: &str, choice: &str) {
        let is_it = |kind: &Kind| match kind {
            Kind::ApprovalResponded(it) => it.request_id == request_id && it.choice == choice,
            _ => false,
        };
        assert!(self.said.iter().any(is_it), "{request_id} was not decided so");
        assert!(self.answered.insert(request_id.to_owned()), "{request_id} was decided twice");
    }

    pub fn frames_seen(&self) -> u64 {
        self.frames.last_key_value().map_or(0, |(seq, _)| seq + 1)
    }

    /// Returns how many steers the frame says were taken in, and how many came too late.
    fn check_new(&mut self, id: RunId, seq: u64, frame: &[u8]) -> (u64, u64) {
        let text = std::str::from_utf8(frame).expect("frames are UTF-8");
        let mut lines = text.split('\n');
        assert_eq!(lines.next(), Some(format!("id: {seq}").as_str()));
        let data = lines.next().and_then(|line| line.strip_prefix("data: "));
        assert_eq!(lines.next(), None, "a frame of more than two lines");
        let data: serde_json::Value =
            serde_json::from_str(data.expect("a data line")).expect("JSON");
        assert_eq!(data["run_id"], id.to_string());
        assert_eq!(data["seq"], seq);
        assert!(data["timestamp"].is_f64());
        // In a drain the server speaks for an agent that is silent too long. What that one says
        // after all is not heard.
        let spoken_for = data["error"].as_str().is_some_and(|error| SPOKEN_FOR.contains(&error));
        let name = match self.said.get(seq as usize).filter(|_| !spoken_for) {
            Some(kind) => {
                if let Kind::MessageDelta(said) | Kind::ReasoningDelta(said) = kind {
                    assert_eq!(data["delta"], said.delta, "a text was changed on its way");
                }
                if let Kind::ApprovalResponded(said) = kind {
                    assert_eq!(data["request_id"], said.request_id);
                    assert!(data["choice"] == said.choice && data["resolved"] == 1);
                    assert!(data["expired"].is_null() || said.choice == "deny");
                }
                kind.name()
            }
            // Said by the server itself: for a run that waited, or for an agent that did not answer.
            None if spoken_for => "run.interrupted",
            None => {
                assert_eq!(seq, self.said.len() as u64, "events from nowhere");
                assert!(self.ended_at.is_none(), "an event after the last one");
                let unstored = data["reason"] == "store_unavailable" && self.key.is_none();
                match data["event"].as_str() {
                    Some("run.cancelled") => "run.cancelled",
                    Some("run.failed") if unstored => "run.failed",
                    _ => "run.interrupted",
                }
            }
        };
        assert_eq!(data["event"], name);
        let ends = ["run.completed", "run.failed", "run.cancelled", "run.interrupted"];
        if ends.contains(&name) {
            assert_eq!(self.last_seq.replace(seq), None, "two terminal events");
        }
        self.check_steers(&data)
    }

    /// Each steer was taken in or came too late, in the order they came.
    fn check_steers(&self, data: &serde_json::Value) -> (u64, u64) {
        let taken = self.said.iter().filter_map(|kind| match kind {
            Kind::Steered(steered) => Some(&steered.text),
            _ => None,
        });
        let taken = taken.collect::<Vec<_>>();
        let taken_count = taken.len();
        let (heard, late) = self.steers.split_at(taken_count);
        assert!(heard.iter().eq(taken), "the agent heard something else");
        if data["event"] == "run.steered" {
            let text = data["text"].as_str().expect("a steer has a text");
            assert!(heard.iter().any(|heard| heard == text) && data["accepted"] == true);
            return (1, 0);
        }
        if self.key.is_none() && taken_count == 0 {
            // It was steered before it had an agent, which nobody here has heard of.
            return (0, 0);
        }
        if self.last_seq.is_some_and(|last| data["seq"] == last) {
            let told = data["pending_steer"].as_str().map(str::to_owned);
            assert_eq!(told, (!late.is_empty()).then(|| late.join("\n")));
            return (0, late.len() as u64);
        }
        assert!(data["pending_steer"].is_null());
        (0, 0)
    }
}
