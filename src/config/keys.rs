//! The keys clients show: whose runs are whose, what each key may do, and how much of it.
use crate::limits::{KEY_NAME_CHARS_MAX, KEY_SECRET_CHARS_MIN, KEYS_MAX};
use std::collections::BTreeSet;
use std::fmt;

/// The name of `Config::key`.
pub const FIRST_KEY: &str = "default";

/// A key. Runs, sessions and idempotency keys belong to its name, so that its secret can change.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`, each name once.
    pub name: String,
    /// What clients show: 16 visible ASCII characters or more, each secret once.
    pub secret: String,
    pub scopes: Vec<Scope>,
    /// Unfinished runs at once; a further one is refused with 429. `None` for no limit of its own.
    pub runs_max: Option<u32>,
    /// Requests a minute, 1 or more; a further one is refused with 429. A stream is one request.
    /// `None` for no limit.
    pub requests_per_minute: Option<u32>,
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Runs are made and deleted, sessions deleted.
    RunsWrite,
    /// Runs, their events, sessions and what the server offers are read.
    RunsRead,
    /// Runs at work are stopped, steered, allowed and denied.
    RunsControl,
    /// All of that, and what concerns the server as a whole.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 4] =
        [Scope::RunsWrite, Scope::RunsRead, Scope::RunsControl, Scope::Admin];
    /// What a key of a client needs that does everything with its own runs.
    pub const RUNS: [Scope; 3] = [Scope::RunsWrite, Scope::RunsRead, Scope::RunsControl];

    pub fn name(self) -> &'static str {
        match self {
            Scope::RunsWrite => "runs:write",
            Scope::RunsRead => "runs:read",
            Scope::RunsControl => "runs:control",
            Scope::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl Key {
    /// A key for everything that clients do with their own runs, without limits.
    pub fn new(name: impl Into<String>, secret: impl Into<String>) -> Key {
        Key {
            name: name.into(),
            secret: secret.into(),
            scopes: Scope::RUNS.to_vec(),
            runs_max: None,
            requests_per_minute: None,
        }
    }

    /// The key of whoever runs the server: it may do everything.
    pub fn first(secret: impl Into<String>) -> Key {
        Key { scopes: vec![Scope::Admin], ..Key::new(FIRST_KEY, secret) }
    }
}

/// The secret is left out: what is printed to find a fault is read by others.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.name, self.scopes)
    }
}

/// Says what is wrong with keys that are to be in force together, for people. The key `default` may
/// have any secret that is not empty: `Config::key` is older than the rule for the others.
pub fn check_keys(keys: &[Key]) -> Result<(), String> {
    if keys.len() > KEYS_MAX {
        return Err(format!("there are more than {KEYS_MAX} keys"));
    }
    let (mut names, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for key in keys {
        check_key(key)?;
        if !names.insert(&*key.name) {
            return Err(format!("the name '{}' is there twice", key.name));
        }
        if !secrets.insert(&*key.secret) {
            return Err(format!("the key '{}' has the secret of another", key.name));
        }
    }
    Ok(())
}

fn check_key(key: &Key) -> Result<(), String> {
    let name = &key.name;
    if !is_key_name(name) {
        return Err(format!(
            "'{}' is no name for a key: 1 to {KEY_NAME_CHARS_MAX} of A-Z a-z 0-9 . _ -",
            name.escape_debug()
        ));
    }
    let secret = &key.secret;
    let is_long = secret.len() >= KEY_SECRET_CHARS_MIN;
    let is_strong = is_long && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_strong && (name != FIRST_KEY || secret.is_empty()) {
        return Err(format!(
            "the secret of the key '{name}' must have {KEY_SECRET_CHARS_MIN} visible ASCII \
             characters or more"
        ));
    }
    if key.scopes.is_empty() {
        return Err(format!("the key '{name}' has no scopes, so it opens nothing"));
    }
    if key.requests_per_minute == Some(0) || key.runs_max == Some(0) {
        return Err(format!("the key '{name}' has a limit of 0; leave a limit out for none"));
    }
    Ok(())
}

pub fn is_key_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=KEY_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(fits)
}
