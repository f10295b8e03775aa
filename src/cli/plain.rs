//! A run on a pipe, as text: the answer alone to standard output, the rest to standard error.
use super::shown::{clean, label};
use super::step::{End, Step, decided};

/// Holds the text of the turn that is being said: only the last turn's is the answer, and which
/// turn is the last shows when it has ended.
#[derive(Debug, Default)]
pub struct Plain {
    turn: String,
}

impl Plain {
    /// Writes what `step` adds to the answer and to the notes.
    pub fn show(&mut self, step: &Step, answer: &mut String, notes: &mut String) {
        match step {
            // The blank line between two turns belongs to neither.
            Step::Text(text) if self.turn.is_empty() => {
                self.turn.push_str(text.trim_start_matches('\n'));
            }
            Step::Text(text) => self.turn.push_str(text),
            Step::TurnEnded { text, .. } => {
                self.turn.clear();
                note(notes, text);
            }
            Step::Reasoning(_) | Step::ReasoningWhole(_) => {}
            Step::ToolStarted { tool, preview, .. } => {
                note(notes, &format!("> {}", label(tool, preview)));
            }
            Step::ToolCompleted { tool, error: true, preview, .. } => {
                note(notes, &format!("  {tool} failed: {preview}"));
            }
            Step::ToolCompleted { .. } => {}
            Step::Asked { tool, command, description, .. } => {
                note(notes, &format!("? {}\n  {description}", label(tool, command)));
            }
            Step::Decided { choice, expired } => {
                note(notes, &format!("  {}", decided(choice, *expired)));
            }
            Step::Note(text) => note(notes, text),
            Step::Ended(end) => self.end(end, answer, notes),
        }
    }

    fn end(&mut self, end: &End, answer: &mut String, notes: &mut String) {
        let turn = std::mem::take(&mut self.turn);
        let or_whole = |whole: &str| if turn.is_empty() { whole.to_owned() } else { turn.clone() };
        let (text, word) = match end {
            End::Completed { output, .. } => (or_whole(output), None),
            End::Failed { error, output } => (or_whole(output), Some(format!("failed: {error}"))),
            End::Cancelled { output } => (or_whole(output), Some("stopped".to_owned())),
            End::Interrupted { error } => (or_whole(""), Some(format!("interrupted: {error}"))),
        };
        answer.push_str(&text);
        if !text.is_empty() && !text.ends_with('\n') {
            answer.push('\n');
        }
        if let Some(word) = word {
            note(notes, &word);
        }
    }
}

/// Standard error may well be a terminal.
fn note(notes: &mut String, text: &str) {
    notes.push_str(clean(text).trim_end());
    notes.push('\n');
}
