//! The model when none is named: no language model, but it drives the same loop and tools.
mod phrases;

use super::{Ask, Entry, Finish, Model, Piece, ToolCall, Turn};
use crate::agent::{Cancel, Ending};
use crate::event::Usage;
use crate::request::ERROR_MARK;
use crate::text::preview;
use phrases::Step;
use serde_json::{Value, json};

/// Understands a handful of plain requests and carries them out with tools, step by step.
///
/// It keeps nothing: what to do next follows from the conversation alone. Its tokens are words,
/// parted by white space: of the whole conversation in, of its own turn out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin;

const NAME: &str = "builtin";
/// At most about as many pieces is a turn's text handed out in.
const PIECES_MAX: usize = 200;
/// Characters it repeats of each earlier message.
const PAST_CHARS_MAX: usize = 200;

type Say<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<(), Ending>;

impl Model for Builtin {
    fn provider(&self) -> &str {
        NAME
    }

    fn name(&self) -> &str {
        NAME
    }

    fn turn(&self, ask: &Ask<'_>, cancel: &Cancel, say: Say<'_>) -> Result<Turn, Ending> {
        if cancel.is_cancelled() {
            return Err(Ending::Stopped);
        }
        let mut turn = next(ask);
        each_piece(&turn.reasoning, |piece| say(Piece::Reasoning(piece)))?;
        each_piece(&turn.text, |piece| say(Piece::Text(piece)))?;
        turn.usage = usage(ask.entries, &turn);
        Ok(turn)
    }
}

/// What this model says next in the conversation.
fn next(ask: &Ask<'_>) -> Turn {
    let is_user = |entry: &Entry| matches!(entry, Entry::User(_));
    let input_at = ask.entries.iter().rposition(is_user).unwrap_or(ask.entries.len());
    let (input, since) = match &ask.entries[input_at..] {
        [Entry::User(content), since @ ..] => (content.to_text(), since),
        _ => (String::new(), &[][..]),
    };
    if phrases::asks_for_past(&input) {
        return answer(past(&ask.entries[..input_at]));
    }
    let steps = match phrases::steps(&input) {
        Ok(steps) => steps,
        Err(part) => return answer(not_understood(&part)),
    };
    let results: Vec<(usize, &str)> = since.iter().filter_map(result).collect();
    let done = results.last().map_or(0, |(number, _)| *number);
    let failed = results.last().is_some_and(|(_, result)| result.starts_with(ERROR_MARK));
    match steps.get(done) {
        Some(step) if !failed => match call(step, done + 1, ask) {
            Ok(call) => calling(call, &steps, done),
            Err(why) => answer(why),
        },
        _ => answer(summary(&steps, &results, steps.len() - done.min(steps.len()))),
    }
}

/// What the user said before, as far as the conversation shows it.
fn past(entries: &[Entry]) -> String {
    let said = entries.iter().filter_map(|entry| match entry {
        Entry::User(content) => Some(content.to_text()),
        _ => None,
    });
    let line = |(index, text): (usize, String)| {
        let text = preview(&text, PAST_CHARS_MAX);
        let text = if text.is_empty() { "(no text)" } else { &text };
        format!("{}. {text}\n", index + 1)
    };
    match said.enumerate().map(line).collect::<String>() {
        none if none.is_empty() => format!("I see nothing that you said before this.\n\n{HONEST}"),
        lines => format!("Before this you said, as far as I see:\n\n{lines}\n{HONEST}"),
    }
}

/// A call's id carries the number of its step, which is how the next turn knows where it is.
fn call_id(number: usize) -> String {
    format!("step_{number}")
}

fn result(entry: &Entry) -> Option<(usize, &str)> {
    match entry {
        Entry::Tool { call_id, result } => {
            // The loop appends a number of its own to an id that was there before.
            let number = call_id.strip_prefix("step_")?.split('_').next()?;
            Some((number.parse().ok()?, result.as_str()))
        }
        _ => None,
    }
}

/// The call that carries out `step`, or why there is none.
fn call(step: &Step, number: usize, ask: &Ask<'_>) -> Result<ToolCall, String> {
    let has = |name: &str| ask.tools.iter().any(|tool| tool.name == name);
    let (name, arguments): (&str, Value) = match step {
        Step::List(folder) if has("terminal") => {
            ("terminal", json!({ "command": format!("ls -la {}", shell_word(folder)) }))
        }
        Step::List(folder) => ("list_files", json!({ "path": folder })),
        Step::Read(path) => ("read_file", json!({ "path": path })),
        Step::Run(command) => ("terminal", json!({ "command": command })),
        Step::Search { text, folder } => ("search_files", json!({ "text": text, "path": folder })),
        Step::Write { text, path } => ("write_file", json!({ "path": path, "content": text })),
    };
    if !has(name) {
        return Err(format!("I cannot {step}: the tool {name} is not there.\n\n{HONEST}"));
    }
    Ok(ToolCall { id: call_id(number), name: name.to_owned(), arguments: arguments.to_string() })
}

/// `path` as one word of a shell command, never read as an option or as anything but a path.
/// Only a `~/` at its start keeps its meaning.
fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) && !path.starts_with('-') {
        return path.to_owned();
    }
    let (home, rest) = match path.strip_prefix("~/") {
        _ if path == "~" => return path.to_owned(),
        Some(rest) => ("~/", rest),
        None => ("", path),
    };
    format!("-- {home}'{}'", rest.replace('\'', r"'\''"))
}

fn calling(call: ToolCall, steps: &[Step], done: usize) -> Turn {
    let reasoning = match (done, steps) {
        (0, [only]) => format!("I am asked to {only}. The tool {} can do that.", call.name),
        (0, [first, ..]) => {
            format!("I am asked for {} steps. The first: {first}, with {}.", steps.len(), call.name)
        }
        _ => String::new(),
    };
    let (calls, finish) = (vec![call], Finish::ToolCalls);
    Turn { reasoning, calls, finish, ..answer(String::new()) }
}

fn answer(text: String) -> Turn {
    Turn {
        text,
        reasoning: String::new(),
        calls: Vec::new(),
        finish: Finish::Stop,
        usage: Usage::default(),
        model: NAME.to_owned(),
    }
}

/// What came of each step, and what was left undone.
fn summary(steps: &[Step], results: &[(usize, &str)], undone: usize) -> String {
    let mut text = String::new();
    for (number, result) in results {
        let Some(step) = number.checked_sub(1).and_then(|index| steps.get(index)) else { continue };
        match result.strip_prefix(ERROR_MARK) {
            Some(why) => text += &format!("I could not {step}:\n\n{why}\n\n"),
            None => {
                let result = result.strip_suffix("[exit code 0]").unwrap_or(result).trim_end();
                text += &format!("{}\n\n{result}\n\n", step.title());
            }
        }
    }
    match undone {
        0 => {}
        1 => text += "I left out the last step, as it may need the one that failed.\n\n",
        count => text += &format!("I left out the last {count} steps, as they may need it.\n\n"),
    }
    text + HONEST
}

const HONEST: &str = "(This is `builtin`, which is no language model: it carries out a few plain \
                      requests. Say `help` to see them, or name a real model with --model.)";

fn not_understood(part: &str) -> String {
    let part = preview(part, 80);
    let opening = match part.as_str() {
        "" | "help" => String::new(),
        part => format!("I do not understand \"{part}\". "),
    };
    format!("{opening}I am `builtin`, which is no language model. {UNDERSTOOD}")
}

const UNDERSTOOD: &str = "\
I understand:

- list files in DIR
- read FILE
- run COMMAND
- search TEXT in DIR
- write TEXT to FILE
- what did I say before?
- help

Several of the first five can be joined by \"then\": list files in . then read README.md. Put quotes around \
what contains such words itself. For anything else, name a real model with --model.";

/// Hands out `text` in pieces that end after white space, more in each piece if it is long.
fn each_piece(text: &str, mut say: impl FnMut(&str) -> Result<(), Ending>) -> Result<(), Ending> {
    let bytes_min = text.len() / PIECES_MAX;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if c.is_whitespace() && end - start >= bytes_min {
            say(&text[start..end])?;
            start = end;
        }
    }
    if start < text.len() { say(&text[start..]) } else { Ok(()) }
}

fn usage(entries: &[Entry], turn: &Turn) -> Usage {
    let words = |text: &str| text.split_whitespace().count() as u64;
    let arguments =
        |calls: &[ToolCall]| -> u64 { calls.iter().map(|call| words(&call.arguments) + 1).sum() };
    let entry = |entry: &Entry| match entry {
        Entry::System(text) | Entry::Tool { result: text, .. } => words(text),
        Entry::User(content) | Entry::Other { content, .. } => words(&content.to_text()),
        Entry::Assistant { text, calls } => words(text) + arguments(calls),
    };
    let input_tokens = entries.iter().map(entry).sum();
    let output_tokens = words(&turn.reasoning) + words(&turn.text) + arguments(&turn.calls);
    let total_tokens = input_tokens + output_tokens;
    Usage { input_tokens, output_tokens, total_tokens, ..Usage::default() }
}
