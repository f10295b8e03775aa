//! A model server's error, in the many shapes they have.
use crate::text::preview;
use serde_json::Value;

/// Characters of a server's error text that are passed on.
const MESSAGE_CHARS_MAX: usize = 500;
/// How servers say that a conversation is too long, where they have no code for it.
const TOO_LONG: [&str; 4] =
    ["context length", "context size", "context window", "maximum number of tokens"];
const TOO_LONG_CODES: [&str; 2] = ["context_length_exceeded", "exceed_context_size_error"];

/// What a model server says is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The HTTP status, or the number the error itself carries.
    pub status: Option<u16>,
    /// The error's code or type, as the server names it; may be empty.
    pub code: String,
    /// One line of at most 500 characters; may be empty.
    pub message: String,
}

impl Complaint {
    /// Reads the body of an error reply: JSON in any of its shapes, or plain text.
    pub fn read(status: u16, body: &[u8]) -> Complaint {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => Complaint { status: Some(status), ..Complaint::from_value(&value) },
            Err(_) => Complaint {
                status: Some(status),
                code: String::new(),
                message: preview(&text, MESSAGE_CHARS_MAX),
            },
        }
    }

    /// Reads `{"error": ...}`, which may also be a list of one, or the bare error.
    pub fn from_value(value: &Value) -> Complaint {
        let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        let error = value.get("error").unwrap_or(value);
        let texts = [error, &error["message"], &value["message"], &value["detail"]];
        let message = texts.into_iter().find_map(Value::as_str);
        let message = message.map_or_else(|| error.to_string(), str::to_owned);
        let code = [&error["code"], &error["type"]].into_iter().find_map(Value::as_str);
        Complaint {
            status: status(&error["code"]).or_else(|| status(&error["status"])),
            code: code.unwrap_or_default().to_owned(),
            message: preview(&message, MESSAGE_CHARS_MAX),
        }
    }

    /// True if the conversation is longer than the model can read.
    pub fn is_context_exceeded(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        TOO_LONG_CODES.contains(&self.code.as_str())
            || TOO_LONG.iter().any(|words| message.contains(words))
    }

    /// True if the account has nothing left to spend: waiting does not help.
    pub fn is_out_of_quota(&self) -> bool {
        self.code == "insufficient_quota"
    }
}

fn status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}
