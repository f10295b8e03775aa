//! Where a run's events go: a terminal, a pipe, or lines of JSON.
use super::desk::{Decide, Desk};
use super::env::Env;
use super::plain::Plain;
use super::render::{Screen, Style, View};
use super::step::{End, Step};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The last line of a terminal is drawn anew no more often than this.
const REDRAW: Duration = Duration::from_millis(100);

/// Somebody who watches a run.
pub struct Watch {
    how: How,
    began: Instant,
    drawn: Instant,
    end: Option<End>,
    /// Where the run's questions are answered; `None` if that is not here.
    desk: Option<Desk>,
}

enum How {
    Terminal(Screen),
    Plain(Plain),
    Json,
}

impl Watch {
    pub fn new(json: bool, env: &Env) -> Watch {
        let how = match json {
            true => How::Json,
            false if io::stdout().is_terminal() => How::Terminal(Screen::new(style(env))),
            false => How::Plain(Plain::default()),
        };
        let now = Instant::now();
        Watch { how, began: now, drawn: now, end: None, desk: None }
    }

    /// True if whoever watches can be asked something.
    pub fn can_ask(&self) -> bool {
        matches!(self.how, How::Terminal(_)) && io::stdin().is_terminal()
    }

    /// From now on the run's questions are decided here: by whoever watches, or if nobody can be
    /// asked, with no.
    pub fn answer_with(&mut self, decide: Box<Decide>) {
        self.desk = Some(if self.can_ask() { Desk::manned(decide) } else { Desk::Empty(decide) });
    }

    /// From now on the run's questions are decided at this desk.
    pub fn sit_at(&mut self, desk: Desk) {
        self.desk = Some(desk);
    }

    /// How the run has ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Shows one event, given as its JSON.
    pub fn event(&mut self, data: &str) -> io::Result<()> {
        let step = Step::read(data);
        if let Some(Step::Ended(end)) = &step {
            self.end = Some(end.clone());
        }
        let (mut out, mut notes) = (String::new(), String::new());
        let view = self.view();
        // A run that is stopped may end without a word about what it has asked for.
        let is_settled = matches!(step, Some(Step::Decided { .. } | Step::Ended(_)));
        if is_settled && self.desk.as_ref().is_some_and(Desk::withdraw) {
            // The line of the question still waits for an answer.
            out.push('\n');
        }
        // Before it is shown: who answers as soon as they see it is heard.
        let is_denied = match (&step, &self.desk) {
            (Some(Step::Asked { question, .. }), Some(desk)) => !desk.ask(question.clone()),
            _ => false,
        };
        match (&mut self.how, &step) {
            (How::Json, _) => out = format!("{data}\n"),
            (How::Terminal(screen), Some(step)) => screen.show(step, view, &mut out),
            (How::Plain(plain), Some(step)) => plain.show(step, &mut out, &mut notes),
            (_, None) => {}
        }
        // Notes are a courtesy: without somebody to read them the answer still counts.
        let _ = io::stderr().write_all(notes.as_bytes());
        say(&out)?;
        if is_denied { self.note(NOBODY) } else { Ok(()) }
    }

    /// A remark of our own, which is no event.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        let step = Step::Note(text.to_owned());
        let (mut out, mut notes) = (String::new(), String::new());
        let view = self.view();
        match &mut self.how {
            How::Terminal(screen) => screen.show(&step, view, &mut out),
            How::Plain(plain) => plain.show(&step, &mut out, &mut notes),
            How::Json => notes = format!("runwire: {text}\n"),
        }
        let _ = io::stderr().write_all(notes.as_bytes());
        say(&out)
    }

    /// Draws what is being done, if the terminal can and it is time.
    pub fn draw(&mut self) -> io::Result<()> {
        let view = self.view();
        let How::Terminal(screen) = &mut self.how else { return Ok(()) };
        if self.drawn.elapsed() < REDRAW {
            return Ok(());
        }
        self.drawn = Instant::now();
        let mut out = String::new();
        screen.draw(view, &mut out);
        say(&out)
    }

    /// How long `draw` may be left uncalled.
    pub fn patience(&self) -> Duration {
        match self.how {
            How::Terminal(_) => REDRAW.saturating_sub(self.drawn.elapsed()),
            How::Plain(_) | How::Json => Duration::from_secs(3600),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The exit code of a run that has ended as it has.
    pub fn exit_code(&self) -> u8 {
        match &self.end {
            Some(End::Completed { .. }) => 0,
            Some(End::Cancelled { .. }) => 130,
            Some(End::Failed { .. } | End::Interrupted { .. }) | None => 1,
        }
    }

    fn view(&self) -> View {
        let width = match self.how {
            How::Terminal(_) => width(),
            How::Plain(_) | How::Json => WIDTH_DEFAULT,
        };
        View { now: self.began.elapsed(), width }
    }
}

/// What the terminal can do, as far as its owner has said: <https://no-color.org>.
pub fn style(env: &Env) -> Style {
    let is_dumb = env.get("TERM").is_none_or(|term| term == "dumb");
    let asks = io::stdin().is_terminal();
    Style { colour: !is_dumb && env.get("NO_COLOR").is_none(), redraw: !is_dumb, asks }
}

const NOBODY: &str = "There is no terminal to ask at, so this call is denied. `--approve never` \
                      has such calls carried out as far as the sandbox lets them.";

pub fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

const WIDTH_DEFAULT: usize = 80;
/// Narrower than this nothing sensible can be drawn.
const WIDTH_MIN: usize = 20;

/// Columns of the terminal now; asked each time, so that a resize needs no signal.
#[cfg(feature = "sys")]
pub fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH_DEFAULT } else { columns.max(WIDTH_MIN) }
}

#[cfg(not(feature = "sys"))]
pub fn width() -> usize {
    WIDTH_DEFAULT.max(WIDTH_MIN)
}
