//! The commands that ask a running server something, or tell it.
use super::client::{Client, Refused};
use super::client_args::{Ask, AskAct};
use super::desk::{prompt, read_choice};
use super::env::Env;
use super::lists;
use super::remote::watch_run;
use super::shown::{clean, one_line};
use super::step::choices;
use super::suggest::nearest;
use super::watch::{Watch, say};
use super::{key_for, print, show};
use runwire::approval::Choice;
use runwire::id::RunId;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::sync::Arc;

/// Runs a name is looked for among, the newest first.
const RUNS_SEARCHED_MAX: usize = 1_000;
/// Runs that are named where a name is that of several.
const NAMED_MAX: usize = 5;

/// Does what is asked. Returns the exit code.
pub fn ask(asked: &Ask, env: &Env) -> Result<u8, String> {
    let client = Arc::new(Client::new(&asked.url, &key_for(&asked.settings, env)?));
    let json = asked.json;
    match &asked.act {
        AskAct::Runs { status, session, limit } => {
            lists::runs(&client, *status, session.as_deref(), *limit, json)
        }
        AskAct::Show(run) => show::show(&client, &find_run(&client, run)?, json, env),
        AskAct::Tail { run, from_seq } => {
            tail(&client, find_run(&client, run)?, *from_seq, Watch::new(json, env))
        }
        AskAct::Stop(run) => {
            let run_id = find_run(&client, run)?;
            let reply = client.stop(&run_id)?;
            let status = reply["status"].as_str().unwrap_or_default();
            Ok(told(&reply, json, &format!("{run_id} is {status}.\n")))
        }
        AskAct::Steer { run, text, interrupt } => {
            let run_id = find_run(&client, run)?;
            let reply = client.steer(&run_id, text, *interrupt)?;
            let shown = format!("{run_id} will be told before its model's next turn.\n");
            Ok(told(&reply, json, &shown))
        }
        AskAct::Approve { run: None, .. } => waiting(&client, json),
        AskAct::Approve { run: Some(run), choice } => {
            approve(&client, &find_run(&client, run)?, *choice, json)
        }
        AskAct::Sessions { limit } => lists::sessions(&client, *limit, json),
        AskAct::SessionShow(id) => show::session(&client, id, json),
        AskAct::SessionDelete(id) => {
            let reply = client.delete(&session_path(id)).map_err(Refused::into_text)?;
            Ok(told(&reply, json, &format!("{} is deleted, with its runs.\n", one_line(id))))
        }
    }
}

/// Where a session is, whatever its id is made of.
pub fn session_path(id: &str) -> String {
    format!("/v1/sessions/{}", escaped(id))
}

/// `text` as part of an address.
pub fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(b).to_string()
        }
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The server's answer, or what it means. Returns the exit code.
fn told(reply: &Value, json: bool, shown: &str) -> u8 {
    if json { print(&format!("{reply}\n")) } else { print(shown) }
}

/// The id of the run that `name` is: an id, the beginning of one, or `last`.
fn find_run(client: &Client, name: &str) -> Result<String, String> {
    if name == "last" {
        let last = lists::page(client, "/v1/runs?", "", 1)?.data.into_iter().next();
        let id = last.as_ref().and_then(id_of).map(str::to_owned);
        return id.ok_or_else(|| "The server has no runs yet.".to_owned());
    }
    if RunId::parse(name).is_some() {
        match client.get(&format!("/v1/runs/{name}")) {
            Ok(_) => return Ok(name.to_owned()),
            Err(Refused::NotThere(_)) => {}
            Err(refused) => return Err(refused.into_text()),
        }
    }
    let typed = if name.starts_with("run_") { name.to_owned() } else { format!("run_{name}") };
    let known = lists::all(client, "/v1/runs?", RUNS_SEARCHED_MAX)?;
    let ids: Vec<&str> = known.iter().filter_map(id_of).collect();
    let meant: Vec<&str> = ids.iter().copied().filter(|id| id.starts_with(&typed)).collect();
    match meant.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(unknown(name, &typed, &ids)),
        several => {
            let named = several[..several.len().min(NAMED_MAX)].join(", ");
            Err(format!("{} runs begin with {name}: {named}. Type more of it.", several.len()))
        }
    }
}

fn id_of(run: &Value) -> Option<&str> {
    run["run_id"].as_str().filter(|id| RunId::parse(id).is_some())
}

fn unknown(name: &str, typed: &str, ids: &[&str]) -> String {
    let beginnings = ids.iter().map(|id| &id[..typed.len().min(id.len())]);
    let near = nearest(typed, beginnings).map(|near| format!(" Did you mean {near}?"));
    let list = " `runwire runs` lists them.".to_owned();
    format!("There is no run {}.{}", one_line(name), near.unwrap_or(list))
}

fn tail(client: &Arc<Client>, run_id: String, from: u64, mut watch: Watch) -> Result<u8, String> {
    let last_id = from.checked_sub(1).map(|seq| seq.to_string());
    watch_run(client.clone(), run_id.clone(), last_id, &mut watch)?;
    if watch.end().is_some() {
        return Ok(watch.exit_code());
    }
    // It had ended before the event that was asked for.
    let status = client.get(&format!("/v1/runs/{run_id}")).map_err(Refused::into_text)?;
    Ok(match status["status"].as_str() {
        Some("completed") => 0,
        Some("cancelled") => 130,
        _ => 1,
    })
}

/// What waits for a decision: asked about at a terminal, else shown.
fn waiting(client: &Client, json: bool) -> Result<u8, String> {
    let list = client.get("/v1/approvals").map_err(Refused::into_text)?;
    let waiting = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if json {
        return Ok(lists::lines(waiting));
    }
    if waiting.is_empty() {
        return Ok(print("Nothing waits for a decision.\n"));
    }
    for asked in waiting {
        let run_id = id_of(asked).unwrap_or_default();
        let shown = question(run_id, asked);
        if !can_ask() {
            print(&shown);
            continue;
        }
        match choose(&shown, asked)? {
            Some(choice) => decide(client, run_id, asked, choice)?,
            None => return Ok(0),
        }
    }
    if !can_ask() {
        print("\nDecide with `runwire approve RUN once|session|always|deny`.\n");
    }
    Ok(0)
}

fn approve(
    client: &Client,
    run_id: &str,
    choice: Option<Choice>,
    json: bool,
) -> Result<u8, String> {
    if let Some(choice) = choice {
        let reply = client.decide(run_id, None, choice.name())?;
        let shown = format!("{run_id}: {}.\n", super::step::decided(choice.name(), false));
        return Ok(told(&reply, json, &shown));
    }
    let status = client.get(&format!("/v1/runs/{run_id}")).map_err(Refused::into_text)?;
    let asked = &status["approval"];
    if asked.is_null() {
        return Err(format!("{run_id} waits for no decision. `runwire approve` shows what does."));
    }
    let shown = question(run_id, asked);
    if !can_ask() || json {
        print(&if json { format!("{asked}\n") } else { shown });
        return Err("Say what is decided: once, session, always or deny.".to_owned());
    }
    if let Some(choice) = choose(&shown, asked)? {
        decide(client, run_id, asked, choice)?;
    }
    Ok(0)
}

fn decide(client: &Client, run_id: &str, asked: &Value, choice: Choice) -> Result<(), String> {
    client.decide(run_id, asked["request_id"].as_str(), choice.name())?;
    print(&format!("{run_id}: {}.\n", super::step::decided(choice.name(), false)));
    Ok(())
}

/// What is asked, the reason last.
fn question(run_id: &str, asked: &Value) -> String {
    let text = |name: &str| clean(asked[name].as_str().unwrap_or_default()).replace('\n', "\n  ");
    let tool = one_line(&text("tool"));
    format!("{run_id}\n? {tool}\n  {}\n  {}\n", text("command"), text("description"))
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks until one of the choices is typed; `None` where nothing more is.
fn choose(shown: &str, asked: &Value) -> Result<Option<Choice>, String> {
    let choices = choices(asked);
    let asks = |text: &str| say(text).map_err(|error| format!("Could not ask: {error}."));
    asks(&format!("{shown}{}", prompt(&choices)))?;
    let mut line = String::new();
    while io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        if let Some(choice) = read_choice(&line).filter(|choice| choices.contains(choice)) {
            return Ok(Some(choice));
        }
        line.clear();
        asks(&format!("Please type one of the letters: {}", prompt(&choices)))?;
    }
    Ok(None)
}
