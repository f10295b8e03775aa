//! What a run has used up, held against its budget: here, and nowhere else, it is decided that a run
//! has gone too far.
//!
//! Such a run is told to end as one that is stopped is: by its `Cancel`, so that whatever it does is
//! broken off. Time is not counted here: whoever started the run has a clock and calls `Cancel` then.
use super::Cancel;
use crate::budget::{Budget, Limit};
use crate::event::{Cause, Usage};
use crate::text::prefix;

/// Bytes a model says for each token, at the least that is likely: text has four to five, and a run
/// must not be ended for tokens it did not use.
const BYTES_PER_TOKEN: u64 = 8;

pub(super) struct Meter<'a> {
    budget: &'a Budget,
    cancel: &'a Cancel,
    turns: u64,
    tool_calls: u64,
    tokens: u64,
    /// What the model has said in the turn it is in, whose tokens it has not told yet.
    heard_bytes: u64,
    /// Bytes it may still say.
    output_left: u64,
}

impl<'a> Meter<'a> {
    pub fn new(budget: &'a Budget, cancel: &'a Cancel) -> Meter<'a> {
        let (turns, tool_calls, tokens, heard_bytes) = (0, 0, 0, 0);
        let output_left = budget.output_bytes.unwrap_or(u64::MAX);
        Meter { budget, cancel, turns, tool_calls, tokens, heard_bytes, output_left }
    }

    /// True if the model may take another turn.
    pub fn has_turn(&self) -> bool {
        self.turns < self.budget.turns.unwrap_or(u64::MAX)
    }

    /// Ends the run if the model may not take another turn; else that turn counts.
    pub fn turn(&mut self) {
        match self.has_turn() {
            true => self.turns += 1,
            false => self.exceed(Limit::Turns),
        }
    }

    /// Ends the run if not one more tool may be called.
    pub fn allow_call(&self) {
        if self.tool_calls >= self.budget.tool_calls.unwrap_or(u64::MAX) {
            self.exceed(Limit::ToolCalls);
        }
    }

    /// A tool is called, as `allow_call` has allowed.
    pub fn call(&mut self) {
        self.tool_calls += 1;
    }

    /// The model says this much of a turn whose tokens it will tell later.
    pub fn hear(&mut self, bytes: usize) {
        self.heard_bytes = self.heard_bytes.saturating_add(bytes as u64);
        self.hold_tokens();
    }

    /// The model has told what its turn cost.
    pub fn take_usage(&mut self, usage: &Usage) {
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        self.tokens = self.tokens.saturating_add(tokens);
        self.heard_bytes = 0;
        self.hold_tokens();
    }

    /// As much of `text` as the run may still say after `gap`, which both count as said. Ends the run
    /// if that is not all of it; then nothing more may be said.
    pub fn say<'t>(&mut self, gap: &str, text: &'t str) -> &'t str {
        if text.is_empty() {
            return text;
        }
        let left = self.output_left.saturating_sub(gap.len() as u64);
        let said = prefix(text, usize::try_from(left).unwrap_or(usize::MAX));
        self.output_left = left - said.len() as u64;
        if said.len() < text.len() {
            self.output_left = 0;
            self.exceed(Limit::OutputBytes);
        }
        said
    }

    /// For people: what was too much, and how to have more allowed. `asked` is the request's own
    /// budget.
    pub fn complaint(&self, limit: Limit, asked: &Budget) -> String {
        let what = match limit {
            Limit::Wall => "The run took longer than",
            Limit::Turns => "The model was not done after",
            Limit::ToolCalls => "The run needs more than",
            Limit::Tokens => "The run used more than",
            Limit::OutputBytes => "The run had more to say than",
        };
        let amount = self.budget.amount(limit);
        let is_asked = asked.amount(limit) == amount;
        let whose = if is_asked { "the limit its request set" } else { "the limit for every run" };
        let amount = amount.unwrap_or_else(|| "it may".to_owned());
        let place = match is_asked {
            true => format!("budget.{} in the request", limit.name()),
            false => limit.flag().to_owned(),
        };
        let mut text =
            format!("{what} {amount}, {whose}. Ask for less, or allow more with {place}.");
        if limit == Limit::Tokens && self.heard_bytes > 0 {
            text +=
                " The turn that was broken off is not in the usage; it counts by what it had said.";
        }
        text
    }

    fn hold_tokens(&self) {
        let tokens = self.tokens.saturating_add(self.heard_bytes / BYTES_PER_TOKEN);
        if tokens > self.budget.tokens.unwrap_or(u64::MAX) {
            self.exceed(Limit::Tokens);
        }
    }

    fn exceed(&self, limit: Limit) {
        self.cancel.cancel(Cause::Budget(limit));
    }
}
