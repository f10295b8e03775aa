//! `runwire run` in this process: the agent on a thread of its own, its events to who watches.
use super::follow::{News, follow};
use super::signals;
use super::watch::Watch;
use runwire::agent::{Agent, Cancel, Cause, Inbox, Job, Secrets, live};
use runwire::budget::{Budget, Limit};
use runwire::event::Event;
use runwire::id::{Key, RunId, RunKey};
use runwire::request::Request;
use runwire::wire::sse;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

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
    let run_id = random_id()?;
    let cancel = Cancel::new();
    let job = Job {
        key: RunKey(Key { slot: 0, generation: 0 }),
        request: Arc::new(Request::text(run_id, text)),
        budget,
        cancel: cancel.clone(),
        inbox: Inbox::new(),
    };
    let stop = cancel.clone();
    signals::watch(1, move || stop.cancel(Cause::Stop))
        .map_err(|error| format!("Could not watch for Ctrl-C: {error}."))?;
    let (sender, news) = sync_channel(EVENTS_WAITING_MAX);
    // The receiver goes first only if the process ends: then nobody is left to tell.
    let mut emit = move |event| drop(sender.send(News::Event(data(run_id, &event))));
    let worker = thread::Builder::new().name("agent".to_owned());
    worker
        .spawn(move || live(&agent, &job, &secrets, &mut emit))
        .map_err(|error| format!("Could not start the agent's thread: {error}."))?;
    let overdue = &mut || cancel.cancel(Cause::Budget(Limit::Wall));
    if follow(&news, &mut watch, budget.wall, overdue).is_err() {
        // Nobody reads the answer any more. The run ends, and what its tools began with it.
        cancel.cancel(Cause::Stop);
        while news.recv().is_ok() {}
    }
    Ok(watch.exit_code())
}

/// The event's JSON, to the byte as the server would stream it.
fn data(run_id: RunId, event: &Event) -> String {
    let mut frame = Vec::new();
    sse::frame(&mut frame, run_id, event);
    let frame = String::from_utf8_lossy(&frame);
    let line = frame.lines().find_map(|line| line.strip_prefix("data: "));
    line.expect("every frame has a data line").to_owned()
}

fn random_id() -> Result<RunId, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("The system gave no random bytes: {error}."))?;
    Ok(RunId(u128::from_le_bytes(bytes)))
}
