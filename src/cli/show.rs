//! What a run was, and what was said in a session: all of it at once, the same on a pipe.
use super::ask::session_path;
use super::client::{Client, Refused};
use super::env::Env;
use super::follow::News;
use super::lists::text;
use super::logger::utc;
use super::print;
use super::remote::Events;
use super::render::{Screen, Style, View};
use super::shown::{clean, one_line};
use super::step::Step;
use super::watch::{style, width};
use runwire::budget::Limit;
use runwire::wire;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

/// Shows a run: how it stands, and its transcript. Returns the exit code.
pub fn show(client: &Arc<Client>, run_id: &str, json: bool, env: &Env) -> Result<u8, String> {
    let get = |path: &str| client.get(path).map_err(Refused::into_text);
    let status = get(&format!("/v1/runs/{run_id}"))?;
    let events = events(client, run_id, status["last_seq"].as_u64())?;
    if json {
        let mut shown = status.to_string();
        // Each event is JSON already.
        shown.truncate(shown.len().saturating_sub(1));
        return Ok(print(&format!("{shown},\"events\":[{}]}}\n", events.join(","))));
    }
    let input = input(client, &status, run_id);
    let mut out = head(&status) + &transcript(&input, &events, env);
    out.push_str(&tail(&status, run_id));
    Ok(print(&out))
}

/// The JSON of the run's events up to this one: a run that works may speak forever.
fn events(client: &Arc<Client>, run_id: &str, last: Option<u64>) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let Some(last) = last else { return Ok(lines) };
    let events = Events::of(client.clone(), run_id.to_owned(), None)?;
    loop {
        match events.news.recv() {
            Ok(News::Event(line)) => {
                let is_last = seq(&line).is_some_and(|seq| seq >= last);
                lines.push(line);
                if is_last {
                    return Ok(lines);
                }
            }
            Ok(News::Note(_)) => {}
            Err(_) => return events.end().map(|()| lines),
        }
    }
}

fn seq(event: &str) -> Option<u64> {
    serde_json::from_str::<Value>(event).ok()?["seq"].as_u64()
}

/// What the user said: in the session's messages if it is there, or else its beginning.
fn input(client: &Client, status: &Value, run_id: &str) -> String {
    let session = status["session_id"].as_str().unwrap_or_default();
    let messages = client.get(&(session_path(session) + "/messages")).unwrap_or_default();
    let messages = messages["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mine = |it: &&Value| it["run_id"] == run_id && it["role"] == "user";
    let said = messages.iter().find(mine).map(|it| content(&it["content"]));
    said.unwrap_or_else(|| {
        let path = format!("/v1/runs?limit=100&session_id={}", super::ask::escaped(session));
        let runs = client.get(&path).unwrap_or_default();
        let runs = runs["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mine = runs.iter().find(|run| run["run_id"] == run_id);
        mine.map(|run| text(run, "preview")).unwrap_or_default()
    })
}

/// A message's text; of what is no text, what it is.
fn content(content: &Value) -> String {
    let Value::Array(parts) = content else {
        return clean(content.as_str().unwrap_or_default());
    };
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => clean(text),
        None => format!("[{}]", text(part, "type")),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("\n")
}

fn head(status: &Value) -> String {
    let (what, at) = match &status["started_at"] {
        Value::Null => ("asked", &status["created_at"]),
        began => ("began", began),
    };
    let at = utc(at.as_f64().unwrap_or_default() as u64, 0);
    let mut head = format!("{}  {}\n", text(status, "run_id"), text(status, "status"));
    head += &format!("{what} {at}, model {}", text(status, "model"));
    if status["session_id"] != status["run_id"] {
        head += &format!(", session {}", text(status, "session_id"));
    }
    if let Ok(budget) = wire::budget::parse(status["budget"].clone()) {
        let amounts: Vec<String> = Limit::ALL.iter().filter_map(|it| budget.amount(*it)).collect();
        head += &format!("\nmay use {}", amounts.join(", "));
    }
    head + "\n\n"
}

fn transcript(input: &str, events: &[String], env: &Env) -> String {
    let is_terminal = io::stdout().is_terminal();
    let style = style(env);
    // Nothing is drawn here, and nobody asked.
    let style = Style { colour: style.colour && is_terminal, redraw: true, asks: false };
    let width = if is_terminal { width() } else { usize::MAX };
    let mut out = input.lines().map(|line| format!("> {line}\n")).collect::<String>() + "\n";
    let (mut screen, mut began) = (Screen::new(style), None);
    for line in events {
        let Some(step) = Step::read(line) else { continue };
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let at = event["timestamp"].as_f64().unwrap_or_default();
        let since = (at - *began.get_or_insert(at)).clamp(0.0, 1e9);
        screen.show(&step, View { now: Duration::from_secs_f64(since), width }, &mut out);
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// What it has used, and what is to be done if it waits.
fn tail(status: &Value, run_id: &str) -> String {
    let usage = &status["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap_or(0);
    let mut tail = String::new();
    if usage.is_object() {
        let (input, output) = (tokens("input_tokens"), tokens("output_tokens"));
        let (cached, all) = (tokens("cache_read_tokens"), tokens("total_tokens"));
        tail = format!("\nused {all} tokens: {input} in ({cached} from cache), {output} out\n");
    }
    if status["approval"].is_object() {
        tail += &format!("\nIt waits for a decision: `runwire approve {run_id}`.\n");
    }
    if let Some(steer) = status["pending_steer"].as_str() {
        tail += &format!("\nCame too late to be told: {}\n", one_line(steer));
    }
    tail
}

/// Shows what was said in a session. Returns the exit code.
pub fn session(client: &Client, id: &str, json: bool) -> Result<u8, String> {
    let path = session_path(id) + "/messages";
    let page = client.get(&path).map_err(|refused| match refused {
        Refused::NotThere(said) => format!("{said} `runwire sessions` lists those there are."),
        refused => refused.into_text(),
    })?;
    let messages = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if json {
        return Ok(super::lists::lines(messages));
    }
    let mut out = String::new();
    if page["has_more"] == true {
        out += "(there are earlier messages)\n\n";
    }
    for message in messages {
        out += &said(message);
    }
    Ok(print(&out))
}

/// One message: the user's marked as it was typed, a tool's by its mark.
fn said(message: &Value) -> String {
    let (said, role) = (content(&message["content"]), text(message, "role"));
    let marked = |mark: &str| -> String {
        said.lines().map(|line| format!("{mark}{line}\n")).collect::<String>()
    };
    let mut out = match role.as_str() {
        "user" => marked("> ") + "\n",
        "tool" => marked("  ") + "\n",
        _ if said.is_empty() => String::new(),
        _ => format!("{}\n\n", said.trim_end()),
    };
    for call in message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let function = &call["function"];
        out += &format!("✓ {}  {}\n", text(function, "name"), text(function, "arguments"));
    }
    out
}
