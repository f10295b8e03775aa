//! The conversation a model is shown, kept within what the model can take in.
//!
//! Its size is an estimate: 4 bytes a token, which suits English prose; code and other languages
//! take up to twice as many tokens. No model's own tokenizer is known here.
use super::past::{Ids, Past};
use super::{ToolCall, as_object};
use crate::agent::model::{Entry, ToolSpec, Turn};
use crate::limits::OLD_RESULT_BYTES_MAX;
use crate::request::{Content, Part, Request};
use crate::text::shorten;
use std::ops::Range;

const BYTES_PER_TOKEN: usize = 4;
/// What an entry costs beside its text: its role, and the marks around it.
const ENTRY_TOKENS: usize = 8;
const IMAGE_TOKENS: usize = 1_000;
/// The most that is left for the model's answer.
const ANSWER_TOKENS_MAX: usize = 4_096;

/// First what the system says, then history, then the user's turn, then the turns of this run.
pub(super) struct Talk {
    entries: Vec<Entry>,
    /// For each of the entries, how many messages a client counts in its place.
    counts: Vec<usize>,
    /// Messages that were left out and not told of yet.
    dropped: usize,
    /// Entries of the system at the start, never dropped.
    head: usize,
    /// Where the user's turn is, never dropped.
    input_at: usize,
    /// Tokens the entries may take together.
    budget: usize,
    ids: Ids,
}

impl Talk {
    pub fn new(
        instructions: String,
        request: &Request,
        tools: &[ToolSpec],
        context_tokens: usize,
    ) -> Talk {
        let mut ids = Ids::default();
        let past = Past::new(&request.history, &mut ids);
        let mut entries = vec![Entry::System(instructions)];
        entries.extend(past.system);
        let head = entries.len();
        let mut counts = vec![1; head];
        entries.extend(past.entries);
        counts.extend(past.counts);
        let input_at = entries.len();
        entries.push(Entry::User(request.input.clone()));
        counts.push(1);
        let answer = (context_tokens / 4).min(ANSWER_TOKENS_MAX);
        let tools: usize = tools.iter().map(tool_tokens).sum();
        let budget = context_tokens.saturating_sub(answer + tools);
        Talk { entries, counts, dropped: request.omitted, head, input_at, budget, ids }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds what the user has said meanwhile.
    pub fn push_user(&mut self, text: String) {
        self.push(Entry::User(Content::Text(text)), 1);
    }

    /// Adds a turn that is not the last, and gives each call an id of its own if it has none.
    ///
    /// Arguments that are no JSON object are shown to the model inside one: there are servers that
    /// refuse a whole conversation for them.
    pub fn push_turn(&mut self, turn: &mut Turn) {
        // There are servers that refuse a message that says nothing.
        if turn.calls.is_empty() && turn.text.is_empty() {
            return;
        }
        for call in &mut turn.calls {
            call.id = self.ids.take(&call.id);
        }
        let calls = turn
            .calls
            .iter()
            .map(|call| ToolCall { arguments: as_object(&call.arguments), ..call.clone() });
        let entry = Entry::Assistant { text: turn.text.clone(), calls: calls.collect() };
        // Each call is a message of its own where a session is read.
        self.push(entry, turn.calls.len().max(1));
    }

    pub fn push_result(&mut self, call_id: &str, result: String) {
        self.push(Entry::Tool { call_id: call_id.to_owned(), result }, 1);
    }

    fn push(&mut self, entry: Entry, count: usize) {
        self.entries.push(entry);
        self.counts.push(count);
    }

    /// Makes the conversation small enough, if that is possible without its system entries, what
    /// the user has said in this run and the last turn of tool calls. Returns how many messages,
    /// as a client counts them, are missing that were not missing before; at first those of the
    /// history that were not even loaded.
    ///
    /// What goes first: the text of old results, then the oldest history, then the oldest turns
    /// of this run (always with all their results), then the text of the last results.
    pub fn fit(&mut self) -> usize {
        self.shorten_results(self.head..self.last_turn(), OLD_RESULT_BYTES_MAX);
        self.drop_history();
        self.drop_turns();
        let last = self.last_turn();
        let is_result = |entry: &&Entry| matches!(entry, Entry::Tool { .. });
        let results = self.entries[last..].iter().filter(is_result).count().max(1);
        let said_since = self.entries[last..].iter().filter(|entry| is_user(entry));
        let rest: usize = self.entries[..last].iter().chain(said_since).map(tokens).sum();
        let room = self.budget.saturating_sub(rest) * BYTES_PER_TOKEN / (results + 1);
        self.shorten_results(last..self.entries.len(), room.max(OLD_RESULT_BYTES_MAX));
        std::mem::take(&mut self.dropped)
    }

    /// Where the last turn begins, or the end if this run has none yet.
    fn last_turn(&self) -> usize {
        let after_input = &self.entries[self.input_at..];
        after_input.iter().rposition(is_turn).map_or(self.entries.len(), |at| self.input_at + at)
    }

    fn over(&self) -> usize {
        self.entries.iter().map(tokens).sum::<usize>().saturating_sub(self.budget)
    }

    /// Shortens results from the oldest on until all fits.
    fn shorten_results(&mut self, range: Range<usize>, bytes_max: usize) {
        let mut over = self.over();
        for entry in &mut self.entries[range] {
            if over == 0 {
                return;
            }
            let before = tokens(entry);
            if let Entry::Tool { result, .. } = entry {
                *result = shorten(result, bytes_max);
            }
            over = over.saturating_sub(before.saturating_sub(tokens(entry)));
        }
    }

    /// Drops the oldest exchanges of the history until all fits.
    fn drop_history(&mut self) {
        let mut over = self.over();
        let mut end = self.head;
        while end < self.input_at && (over > 0 || end > self.head && !is_user(&self.entries[end])) {
            over = over.saturating_sub(tokens(&self.entries[end]));
            end += 1;
        }
        self.entries.drain(self.head..end);
        self.dropped += self.counts.drain(self.head..end).sum::<usize>();
        self.input_at -= end - self.head;
    }

    /// Drops the oldest turns of this run, with all their results, until all fits. What the user
    /// has said in between stays.
    fn drop_turns(&mut self) {
        let mut over = self.over();
        let (mut at, mut last) = (self.input_at + 1, self.last_turn());
        let mut is_within = false;
        while at < last && (over > 0 || is_within && !is_turn(&self.entries[at])) {
            if is_user(&self.entries[at]) {
                at += 1;
                continue;
            }
            over = over.saturating_sub(tokens(&self.entries.remove(at)));
            self.dropped += self.counts.remove(at);
            last -= 1;
            is_within = true;
        }
    }
}

fn is_turn(entry: &Entry) -> bool {
    matches!(entry, Entry::Assistant { .. })
}

fn is_user(entry: &Entry) -> bool {
    matches!(entry, Entry::User(_))
}

fn tokens(entry: &Entry) -> usize {
    ENTRY_TOKENS
        + match entry {
            Entry::System(text) => text_tokens(text),
            Entry::User(content) | Entry::Other { content, .. } => content_tokens(content),
            Entry::Assistant { text, calls } => {
                let call = |call: &ToolCall| {
                    ENTRY_TOKENS + text_tokens(&call.name) + text_tokens(&call.arguments)
                };
                text_tokens(text) + calls.iter().map(call).sum::<usize>()
            }
            Entry::Tool { result, .. } => text_tokens(result),
        }
}

fn content_tokens(content: &Content) -> usize {
    match content {
        Content::Text(text) => text_tokens(text),
        Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text_tokens(text),
                Part::Image { .. } => IMAGE_TOKENS,
            })
            .sum(),
    }
}

fn tool_tokens(tool: &ToolSpec) -> usize {
    let parameters = tool.parameters.to_string();
    ENTRY_TOKENS
        + text_tokens(tool.name)
        + text_tokens(&tool.description)
        + text_tokens(&parameters)
}

fn text_tokens(text: &str) -> usize {
    text.len().div_ceil(BYTES_PER_TOKEN)
}
