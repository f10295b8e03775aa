//! Messages as JSON in the form of chat completions: as clients give them, as lists show them, and
//! as stores keep them.
//!
//! What is written here is read back as it was, if it had once been read here.
use super::Lacks;
use crate::request::{Content, Message, Part, ToolCall};
use serde_json::{Map, Value, json};

/// A message, and what else is to be known of it may be added.
pub fn write(message: &Message) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("role".to_owned(), message.role.as_str().into());
    object.insert("content".to_owned(), write_content(&message.content));
    if !message.calls.is_empty() {
        object.insert("tool_calls".to_owned(), message.calls.iter().map(write_call).collect());
    }
    if let Some(id) = &message.call_id {
        object.insert("tool_call_id".to_owned(), id.as_str().into());
    }
    object
}

pub fn write_content(content: &Content) -> Value {
    match content {
        Content::Text(text) => text.as_str().into(),
        Content::Parts(parts) => parts.iter().map(write_part).collect(),
    }
}

fn write_call(call: &ToolCall) -> Value {
    let function = json!({ "name": call.name, "arguments": call.arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

fn write_part(part: &Part) -> Value {
    let image = match part {
        Part::Text(text) => return json!({ "type": "text", "text": text }),
        Part::Image { url, detail: None } => json!({ "url": url }),
        Part::Image { url, detail } => json!({ "url": url, "detail": detail }),
    };
    json!({ "type": "image_url", "image_url": image })
}

/// Reads a message; fields it does not know are ignored.
///
/// # Errors
/// What keeps `value` from being one.
pub fn read(value: Value) -> Result<Message, Lacks> {
    let Value::Object(mut entry) = value else { return Err(Lacks::Object) };
    let role = match entry.remove("role") {
        Some(Value::String(role)) if !role.is_empty() => role,
        _ => return Err(Lacks::Role),
    };
    let calls = if role == "assistant" { calls(entry.remove("tool_calls"))? } else { Vec::new() };
    let call_id = if role == "tool" { call_id(entry.remove("tool_call_id"))? } else { None };
    let content = match entry.remove("content") {
        // Chat completions write null, or nothing, where an assistant only called tools.
        Some(Value::Null) if role == "assistant" => Content::Text(String::new()),
        None if !calls.is_empty() => Content::Text(String::new()),
        content => read_content(content.unwrap_or_default())?,
    };
    Ok(Message { role, content, calls, call_id })
}

/// Reads a text or a list of parts.
///
/// # Errors
/// `Lacks::Content` if it is neither, `Lacks::Part` if one of the parts is none.
pub fn read_content(value: Value) -> Result<Content, Lacks> {
    match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(list) => {
            let parts = list.into_iter().enumerate();
            let parts = parts.map(|(i, value)| part(value).ok_or(Lacks::Part(i)));
            Ok(Content::Parts(parts.collect::<Result<_, _>>()?))
        }
        _ => Err(Lacks::Content),
    }
}

fn calls(value: Option<Value>) -> Result<Vec<ToolCall>, Lacks> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            let numbered = list.into_iter().enumerate();
            numbered.map(|(i, value)| call(value).ok_or(Lacks::Call(i))).collect()
        }
        Some(_) => Err(Lacks::Calls),
    }
}

/// Whether a call's arguments are JSON is not asked: they are what a model wrote.
fn call(value: Value) -> Option<ToolCall> {
    let Value::Object(mut call) = value else { return None };
    let Value::Object(mut function) = call.remove("function")? else { return None };
    let id = take_string(&mut call, "id").filter(|id| !id.is_empty())?;
    let name = take_string(&mut function, "name").filter(|name| !name.is_empty())?;
    Some(ToolCall { id, name, arguments: take_string(&mut function, "arguments")? })
}

fn call_id(value: Option<Value>) -> Result<Option<String>, Lacks> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => Ok(Some(id)),
        Some(_) => Err(Lacks::CallId),
    }
}

/// Reads a part in either of the two forms that are in use: that of chat completions and that of
/// responses.
fn part(value: Value) -> Option<Part> {
    let Value::Object(mut part) = value else { return None };
    match part.get("type")?.as_str()? {
        "text" | "input_text" | "output_text" => take_string(&mut part, "text").map(Part::Text),
        "image_url" | "input_image" => {
            let mut detail = take_string(&mut part, "detail");
            let url = match part.remove("image_url")? {
                Value::String(url) => url,
                Value::Object(mut image) => {
                    detail = take_string(&mut image, "detail").or(detail);
                    take_string(&mut image, "url")?
                }
                _ => return None,
            };
            is_image_address(&url).then_some(Part::Image { url, detail })
        }
        _ => None,
    }
}

/// A model must not be sent to read the files of its own host.
fn is_image_address(url: &str) -> bool {
    let begins = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins("https://") || begins("http://") || begins("data:image/")
}

fn take_string(object: &mut Map<String, Value>, field: &str) -> Option<String> {
    match object.remove(field) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
