//! A run on a terminal, as text: a state machine from steps to what is written next.
//!
//! What was written stays; only the last line, while a tool works, is drawn anew. It is kept
//! shorter than the terminal is wide and begins at the first column, so clearing one line takes it
//! away. Nothing a model or a tool says reaches the terminal with its control characters.
use super::desk::{Question, prompt};
use super::shown::{clean, columns, cut, duration, label, one_line};
use super::step::{End, Step, decided};
use std::time::Duration;

/// What a terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// It can clear a line and draw it again.
    pub redraw: bool,
    /// Somebody sits there who can be asked.
    pub asks: bool,
}

/// The terminal at this moment.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Since the run began.
    pub now: Duration,
    /// Columns, at least 1.
    pub width: usize,
}

/// What has been written of a run so far, as far as it matters for what comes next.
#[derive(Debug)]
pub struct Screen {
    style: Style,
    block: Block,
    /// The cursor is at the first column, but for the drawn line.
    at_line_start: bool,
    /// The line that shows what is being done stands there and must be cleared first.
    is_drawn: bool,
    /// Tools at work, in the order they began.
    working: Vec<Working>,
    /// Pieces of this turn's reasoning were shown, so its whole need not be.
    has_reasoned: bool,
    ended: bool,
}

/// Text that belongs together; a blank line stands between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Nothing,
    Answer,
    Reasoning,
    Tools,
    End,
}

#[derive(Debug)]
struct Working {
    call_id: String,
    tool: String,
    preview: String,
    since: Duration,
}

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPINNER_MS: u128 = 100;
const CLEAR_LINE: &str = "\r\x1b[K";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

impl Screen {
    pub fn new(style: Style) -> Screen {
        Screen {
            style,
            block: Block::Nothing,
            at_line_start: true,
            is_drawn: false,
            working: Vec::new(),
            has_reasoned: false,
            ended: false,
        }
    }

    /// Writes what `step` adds to `out`.
    pub fn show(&mut self, step: &Step, view: View, out: &mut String) {
        match step {
            Step::Text(text) => self.text(text, Block::Answer, out),
            Step::TurnEnded { text, already_shown } => {
                self.has_reasoned = false;
                if !already_shown {
                    self.text(text, Block::Answer, out);
                }
            }
            Step::Reasoning(text) => {
                self.has_reasoned = true;
                self.text(text, Block::Reasoning, out);
            }
            Step::ReasoningWhole(text) => {
                if !std::mem::take(&mut self.has_reasoned) {
                    self.text(text, Block::Reasoning, out);
                }
            }
            Step::ToolStarted { call_id, tool, preview } => {
                self.tool_started(call_id, tool, preview, view, out);
            }
            Step::ToolCompleted { call_id, tool, seconds, error, preview } => {
                let mark = if *error { Mark::Failed } else { Mark::Done };
                let main = self.take_working(call_id).map(|working| working.preview);
                self.tool_line(mark, tool, &main.unwrap_or_default(), Some(*seconds), view, out);
                if *error {
                    self.line(&cut(&format!("  {}", one_line(preview)), view.width - 1), RED, out);
                }
            }
            Step::Asked { question, tool, command, description } => {
                self.asked(question, tool, command, description, out);
            }
            Step::Decided { choice, expired } => {
                self.at_line_start = true;
                self.enter(Block::Tools, out);
                self.line(&decided(choice, *expired), DIM, out);
            }
            Step::Note(note) => {
                self.enter(Block::Tools, out);
                self.line(&clean(note), DIM, out);
            }
            Step::Ended(end) => self.end(end, view, out),
        }
    }

    /// Draws the line that shows what is being done, if there is room for one.
    pub fn draw(&mut self, view: View, out: &mut String) {
        // Between two lines of the answer it would only flicker.
        let in_text = matches!(self.block, Block::Answer | Block::Reasoning);
        let no_room = !self.at_line_start || (in_text && self.working.is_empty());
        if !self.style.redraw || self.ended || no_room {
            return;
        }
        let frame = SPINNER[(view.now.as_millis() / SPINNER_MS) as usize % SPINNER.len()];
        let (what, since) = match self.working.last() {
            Some(working) => (label(&working.tool, &working.preview), working.since),
            None => ("thinking".to_owned(), Duration::ZERO),
        };
        let more = match self.working.len() {
            0 | 1 => String::new(),
            many => format!("  and {} more", many - 1),
        };
        let time = format!("  {} s", view.now.saturating_sub(since).as_secs());
        let tail = if self.working.is_empty() { String::new() } else { more + &time };
        let room = view.width.saturating_sub(columns(&tail) + 3);
        let line = format!("{frame} {}{tail}", cut(&what, room));
        self.clear(out);
        out.push_str(&self.paint(&cut(&line, view.width.saturating_sub(1)), DIM));
        self.is_drawn = true;
    }

    fn tool_started(
        &mut self,
        call_id: &str,
        tool: &str,
        preview: &str,
        view: View,
        out: &mut String,
    ) {
        self.enter(Block::Tools, out);
        self.working.push(Working {
            call_id: call_id.to_owned(),
            tool: tool.to_owned(),
            preview: preview.to_owned(),
            since: view.now,
        });
        if !self.style.redraw {
            self.line(&format!("… {}", label(tool, preview)), DIM, out);
        }
    }

    /// What is asked, the reason last: however long the command is, that stands by the answer.
    fn asked(
        &mut self,
        question: &Question,
        tool: &str,
        command: &str,
        description: &str,
        out: &mut String,
    ) {
        self.enter(Block::Tools, out);
        let command = clean(command).replace('\n', "\n  ");
        self.line(&format!("? {}", one_line(tool)), YELLOW, out);
        self.line(&format!("  {command}"), "", out);
        self.line(&clean(description), DIM, out);
        if self.style.asks {
            out.push_str(&prompt(&question.choices));
            self.at_line_start = false;
        }
    }

    fn tool_line(
        &mut self,
        mark: Mark,
        tool: &str,
        main: &str,
        seconds: Option<f64>,
        view: View,
        out: &mut String,
    ) {
        self.enter(Block::Tools, out);
        let tail = seconds.map_or("  stopped".to_owned(), |s| format!("  {}", duration(s)));
        let room = view.width.saturating_sub(columns(&tail) + 3);
        let (sign, colour) = match mark {
            Mark::Done => ("✓", GREEN),
            Mark::Failed => ("✗", RED),
        };
        let text = format!(
            "{} {}{}\n",
            self.paint(sign, colour),
            cut(&label(tool, main), room),
            self.paint(&tail, DIM)
        );
        out.push_str(&text);
    }

    fn end(&mut self, end: &End, view: View, out: &mut String) {
        for working in std::mem::take(&mut self.working) {
            self.tool_line(Mark::Failed, &working.tool, &working.preview, None, view, out);
        }
        self.enter(Block::End, out);
        self.ended = true;
        let took = duration(view.now.as_secs_f64());
        match end {
            End::Completed { runtime, input_tokens: 0, output_tokens: 0, .. } => {
                self.line(&clean(&format!("{runtime} · {took}")), DIM, out);
            }
            End::Completed { runtime, input_tokens, output_tokens, .. } => {
                let usage = format!("{input_tokens} tokens in, {output_tokens} out");
                self.line(&clean(&format!("{runtime} · {usage} · {took}")), DIM, out);
            }
            End::Failed { error, .. } => {
                self.line(&format!("failed: {}", clean(error)), RED, out);
            }
            End::Cancelled { .. } => self.line(&format!("stopped · {took}"), DIM, out),
            End::Interrupted { error } => {
                self.line(&format!("interrupted: {}", clean(error)), RED, out);
            }
        }
    }

    fn take_working(&mut self, call_id: &str) -> Option<Working> {
        let place = self.working.iter().position(|working| working.call_id == call_id)?;
        Some(self.working.remove(place))
    }

    fn text(&mut self, text: &str, block: Block, out: &mut String) {
        let text = clean(text);
        // Blocks are set apart by us; the model's own blank lines would come on top.
        let text = if self.block == block { &text } else { text.trim_start_matches('\n') };
        if text.is_empty() {
            return;
        }
        self.enter(block, out);
        self.clear(out);
        match block {
            Block::Reasoning => out.push_str(&self.paint(text, DIM)),
            _ => out.push_str(text),
        }
        self.at_line_start = text.ends_with('\n');
    }

    /// Whole lines of our own.
    fn line(&mut self, text: &str, colour: &str, out: &mut String) {
        out.push_str(&self.paint(text, colour));
        out.push('\n');
        self.at_line_start = true;
    }

    fn enter(&mut self, block: Block, out: &mut String) {
        self.clear(out);
        if self.block == block {
            // A question that was left without an answer.
            if block == Block::Tools && !self.at_line_start {
                out.push('\n');
                self.at_line_start = true;
            }
            return;
        }
        if !self.at_line_start {
            out.push('\n');
        }
        if self.block != Block::Nothing {
            out.push('\n');
        }
        if block == Block::Reasoning && !self.style.colour {
            out.push_str("(thinking) ");
        }
        self.at_line_start = true;
        self.block = block;
    }

    fn clear(&mut self, out: &mut String) {
        if std::mem::take(&mut self.is_drawn) {
            out.push_str(CLEAR_LINE);
        }
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        let is_painted = self.style.colour && !colour.is_empty();
        if is_painted { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Done,
    Failed,
}
