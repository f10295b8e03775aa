//! What a good client has a server do: runs of every kind.
use crate::served::chance::Chance;
use crate::served::model::LAST_WORD;
use crate::served::wire::Frame;
use serde_json::{Value, json};

/// A run to be posted, and what is done to it when an event of this number is seen.
pub struct Order {
    pub kind: &'static str,
    words: u64,
    size: u64,
    input: String,
    pub session: Option<String>,
    pub key: Option<String>,
    budget: Option<u64>,
    pub stop_at: Option<u64>,
    pub steer_at: Option<u64>,
}

impl Order {
    /// `name` tells this run from all others.
    pub fn draw(chance: &mut Chance, name: &str) -> Order {
        let mut order = Order {
            kind: "",
            words: 1 + chance.below(60),
            size: 0,
            input: String::new(),
            session: None,
            key: None,
            budget: None,
            stop_at: None,
            steer_at: None,
        };
        let (mut pace, mut more) = (0, "");
        order.kind = match chance.below(14) {
            0..3 => "runs, short",
            3 | 4 => {
                order.words = 500 + chance.below(1_500);
                "runs, long, at full speed"
            }
            5 => {
                (order.words, order.size) = (40 + chance.below(60), 4_000);
                "runs, large"
            }
            6 | 7 => {
                pace = 1 + chance.below(10_000);
                "runs, paced"
            }
            8 => {
                more = " wait 1";
                "runs, held"
            }
            9 => {
                order.budget = Some(40 + chance.below(200));
                "runs, over their budget"
            }
            10 => {
                more = " tools 2 sleep 3";
                "runs with commands"
            }
            11 => {
                more = " tools 3";
                "runs with tools"
            }
            12 => {
                more = " ask 1 tools 1";
                "runs that ask for leave"
            }
            _ => {
                more = " think 5";
                "runs that think"
            }
        };
        // Far on, or at once, or never reached: all are moments.
        let moment = chance.below(40);
        match chance.below(10) {
            0 => order.stop_at = Some(moment),
            1 | 2 => order.steer_at = Some(moment),
            _ => {}
        }
        let (words, size) = (order.words, order.size);
        order.input = format!("words {words} size {size} pace {pace}{more} run {name}");
        order
    }

    pub fn body(&self) -> String {
        let mut body = json!({ "input": self.input });
        if let Some(session) = &self.session {
            body["session_id"] = json!(session);
        }
        if let Some(bytes) = self.budget {
            body["budget"] = json!({ "output_bytes": bytes });
        }
        body.to_string()
    }

    /// What its whole history must be: numbers without a gap, one end, and all that was to be said.
    pub fn check(&self, frames: &[Frame]) {
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!(frame.seq, index as u64, "a gap, or something twice");
        }
        let ends = frames.iter().filter(|frame| frame.is_terminal()).count();
        assert_eq!(ends, 1, "ends of {}", self.input);
        let last = frames.last().expect("it has an end");
        let end = last.event();
        let may_be_cancelled = self.stop_at.is_some() || end != "run.cancelled";
        let may_fail = self.budget.is_some() || end != "run.failed";
        assert!(may_be_cancelled && may_fail, "{} ended with {}", self.input, last.text);
        if end == "run.completed" && self.steer_at.is_none() {
            let said = text_of(frames);
            let filler = "x".repeat(self.size as usize);
            let words: String = (0..self.words).map(|at| format!("word-{at}{filler} ")).collect();
            assert!(
                said.contains(&words) && said.ends_with(LAST_WORD),
                "{} said {said}",
                self.input
            );
        }
    }
}

fn text_of(frames: &[Frame]) -> String {
    let events = frames.iter().map(Frame::json);
    let deltas = events.filter(|event| event["event"] == "message.delta");
    deltas
        .map(|event: Value| event["delta"].as_str().expect("a delta has text").to_owned())
        .collect()
}
