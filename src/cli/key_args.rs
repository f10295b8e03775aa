//! What stands after `runwire key`.
use super::settings::Settings;
use super::suggest::nearest;
use super::usage::unlike;
use super::value::{self, Given, Kind};
use runwire::config::{FIRST_KEY, Key, Scope, is_key_name};
use std::ffi::{OsStr, OsString};

#[derive(Debug)]
pub struct KeyCommand {
    pub settings: Settings,
    pub act: KeyAct,
}

/// What is to be done with the server's keys.
#[derive(Debug)]
pub enum KeyAct {
    /// Print the first one.
    Show,
    /// Make this one, which has no secret yet.
    Add(Key),
    List,
    Revoke(String),
    Rotate(String),
}

const ACTS: &[&str] = &["add", "list", "revoke", "rotate"];

/// The flags that only `runwire key add` takes.
const FLAGS: &[(&str, &Kind)] = &[
    ("scope", &value::SCOPES),
    ("max-runs", &value::LIMIT),
    ("requests-per-minute", &value::LIMIT),
];

/// Those that were given, in their order.
#[derive(Default)]
pub struct KeyWords(Vec<(&'static str, OsString)>);

impl KeyWords {
    /// The flag of that name, and what it wants.
    pub fn kind(name: &str) -> Option<(&'static str, &'static Kind)> {
        FLAGS.iter().find(|(known, _)| *known == name).copied()
    }

    pub fn put(&mut self, name: &'static str, given: OsString) {
        self.0.push((name, given));
    }

    pub fn command(&self, plain: &[OsString], settings: Settings) -> Result<KeyCommand, String> {
        let word = plain.first().map(|word| word.to_string_lossy());
        let name = || named(plain.get(1));
        let act = match word.as_deref() {
            None => KeyAct::Show,
            Some("list") if plain.len() == 1 => KeyAct::List,
            Some("list") => return Err("`runwire key list` takes no name.".to_owned()),
            Some("add") => KeyAct::Add(self.new_key(name()?)?),
            Some("revoke") => KeyAct::Revoke(name()?),
            Some("rotate") => KeyAct::Rotate(name()?),
            Some(word) => return Err(no_act(word)),
        };
        match self.0.first() {
            Some((flag, _)) if !matches!(act, KeyAct::Add(_)) => {
                Err(format!("--{flag} belongs to `runwire key add`."))
            }
            _ => Ok(KeyCommand { settings, act }),
        }
    }

    fn new_key(&self, name: String) -> Result<Key, String> {
        if name == FIRST_KEY {
            return Err(format!("`{FIRST_KEY}` is the first key, which `runwire key` prints."));
        }
        let mut key = Key::new(name, "");
        for (flag, given) in &self.0 {
            let given = Given(given);
            let put = match *flag {
                "scope" => scopes(given).map(|scopes| key.scopes = scopes),
                "max-runs" => limit(given).map(|limit| key.runs_max = Some(limit)),
                _ => limit(given).map(|limit| key.requests_per_minute = Some(limit)),
            };
            let (flag, kind) = KeyWords::kind(flag).expect("only known flags are put");
            put.ok_or_else(|| unlike(&format!("--{flag}"), kind, given.0))?;
        }
        Ok(key)
    }
}

fn named(word: Option<&OsString>) -> Result<String, String> {
    let word = word.ok_or("Say which key: a name comes after it, as in `runwire key add app`.")?;
    let name = word.to_str().filter(|name| is_key_name(name));
    name.map(str::to_owned).ok_or_else(|| {
        format!(
            "{:?} is no name for a key: 1 to 64 of A-Z a-z 0-9 . _ -",
            OsStr::to_string_lossy(word)
        )
    })
}

fn scopes(given: Given<'_>) -> Option<Vec<Scope>> {
    let mut scopes = Vec::new();
    for name in given.text()?.split(',') {
        let scope = Scope::parse(name.trim())?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes)
}

fn limit(given: Given<'_>) -> Option<u32> {
    given.count(1..=u32::MAX.into())?.try_into().ok()
}

fn no_act(word: &str) -> String {
    match nearest(word, ACTS.iter().copied()) {
        Some(near) => {
            format!("There is no `runwire key {word}`. Did you mean `runwire key {near}`?")
        }
        None => {
            format!("There is no `runwire key {word}`. There are add, list, revoke and rotate.")
        }
    }
}
