//! `runwire run` in this process: the agent on a thread of its own, its events to who watches.
use super::follow::{News, follow};
use super::signals;
use super::watch::Watch;
use runwire::agent::{Agent, Cancel, Cause, Inbox, Job, Secrets, live};
use runwire::approval::Choice;
use runwire::budget::{Budget, Limit};
use runwire::event::{ApprovalRequest, ApprovalResponded, Event, Kind};
use runwire::id::{Key, RunId, RunKey};
use runwire::request::{Message, Request};
use runwire::store::transcript;
use runwire::time::Wall;
use runwire::wire::sse;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

/// Events between the agent and a slow terminal; beyond it the agent waits.
const EVENTS_WAITING_MAX: usize = 256;

/// Works on `text` to the end. Returns the exit code.
pub fn here(
    agent: impl Agent,
    text: &str,
    secrets: Secrets,
    budget: Budget,
    mut watch: Watch,
) -> Result<u8, String> {
    let request = Request::text(random_id()?, text);
    let begun = Begun::start(agent, request, secrets, budget, Remembered::default())?;
    let stop = begun.handle.clone();
    signals::watch(1, move || stop.cancel.cancel(Cause::Stop))
        .map_err(|error| format!("Could not watch for Ctrl-C: {error}."))?;
    let decider = begun.handle.clone();
    watch.answer_with(Box::new(move |request_id, choice| decider.decide(request_id, choice)));
    begun.follow(&mut watch, budget.wall);
    Ok(watch.exit_code())
}

/// What a run in this process leaves to the next one of the same conversation.
#[derive(Clone, Default)]
pub struct Remembered(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    /// Calls that are allowed for the rest of the conversation: the tool and its arguments.
    allowed: Vec<(String, String)>,
    /// What was said in it so far, without the words of the run that works.
    messages: Vec<Message>,
}

impl Remembered {
    pub fn messages(&self) -> Vec<Message> {
        self.memory().messages.clone()
    }

    /// What a user says next, or what the model has answered at last.
    pub fn add(&self, message: Message) {
        self.memory().messages.push(message);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that works in this process.
pub struct Begun {
    news: Receiver<News>,
    pub handle: Handle,
}

/// By which it is stopped, steered, and given leave.
#[derive(Clone)]
pub struct Handle {
    pub cancel: Cancel,
    pub inbox: Inbox,
    /// Not held on to: when the agent has ended there is no more news.
    said: Weak<Said>,
}

impl Handle {
    pub fn decide(&self, request_id: &str, choice: Choice) {
        if let Some(said) = self.said.upgrade() {
            said.decide(request_id, choice);
        }
    }
}

impl Begun {
    pub fn start(
        agent: impl Agent,
        request: Request,
        secrets: Secrets,
        budget: Budget,
        remembered: Remembered,
    ) -> Result<Begun, String> {
        let run_id = request.run_id;
        let (cancel, inbox) = (Cancel::new(), Inbox::new());
        let job = Job {
            key: RunKey(Key { slot: 0, generation: 0 }),
            request: Arc::new(request),
            budget,
            cancel: cancel.clone(),
            inbox: inbox.clone(),
        };
        let (sender, news) = sync_channel(EVENTS_WAITING_MAX);
        let state = Mutex::default();
        let said = Said { run_id, sender, inbox: inbox.clone(), remembered, state };
        let said = Arc::new(said);
        let handle = Handle { cancel, inbox, said: Arc::downgrade(&said) };
        let mut emit = move |event| said.hear(event);
        let worker = thread::Builder::new().name("agent".to_owned());
        worker
            .spawn(move || live(&agent, &job, &secrets, &mut emit))
            .map_err(|error| format!("Could not start the agent's thread: {error}."))?;
        Ok(Begun { news, handle })
    }

    /// Shows it to its end, or until nobody reads the answer any more: then the run ends, and what
    /// its tools began with it.
    pub fn follow(self, watch: &mut Watch, wall: Option<Duration>) {
        let overdue = &mut || self.handle.cancel.cancel(Cause::Budget(Limit::Wall));
        if follow(&self.news, watch, wall, overdue).is_err() {
            self.handle.cancel.cancel(Cause::Stop);
            while self.news.recv().is_ok() {}
        }
    }
}

/// What is said of the run, numbered, and what was allowed it so far.
struct Said {
    run_id: RunId,
    sender: SyncSender<News>,
    inbox: Inbox,
    remembered: Remembered,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_seq: u64,
    /// The tool and the arguments that are asked about.
    asked: (String, String),
}

impl Said {
    fn hear(&self, mut event: Event) {
        let mut state = self.state();
        if let Kind::ApprovalRequest(asked) = &mut event.kind {
            let call = (asked.tool.clone(), asked.arguments.clone());
            if asked.allow_permanent && self.remembered.memory().allowed.contains(&call) {
                return self.inbox.decide(Choice::Session);
            }
            state.asked = call;
            without_always(asked);
        }
        self.say(&mut state, event);
    }

    fn decide(&self, request_id: &str, choice: Choice) {
        let mut state = self.state();
        if matches!(choice, Choice::Session | Choice::Always) {
            let call = state.asked.clone();
            self.remembered.memory().allowed.push(call);
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let responded = ApprovalResponded {
            choice: choice.name(),
            request_id: request_id.to_owned(),
            resolved: 1,
            expired: false,
        };
        let event = Event {
            run: RunKey(Key { slot: 0, generation: 0 }),
            seq: 0,
            at: Wall(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)),
            kind: Kind::ApprovalResponded(Box::new(responded)),
        };
        self.say(&mut state, event);
        self.inbox.decide(choice);
    }

    fn say(&self, state: &mut State, mut event: Event) {
        event.seq = state.next_seq;
        state.next_seq += 1;
        let line = data(self.run_id, &event);
        if transcript::TELLING.contains(&event.kind.name()) {
            transcript::take_in(&mut self.remembered.memory().messages, &line);
        }
        // The receiver goes first only if the process ends: then nobody is left to tell.
        let _ = self.sender.send(News::Event(line));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing outlives a conversation in this process: it is a session of its own, and there is no
/// always.
fn without_always(asked: &mut ApprovalRequest) {
    if asked.allow_permanent {
        asked.choices = &["once", "session", "deny"];
        asked.allow_permanent = false;
    }
}

/// The event's JSON, to the byte as the server would stream it.
fn data(run_id: RunId, event: &Event) -> String {
    let mut frame = Vec::new();
    sse::frame(&mut frame, run_id, event);
    let frame = String::from_utf8_lossy(&frame);
    let line = frame.lines().find_map(|line| line.strip_prefix("data: "));
    line.expect("every frame has a data line").to_owned()
}

pub fn random_id() -> Result<RunId, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("The system gave no random bytes: {error}."))?;
    Ok(RunId(u128::from_le_bytes(bytes)))
}
