//! How far a run may go: a limit on each thing it uses up.
use std::time::Duration;

/// What one run may use up. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// How long it may work, from when it begins.
    pub wall: Option<Duration>,
    /// Turns of the model.
    pub turns: Option<u64>,
    /// Tool calls that begin.
    pub tool_calls: Option<u64>,
    /// Tokens in and out together, as the model reports them.
    pub tokens: Option<u64>,
    /// Bytes of text and reasoning.
    pub output_bytes: Option<u64>,
}

impl Budget {
    /// This budget as far as `outer` allows it.
    pub fn within(&self, outer: &Budget) -> Budget {
        Budget {
            wall: narrower(self.wall, outer.wall),
            turns: narrower(self.turns, outer.turns),
            tool_calls: narrower(self.tool_calls, outer.tool_calls),
            tokens: narrower(self.tokens, outer.tokens),
            output_bytes: narrower(self.output_bytes, outer.output_bytes),
        }
    }

    /// One of the limits in words, such as `3 turns`.
    pub fn amount(&self, limit: Limit) -> Option<String> {
        let (count, what) = match limit {
            Limit::Wall => return self.wall.map(|wall| format!("{} s", wall.as_secs_f64())),
            Limit::Turns => (self.turns?, "turn"),
            Limit::ToolCalls => (self.tool_calls?, "tool call"),
            Limit::Tokens => (self.tokens?, "token"),
            Limit::OutputBytes => (self.output_bytes?, "byte"),
        };
        Some(format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
    }
}

fn narrower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// Which of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Wall,
    Turns,
    ToolCalls,
    Tokens,
    OutputBytes,
}

impl Limit {
    pub const ALL: [Limit; 5] =
        [Limit::Wall, Limit::Turns, Limit::ToolCalls, Limit::Tokens, Limit::OutputBytes];

    /// Its name on the wire: in a request's `budget`, and in the `budget` of `run.failed`.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Wall => "wall_seconds",
            Limit::Turns => "turns",
            Limit::ToolCalls => "tool_calls",
            Limit::Tokens => "tokens",
            Limit::OutputBytes => "output_bytes",
        }
    }

    /// The flag by which it is set for all runs.
    pub fn flag(self) -> &'static str {
        match self {
            Limit::Wall => "--run-timeout",
            Limit::Turns => "--max-turns",
            Limit::ToolCalls => "--max-tool-calls",
            Limit::Tokens => "--max-tokens",
            Limit::OutputBytes => "--max-output",
        }
    }
}
