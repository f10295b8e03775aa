//! What a client asks of an agent: one input, and what came before it.
use crate::budget::Budget;
use crate::id::RunId;
use crate::limits::INPUT_PREVIEW_CHARS_MAX;
use crate::text;
use serde_json::Value;
use std::borrow::Cow;

/// The body of `POST /v1/runs`, checked and resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub run_id: RunId,
    /// The session the run belongs to; a run without one is its own session.
    pub session_id: String,
    /// The user's turn.
    pub input: Content,
    /// The conversation before that turn, oldest first.
    pub history: Vec<Message>,
    /// Messages before those that were too many to be loaded.
    pub omitted: usize,
    /// What the agent is told about its task, beside its own instructions.
    pub instructions: Option<String>,
    /// The model asked for; `None` means the configured one.
    pub model: Option<String>,
    pub provider: Option<String>,
    /// Passed on to the model as they are (`temperature`, `max_tokens`, ...).
    pub(crate) model_options: serde_json::Map<String, Value>,
    /// The limits the client has set beside the server's own.
    pub budget: Budget,
}

impl Request {
    /// Bytes of all that was asked.
    pub(crate) fn len(&self) -> usize {
        let optional = [&self.instructions, &self.model, &self.provider];
        let texts: usize = optional.into_iter().flatten().map(String::len).sum();
        let history = self.history.iter().map(Message::len);
        let options = self.model_options.iter().map(|(name, value)| name.len() + value_len(value));
        let (history, options): (usize, usize) = (history.sum(), options.sum());
        self.session_id.len() + self.input.len() + texts + history + options
    }

    /// A request that consists of one text.
    pub fn text(run_id: RunId, text: &str) -> Request {
        Request {
            run_id,
            session_id: run_id.to_string(),
            input: Content::Text(text.to_owned()),
            history: Vec::new(),
            omitted: 0,
            instructions: None,
            model: None,
            provider: None,
            model_options: serde_json::Map::new(),
            budget: Budget::default(),
        }
    }
}

/// What a model is told before the result of a call that went wrong.
pub const ERROR_MARK: &str = "[tool error] ";

/// What a client says to a run that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// At most `STEER_BYTES_MAX` bytes.
    pub text: String,
    /// The tool calls of the turn that have not begun are to be skipped.
    pub interrupt: bool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `user`, `assistant`, `system`, `tool`, ...: as the client wrote it.
    pub role: String,
    pub content: Content,
    /// The tools an assistant wishes to have called.
    pub calls: Vec<ToolCall>,
    /// The call whose result a tool's message is.
    pub call_id: Option<String>,
}

impl Message {
    /// A message that consists of what it says.
    pub fn new(role: &str, content: Content) -> Message {
        Message { role: role.to_owned(), content, calls: Vec::new(), call_id: None }
    }

    /// What a tool call came to.
    pub fn result(call_id: &str, text: String) -> Message {
        let call_id = Some(call_id.to_owned());
        Message { call_id, ..Message::new("tool", Content::Text(text)) }
    }

    /// Bytes of all it holds.
    pub fn len(&self) -> usize {
        let calls = self.calls.iter().map(|c| c.id.len() + c.name.len() + c.arguments.len());
        let call_id = self.call_id.as_ref().map_or(0, String::len);
        self.role.len() + self.content.len() + calls.sum::<usize>() + call_id
    }

    /// True if it holds nothing but its role.
    pub fn is_empty(&self) -> bool {
        self.len() == self.role.len()
    }
}

/// A model's wish to have a tool called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it, which may be broken.
    pub arguments: String,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl Content {
    /// All its text, parts joined by line ends; images are left out.
    pub fn to_text(&self) -> String {
        match self {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    Part::Image { .. } => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// The beginning of its text on one line, at most `INPUT_PREVIEW_CHARS_MAX` characters.
    pub fn preview(&self) -> Box<str> {
        let text = match self {
            Content::Text(text) => Cow::Borrowed(text),
            Content::Parts(_) => Cow::Owned(self.to_text()),
        };
        text::preview(&text, INPUT_PREVIEW_CHARS_MAX).into()
    }

    /// Bytes of text and image addresses.
    pub fn len(&self) -> usize {
        match self {
            Content::Text(text) => text.len(),
            Content::Parts(parts) => parts.iter().map(Part::len).sum(),
        }
    }

    /// True if there is nothing for a model to read or see.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    /// An `https:`, `http:` or `data:image/` address, and how closely to look (`auto`, `low`, `high`).
    Image {
        url: String,
        detail: Option<String>,
    },
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Part::Text(text) => text.len(),
            Part::Image { url, .. } => url.len(),
        }
    }
}

/// Bytes that a JSON value holds, roughly: its texts, and the size of each value.
fn value_len(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_len).sum(),
        Value::Object(fields) => fields.iter().map(|(name, v)| name.len() + value_len(v)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inner
}
