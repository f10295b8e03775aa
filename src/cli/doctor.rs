//! `runwire doctor`: how everything stands that a server needs, and what to do where it is not well.
//!
//! Each look has a thread of its own and one deadline is over all of them, so that no disk and no
//! network can keep the answer back. Nothing is changed: no key is made, no store is opened to be
//! written to.
mod ask;
mod looks;

use super::env::Env;
use super::print;
use super::settings::Settings;
use super::shown::one_line;
use serde_json::{Value, json};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// All looks together take no longer.
const PATIENCE: Duration = Duration::from_millis(2500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// What one look has found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub level: Level,
    pub said: String,
    /// What to do, where something is to be done.
    pub advice: String,
}

impl Finding {
    pub fn ok(said: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, said: said.into(), advice: String::new() }
    }

    pub fn warn(said: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { level: Level::Warn, said: said.into(), advice: advice.into() }
    }

    pub fn fail(said: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { level: Level::Fail, said: said.into(), advice: advice.into() }
    }
}

type Look = fn(&Settings, &Env) -> Finding;

/// What is looked at, in the order it is told.
const LOOKS: &[(&str, Look)] = &[
    ("key", looks::key),
    ("state", looks::state),
    ("store", looks::store),
    ("port", looks::port),
    ("model", ask::model),
    ("local models", ask::local_models),
    ("sandbox", looks::sandbox),
    ("limits", looks::limits),
    ("clock", looks::clock),
];

/// Looks at everything. The exit code is 1 if something fails.
pub fn doctor(
    settings: Settings,
    configuration: Result<String, String>,
    env: &Env,
    json: bool,
) -> u8 {
    let read = match configuration {
        Ok(origin) => Finding::ok(origin),
        Err(wrong) => Finding::fail(wrong, "The rest is looked at with the defaults."),
    };
    let mut found = vec![("configuration", read)];
    found.extend(look(&settings, env));
    let is_well = found.iter().all(|(_, finding)| finding.level != Level::Fail);
    let text = if json { as_json(&found, is_well) } else { as_text(&found) };
    let printed = print(&text);
    if is_well { printed } else { 1 }
}

fn look(settings: &Settings, env: &Env) -> Vec<(&'static str, Finding)> {
    let deadline = Instant::now() + PATIENCE;
    let (sender, answers) = channel();
    for (index, (_, look)) in LOOKS.iter().enumerate() {
        let (settings, env, sender) = (settings.clone(), env.clone(), sender.clone());
        // One that comes too late is told to nobody, and ends with the process.
        thread::spawn(move || sender.send((index, look(&settings, &env))));
    }
    drop(sender);
    let mut found: Vec<Option<Finding>> = vec![None; LOOKS.len()];
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok((index, finding)) = answers.recv_timeout(left()) {
        found[index] = Some(finding);
    }
    let late = || Finding::warn("no answer within 2.5 s", "Is the disk or the network slow?");
    let named = LOOKS.iter().zip(found);
    named.map(|((name, _), finding)| (*name, finding.unwrap_or_else(late))).collect()
}

fn as_text(found: &[(&str, Finding)]) -> String {
    let mut text = String::new();
    for (name, Finding { level, said, advice }) in found {
        text += &format!("{:4}  {name:13}  {}\n", level.name(), one_line(said));
        if !advice.is_empty() {
            text += &format!("{:21}{}\n", "", one_line(advice));
        }
    }
    text
}

fn as_json(found: &[(&str, Finding)], is_well: bool) -> String {
    let checks: Vec<Value> = found
        .iter()
        .map(|(name, Finding { level, said, advice })| {
            json!({ "check": name, "level": level.name(), "said": said, "advice": advice })
        })
        .collect();
    format!("{}\n", json!({ "ok": is_well, "checks": checks }))
}
