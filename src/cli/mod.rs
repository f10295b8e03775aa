//! The command line: from words and variables to a server or a run.
mod args;
#[cfg(test)]
mod args_tests;
#[cfg(feature = "llm")]
mod ask;
#[cfg(feature = "sys")]
mod bench;
mod chat;
mod chat_place;
#[cfg(feature = "llm")]
mod client;
mod client_args;
#[cfg(feature = "config")]
mod completions;
#[cfg(feature = "config")]
mod config_file;
#[cfg(feature = "sqlite")]
mod db;
mod desk;
#[cfg(feature = "config")]
mod doctor;
mod env;
#[cfg(feature = "config")]
mod explain;
mod explain_args;
mod follow;
mod given;
mod help;
mod key_args;
mod keys;
mod keys_file;
#[cfg(feature = "llm")]
mod lists;
mod log_queue;
mod logger;
#[cfg(feature = "config")]
mod man;
mod model;
mod plain;
#[cfg(feature = "llm")]
mod remote;
mod render;
#[cfg(test)]
mod render_tests;
mod run;
#[cfg(all(feature = "sandbox", target_os = "linux"))]
mod sandbox;
mod serve;
mod settings;
mod setup;
#[cfg(feature = "llm")]
mod show;
mod shown;
mod signals;
mod state;
#[cfg(test)]
mod state_tests;
mod step;
mod store;
mod suggest;
mod table;
#[cfg(feature = "config")]
mod toml;
mod usage;
mod value;
mod watch;

use args::{Command, Place, Run};
#[cfg(feature = "llm")]
use ask::ask;
#[cfg(feature = "sys")]
use bench::{Benched, bench};
#[cfg(feature = "sqlite")]
use db::look_into;
use env::Env;
use settings::Settings;
#[cfg(feature = "llm")]
use state::State;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use watch::Watch;

/// Exit code of a command line that cannot be obeyed.
const USAGE: u8 = 2;

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    #[cfg(all(feature = "sandbox", target_os = "linux"))]
    if std::env::args_os().nth(1).is_some_and(|word| word == "__sandbox") {
        return sandbox::main(std::env::args_os().skip(2).collect());
    }
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let benched = Benched::read(&mut words);
    let env = Env::of_process();
    let command = match args::parse(words, &env) {
        Ok(command) => command,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let done = match command {
        Command::Help(topic) => Ok(print(&help::text(topic))),
        Command::Version => Ok(print(concat!("runwire ", env!("CARGO_PKG_VERSION"), "\n"))),
        Command::Key(key) => start(&key.settings).and_then(|()| keys::obey(&key, &env)),
        Command::Serve(serve) => {
            let agent = benched.as_ref().and_then(Benched::agent);
            start(&serve.settings).and_then(|()| serve::serve(*serve, &env, agent))
        }
        Command::Bench(asked) => start(&asked.settings).and_then(|()| bench(&asked)),
        Command::Db(db) => start(&db.settings).and_then(|()| look_into(&db, &env)),
        Command::Explain(asked) => explain(*asked, &env),
        Command::Ask(asked) => start(&asked.settings).and_then(|()| ask(&asked, &env)),
        Command::Chat(chat) => start(&chat.settings).and_then(|()| chat::chat(*chat, &env)),
        Command::Run(run) => {
            let text = match run_text(&run) {
                Ok(text) => text,
                Err(message) => return complain(&message, USAGE),
            };
            start(&run.settings).and_then(|()| work(*run, &text, &env))
        }
    };
    let code = match done {
        Ok(code) => ExitCode::from(code),
        Err(message) => fail(&message),
    };
    logger::flush();
    code
}

/// Says why the command has failed.
fn fail(message: &str) -> ExitCode {
    if !logger::is_json() {
        return complain(message, 1);
    }
    log::error!(error = message; "failed");
    ExitCode::from(1)
}

/// What every command does first.
fn start(settings: &Settings) -> Result<(), String> {
    logger::start(settings);
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    Ok(())
}

fn work(run: Run, text: &str, env: &Env) -> Result<u8, String> {
    let watch = Watch::new(run.json, env);
    match &run.place {
        Place::Here(model) => {
            let agent = setup::local_agent(&run.settings, model, env)?;
            let secrets = setup::secrets(&run.settings, model, env);
            run::here(agent, text, secrets, run.settings.config.budget, watch)
        }
        Place::Server(url) => there(url, &run.settings, text, env, watch),
    }
}

#[cfg(feature = "llm")]
fn there(
    url: &str,
    settings: &Settings,
    text: &str,
    env: &Env,
    watch: Watch,
) -> Result<u8, String> {
    remote::there(url, &key_for(settings, env)?, text, watch)
}

/// The key of the server that is spoken to.
#[cfg(feature = "llm")]
fn key_for(settings: &Settings, env: &Env) -> Result<String, String> {
    if let Some(key) = &settings.config.key {
        return Ok(key.clone());
    }
    let state = State::locate(settings.state.as_deref(), env)?;
    let none = || format!("There is no key in {}: use --key.", state.dir().display());
    Ok(state.read_key()?.ok_or_else(none)?.text)
}

#[cfg(not(feature = "llm"))]
fn there(_: &str, _: &Settings, _: &str, _: &Env, _: Watch) -> Result<u8, String> {
    Err(NO_CLIENT.to_owned())
}

#[cfg(not(feature = "llm"))]
fn ask(_: &client_args::Ask, _: &Env) -> Result<u8, String> {
    Err(NO_CLIENT.to_owned())
}

#[cfg(not(feature = "llm"))]
const NO_CLIENT: &str =
    "This runwire is built without an HTTP client: build it with the feature `llm`.";

/// Nothing is measured here.
#[cfg(not(feature = "sys"))]
struct Benched;

#[cfg(not(feature = "sys"))]
impl Benched {
    fn read(_: &mut Vec<OsString>) -> Option<Benched> {
        None
    }

    fn agent(&self) -> Option<std::sync::Arc<dyn runwire::Agent>> {
        None
    }
}

#[cfg(not(feature = "sys"))]
fn bench(_: &args::Bench) -> Result<u8, String> {
    Err("This runwire is built without that command: build it with the feature `sys`.".to_owned())
}

#[cfg(not(feature = "sqlite"))]
fn look_into(_: &args::Db, _: &Env) -> Result<u8, String> {
    Err("This runwire is built without SQLite: build it with the feature `sqlite`.".to_owned())
}

#[cfg(feature = "config")]
fn explain(asked: explain_args::Explain, env: &Env) -> Result<u8, String> {
    start(&asked.settings)?;
    Ok(explain::explain(asked, env))
}

#[cfg(not(feature = "config"))]
fn explain(_: explain_args::Explain, _: &Env) -> Result<u8, String> {
    Err("This runwire is built without that command: build it with the feature `config`."
        .to_owned())
}

const NO_TEXT: &str = "There is no TEXT: say what is to be done, as in `runwire run \"list files in \
     /tmp\"`, or send it through a pipe.\nTry `runwire run --help`.";

/// The task: TEXT, or what comes through a pipe.
fn run_text(run: &Run) -> Result<String, String> {
    if let Some(text) = &run.text {
        return Ok(text.clone());
    }
    if io::stdin().is_terminal() && !run.stdin {
        return Err(NO_TEXT.to_owned());
    }
    let mut bytes = Vec::new();
    let bytes_max = run.settings.config.max_body as u64;
    let read = io::stdin().take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("Could not read standard input: {error}."))?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("Standard input is longer than {bytes_max} bytes."));
    }
    let text = String::from_utf8(bytes).map_err(|_| "Standard input is not valid UTF-8.")?;
    if text.trim().is_empty() { Err(NO_TEXT.to_owned()) } else { Ok(text) }
}

/// Prints to standard output; one that is closed ends the command quietly.
fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 1,
        _ => 0,
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    logger::print(format!("runwire: {message}\n"));
    ExitCode::from(code)
}
