//! `runwire key`: the keys of a server, for whoever runs it.
use super::env::Env;
use super::key_args::{KeyAct, KeyCommand};
use super::keys_file::KeysFile;
use super::print;
use super::settings::Settings;
use super::state::{State, random_key};
use runwire::config::{FIRST_KEY, Key, Scope, check_keys};
use std::io::{self, Write};

/// Does what is asked. Returns the exit code.
pub fn obey(command: &KeyCommand, env: &Env) -> Result<u8, String> {
    let settings = &command.settings;
    let file = || KeysFile::locate(settings, env);
    match &command.act {
        KeyAct::Show => show(settings, env),
        KeyAct::List => Ok(print(&list(&file()?.read()?))),
        KeyAct::Add(key) => {
            let (mut key, secret) = (key.clone(), random_key()?);
            key.secret = secret.clone();
            file()?.edit(|keys| add(keys, key))?;
            Ok(changed(settings, env, &format!("{secret}\n")))
        }
        KeyAct::Revoke(name) if name == FIRST_KEY => Err(format!(
            "The key `{FIRST_KEY}` cannot be revoked: it is whoever runs the server. `runwire key \
             rotate {FIRST_KEY}` gives it another secret."
        )),
        KeyAct::Revoke(name) => {
            let file = file()?;
            file.edit(|keys| {
                let at = find(keys, name, &file)?;
                keys.remove(at);
                Ok(())
            })?;
            Ok(changed(settings, env, ""))
        }
        KeyAct::Rotate(name) => {
            let secret = rotate(settings, env, name)?;
            Ok(changed(settings, env, &format!("{secret}\n")))
        }
    }
}

/// Where a server's keys come from, to be read at its start and again when it is told to.
pub struct Source {
    /// The first key, if it is not the one in the state directory.
    given: Option<String>,
    state: Result<State, String>,
    file: Result<KeysFile, String>,
}

impl Source {
    pub fn new(settings: &Settings, env: &Env) -> Source {
        Source {
            given: settings.config.key.clone(),
            state: State::locate(settings.state.as_deref(), env),
            file: KeysFile::locate(settings, env),
        }
    }

    /// The keys beside the first. A file of keys that has no place is none.
    pub fn further(&self) -> Result<Vec<Key>, String> {
        self.file.as_ref().map_or(Ok(Vec::new()), KeysFile::read)
    }

    /// All keys, as they are to be in force together.
    pub fn read(&self) -> Result<Vec<Key>, String> {
        let first = match (&self.given, &self.state) {
            (Some(given), _) => given.clone(),
            (None, Ok(state)) => {
                let none = || format!("there is no {}", state.key_file().display());
                state.read_key()?.ok_or_else(none)?.text
            }
            (None, Err(error)) => return Err(error.clone()),
        };
        let mut keys = vec![Key::first(first)];
        keys.extend(self.further()?);
        check_keys(&keys).map_err(|wrong| format!("The keys do not go together: {wrong}."))?;
        Ok(keys)
    }
}

fn show(settings: &Settings, env: &Env) -> Result<u8, String> {
    if let Some(key) = &settings.config.key {
        return Ok(print(&format!("{key}\n")));
    }
    let key = State::locate(settings.state.as_deref(), env)?.key()?;
    if let Some(warning) = &key.warning {
        log::warn!("{warning}");
    }
    Ok(print(&format!("{}\n", key.text)))
}

fn add(keys: &mut Vec<Key>, key: Key) -> Result<(), String> {
    if keys.iter().any(|known| known.name == key.name) {
        let name = key.name;
        return Err(format!(
            "There is a key `{name}` already; `runwire key rotate {name}` gives it another secret."
        ));
    }
    keys.push(key);
    Ok(())
}

fn rotate(settings: &Settings, env: &Env, name: &str) -> Result<String, String> {
    if name != FIRST_KEY {
        let (file, secret) = (KeysFile::locate(settings, env)?, random_key()?);
        return file.edit(|keys| {
            let at = find(keys, name, &file)?;
            keys[at].secret = secret.clone();
            Ok(secret)
        });
    }
    if settings.config.key.is_some() {
        return Err("The first key is given by --key or a variable: change it there.".to_owned());
    }
    State::locate(settings.state.as_deref(), env)?.change_key()
}

fn find(keys: &[Key], name: &str, file: &KeysFile) -> Result<usize, String> {
    let at = keys.iter().position(|key| key.name == name);
    at.ok_or_else(|| {
        format!(
            "There is no key `{name}` in {}; `runwire key list` shows which there are.",
            file.path().display()
        )
    })
}

/// The keys without their secrets, one to a line.
fn list(keys: &[Key]) -> String {
    let first = Key::first("");
    let keys = || std::iter::once(&first).chain(keys);
    let width = keys().map(|key| key.name.len()).max().unwrap_or(0);
    let line = |key: &Key| {
        let scopes: Vec<&str> = key.scopes.iter().copied().map(Scope::name).collect();
        let limit = |limit: Option<u32>, what: &str| {
            limit.map(|limit| format!("  {what} {limit}")).unwrap_or_default()
        };
        format!(
            "{:width$}  {}{}{}\n",
            key.name,
            scopes.join(","),
            limit(key.runs_max, "runs"),
            limit(key.requests_per_minute, "requests/min")
        )
    };
    keys().map(line).collect()
}

/// Prints what there is to print, and sees to it that a running server learns of the change, or says
/// how. Returns the exit code.
fn changed(settings: &Settings, env: &Env, shown: &str) -> u8 {
    let state = State::locate(settings.state.as_deref(), env).ok();
    let told = match state.and_then(|state| tell_server(&state)) {
        Some(pid) => format!("The server (process {pid}) has been told.\n"),
        None => "A server that is running learns of it by `kill -HUP` and its number.\n".to_owned(),
    };
    // The secret is what matters, and it goes to standard output.
    let _ = io::stderr().write_all(told.as_bytes());
    print(shown)
}

/// Has the server that holds this state directory's store read its keys again. Returns its number.
#[cfg(feature = "sqlite")]
fn tell_server(state: &State) -> Option<i32> {
    use rustix::process::{Pid, Signal, kill_process};
    let path = state.runs_file();
    let lock = std::fs::File::open(format!("{}.lock", path.display())).ok()?;
    // One that nobody holds is left from a server that has ended; its number may be another's.
    let is_held = matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock));
    let text = io::read_to_string(io::Read::take(lock, 32)).ok().filter(|_| is_held)?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1)?;
    kill_process(Pid::from_raw(pid)?, Signal::HUP).ok().map(|()| pid)
}

#[cfg(not(feature = "sqlite"))]
fn tell_server(_: &State) -> Option<i32> {
    None
}
