//! Who says the next turn: a conversation in, a turn out, its text piece by piece.
pub mod builtin;
pub mod chat;
#[cfg(feature = "llm")]
mod dns;
#[cfg(feature = "llm")]
mod fault;
#[cfg(feature = "llm")]
pub mod openai;
#[cfg(feature = "llm")]
mod settings;
#[cfg(feature = "llm")]
mod transport;
#[cfg(feature = "llm")]
mod watch;
#[cfg(feature = "webhooks")]
pub mod webhook;

use super::{Cancel, Ending};
use crate::event::Usage;
use crate::request::Content;
pub use crate::request::ToolCall;
use serde_json::{Map, Value};

/// Says the next turn of a conversation. One value serves all runs.
pub trait Model: Send + Sync + 'static {
    /// Who runs the model, such as `builtin` or `openai`.
    fn provider(&self) -> &str;

    /// The configured model's name.
    fn name(&self) -> &str;

    /// Says one turn, handing out each piece as it comes, in order and once.
    ///
    /// Blocks for as long as the model takes, but returns `Ending::Stopped` within 250 ms of
    /// `cancel`. A turn that breaks off after its first piece is an error, never a second try.
    fn turn(
        &self,
        ask: &Ask<'_>,
        cancel: &Cancel,
        say: &mut dyn FnMut(Piece<'_>) -> Result<(), Ending>,
    ) -> Result<Turn, Ending>;
}

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Another model than the configured one, by the provider's name for it.
    pub model: Option<&'a str>,
    pub entries: &'a [Entry],
    pub tools: &'a [ToolSpec],
    /// Passed on as they are (`temperature`, `max_tokens`, ...).
    pub options: &'a Map<String, Value>,
}

/// One entry of the conversation a model is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    System(String),
    User(Content),
    Assistant {
        text: String,
        calls: Vec<ToolCall>,
    },
    Tool {
        call_id: String,
        result: String,
    },
    /// A message of a client's history in a role of its own.
    Other {
        role: String,
        content: Content,
    },
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    pub name: &'static str,
    pub description: String,
    /// JSON Schema of the arguments object.
    pub parameters: Value,
}

/// A piece of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    Reasoning(&'a str),
}

/// A whole turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub text: String,
    pub reasoning: String,
    pub calls: Vec<ToolCall>,
    pub finish: Finish,
    pub usage: Usage,
    /// The model's name as it calls itself, or as it was asked for.
    pub model: String,
}

/// Why a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    ToolCalls,
    /// Cut by the token limit: the last call's arguments may be incomplete.
    Length,
    /// Withheld by the provider's filter.
    Filtered,
}

/// Eight bytes nobody can guess.
#[cfg(feature = "llm")]
fn random() -> u64 {
    getrandom::u64().expect("every system this is made for has randomness")
}
