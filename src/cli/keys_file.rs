//! The file of further keys: read strictly, so that a typo never widens what a key may do, and
//! changed as a whole.
use super::env::Env;
use super::settings::Settings;
use super::state::{State, make_dir, replace, trouble};
use runwire::config::{FIRST_KEY, Key, Scope, check_keys};
use runwire::wire::json;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What `limits::KEYS_MAX` keys take, by far.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Clone, Debug)]
pub struct KeysFile {
    path: PathBuf,
    /// Somebody said that there is one.
    is_named: bool,
}

impl KeysFile {
    pub fn locate(settings: &Settings, env: &Env) -> Result<KeysFile, String> {
        let path = match &settings.keys {
            Some(path) => path.clone(),
            None => State::locate(settings.state.as_deref(), env)?.keys_file(),
        };
        Ok(KeysFile { path, is_named: settings.keys.is_some() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys in it. One that nobody has named need not be there.
    pub fn read(&self) -> Result<Vec<Key>, String> {
        self.read_if_there().and_then(|keys| match keys {
            None if self.is_named => Err(format!("There is no {}.", self.path.display())),
            keys => Ok(keys.unwrap_or_default()),
        })
    }

    /// Changes what is in it, or leaves it as it is if `change` says no. Of two changes at once the
    /// second finds what the first has made.
    pub fn edit<T>(
        &self,
        change: impl FnOnce(&mut Vec<Key>) -> Result<T, String>,
    ) -> Result<T, String> {
        if let Some(dir) = self.path.parent().filter(|_| !self.is_named) {
            make_dir(dir)?;
        }
        let _held = self.lock()?;
        let mut keys = self.read_if_there()?.unwrap_or_default();
        let changed = change(&mut keys)?;
        check_keys(&keys).map_err(|wrong| self.unfit(&wrong))?;
        let written = replace(&self.path, text_of(&keys).as_bytes());
        written.map_err(|error| trouble("write", &self.path, &error))?;
        Ok(changed)
    }

    /// Held until it is dropped. Not the file itself, which each change replaces.
    fn lock(&self) -> Result<File, String> {
        let path = self.path.with_extension("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| trouble("write", &path, &error))?;
        file.lock().map_err(|error| trouble("lock", &path, &error))?;
        Ok(file)
    }

    fn read_if_there(&self) -> Result<Option<Vec<Key>>, String> {
        let failed = |error| trouble("read", &self.path, &error);
        // Before it is opened: a pipe would have us wait for whoever writes to it.
        let about = match fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            about => about.map_err(failed)?,
        };
        if !about.is_file() {
            return Err(self.unfit("it is something else"));
        }
        let file = File::open(&self.path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.permissions().mode() & 0o077 != 0 {
            let shown = self.path.display();
            return Err(format!(
                "Other users may read or change {shown}, and it holds keys: run `chmod 600 {shown}`."
            ));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.unfit("it is longer than 1 MiB"));
        }
        let keys = parse(&bytes).and_then(|keys| check_keys(&keys).map(|()| keys));
        keys.map(Some).map_err(|wrong| self.unfit(&wrong))
    }

    fn unfit(&self, wrong: &str) -> String {
        format!("{} is no file of keys: {wrong}.", self.path.display())
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let file = json::parse(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let fields = object(&file, &["keys"])?;
    let keys = fields.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or("it must be {\"keys\": [...]}")?;
    let numbered = keys.iter().enumerate();
    numbered.map(|(at, key)| key_of(key).map_err(|wrong| format!("keys[{at}]: {wrong}"))).collect()
}

fn key_of(value: &Value) -> Result<Key, String> {
    const FIELDS: &[&str] = &["name", "secret", "scopes", "max_runs", "requests_per_minute"];
    let fields = object(value, FIELDS)?;
    let text = |name: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("'{name}' must be a string"))
    };
    let mut key = Key::new(text("name")?, text("secret")?);
    if key.name == FIRST_KEY {
        return Err(format!("'{FIRST_KEY}' is the name of the first key, which is not kept here"));
    }
    let scopes = fields.get("scopes").and_then(Value::as_array).ok_or("'scopes' must be a list")?;
    key.scopes = scopes.iter().map(scope_of).collect::<Result<_, _>>()?;
    key.runs_max = limit(fields, "max_runs")?;
    key.requests_per_minute = limit(fields, "requests_per_minute")?;
    Ok(key)
}

fn scope_of(value: &Value) -> Result<Scope, String> {
    let name = value.as_str().unwrap_or("");
    Scope::parse(name).ok_or_else(|| {
        format!("there is no scope {value}; there are runs:write, runs:read, runs:control, admin")
    })
}

fn limit(fields: &Map<String, Value>, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    count.map(Some).ok_or_else(|| format!("'{name}' must be a whole number from 1 on"))
}

/// The fields of an object that has no others.
fn object<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let fields = value.as_object().ok_or("an object was expected")?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("there is no field '{name}'; there are {}", known.join(", "))),
        None => Ok(fields),
    }
}

/// One key to a line, for whoever changes it by hand.
fn text_of(keys: &[Key]) -> String {
    let lines: Vec<String> = keys.iter().map(line_of).collect();
    format!("{{\"keys\": [\n{}\n]}}\n", lines.join(",\n"))
}

fn line_of(key: &Key) -> String {
    let scopes: Vec<String> = key.scopes.iter().map(|it| format!("\"{}\"", it.name())).collect();
    let limit = |name: &str, limit: Option<u32>| {
        limit.map(|limit| format!(", \"{name}\": {limit}")).unwrap_or_default()
    };
    format!(
        "  {{\"name\": \"{}\", \"secret\": {}, \"scopes\": [{}]{}{}}}",
        key.name,
        Value::from(key.secret.as_str()),
        scopes.join(", "),
        limit("max_runs", key.runs_max),
        limit("requests_per_minute", key.requests_per_minute)
    )
}
