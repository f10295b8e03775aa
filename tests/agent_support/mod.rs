//! What the tests of the built-in agent share: folders of their own, tools called directly, and
//! whole runs with everything they said.
#![allow(dead_code, reason = "each test file uses a part of it")]
#[cfg(all(feature = "sandbox", target_os = "linux"))]
pub mod processes;

use runwire::agent::model::{Ask, Entry, Finish, Model, Piece, ToolCall, Turn};
use runwire::agent::tools::Tools;
use runwire::agent::{Agent, Cancel, Ending, Inbox, Job, Secrets, Settings, live};
use runwire::budget::Budget;
use runwire::event::{Event, Kind, Usage};
use runwire::id::{Key, RunId, RunKey};
use runwire::request::Request;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A folder of this test alone, removed at its end.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwire-test-{}-{count}", std::process::id());
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir_all(path.join("workspace")).unwrap();
        Dir(path)
    }

    /// A path in this folder, outside the workspace.
    pub fn path(&self, inner: &str) -> PathBuf {
        self.0.join(inner)
    }

    /// A path in the workspace.
    pub fn inside(&self, inner: &str) -> PathBuf {
        self.0.join("workspace").join(inner)
    }

    /// A file in the workspace.
    pub fn file(&self, inner: &str, content: impl AsRef<[u8]>) {
        let path = self.inside(inner);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn settings(&self) -> Settings {
        Settings { workspace: self.inside(""), ..Settings::default() }
    }

    pub fn tools(&self) -> Tools {
        Tools::new(&self.settings()).unwrap()
    }

    /// Calls a tool in the workspace.
    pub fn call(&self, name: &str, arguments: Value) -> Result<String, String> {
        call(&self.tools(), name, arguments)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn call(tools: &Tools, name: &str, arguments: Value) -> Result<String, String> {
    tools.call(name, &arguments.to_string(), &Cancel::new(), &Secrets::default())
}

/// Waits until `done`, or panics after ten seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

pub fn read(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// A run whose only limits are those of its request.
pub fn job(request: Request) -> Job {
    let key = RunKey(Key { slot: 0, generation: 0 });
    let (budget, request) = (request.budget, Arc::new(request));
    Job { key, request, budget, cancel: Cancel::new(), inbox: Inbox::new() }
}

pub fn request_within(text: &str, budget: Budget) -> Request {
    let mut request = request(text);
    request.budget = budget;
    request
}

pub fn request(text: &str) -> Request {
    Request::text(RunId(7), text)
}

/// Everything a run says, from its first step to its last; checks what holds for any run.
pub fn events(agent: &dyn Agent, job: &Job, secrets: &Secrets) -> Vec<Kind> {
    let mut events: Vec<Event> = Vec::new();
    live(agent, job, secrets, &mut |event| events.push(event));
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, index as u64);
        assert_eq!(event.kind.is_terminal(), index + 1 == events.len(), "{:?}", event.kind);
    }
    events.into_iter().map(|event| event.kind).collect()
}

pub fn names(events: &[Kind]) -> Vec<&'static str> {
    let mut names: Vec<&str> = events.iter().map(Kind::name).collect();
    names.dedup();
    names
}

/// All that was said to the user, deltas joined.
pub fn said(events: &[Kind]) -> String {
    let deltas = events.iter().filter_map(|kind| match kind {
        Kind::MessageDelta(delta) => Some(delta.delta.as_str()),
        _ => None,
    });
    deltas.collect()
}

pub fn results(events: &[Kind]) -> Vec<(&str, bool)> {
    let results = events.iter().filter_map(|kind| match kind {
        Kind::ToolCompleted(done) => Some((done.result.as_str(), done.error)),
        _ => None,
    });
    results.collect()
}

/// A model that says turns written beforehand, and remembers what it was shown.
pub struct Scripted {
    turns: Mutex<Vec<Result<Turn, Ending>>>,
    pub shown: Arc<Mutex<Vec<Vec<Entry>>>>,
}

impl Scripted {
    pub fn new(turns: impl IntoIterator<Item = Result<Turn, Ending>>) -> Scripted {
        let mut turns: Vec<_> = turns.into_iter().collect();
        turns.reverse();
        Scripted { turns: Mutex::new(turns), shown: Arc::default() }
    }
}

impl Model for Scripted {
    fn provider(&self) -> &str {
        "script"
    }

    fn name(&self) -> &str {
        "scripted"
    }

    fn turn(
        &self,
        ask: &Ask<'_>,
        _: &Cancel,
        say: &mut dyn FnMut(Piece<'_>) -> Result<(), Ending>,
    ) -> Result<Turn, Ending> {
        self.shown.lock().unwrap().push(ask.entries.to_vec());
        let turn = self.turns.lock().unwrap().pop().expect("the script is long enough");
        let turn = turn?;
        for piece in turn.reasoning.split_inclusive(' ') {
            say(Piece::Reasoning(piece))?;
        }
        for piece in turn.text.split_inclusive(' ') {
            say(Piece::Text(piece))?;
        }
        Ok(turn)
    }
}

pub fn turn(text: &str, calls: &[(&str, &str, &str)]) -> Turn {
    let call = |(id, name, arguments): &(&str, &str, &str)| ToolCall {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
    };
    let calls: Vec<ToolCall> = calls.iter().map(call).collect();
    let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
    let usage = Usage { input_tokens: 10, output_tokens: 2, total_tokens: 12, ..Usage::default() };
    Turn {
        text: text.to_owned(),
        reasoning: String::new(),
        calls,
        finish,
        usage,
        model: "scripted-1".to_owned(),
    }
}
