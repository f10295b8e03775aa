//! What the world knows for certain: each run's events as its agent said them, and the frames in
//! which the first subscriber got them.
use runwire::event::{Event, Kind};
use runwire::id::{RunId, RunKey};
use runwire::time::Tick;
use std::collections::BTreeMap;

/// What the server says for an agent that did not answer.
const SPOKEN_FOR: &str = "The server stopped while the run was working.";

#[derive(Default)]
pub struct Book {
    pub runs: BTreeMap<RunId, Record>,
    /// The run that each Idempotency-Key made.
    pub keys: BTreeMap<String, RunId>,
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
    /// Frames read by all clients together: a world in which nothing happens proves nothing.
    pub frames_read: u64,
}

#[derive(Default)]
pub struct Record {
    pub key: Option<RunKey>,
    pub has_idempotency_key: bool,
    pub said: Vec<Kind>,
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
}

impl Book {
    pub fn made(&mut self, id: RunId) -> &mut Record {
        let made_at = self.now;
        self.runs.entry(id).or_insert_with(|| Record { made_at, ..Record::default() })
    }

    pub fn said(&mut self, id: RunId, event: &Event) {
        let now = self.now;
        let record = self.made(id);
        assert_eq!(event.seq, record.said.len() as u64);
        record.said.push(event.kind.clone());
        if event.kind.is_terminal() {
            record.ended_at = Some(now);
        }
    }

    pub fn steered(&mut self, key: RunKey, text: &str) {
        let record = self.runs.values_mut().find(|record| record.key == Some(key));
        record.expect("a run nobody has started").steers.push(text.to_owned());
    }

    /// A run may be forgotten once it has been over for as long as orphans are kept.
    pub fn may_be_forgotten(&self, id: RunId) -> bool {
        let Some(record) = self.runs.get(&id) else { return true };
        let ended_at = record.ended_at.unwrap_or(record.made_at);
        !record.has_idempotency_key && ended_at.after(self.ttl_ms) <= self.now
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
        record.last_seq == Some(seq)
    }
}

impl Record {
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
        let spoken_for = data["error"] == SPOKEN_FOR;
        let name = match self.said.get(seq as usize).filter(|_| !spoken_for) {
            Some(kind) => {
                if let Kind::MessageDelta(said) | Kind::ReasoningDelta(said) = kind {
                    assert_eq!(data["delta"], said.delta, "a text was changed on its way");
                }
                kind.name()
            }
            // Said by the server itself: for a run that waited, or for an agent that did not answer.
            None if spoken_for => "run.interrupted",
            None => {
                assert_eq!(seq, self.said.len() as u64, "events from nowhere");
                assert!(self.ended_at.is_none(), "an event after the last one");
                if data["event"] == "run.cancelled" { "run.cancelled" } else { "run.interrupted" }
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
        let (heard, late) = self.steers.split_at(taken.len());
        assert!(heard.iter().eq(taken), "the agent heard something else");
        if data["event"] == "run.steered" {
            let text = data["text"].as_str().expect("a steer has a text");
            assert!(heard.iter().any(|heard| heard == text) && data["accepted"] == true);
            return (1, 0);
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
