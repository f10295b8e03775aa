//! What was said before a run, as entries that any model takes.
//!
//! Servers refuse a conversation in which a call has no result right after it, a result has no
//! call, or two calls have the same id. Clients cut their histories where they like, so all of
//! that comes in, and none of it goes out.
use super::{ToolCall, as_object};
use crate::agent::model::Entry;
use crate::request::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The result of a call that the history has none for.
const NO_RESULT: &str = "[no result]";

#[derive(Default)]
pub(super) struct Past {
    /// What the system said, wherever it said it.
    pub system: Vec<Entry>,
    /// Everything else in its order, but each result with its call.
    pub entries: Vec<Entry>,
    /// For each of the entries, how many messages of the history it stands for.
    pub counts: Vec<usize>,
}

impl Past {
    /// Each call gets an id that `ids` did not have.
    pub fn new(history: &[Message], ids: &mut Ids) -> Past {
        let mut past = Past::default();
        let mut waiting = Waiting::new();
        for message in history {
            match message.role.as_str() {
                "system" | "developer" => {
                    past.system.push(Entry::System(message.content.to_text()));
                }
                "user" => past.push(Entry::User(message.content.clone()), 1),
                "assistant" => past.assistant(message, ids, &mut waiting),
                "tool" => past.result(message, &mut waiting),
                role => {
                    let role = role.to_owned();
                    past.push(Entry::Other { role, content: message.content.clone() }, 1);
                }
            }
        }
        past
    }

    fn assistant<'a>(&mut self, message: &'a Message, ids: &mut Ids, waiting: &mut Waiting<'a>) {
        let text = message.content.to_text();
        if text.is_empty() && message.calls.is_empty() {
            return self.pass_over();
        }
        let calls = message.calls.iter().map(|call| ToolCall {
            id: ids.take(&call.id),
            name: call.name.clone(),
            arguments: as_object(&call.arguments),
        });
        let calls: Vec<ToolCall> = calls.collect();
        let results = calls
            .iter()
            .map(|call| Entry::Tool { call_id: call.id.clone(), result: NO_RESULT.to_owned() });
        let results: Vec<Entry> = results.collect();
        self.push(Entry::Assistant { text, calls }, 1);
        // The results to come belong to these calls, whatever earlier ones had their ids.
        for call in &message.calls {
            waiting.remove(call.id.as_str());
        }
        for (call, result) in message.calls.iter().zip(results) {
            waiting.entry(&call.id).or_default().push_back(self.entries.len());
            self.push(result, 0);
        }
    }

    fn result(&mut self, message: &Message, waiting: &mut Waiting<'_>) {
        let waiting = message.call_id.as_deref().and_then(|id| waiting.get_mut(id));
        let Some(at) = waiting.and_then(VecDeque::pop_front) else { return self.pass_over() };
        if let Entry::Tool { result, .. } = &mut self.entries[at] {
            *result = message.content.to_text();
            self.counts[at] = 1;
        }
    }

    fn push(&mut self, entry: Entry, count: usize) {
        self.entries.push(entry);
        self.counts.push(count);
    }

    /// A message that no model is shown still is one of those dropped with what it follows.
    fn pass_over(&mut self) {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
    }
}

/// Calls without a result so far, by the id the history has for them: where the result goes.
type Waiting<'a> = BTreeMap<&'a str, VecDeque<usize>>;

/// The call ids of one conversation: a model may repeat one, a client must be able to tell them
/// apart.
#[derive(Default)]
pub(super) struct Ids {
    used: BTreeSet<String>,
    /// The last number that was appended to an id; none is appended twice.
    number: usize,
}

impl Ids {
    /// `id` if it is one and was not there before, else one of its own that begins like it.
    pub fn take(&mut self, id: &str) -> String {
        let stem = if id.is_empty() { "call" } else { id };
        let mut own = id.to_owned();
        while own.is_empty() || self.used.contains(&own) {
            self.number += 1;
            own = format!("{stem}_{}", self.number);
        }
        self.used.insert(own.clone());
        own
    }
}
