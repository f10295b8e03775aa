//! What was said in a run, as its steps tell it: stores keep no messages of their own.
use crate::request::{Content, ERROR_MARK, Message, ToolCall};
use serde_json::Value;

/// The events that tell what was said; a store may leave out all others.
pub const TELLING: [&str; 4] = ["message.interim", "tool.started", "tool.completed", "run.steered"];

/// What a call came to that was never said to have ended.
pub const NO_RESULT: &str = "[the run ended before this call did]";

/// All that was said in a run, the oldest first.
///
/// `steps` is the JSON of its events that are no deltas, in order, each on a line of its own; what
/// a later version may have put there is passed over. Each result follows its call directly, as
/// models want it.
pub fn said<'a>(
    input: &Content,
    steps: impl IntoIterator<Item = &'a str>,
    output: Option<&str>,
) -> Vec<Message> {
    let mut messages = vec![question(input)];
    for line in steps.into_iter().flat_map(str::lines) {
        take_in(&mut messages, line);
    }
    messages.extend(answer(output));
    messages
}

/// Adds what one event tells to what was said before it in the same run. One that is not as this
/// program writes it tells nothing.
pub fn take_in(messages: &mut Vec<Message>, line: &str) {
    if let Ok(step) = serde_json::from_str(line) {
        let _ = tell(messages, step);
    }
}

fn tell(messages: &mut Vec<Message>, mut step: Value) -> Option<()> {
    let mut text = |name: &str| match step.get_mut(name)?.take() {
        Value::String(text) => Some(text),
        _ => None,
    };
    match text("event")?.as_str() {
        "message.interim" => {
            messages.extend(answer(Some(&text("text")?)));
        }
        "tool.started" => {
            let (id, name) = (text("tool_call_id")?, text("tool")?);
            call(messages, ToolCall { id, name, arguments: step.get("args")?.to_string() });
        }
        "tool.completed" => {
            let (id, result) = (text("tool_call_id")?, text("result")?);
            let mark = if step.get("error")?.as_bool()? { ERROR_MARK } else { "" };
            complete(messages, &id, mark.to_owned() + &result);
        }
        "run.steered" => messages.push(Message::new("user", Content::Text(text("text")?))),
        _ => {}
    }
    Some(())
}

/// The first message of a run.
pub fn question(input: &Content) -> Message {
    Message::new("user", input.clone())
}

/// The last message of a run, unless it has nothing to say: models refuse empty ones.
pub fn answer(output: Option<&str>) -> Option<Message> {
    output.filter(|text| !text.is_empty()).map(assistant)
}

/// What a model said.
pub fn assistant(text: &str) -> Message {
    Message::new("assistant", Content::Text(text.to_owned()))
}

/// Adds a call, to what the model said just before it if it has said something, and the result
/// it has until it ends.
fn call(messages: &mut Vec<Message>, call: ToolCall) {
    let result = Message::result(&call.id, NO_RESULT.to_owned());
    match messages.last_mut() {
        // It has no call yet: a call's result would follow it.
        Some(last) if last.role == "assistant" => last.calls.push(call),
        _ => messages.push(Message { calls: vec![call], ..assistant("") }),
    }
    messages.push(result);
}

/// Says what the latest call of that id came to. A result whose call is not there goes.
fn complete(messages: &mut [Message], call_id: &str, result: String) {
    let is_meant = |message: &&mut Message| message.call_id.as_deref() == Some(call_id);
    if let Some(message) = messages.iter_mut().rev().find(is_meant) {
        message.content = Content::Text(result);
    }
}
