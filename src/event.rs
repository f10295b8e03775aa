//! The vocabulary every layer shares: what can happen to a run.
use crate::budget::Limit;
use crate::id::RunKey;
use crate::time::Wall;
use serde::Serialize;

/// One step of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub run: RunKey,
    /// Counts from 0 what the run's agent has said, without gaps. Clients are told the number that
    /// the machine gives the event, which writes some of its own.
    pub seq: u64,
    /// Never before the run's previous event.
    pub at: Wall,
    pub kind: Kind,
}

/// What happened. The set is closed: a client can know all of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    MessageDelta(Delta),
    MessageInterim(Interim),
    ReasoningDelta(Delta),
    ReasoningAvailable(Reasoning),
    ToolStarted(Box<ToolStarted>),
    ToolCompleted(Box<ToolCompleted>),
    SessionTruncated(Truncated),
    ApprovalRequest(Box<ApprovalRequest>),
    ApprovalResponded(Box<ApprovalResponded>),
    Steered(Box<Steered>),
    Completed(Box<Completed>),
    Failed(Box<Failed>),
    Cancelled(Box<Cancelled>),
    Interrupted(Box<Interrupted>),
}

impl Kind {
    /// Every value of the event's `event` field.
    pub const NAMES: [&str; 14] = [
        "message.delta",
        "message.interim",
        "reasoning.delta",
        "reasoning.available",
        "tool.started",
        "tool.completed",
        "session.truncated",
        "approval.request",
        "approval.responded",
        "run.steered",
        "run.completed",
        "run.failed",
        "run.cancelled",
        "run.interrupted",
    ];

    /// The value of the event's `event` field.
    pub fn name(&self) -> &'static str {
        Kind::NAMES[self.index()]
    }

    /// Its place in `NAMES`.
    pub fn index(&self) -> usize {
        match self {
            Kind::MessageDelta(_) => 0,
            Kind::MessageInterim(_) => 1,
            Kind::ReasoningDelta(_) => 2,
            Kind::ReasoningAvailable(_) => 3,
            Kind::ToolStarted(_) => 4,
            Kind::ToolCompleted(_) => 5,
            Kind::SessionTruncated(_) => 6,
            Kind::ApprovalRequest(_) => 7,
            Kind::ApprovalResponded(_) => 8,
            Kind::Steered(_) => 9,
            Kind::Completed(_) => 10,
            Kind::Failed(_) => 11,
            Kind::Cancelled(_) => 12,
            Kind::Interrupted(_) => 13,
        }
    }

    /// After a terminal event a run never speaks again.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Kind::Completed(_) | Kind::Failed(_) | Kind::Cancelled(_) | Kind::Interrupted(_)
        )
    }

    /// What clients said to the run too late for its agent. Only a terminal event has it.
    pub fn pending_steer(&self) -> Option<&str> {
        match self {
            Kind::Completed(ending) => ending.pending_steer.as_deref(),
            Kind::Failed(ending) => ending.pending_steer.as_deref(),
            Kind::Cancelled(ending) => ending.pending_steer.as_deref(),
            Kind::Interrupted(ending) => ending.pending_steer.as_deref(),
            _ => None,
        }
    }

    /// Has a terminal event say what came too late. Does nothing to any other.
    pub fn set_pending_steer(&mut self, text: Option<String>) {
        match self {
            Kind::Completed(ending) => ending.pending_steer = text,
            Kind::Failed(ending) => ending.pending_steer = text,
            Kind::Cancelled(ending) => ending.pending_steer = text,
            Kind::Interrupted(ending) => ending.pending_steer = text,
            _ => {}
        }
    }
}

/// A piece of text as the model says it, at most `DELTA_BYTES_MAX` bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delta {
    pub delta: String,
}

/// What the model said between tool calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interim {
    pub text: String,
    pub already_streamed: bool,
}

/// The whole reasoning of one model turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reasoning {
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolStarted {
    pub tool: String,
    /// The main argument, shortened.
    pub preview: String,
    pub tool_call_id: String,
    pub args: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCompleted {
    pub tool: String,
    /// Seconds, rounded to 3 decimals.
    pub duration: f64,
    pub error: bool,
    /// The result, shortened to `PREVIEW_CHARS_MAX`.
    pub preview: String,
    pub tool_call_id: String,
    /// The result, shortened to `TOOL_RESULT_BYTES_MAX`.
    pub result: String,
}

/// History was left out so that the rest fits the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truncated {
    pub dropped_messages: usize,
}

/// The run waits for somebody's leave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApprovalRequest {
    pub request_id: String,
    /// The same.
    pub approval_id: String,
    pub tool: String,
    /// What will be done, shortened to `TOOL_ARGS_BYTES_MAX`.
    pub command: String,
    /// Why leave is needed, and what else the call may then do.
    pub description: String,
    /// Names of `approval::Choice`.
    pub choices: &'static [&'static str],
    /// True if the leave can be remembered: `session` and `always` are among the choices.
    pub allow_permanent: bool,
    /// The call a leave is remembered for, as canonical JSON.
    #[serde(skip)]
    pub arguments: String,
}

/// Somebody has decided, or the time to decide is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApprovalResponded {
    pub choice: &'static str,
    pub request_id: String,
    /// How many requests this decision was for.
    pub resolved: u32,
    /// True where nobody has decided in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// The agent has taken in what a client said to the working run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Steered {
    /// Always true: what is never taken in is told by `pending_steer`.
    pub accepted: bool,
    pub text: String,
    /// The remaining tool calls of the turn were to be skipped for it.
    pub interrupt: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Completed {
    /// The text of the last turn.
    pub output: String,
    pub usage: Usage,
    pub runtime: Runtime,
    /// Texts a client sent too late for the agent, one to a line; so in every terminal event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_steer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    pub error: String,
    /// A stable code for programs.
    pub reason: &'static str,
    /// Which limit of its budget the run has exceeded, if it failed for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<&'static str>,
    pub usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_steer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cancelled {
    pub usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_steer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interrupted {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_steer: Option<String>,
}

/// What a run has cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.total_tokens += other.total_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
    }
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Runtime {
    pub provider: String,
    pub model: String,
}

/// Why a run was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A client asked for it.
    Stop,
    /// Nobody has read the run for as long as `--orphan-ttl`, and `--on-orphan cancel` is set.
    Orphan,
    /// The run has used up more than this limit of its budget allows.
    Budget(Limit),
    /// The server is going down.
    Shutdown,
    /// The store could not keep the run's events.
    Store,
}
