//! Where a run that needs leave is decided: at the terminal, or nowhere.
use runwire::approval::Choice;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What a run waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub request_id: String,
    pub choices: Vec<Choice>,
}

/// Who answers questions.
pub enum Desk {
    /// Whoever sits at the terminal.
    Manned(Arc<Shared>),
    /// Nobody: each answer is no.
    Empty(Box<Decide>),
}

/// Is told which question was decided, and how.
pub type Decide = dyn Fn(&str, Choice) + Send + Sync;

pub struct Shared {
    state: Mutex<State>,
    decide: Box<Decide>,
}

#[derive(Default)]
struct State {
    /// The question on the screen: what is typed answers this one and no other.
    open: Option<Question>,
    /// Somebody listens to what is typed.
    is_heard: bool,
    /// Nothing more can be typed.
    is_over: bool,
}

impl Desk {
    pub fn manned(decide: Box<Decide>) -> Desk {
        Desk::Manned(Arc::new(Shared { state: Mutex::default(), decide }))
    }

    /// A desk whose answers are brought by whoever reads what is typed.
    pub fn heard(decide: Box<Decide>) -> Arc<Shared> {
        let state = Mutex::new(State { is_heard: true, ..State::default() });
        Arc::new(Shared { state, decide })
    }

    /// Puts a question that is about to be shown. False if nobody will answer it: it has been
    /// denied.
    pub fn ask(&self, question: Question) -> bool {
        let shared = match self {
            Desk::Manned(shared) => shared,
            Desk::Empty(decide) => {
                decide(&question.request_id, Choice::Deny);
                return false;
            }
        };
        let mut state = shared.state();
        if !state.is_heard && !state.is_over {
            let listener = shared.clone();
            let started = thread::Builder::new()
                .name("answers".to_owned())
                .spawn(move || listener.listen(&mut io::stdin().lock()));
            state.is_heard = started.is_ok();
            state.is_over = started.is_err();
        }
        if state.is_over {
            drop(state);
            (shared.decide)(&question.request_id, Choice::Deny);
            return false;
        }
        forget_what_was_typed();
        state.open = Some(question);
        true
    }

    /// Takes the question back, which has been decided or has lost its run. True if it was not
    /// answered at this desk.
    pub fn withdraw(&self) -> bool {
        match self {
            Desk::Manned(shared) => shared.withdraw(),
            Desk::Empty(_) => false,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes each line as an answer, until there are no more.
    fn listen(&self, typed: &mut dyn BufRead) {
        let mut line = String::new();
        while typed.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            self.answer(&std::mem::take(&mut line));
        }
        self.close();
    }

    /// Takes back the open question. False if there is none.
    pub fn withdraw(&self) -> bool {
        self.state().open.take().is_some()
    }

    /// Nothing more can be typed: each answer from now on is no.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_over = true;
        let open = state.open.take();
        drop(state);
        if let Some(question) = open {
            (self.decide)(&question.request_id, Choice::Deny);
        }
    }

    /// False if nothing was asked.
    pub fn answer(&self, line: &str) -> bool {
        let mut state = self.state();
        let Some(question) = state.open.take() else { return false };
        match read_choice(line).filter(|choice| question.choices.contains(choice)) {
            Some(choice) => {
                drop(state);
                (self.decide)(&question.request_id, choice);
            }
            None => {
                let again =
                    format!("Please type one of the letters: {}", prompt(&question.choices));
                state.open = Some(question);
                // A terminal that takes no more is about to end this process.
                let _ = io::stdout().write_all(again.as_bytes());
                let _ = io::stdout().flush();
            }
        }
        true
    }
}

/// A choice by its name, its first letter, or as yes or no.
pub fn read_choice(line: &str) -> Option<Choice> {
    let word = line.trim().to_ascii_lowercase();
    match word.as_str() {
        "" => None,
        "y" | "yes" => Some(Choice::Once),
        "n" | "no" => Some(Choice::Deny),
        word => Choice::ALL
            .into_iter()
            .find(|choice| choice.name() == word || choice.name()[..1] == *word)
            .or_else(|| Choice::parse(word)),
    }
}

/// The choices, as what may be typed.
pub fn prompt(choices: &[Choice]) -> String {
    let shown = choices.iter().map(|choice| match choice {
        Choice::Once => "[o]nce",
        Choice::Session => "[s]ession",
        Choice::Always => "[a]lways",
        Choice::Deny => "[d]eny",
    });
    shown.collect::<Vec<_>>().join(" / ") + ": "
}

/// What was typed before a question was there is no answer to it.
#[cfg(feature = "sys")]
fn forget_what_was_typed() {
    // Where standard input is no terminal there is nothing to forget.
    let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
}

#[cfg(not(feature = "sys"))]
fn forget_what_was_typed() {}

#[cfg(test)]
mod tests {
    use super::*;

    type Decided = Arc<Mutex<Vec<(String, Choice)>>>;

    fn desk() -> (Arc<Shared>, Decided) {
        let decided = Decided::default();
        let sink = decided.clone();
        let decide = move |id: &str, choice| {
            sink.lock().expect("no test panics here").push((id.to_owned(), choice));
        };
        (Desk::heard(Box::new(decide)), decided)
    }

    fn question(id: &str) -> Question {
        Question { request_id: id.to_owned(), choices: vec![Choice::Once, Choice::Deny] }
    }

    fn decided(by: &Decided) -> Vec<(String, Choice)> {
        by.lock().expect("no test panics here").clone()
    }

    #[test]
    fn a_line_answers_the_question_that_is_open_and_no_other() {
        let (shared, told) = desk();
        let desk = Desk::Manned(shared.clone());
        shared.answer("o\n");
        assert!(desk.ask(question("one")));
        assert_eq!(decided(&told), []);
        for line in ["\n", "what?\n", "a\n", "session\n"] {
            shared.answer(line);
        }
        assert_eq!(decided(&told), [], "none of these is among its choices");
        shared.answer(" Once \n");
        shared.answer("d\n");
        assert_eq!(decided(&told), [("one".to_owned(), Choice::Once)]);
        assert!(!desk.withdraw());
        assert!(desk.ask(question("two")));
        assert!(desk.withdraw(), "it was decided elsewhere");
        shared.answer("o\n");
        assert_eq!(decided(&told).len(), 1);
    }

    #[test]
    fn when_nothing_more_can_be_typed_the_answer_is_no() {
        let (shared, told) = desk();
        let desk = Desk::Manned(shared.clone());
        assert!(desk.ask(question("one")));
        shared.listen(&mut &b"maybe"[..]);
        assert!(!desk.ask(question("two")));
        let denied = ["one", "two"].map(|id| (id.to_owned(), Choice::Deny));
        assert_eq!(decided(&told), denied);
    }

    #[test]
    fn choices_are_read_as_people_write_them() {
        for (line, choice) in [
            ("o", Some(Choice::Once)),
            ("S\n", Some(Choice::Session)),
            ("always", Some(Choice::Always)),
            ("yes", Some(Choice::Once)),
            ("No", Some(Choice::Deny)),
            ("allow", Some(Choice::Once)),
            ("", None),
            ("ok?", None),
        ] {
            assert_eq!(read_choice(line), choice, "{line}");
        }
        assert_eq!(prompt(&[Choice::Once, Choice::Deny]), "[o]nce / [d]eny: ");
    }
}
