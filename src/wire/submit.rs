//! The body of `POST /v1/runs`: checked, and taken apart into what was said and what was asked.
use super::{Lacks, Reject, json, message};
use crate::budget::Budget;
use crate::config::Webhook;
use crate::id::{RunId, hex_digits};
use crate::limits::HEADER_ID_BYTES_MAX;
use crate::request::{Content, Message, Part, ToolCall};
use serde_json::{Map, Value};

/// What a client asks for, before anything is looked up. `null` and `""` count as not given.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The user's turn; has text or an image.
    pub input: Content,
    /// All but the last element of `input`, if it was a list.
    pub earlier: Vec<Message>,
    /// `conversation_history`; an empty list counts as not given.
    pub history: Option<Vec<Message>>,
    pub instructions: Option<String>,
    pub previous_response_id: Option<String>,
    /// At most 256 bytes, without control characters.
    pub session_id: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub model_options: Map<String, Value>,
    /// Without limits if none were given.
    pub budget: Budget,
    pub webhook: Option<Webhook>,
}

/// Reads the body of a submission. Unknown fields are ignored.
///
/// # Errors
/// The first that applies: `InvalidJson`, `InvalidBody`; for `input` `MissingInput`, `FieldType`,
/// `InputEntry`, `NoUserText`; for the history `HistoryNotList`, `HistoryEntry`; for the rest
/// `FieldType`, `InvalidSessionKey`, `InvalidWebhook`.
pub fn parse(body: &[u8]) -> Result<Submission, Reject> {
    let value = json::parse(body).map_err(|error| Reject::InvalidJson(error.to_string()))?;
    let Value::Object(mut body) = value else { return Err(Reject::InvalidBody) };
    let (input, earlier) = input(body.remove("input").unwrap_or_default())?;
    Ok(Submission {
        input,
        earlier,
        history: history(body.remove("conversation_history").unwrap_or_default())?,
        instructions: string(&mut body, "instructions")?,
        previous_response_id: string(&mut body, "previous_response_id")?,
        session_id: session_id(&mut body)?,
        model: string(&mut body, "model")?,
        provider: string(&mut body, "provider")?,
        model_options: object(&mut body, "model_options")?,
        budget: budget(&mut body)?,
        webhook: webhook(&mut body)?,
    })
}

/// The answer to a submission, once there is a run. Written out: it is made for each run.
pub fn accepted(run: RunId, status: &str, replayed: bool) -> Vec<u8> {
    let digits = hex_digits(run.0);
    let pieces: [&[u8]; 9] = [
        b"{\"run_id\":\"run_",
        &digits,
        b"\",\"status\":\"",
        status.as_bytes(),
        b"\",\"replayed\":",
        if replayed { b"true" } else { b"false" },
        b",\"response_id\":\"resp_",
        &digits,
        b"\"}",
    ];
    pieces.concat()
}

/// Checks a session's key or id; `field` is where it stood.
///
/// # Errors
/// `InvalidSessionKey` if it has more than `HEADER_ID_BYTES_MAX` bytes or control characters.
pub fn header_id(value: &str, field: &'static str) -> Result<(), Reject> {
    if value.len() > HEADER_ID_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(Reject::InvalidSessionKey(field));
    }
    Ok(())
}

/// Checks an Idempotency-Key.
///
/// # Errors
/// `InvalidIdempotencyKey` unless it has 1 to 255 visible ASCII characters.
pub fn idempotency_key(value: &str) -> Result<(), Reject> {
    if value.is_empty()
        || value.len() >= HEADER_ID_BYTES_MAX
        || !value.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(Reject::InvalidIdempotencyKey);
    }
    Ok(())
}

/// The user's turn, and the messages before it.
fn input(value: Value) -> Result<(Content, Vec<Message>), Reject> {
    let (input, earlier) = match value {
        Value::Null => return Err(Reject::MissingInput),
        Value::String(text) if text.is_empty() => return Err(Reject::MissingInput),
        Value::Array(list) if list.is_empty() => return Err(Reject::MissingInput),
        Value::String(text) => (Content::Text(text), Vec::new()),
        Value::Array(list) => last_turn(list)?,
        _ => {
            let wants = "a string or a list of messages";
            return Err(Reject::FieldType { field: "input", wants });
        }
    };
    if says_nothing(&input) { Err(Reject::NoUserText) } else { Ok((input, earlier)) }
}

fn last_turn(list: Vec<Value>) -> Result<(Content, Vec<Message>), Reject> {
    let mut messages = messages(list, |index, lacks| Reject::InputEntry { index, lacks })?;
    match messages.pop() {
        Some(last) if last.role == "user" => Ok((last.content, messages)),
        _ => Err(Reject::NoUserText),
    }
}

/// True if there is neither text nor an image to answer.
fn says_nothing(content: &Content) -> bool {
    let blank = |text: &String| text.trim().is_empty();
    match content {
        Content::Text(text) => blank(text),
        Content::Parts(parts) => {
            parts.iter().all(|part| matches!(part, Part::Text(text) if blank(text)))
        }
    }
}

fn history(value: Value) -> Result<Option<Vec<Message>>, Reject> {
    match value {
        Value::Null => Ok(None),
        Value::Array(list) if list.is_empty() => Ok(None),
        Value::Array(list) => {
            messages(list, |index, lacks| Reject::HistoryEntry { index, lacks }).map(Some)
        }
        _ => Err(Reject::HistoryNotList),
    }
}

fn messages(
    list: Vec<Value>,
    blame: impl Fn(usize, Lacks) -> Reject,
) -> Result<Vec<Message>, Reject> {
    let numbered = list.into_iter().enumerate();
    numbered.map(|(i, entry)| message::read(entry).map_err(|lacks| blame(i, lacks))).collect()
}

fn string(body: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, Reject> {
    match body.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reject::FieldType { field, wants: "a string" }),
    }
}

fn session_id(body: &mut Map<String, Value>) -> Result<Option<String>, Reject> {
    let id = string(body, "session_id")?;
    if let Some(id) = &id {
        header_id(id, "session_id")?;
    }
    Ok(id)
}

fn object(
    body: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Map<String, Value>, Reject> {
    match body.remove(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(Reject::FieldType { field, wants: "an object" }),
    }
}

fn budget(body: &mut Map<String, Value>) -> Result<Budget, Reject> {
    match body.remove("budget") {
        None | Some(Value::Null) => Ok(Budget::default()),
        Some(value) => super::budget::parse(value),
    }
}

fn webhook(body: &mut Map<String, Value>) -> Result<Option<Webhook>, Reject> {
    let value = body.remove("webhook").filter(|value| !value.is_null());
    value.map(|value| super::webhook::parse(&value)).transpose()
}

/// Nothing panics, what is taken is JSON, and what it holds keeps its promises.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let answer = parse(bytes);
    assert_eq!(answer, parse(bytes));
    match answer {
        Ok(submission) => {
            let plain: Value = serde_json::from_slice(bytes).expect("what is taken is JSON");
            assert!(plain.is_object());
            assert!(!says_nothing(&submission.input));
            assert!(submission.session_id.is_none_or(|id| header_id(&id, "").is_ok()));
            let budget = submission.budget;
            assert_eq!(super::budget::parse(super::budget::to_json(&budget)), Ok(budget));
            if let Some(webhook) = &submission.webhook {
                let json = super::webhook::to_json(webhook);
                assert_eq!(super::webhook::parse(&json).as_ref(), Ok(webhook));
            }
            assert!(submission.history.as_ref().is_none_or(|history| !history.is_empty()));
            for message in submission.history.into_iter().flatten().chain(submission.earlier) {
                assert!(!message.role.is_empty());
                assert!(message.role == "assistant" || message.calls.is_empty());
                assert!(message.role == "tool" || message.call_id.is_none());
                let named = |call: &ToolCall| !call.id.is_empty() && !call.name.is_empty();
                assert!(message.calls.iter().all(named));
                assert_eq!(message::read(message::write(&message).into()), Ok(message));
            }
        }
        Err(reject) => {
            assert_eq!(reject.status(), 400);
            let body: Value = serde_json::from_slice(&reject.body()).expect("a refusal is JSON");
            assert!(body["error"]["message"].as_str().is_some_and(|text| text.len() < 1000));
        }
    }
}
