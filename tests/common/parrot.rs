//! A model that does what the user says last, and remembers all it was shown.
use super::Gate;
use runwire::agent::model::{Ask, Entry, Finish, Model, Piece, ToolCall, Turn};
use runwire::event::Usage;
use runwire::{Cancel, Ending};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// Understands: `say TEXT`, `write TEXT` (calls `write_file` and then says what came of it), `fail`
/// (before it says anything), `hold TEXT` (says it and waits until it is stopped), `gate TEXT`
/// (waits until the gate opens, and says it).
#[derive(Clone, Default)]
pub struct Parrot {
    pub gate: Gate,
    shown: Arc<Mutex<Vec<Vec<Entry>>>>,
}

impl Parrot {
    /// What it was shown for the last turn, what the system said left out.
    pub fn last_shown(&self) -> Vec<Entry> {
        let shown = self.shown.lock().unwrap();
        let last = shown.last().expect("it was asked for a turn").iter();
        last.filter(|entry| !matches!(entry, Entry::System(_))).cloned().collect()
    }

    /// The same in short: `user: ...`, `assistant: ... +calls`, `tool: ...`.
    pub fn last_heard(&self) -> Vec<String> {
        let said = |entry: &Entry| match entry {
            Entry::System(text) => format!("system: {text}"),
            Entry::User(content) => format!("user: {}", content.to_text()),
            Entry::Assistant { text, calls } if calls.is_empty() => format!("assistant: {text}"),
            Entry::Assistant { text, calls } => format!("assistant: {text} +{}", calls.len()),
            Entry::Tool { result, .. } => format!("tool: {result}"),
            Entry::Other { role, content } => format!("{role}: {}", content.to_text()),
        };
        self.last_shown().iter().map(said).collect()
    }

    /// How many turns it was asked for.
    pub fn turns(&self) -> usize {
        self.shown.lock().unwrap().len()
    }
}

impl Model for Parrot {
    fn provider(&self) -> &str {
        "cage"
    }

    fn name(&self) -> &str {
        "parrot"
    }

    fn turn(
        &self,
        ask: &Ask<'_>,
        cancel: &Cancel,
        say: &mut dyn FnMut(Piece<'_>) -> Result<(), Ending>,
    ) -> Result<Turn, Ending> {
        self.shown.lock().unwrap().push(ask.entries.to_vec());
        let last = ask.entries.last().expect("there is an input");
        if let Entry::Tool { result, .. } = last {
            return answer(&format!("It says: {result}"), say);
        }
        let Entry::User(content) = last else { panic!("{last:?} is no input") };
        let input = content.to_text();
        let (verb, text) = input.split_once(' ').unwrap_or((&input, ""));
        match verb {
            "say" => answer(text, say),
            "write" => {
                let arguments = serde_json::json!({ "path": "note.txt", "content": text });
                let call = ToolCall {
                    id: "call-1".to_owned(),
                    name: "write_file".to_owned(),
                    arguments: arguments.to_string(),
                };
                let turn = answer("I write it down.", say)?;
                Ok(Turn { calls: vec![call], finish: Finish::ToolCalls, ..turn })
            }
            "fail" => Err(Ending::failed("test_failure", "as asked")),
            "hold" => {
                say(Piece::Text(text))?;
                let (freed, wait) = channel();
                let _hook = cancel.on_cancel(move || freed.send(()).unwrap());
                wait.recv().unwrap();
                Err(Ending::Stopped)
            }
            "gate" => {
                self.gate.wait();
                answer(text, say)
            }
            _ => panic!("{input:?} means nothing"),
        }
    }
}

fn answer(
    text: &str,
    say: &mut dyn FnMut(Piece<'_>) -> Result<(), Ending>,
) -> Result<Turn, Ending> {
    text.split_inclusive(' ').try_for_each(|word| say(Piece::Text(word)))?;
    Ok(Turn {
        text: text.to_owned(),
        reasoning: String::new(),
        calls: Vec::new(),
        finish: Finish::Stop,
        usage: Usage { input_tokens: 10, output_tokens: 2, total_tokens: 12, ..Usage::default() },
        model: "parrot-1".to_owned(),
    })
}
