//! `runwire chat`: a conversation, a line for each turn.
//!
//! One thread reads what is typed and hands it to whoever it is for: an open question, the turn
//! that works (`/stop`, `/steer`), or else the conversation, which takes one line at a time. On a
//! pipe every line waits until the turn before it is over.
use super::args::Place;
use super::chat_place::{Control, Partner};
use super::desk::{Desk, Shared as SharedDesk};
use super::env::Env;
use super::run::random_id;
use super::settings::Settings;
use super::shown::one_line;
use super::watch::{Watch, say};
use super::{logger, signals};
use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What a chat is begun with.
#[derive(Debug)]
pub struct Chat {
    pub settings: Settings,
    pub place: Place,
    /// `None` begins a new one.
    pub session: Option<String>,
}

/// Lines that were typed while a turn works, to be taken after it; beyond it typing waits.
const LINES_WAITING_MAX: usize = 64;
/// Characters of a session's name: the server's limit.
const SESSION_CHARS_MAX: usize = 256;
const SESSION_ID_DIGITS: usize = 12;

const HELP: &str = "\
/stop          stop the turn that works (or Ctrl-C)
/steer TEXT    tell it something before its model's next turn
/new           begin a new session
/session NAME  go on in that session
/help          say this
/quit          leave (or Ctrl-D, or Ctrl-C twice)
";

/// Talks until there is nothing more to say. Returns the exit code.
pub fn chat(chat: Chat, env: &Env) -> Result<u8, String> {
    let mut partner = Partner::new(&chat.settings, &chat.place, env)?;
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let hub = Arc::new(Hub { at_terminal, state: Mutex::default() });
    let (signalled, decider) = (hub.clone(), hub.clone());
    signals::watch_while(move |is_ctrl_c| signalled.heed(is_ctrl_c))
        .map_err(|error| format!("Could not watch for Ctrl-C: {error}."))?;
    let desk = Desk::heard(Box::new(move |request_id, choice| {
        if let Some(control) = decider.control() {
            control.decide(request_id, choice);
        }
    }));
    let lines = listen(hub.clone(), desk.clone())?;
    let session = match chat.session {
        Some(name) => named(&name)?,
        None => new_session()?,
    };
    let mut talk = Talk { hub, desk, session, exit_code: 0 };
    talk.tell(&format!("session {} (/help says what can be typed)\n", one_line(&talk.session)));
    while let Some(line) = talk.next(&lines) {
        match talk.obey(line.trim())? {
            Next::Say(text) => talk.turn(&mut partner, &text, &chat.settings, env),
            Next::Nothing => {}
            Next::Leave => break,
        }
        if talk.hub.state().leaves {
            break;
        }
    }
    Ok(talk.exit_code)
}

/// What those share who type, who signal and who work.
struct Hub {
    at_terminal: bool,
    state: Mutex<HubState>,
}

#[derive(Default)]
struct HubState {
    /// The turn that works.
    control: Option<Control>,
    /// Ctrl-C was pressed, and since then no line typed and no turn ended.
    is_pressed: bool,
    /// After this turn there is no other.
    leaves: bool,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> Option<Control> {
        self.state().control.clone()
    }

    /// A signal has come. False if the process is to end now.
    fn heed(&self, is_ctrl_c: bool) -> bool {
        let mut state = self.state();
        let was_pressed = std::mem::replace(&mut state.is_pressed, true);
        if was_pressed {
            return false;
        }
        state.leaves |= !is_ctrl_c;
        let (control, leaves) = (state.control.clone(), state.leaves);
        drop(state);
        match control {
            Some(control) => control.stop(),
            None if leaves || !self.at_terminal => return false,
            // A terminal that takes no more is about to end this process.
            None => drop(say("\n(once more, or /quit, leaves)\n> ")),
        }
        true
    }
}

/// Hands on what is typed, until there is no more.
fn listen(hub: Arc<Hub>, desk: Arc<SharedDesk>) -> Result<Receiver<String>, String> {
    let (sender, lines) = sync_channel(LINES_WAITING_MAX);
    let reader = thread::Builder::new().name("lines".to_owned());
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if !desk.answer(&line) && !is_for_turn(&hub, &line, &sender) {
                return;
            }
        }
        desk.close();
    };
    let started = reader.spawn(read);
    started.map_err(|error| format!("Could not start a thread: {error}."))?;
    Ok(lines)
}

/// Does what a line says to the turn that works, or leaves it to the conversation. False if nobody
/// takes lines any more.
fn is_for_turn(hub: &Hub, line: &str, conversation: &SyncSender<String>) -> bool {
    let control = hub.control().filter(|_| hub.at_terminal);
    let (word, rest) = split(line.trim());
    match (control, word) {
        (Some(control), "/stop") => control.stop(),
        (Some(control), "/steer") if !rest.is_empty() => control.steer(rest),
        (Some(control), "/quit") => {
            hub.state().leaves = true;
            control.stop();
        }
        _ => return conversation.send(line.to_owned()).is_ok(),
    }
    true
}

fn split(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim())
}

enum Next {
    Say(String),
    Nothing,
    Leave,
}

/// The conversation.
struct Talk {
    hub: Arc<Hub>,
    desk: Arc<SharedDesk>,
    session: String,
    exit_code: u8,
}

impl Talk {
    /// The next line, asked for if somebody is there to type it.
    fn next(&self, lines: &Receiver<String>) -> Option<String> {
        self.tell("> ");
        let line = lines.recv().ok();
        self.hub.state().is_pressed = false;
        if line.is_none() {
            self.tell("\n");
        }
        line
    }

    /// A word of our own: on a pipe there are only answers.
    fn tell(&self, text: &str) {
        if self.hub.at_terminal {
            // A terminal that takes no more is about to end this process.
            let _ = say(text);
        }
    }

    fn obey(&mut self, line: &str) -> Result<Next, String> {
        match split(line) {
            ("", _) => return Ok(Next::Nothing),
            ("/quit" | "/exit", _) => return Ok(Next::Leave),
            ("/help", _) => self.tell(HELP),
            ("/new", _) => self.enter(new_session()?),
            ("/session", "") => self.tell(&format!("session {}\n", one_line(&self.session))),
            ("/session", name) => match named(name) {
                Ok(session) => self.enter(session),
                Err(why) => complain(&why),
            },
            ("/stop" | "/steer", _) => self.tell("Nothing works at the moment.\n"),
            (word, _) if word.starts_with('/') && !word[1..].contains('/') => {
                complain(&format!("There is no {}: /help says what there is.", one_line(word)));
            }
            _ => return Ok(Next::Say(line.to_owned())),
        }
        Ok(Next::Nothing)
    }

    fn enter(&mut self, session: String) {
        self.session = session;
        self.tell(&format!("session {}\n", one_line(&self.session)));
    }

    /// One turn, from what the user says to its end. What goes wrong with it does not end the chat.
    fn turn(&mut self, partner: &mut Partner, text: &str, settings: &Settings, env: &Env) {
        let mut watch = Watch::new(false, env);
        let done = self.work(partner, text, settings, &mut watch);
        // What is typed from now on is for the conversation, even if the turn was lost from sight.
        self.desk.withdraw();
        let mut state = self.hub.state();
        (state.control, state.is_pressed) = (None, false);
        drop(state);
        if let Err(why) = &done {
            complain(why);
        }
        let code = if done.is_ok() { watch.exit_code() } else { 1 };
        self.exit_code = if self.hub.at_terminal { 0 } else { code };
        self.tell("\n");
    }

    fn work(
        &self,
        partner: &mut Partner,
        text: &str,
        settings: &Settings,
        watch: &mut Watch,
    ) -> Result<(), String> {
        let turn = partner.begin(&self.session, text)?;
        let control = turn.control();
        if self.hub.at_terminal {
            watch.sit_at(Desk::Manned(self.desk.clone()));
        } else if control.is_here() {
            let denier = control.clone();
            watch.sit_at(Desk::Empty(Box::new(move |id, choice| denier.decide(id, choice))));
        }
        let mut state = self.hub.state();
        let is_stopped = std::mem::take(&mut state.is_pressed);
        state.control = Some(control.clone());
        drop(state);
        if is_stopped {
            control.stop();
        }
        turn.follow(watch, settings.config.budget)
    }
}

fn new_session() -> Result<String, String> {
    let id = random_id()?.to_string();
    let digits = id.trim_start_matches("run_");
    Ok(format!("chat-{}", &digits[..SESSION_ID_DIGITS]))
}

fn named(name: &str) -> Result<String, String> {
    if name.is_empty()
        || name.chars().count() > SESSION_CHARS_MAX
        || name.contains(char::is_control)
    {
        return Err(format!(
            "A session's name is 1 to {SESSION_CHARS_MAX} characters without control characters."
        ));
    }
    Ok(name.to_owned())
}

fn complain(why: &str) {
    logger::print(format!("runwire: {why}\n"));
}
