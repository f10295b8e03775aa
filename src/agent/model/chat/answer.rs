//! A model's answer, put together from its bytes: a stream of chunks, or one whole completion.
use super::Complaint;
use super::calls::{Calls, TooMany};
use crate::agent::Ending;
use crate::agent::model::{Finish, Piece, Turn};
use crate::event::Usage;
use crate::text::preview;
use crate::wire::sse::Decoder;
use serde_json::Value;
use std::borrow::Cow;

/// Bytes of text, reasoning and tool calls in one turn.
pub const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one message, or of an answer that is not a stream: the same, as JSON.
const RAW_BYTES_MAX: usize = 2 * TURN_BYTES_MAX;
/// Tokens a server may claim, so that sums of them cannot overflow.
const TOKENS_MAX: u64 = 1 << 40;
/// Bytes at the start of an answer kept to show what came instead of one.
const FIRST_BYTES_MAX: usize = 400;
const SHOWN_CHARS_MAX: usize = 200;

/// Why an answer is not a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Whoever listens wants no more.
    Ended(Ending),
    /// The server reports an error.
    Complaint(Complaint),
    /// What came is not the protocol. Holds its beginning, on one line.
    Garbled(String),
    /// More than `TURN_BYTES_MAX`.
    TooLong,
    /// The answer ends before the turn does.
    Unfinished,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing of the turn is known.
    Nothing,
    /// Something of the turn is known.
    Begun,
    /// The turn is complete; its usage may still follow.
    Finished,
    /// The server has said that nothing follows.
    Done,
}

/// A turn in the making. Feed it bytes however they are cut, then `end` it.
#[derive(Debug)]
pub struct Answer {
    form: Form,
    first: Vec<u8>,
    draft: Draft,
}

/// Some servers answer a request for a stream with one JSON object. The first byte tells.
#[derive(Debug)]
enum Form {
    Unknown,
    Stream(Decoder),
    Whole(Vec<u8>),
}

#[derive(Debug)]
struct Draft {
    turn: Turn,
    calls: Calls,
    /// Messages taken, of whatever kind.
    messages: u64,
    /// Whether any message spoke of choices, as every answer does.
    understood: bool,
    finish: Option<Finish>,
    done: bool,
    bytes: usize,
}

type Say<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<(), Ending>;

impl Answer {
    /// An answer from `model`, unless it calls itself something else.
    pub fn new(model: &str) -> Answer {
        let turn = Turn {
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            finish: Finish::Stop,
            usage: Usage::default(),
            model: model.to_owned(),
        };
        let calls = Calls::default();
        let (messages, understood, finish, done, bytes) = (0, false, None, false, 0);
        let draft = Draft { turn, calls, messages, understood, finish, done, bytes };
        Answer { form: Form::Unknown, first: Vec::new(), draft }
    }

    /// Takes the next bytes of the body and hands each piece of the turn to `say`.
    ///
    /// After an error the answer is of no further use.
    pub fn feed(&mut self, bytes: &[u8], say: Say<'_>) -> Result<(), Trouble> {
        let room = FIRST_BYTES_MAX - self.first.len();
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if matches!(self.form, Form::Unknown) {
            self.form = match self.first.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => return Ok(()),
                Some(b'{' | b'[') => Form::Whole(Vec::new()),
                Some(_) => Form::Stream(Decoder::new(RAW_BYTES_MAX)),
            };
        }
        match &mut self.form {
            Form::Stream(decoder) => stream(decoder, bytes, &mut self.draft, say),
            Form::Whole(whole) => {
                whole.extend_from_slice(bytes);
                if whole.len() > RAW_BYTES_MAX { Err(Trouble::TooLong) } else { Ok(()) }
            }
            Form::Unknown => Ok(()),
        }
    }

    pub fn progress(&self) -> Progress {
        let Draft { turn, calls, finish, done, .. } = &self.draft;
        let begun = !turn.text.is_empty() || !turn.reasoning.is_empty() || !calls.is_empty();
        match finish {
            _ if *done => Progress::Done,
            Some(_) => Progress::Finished,
            None if begun => Progress::Begun,
            None => Progress::Nothing,
        }
    }

    /// Messages taken so far. A server's comments are none: they are no progress.
    pub fn messages(&self) -> u64 {
        self.draft.messages
    }

    /// Whether a single byte has come.
    pub fn is_blank(&self) -> bool {
        self.first.is_empty()
    }

    /// The whole turn, at the end of the body.
    ///
    /// `random` names the calls that came without an id.
    pub fn end(mut self, random: &mut dyn FnMut() -> u64, say: Say<'_>) -> Result<Turn, Trouble> {
        match &mut self.form {
            Form::Whole(whole) => {
                let whole = serde_json::from_slice(whole);
                let value = whole.map_err(|error| match error.is_eof() {
                    true => Trouble::Unfinished,
                    false => self.garbled(),
                })?;
                self.draft.take(&value, say)?;
            }
            // Some servers leave out the blank line behind their last message.
            Form::Stream(decoder) if self.draft.finish.is_none() && !self.draft.done => {
                let last = stream(decoder, b"\n\n", &mut self.draft, say);
                last.map_err(|trouble| match trouble {
                    Trouble::Garbled(_) => Trouble::Unfinished,
                    other => other,
                })?;
            }
            Form::Stream(_) | Form::Unknown => {}
        }
        if !self.draft.understood && !self.is_blank() {
            return Err(self.garbled());
        }
        self.draft.end(random)
    }

    fn garbled(&self) -> Trouble {
        garbled(&String::from_utf8_lossy(&self.first))
    }
}

fn garbled(text: &str) -> Trouble {
    Trouble::Garbled(preview(text, SHOWN_CHARS_MAX))
}

fn stream(
    decoder: &mut Decoder,
    bytes: &[u8],
    draft: &mut Draft,
    say: Say<'_>,
) -> Result<(), Trouble> {
    let mut taken = Ok(());
    let fed = decoder.feed(bytes, &mut |message| {
        if taken.is_ok() && !draft.done {
            taken = draft.message(message.data, say);
        }
    });
    taken?;
    fed.map_err(|_| Trouble::TooLong)
}

impl Draft {
    fn message(&mut self, data: &str, say: Say<'_>) -> Result<(), Trouble> {
        self.messages += 1;
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| garbled(data))?;
        if !value.is_object() {
            return Err(garbled(data));
        }
        self.take(&value, say)
    }

    /// Takes a chunk or a whole completion: they differ in `delta` and `message` only.
    fn take(&mut self, value: &Value, say: Say<'_>) -> Result<(), Trouble> {
        let is_error = value.is_array() || value["object"] == "error";
        if is_error || value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(Trouble::Complaint(Complaint::from_value(value)));
        }
        if let Some(name) = value["model"].as_str().filter(|name| !name.is_empty()) {
            name.clone_into(&mut self.turn.model);
        }
        if value["usage"].is_object() {
            self.turn.usage = usage(&value["usage"]);
        }
        let Some(choices) = value["choices"].as_array() else { return Ok(()) };
        self.understood = true;
        let first = |choice: &&Value| choice["index"].as_u64().unwrap_or(0) == 0;
        match choices.iter().find(first) {
            Some(choice) => self.choice(choice, say),
            None => Ok(()),
        }
    }

    fn choice(&mut self, choice: &Value, say: Say<'_>) -> Result<(), Trouble> {
        let delta = choice.get("delta").unwrap_or(&choice["message"]);
        let reasoning = first_text(delta, ["reasoning_content", "reasoning"]);
        if !reasoning.is_empty() {
            self.grow(reasoning.len())?;
            self.turn.reasoning.push_str(&reasoning);
            say(Piece::Reasoning(&reasoning)).map_err(Trouble::Ended)?;
        }
        let text = first_text(delta, ["content", "refusal"]);
        if !text.is_empty() {
            self.grow(text.len())?;
            self.turn.text.push_str(&text);
            say(Piece::Text(&text)).map_err(Trouble::Ended)?;
        }
        let is_whole = choice.get("delta").is_none();
        let fragments = delta["tool_calls"].as_array().into_iter().flatten();
        for (place, fragment) in (0..).zip(fragments) {
            let bytes = self.calls.add(fragment, is_whole.then_some(place));
            let bytes = bytes.map_err(|TooMany| Trouble::TooLong)?;
            self.grow(bytes)?;
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish = Some(finish(reason).ok_or(Trouble::Unfinished)?);
        }
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.bytes += bytes;
        if self.bytes > TURN_BYTES_MAX { Err(Trouble::TooLong) } else { Ok(()) }
    }

    fn end(self, random: &mut dyn FnMut() -> u64) -> Result<Turn, Trouble> {
        let finish = self.finish.or(self.done.then_some(Finish::Stop));
        let finish = match finish.ok_or(Trouble::Unfinished)? {
            // Servers disagree on which of the two a turn with calls ends in.
            Finish::Stop | Finish::ToolCalls if self.calls.is_empty() => Finish::Stop,
            Finish::Stop | Finish::ToolCalls => Finish::ToolCalls,
            cut => cut,
        };
        Ok(Turn { finish, calls: self.calls.finish(random), ..self.turn })
    }
}

/// The first of `names` that holds text: as a string, or as a list of parts with text.
fn first_text<'a>(delta: &'a Value, names: [&str; 2]) -> Cow<'a, str> {
    let text = |name| match &delta[name] {
        Value::String(text) => Cow::from(text),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => Cow::default(),
    };
    names.into_iter().map(text).find(|text| !text.is_empty()).unwrap_or_default()
}

/// `None` where the server gave up on the turn.
fn finish(reason: &str) -> Option<Finish> {
    match reason {
        "length" | "max_tokens" => Some(Finish::Length),
        "tool_calls" | "function_call" => Some(Finish::ToolCalls),
        "content_filter" => Some(Finish::Filtered),
        "error" => None,
        _ => Some(Finish::Stop),
    }
}

fn usage(value: &Value) -> Usage {
    let tokens = |value: &Value| value.as_u64().unwrap_or(0).min(TOKENS_MAX);
    let details = &value["prompt_tokens_details"];
    let input_tokens = tokens(&value["prompt_tokens"]);
    let output_tokens = tokens(&value["completion_tokens"]);
    let total_tokens = match tokens(&value["total_tokens"]) {
        0 => input_tokens + output_tokens,
        total => total,
    };
    Usage {
        input_tokens,
        output_tokens,
        total_tokens,
        cache_read_tokens: tokens(&details["cached_tokens"]),
        cache_write_tokens: tokens(&details["cache_write_tokens"]),
    }
}
