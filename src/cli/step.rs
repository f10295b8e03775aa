//! What a run's events mean to somebody who watches: read from the lines the wire carries, so that
//! a run here and a run on a server look the same.
use super::desk::Question;
use runwire::approval::Choice;
use serde_json::Value;

/// One thing to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Text(String),
    /// The turn that has just been said was not the last.
    TurnEnded {
        text: String,
        already_shown: bool,
    },
    Reasoning(String),
    /// The whole reasoning of a turn, which may have come in pieces before.
    ReasoningWhole(String),
    ToolStarted {
        call_id: String,
        tool: String,
        preview: String,
    },
    ToolCompleted {
        call_id: String,
        tool: String,
        seconds: f64,
        error: bool,
        preview: String,
    },
    /// The run waits for leave.
    Asked {
        question: Question,
        tool: String,
        command: String,
        description: String,
    },
    /// Somebody has decided, or, if it `expired`, nobody has in time.
    Decided {
        choice: String,
        expired: bool,
    },
    /// A remark in our own words.
    Note(String),
    Ended(End),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Completed { output: String, runtime: String, input_tokens: u64, output_tokens: u64 },
    Failed { error: String, output: String },
    Cancelled { output: String },
    Interrupted { error: String },
}

impl Step {
    /// Reads an event's JSON. `None` for one there is nothing to show of, such as of a later version.
    pub fn read(data: &str) -> Option<Step> {
        let event: Value = serde_json::from_str(data).ok()?;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        Some(match event["event"].as_str()? {
            "message.delta" => Step::Text(text("delta")),
            "message.interim" => Step::TurnEnded {
                text: text("text"),
                already_shown: event["already_streamed"] == true,
            },
            "reasoning.delta" => Step::Reasoning(text("delta")),
            "reasoning.available" => Step::ReasoningWhole(text("text")),
            "tool.started" => Step::ToolStarted {
                call_id: text("tool_call_id"),
                tool: text("tool"),
                preview: text("preview"),
            },
            "tool.completed" => Step::ToolCompleted {
                call_id: text("tool_call_id"),
                tool: text("tool"),
                seconds: event["duration"].as_f64().unwrap_or_default(),
                error: event["error"] == true,
                preview: text("preview"),
            },
            "session.truncated" => Step::Note(format!(
                "{} older messages were left out so that the rest fits the model",
                event["dropped_messages"]
            )),
            "run.steered" => Step::Note(format!("steered: {}", text("text"))),
            "replay.truncated" => {
                Step::Note("the run's first events are no longer kept".to_owned())
            }
            "approval.request" => Step::Asked {
                question: Question { request_id: text("request_id"), choices: choices(&event) },
                tool: text("tool"),
                command: text("command"),
                description: text("description"),
            },
            "approval.responded" => {
                Step::Decided { choice: text("choice"), expired: event["expired"] == true }
            }
            _ => Step::Ended(End::read(&event)?),
        })
    }
}

/// What may be decided. All of it, should the event not say.
pub fn choices(event: &Value) -> Vec<Choice> {
    let names = event["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named: Vec<Choice> =
        names.iter().filter_map(|name| Choice::parse(name.as_str()?)).collect();
    if named.is_empty() { Choice::ALL.to_vec() } else { named }
}

/// What was decided, in words.
pub fn decided(choice: &str, expired: bool) -> String {
    match choice {
        "deny" if expired => "denied, as nobody decided in time".to_owned(),
        "deny" => "denied".to_owned(),
        "session" => "allowed, and for this session".to_owned(),
        "always" => "allowed, and always".to_owned(),
        _ => "allowed, this once".to_owned(),
    }
}

/// True if the event whose JSON this is ends its run.
#[cfg(feature = "llm")]
pub fn is_terminal(data: &str) -> bool {
    matches!(Step::read(data), Some(Step::Ended(_)))
}

impl End {
    fn read(event: &Value) -> Option<End> {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let tokens = |name: &str| event["usage"][name].as_u64().unwrap_or_default();
        let who = |name: &str| event["runtime"][name].as_str().unwrap_or_default();
        Some(match event["event"].as_str()? {
            "run.completed" => End::Completed {
                output: text("output"),
                runtime: join(who("provider"), who("model")),
                input_tokens: tokens("input_tokens"),
                output_tokens: tokens("output_tokens"),
            },
            "run.failed" => End::Failed { error: text("error"), output: text("output") },
            "run.cancelled" => End::Cancelled { output: text("output") },
            "run.interrupted" => End::Interrupted { error: text("error") },
            _ => return None,
        })
    }
}

/// Provider and model, said once if they are the same or one is missing.
fn join(provider: &str, model: &str) -> String {
    match (provider, model) {
        ("", one) | (one, "") => one.to_owned(),
        (provider, model) if provider == model => model.to_owned(),
        (provider, model) => format!("{provider} {model}"),
    }
}
