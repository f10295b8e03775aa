//! A conversation as the body of a chat completions request.
use crate::agent::model::{Ask, Entry, ToolCall, ToolSpec};
use crate::request::{Content, Part};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What a client's options may not change: the loop lives on it.
const RESERVED: [&str; 5] = ["messages", "model", "stream", "stream_options", "tools"];

/// The JSON body that asks `model` for the next turn, as a stream with usage at its end.
pub fn body(ask: &Ask<'_>, model: &str) -> Vec<u8> {
    let body = Body { ask, model };
    serde_json::to_vec(&body).expect("text and maps with text keys are always JSON")
}

struct Body<'a> {
    ask: &'a Ask<'a>,
    model: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("messages", &Messages(self.ask.entries))?;
        map.serialize_entry("stream", &true)?;
        map.serialize_entry("stream_options", &json!({ "include_usage": true }))?;
        if !self.ask.tools.is_empty() {
            map.serialize_entry("tools", &Tools(self.ask.tools))?;
        }
        for (name, value) in free(self.ask.options) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn free(options: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    options.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()))
}

struct Messages<'a>(&'a [Entry]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Message::new))
    }
}

struct Tools<'a>(&'a [ToolSpec]);

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|tool| {
            let ToolSpec { name, description, parameters } = tool;
            Told { kind: "function", function: Described { name, description, parameters } }
        }))
    }
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Described<'a>,
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn new(entry: &'a Entry) -> Message<'a> {
        match entry {
            Entry::System(text) => Message::plain("system", Said::text(text)),
            Entry::User(content) => Message::plain("user", Said::new(content)),
            Entry::Other { role, content } => Message::plain(role, Said::new(content)),
            Entry::Tool { call_id, result } => {
                let tool_call_id = Some(call_id.as_str());
                Message { tool_call_id, ..Message::plain("tool", Said::text(result)) }
            }
            Entry::Assistant { text, calls } => {
                let silent = text.is_empty() && !calls.is_empty();
                let content = if silent { None } else { Some(Said::text(text)) };
                let tool_calls = calls.iter().map(Call::new).collect();
                Message { role: "assistant", content, tool_calls, tool_call_id: None }
            }
        }
    }

    fn plain(role: &'a str, said: Said<'a>) -> Message<'a> {
        Message { role, content: Some(said), tool_calls: Vec::new(), tool_call_id: None }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Shown<'a>>),
}

impl<'a> Said<'a> {
    fn text(text: &'a str) -> Said<'a> {
        Said::Text(Cow::Borrowed(text))
    }

    /// Parts only where there is an image: many servers know nothing but text.
    fn new(content: &'a Content) -> Said<'a> {
        match content {
            Content::Text(text) => Said::text(text),
            Content::Parts(parts) if parts.iter().any(|p| matches!(p, Part::Image { .. })) => {
                Said::Parts(parts.iter().map(Shown::new).collect())
            }
            Content::Parts(_) => Said::Text(Cow::Owned(content.to_text())),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Shown<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Image<'a> },
}

impl<'a> Shown<'a> {
    fn new(part: &'a Part) -> Shown<'a> {
        match part {
            Part::Text(text) => Shown::Text { text },
            Part::Image { url, detail } => {
                Shown::ImageUrl { image_url: Image { url, detail: detail.as_deref() } }
            }
        }
    }
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    /// Servers take the arguments of past calls apart again and fail on broken ones; what was
    /// wrong with such a call stands in its result.
    fn new(call: &'a ToolCall) -> Call<'a> {
        let whole = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
        let arguments = if whole { &call.arguments } else { "{}" };
        let function = Function { name: &call.name, arguments };
        Call { id: &call.id, kind: "function", function }
    }
}
