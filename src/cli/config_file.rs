//! The configuration file: where it is, and what it sets, by the table of settings.
use super::env::Env;
use super::settings::{Setting, Settings};
use super::suggest::nearest;
use super::table::{self, SETTINGS};
use super::toml::{self, Entry, Value};
use super::usage::unlike;
use super::value::{Given, Kind};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Every setting takes a line or two of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a file sets; nothing, if there is none.
#[derive(Debug, Default)]
pub struct ConfigFile {
    /// The file that was read.
    pub path: Option<PathBuf>,
    set: Vec<Line>,
    /// It holds a secret, and this is who may read it.
    pub warning: Option<String>,
}

#[derive(Debug)]
struct Line {
    setting: &'static Setting,
    number: usize,
    value: OsString,
}

impl ConfigFile {
    /// Reads the file `named` by somebody, or else the one in its usual place, which need not be
    /// there.
    ///
    /// # Errors
    /// Says what is wrong, with the file and the line.
    pub fn read(named: Option<&OsStr>, env: &Env) -> Result<ConfigFile, String> {
        let path = named.map(PathBuf::from).or_else(|| usual_place(env));
        let Some(path) = path else { return Ok(ConfigFile::default()) };
        let failed = |error| {
            let advice = if named.is_some() { "" } else { " It is read because it is there." };
            format!("Could not read the configuration {}: {error}.{advice}", path.display())
        };
        // Before it is opened: a pipe would have us wait for whoever writes to it.
        let about = match fs::metadata(&path) {
            Err(error) if named.is_none() && is_absent(error.kind()) => {
                return Ok(ConfigFile::default());
            }
            about => about.map_err(|error| failed(error.to_string()))?,
        };
        if !about.is_file() {
            return Err(failed("it is no file".to_owned()));
        }
        let file = File::open(&path).map_err(|error| failed(error.to_string()))?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(failed("it is longer than 1 MiB".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
        let mut file = ConfigFile::parse(&path, &text, env)?;
        let holds_secret = file.set.iter().any(|line| line.setting.kind.secret);
        let shown = path.display();
        file.warning = (holds_secret && about.permissions().mode() & 0o077 != 0).then(|| {
            format!("other users may read {shown}, and it holds a key: run `chmod 600 {shown}`")
        });
        Ok(file)
    }

    fn parse(path: &Path, text: &str, env: &Env) -> Result<ConfigFile, String> {
        let at = |line: usize| format!("{}:{line}", path.display());
        let entries = toml::parse(text).map_err(|wrong| {
            format!("{}: {}.", at(wrong.line), wrong.what.trim_end_matches('.'))
        })?;
        let mut file = ConfigFile { path: Some(path.to_owned()), ..ConfigFile::default() };
        for entry in entries {
            let line = line_of(path, entry, env)?;
            if let Some(first) = file.line(line.setting) {
                let name = line.setting.name;
                let (again, first) = (at(line.number), first.number);
                return Err(format!("{again}: {name} is set on line {first} already."));
            }
            file.set.push(line);
        }
        Ok(file)
    }

    /// What the file says of a setting, and where.
    pub fn find(&self, setting: &Setting) -> Option<(String, &OsStr)> {
        let line = self.line(setting)?;
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        Some((format!("{path}:{}", line.number), &line.value))
    }

    fn line(&self, setting: &Setting) -> Option<&Line> {
        self.set.iter().find(|line| line.setting.name == setting.name)
    }
}

/// `XDG_CONFIG_HOME` counts only if it is absolute, as its specification demands.
pub fn usual_place(env: &Env) -> Option<PathBuf> {
    let absolute = |name: &str| env.get(name).map(Path::new).filter(|path| path.is_absolute());
    let by_xdg = absolute("XDG_CONFIG_HOME").map(|home| home.join("runwire/config.toml"));
    by_xdg.or_else(|| absolute("HOME").map(|home| home.join(".config/runwire/config.toml")))
}

/// A home that may not be entered has no file for us.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn line_of(path: &Path, entry: Entry, env: &Env) -> Result<Line, String> {
    let at = format!("{}:{}", path.display(), entry.line);
    let setting = known(&entry.name).map_err(|wrong| format!("{at}: {wrong}"))?;
    let kind = setting.kind;
    let source = format!("{at}: {}", setting.name);
    let text = match entry.value {
        Value::One(text) => text,
        Value::Many(items) if kind.list => items.join(","),
        Value::Many(_) => return Err(format!("{source}: expected {}; got a list.", kind.expected)),
    };
    let value = beside(path, kind, &text, env);
    let put = (setting.put)(&mut Settings::default(), Given(&value));
    put.ok_or_else(|| unlike(&source, kind, &value))?;
    Ok(Line { setting, number: entry.line, value })
}

/// The setting of that name, with dashes or underscores.
fn known(name: &str) -> Result<&'static Setting, String> {
    let flag = name.replace('_', "-");
    if flag == "config" {
        return Err("a configuration file cannot name another".to_owned() + ".");
    }
    table::find(&flag).ok_or_else(|| {
        let names = SETTINGS.iter().map(|setting| setting.name).filter(|name| *name != "config");
        let meant = nearest(&flag, names).map(|near| format!(" Did you mean {near}?"));
        let more = meant.unwrap_or_else(|| " `runwire config --example` lists them.".to_owned());
        format!("There is no setting {name:?}.{more}")
    })
}

/// A path as the file means it: from where the file is, and `~/` from home, which no shell has
/// spelt out here.
fn beside(file: &Path, kind: &Kind, text: &str, env: &Env) -> OsString {
    let is_path = matches!(kind.meta, "DIR" | "FILE") && !text.is_empty();
    if !is_path {
        return text.into();
    }
    let home = text.strip_prefix("~/").zip(env.get("HOME"));
    match (home, file.parent()) {
        (Some((rest, home)), _) => Path::new(home).join(rest).into(),
        (None, Some(dir)) => dir.join(text).into(),
        (None, None) => text.into(),
    }
}
