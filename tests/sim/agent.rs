//! An agent: says a bounded number of things, stalls, and stops when told, sooner or later.
use crate::random::Random;
use runwire::event::{
    ApprovalRequest, Cancelled, Cause, Completed, Delta, Event, Failed, Interim, Interrupted, Kind,
    Runtime, Steered, ToolStarted, Usage,
};
use runwire::id::{RunId, RunKey};
use runwire::request::Steer;
use runwire::time::Wall;
use std::collections::VecDeque;
use std::sync::Arc;

pub struct Agent {
    pub key: RunKey,
    pub id: RunId,
    seq: u64,
    at: Wall,
    left: u64,
    pub told: Option<Cause>,
    pub inbox: VecDeque<Arc<Steer>>,
    /// It has asked for leave and was not told yet what was decided.
    pub waits: bool,
    /// How often it has asked.
    asked: u64,
    /// Never looks into its inbox.
    careless: bool,
    /// Says nothing until it is told to end.
    pub stalled: bool,
    /// Does not even listen to that.
    pub deaf: bool,
    /// Says more at a time than most say in all.
    loud: bool,
    /// And most of that to itself.
    thinks: bool,
}

impl Agent {
    pub fn new(key: RunKey, id: RunId, may_be_loud: bool, random: &mut Random) -> Agent {
        let longest = random.pick(&[1, 8, 60]);
        let loud = may_be_loud && random.once_in(2);
        let left = 1 + random.below(longest) + if loud { 40 } else { 0 };
        let stalled = random.once_in(8);
        let deaf = random.once_in(30);
        let (inbox, careless) = (VecDeque::new(), random.once_in(4));
        Agent {
            key,
            id,
            seq: 0,
            at: Wall(0),
            left,
            told: None,
            inbox,
            waits: false,
            asked: 0,
            careless,
            stalled,
            deaf,
            loud,
            thinks: loud && random.once_in(2),
        }
    }

    /// The next thing it has to say, if it says anything now.
    pub fn speak(&mut self, now: Wall, random: &mut Random) -> Option<Event> {
        // Who waits for leave hears of the end, whatever else it does not hear.
        let listens = self.told.is_some() && (!self.deaf || self.waits);
        if self.stalled && !listens {
            return None;
        }
        if self.waits && !listens {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let kind = match self.told {
            // Sometimes the work is done before the agent hears that it should stop.
            Some(cause) if listens && (self.waits || !random.once_in(6)) => last_word(cause),
            _ if self.left == 0 => completed(random),
            _ if self.loud && !random.once_in(4) => flood(self.thinks),
            _ if random.once_in(8) => self.ask(random),
            _ => self.heard(random).unwrap_or_else(|| something(random)),
        };
        // The clock on the wall may jump back; the run's one writer sees to it that time does not.
        self.at = self.at.max(Wall(now.0.saturating_sub(random.below(3_000_000))));
        let event = Event { run: self.key, seq: self.seq, at: self.at, kind };
        self.seq += 1;
        Some(event)
    }
}

impl Agent {
    fn ask(&mut self, random: &mut Random) -> Kind {
        let request_id = format!("approval_{:032x}_{}", self.id.0, self.asked);
        self.asked += 1;
        self.waits = true;
        let arguments = random.pick(&["{\"command\":\"rm\"}", "{\"command\":\"mv\"}", ""]);
        let may_last = !arguments.is_empty();
        Kind::ApprovalRequest(Box::new(ApprovalRequest {
            approval_id: request_id.clone(),
            request_id,
            tool: "terminal".to_owned(),
            command: text(random),
            description: text(random),
            choices: if may_last {
                &["once", "session", "always", "deny"]
            } else {
                &["once", "deny"]
            },
            allow_permanent: may_last,
            arguments: arguments.to_owned(),
        }))
    }

    /// What it says when it has looked into its inbox and found something.
    fn heard(&mut self, random: &mut Random) -> Option<Kind> {
        if self.careless || random.once_in(3) {
            return None;
        }
        let steer = self.inbox.pop_front()?;
        let (text, interrupt) = (steer.text.clone(), steer.interrupt);
        Some(Kind::Steered(Box::new(Steered { accepted: true, text, interrupt })))
    }
}

fn something(random: &mut Random) -> Kind {
    match random.below(12) {
        0 => Kind::ReasoningDelta(Delta { delta: text(random) }),
        1 => Kind::MessageInterim(Interim { text: text(random), already_streamed: true }),
        2 => Kind::ToolStarted(Box::new(ToolStarted {
            tool: "terminal".to_owned(),
            preview: text(random),
            tool_call_id: "call_1".to_owned(),
            args: serde_json::json!({ "command": "printf '\\n\\n'" }),
        })),
        _ => Kind::MessageDelta(Delta { delta: text(random) }),
    }
}

/// Enough for the beginning of a run to leave memory soon.
fn flood(thinks: bool) -> Kind {
    let delta = Delta { delta: "x\n\n".repeat(4_000) };
    if thinks { Kind::ReasoningDelta(delta) } else { Kind::MessageDelta(delta) }
}

/// All that could break a stream's framing.
fn text(random: &mut Random) -> String {
    const PIECES: [&str; 12] = [
        "word ",
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        "é",
        "🦀",
        "\u{2028}",
        "\0",
        "\ndata: {}\n\nid: 9\n\n",
        "\r\n0\r\n\r\n",
        "\\\"",
    ];
    if random.once_in(150) {
        return "x\n".repeat(8 * 1024);
    }
    (0..1 + random.below(6)).map(|_| random.pick(&PIECES)).collect()
}

fn completed(random: &mut Random) -> Kind {
    let output = text(random);
    Kind::Completed(Box::new(Completed {
        output,
        usage: Usage::default(),
        runtime: Runtime::default(),
        pending_steer: None,
    }))
}

fn last_word(cause: Cause) -> Kind {
    let (usage, pending_steer) = (Usage::default(), None);
    match cause {
        Cause::Stop | Cause::Orphan => {
            Kind::Cancelled(Box::new(Cancelled { usage, output: None, pending_steer }))
        }
        Cause::Budget(_) => {
            let error = "too long".to_owned();
            Kind::Failed(Box::new(Failed {
                error,
                reason: "budget_exceeded",
                budget: Some("wall_seconds"),
                usage,
                output: None,
                pending_steer,
            }))
        }
        Cause::Store => {
            let error = "not stored".to_owned();
            Kind::Failed(Box::new(Failed {
                error,
                reason: "store_unavailable",
                budget: None,
                usage,
                output: None,
                pending_steer,
            }))
        }
        Cause::Shutdown => Kind::Interrupted(Box::new(Interrupted {
            error: "going down".to_owned(),
            pending_steer,
        })),
    }
}
