//! The state directory: what outlives the process, above all the server's key.
use super::env::Env;
use super::value::Given;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Random bytes of a key, twice as many hexadecimal digits.
const KEY_RANDOM_BYTES: usize = 32;
/// A file longer than this is no key.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A directory only its owner may enter.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// The server's key as the state directory has it.
#[derive(Clone, PartialEq)]
pub struct Key {
    pub text: String,
    /// True if it was made just now: nobody has seen it yet.
    pub is_new: bool,
    pub warning: Option<String>,
}

impl State {
    /// The place of the state directory; nothing is made yet.
    ///
    /// `XDG_STATE_HOME` counts only if it is absolute, as its specification demands.
    pub fn locate(chosen: Option<&Path>, env: &Env) -> Result<State, String> {
        let absolute = |name: &str| env.get(name).map(Path::new).filter(|path| path.is_absolute());
        let by_xdg = || absolute("XDG_STATE_HOME").map(|home| home.join("runwire"));
        let by_home = || absolute("HOME").map(|home| home.join(".local/state/runwire"));
        let dir = chosen.map(Path::to_owned).or_else(by_xdg).or_else(by_home);
        let dir = dir.ok_or(
            "There is no place for the state directory, since HOME is not set: name one with \
             --state DIR (or RUNWIRE_STATE).",
        )?;
        let dir = std::path::absolute(&dir).map_err(|error| trouble("find", &dir, &error))?;
        Ok(State { dir })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the further keys are, unless they are elsewhere.
    pub fn keys_file(&self) -> PathBuf {
        self.dir.join("keys.json")
    }

    pub fn key_file(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// Where the server keeps its runs.
    #[cfg(feature = "sqlite")]
    pub fn runs_file(&self) -> PathBuf {
        self.dir.join("runs.db")
    }

    /// Makes the directory if it is missing.
    #[cfg(feature = "sqlite")]
    pub fn make(&self) -> Result<(), String> {
        make_dir(&self.dir)
    }

    /// The directory the server's agent works in, made if it is missing.
    pub fn workspace(&self) -> Result<PathBuf, String> {
        let workspace = self.dir.join("workspace");
        make_dir(&workspace)?;
        Ok(workspace)
    }

    /// The key, made at the first call. Of two first calls at once both get the same.
    pub fn key(&self) -> Result<Key, String> {
        if let Some(key) = self.read_key()? {
            return Ok(key);
        }
        make_dir(&self.dir)?;
        let path = self.key_file();
        let text = random_key()?;
        match place(&path, format!("{text}\n").as_bytes()) {
            Ok(()) => Ok(Key { text, is_new: true, warning: None }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let vanished = || format!("{} came and went; try again.", path.display());
                self.read_key()?.ok_or_else(vanished)
            }
            Err(error) => Err(trouble("write", &path, &error)),
        }
    }

    /// Has another key take the place of the one there is, or be the first.
    pub fn change_key(&self) -> Result<String, String> {
        make_dir(&self.dir)?;
        let (path, text) = (self.key_file(), random_key()?);
        replace(&path, format!("{text}\n").as_bytes())
            .map_err(|error| trouble("write", &path, &error))?;
        Ok(text)
    }

    /// The key, if one was ever made here.
    pub fn read_key(&self) -> Result<Option<Key>, String> {
        let path = self.key_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble("read", &path, &error)),
        };
        let mut text = String::new();
        let read =
            io::Read::read_to_string(&mut io::Read::take(&file, KEY_FILE_BYTES_MAX), &mut text);
        read.map_err(|error| trouble("read", &path, &error))?;
        let text = Given(OsStr::new(text.trim())).key().ok_or_else(|| {
            format!(
                "{} holds no key (at least 16 characters of visible ASCII): delete the file to \
                 have a new one made.",
                path.display()
            )
        })?;
        let mode = file.metadata().map_err(|error| trouble("read", &path, &error))?.permissions();
        Ok(Some(Key { text, is_new: false, warning: open_to_others(&path, &mode) }))
    }
}

fn open_to_others(path: &Path, mode: &Permissions) -> Option<String> {
    let shown = path.display();
    (mode.mode() & 0o077 != 0)
        .then(|| format!("other users may read {shown}: run `chmod 600 {shown}`"))
}

/// Puts a whole file at `path` exactly when nothing is there: written aside, then linked in, so
/// that nobody ever reads half of it.
fn place(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside =
        path.with_extension(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?));
    write_new(&aside, content)?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // A file system without hard links.
            write_new(path, content)
        }
        linked => linked,
    }
}

/// Has the file at `path` hold this and nothing else, for its owner alone: written aside and put in
/// its place, so that whoever reads it has the old one or the new one whole.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside =
        path.with_extension(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?));
    let placed = write_new(&aside, content).and_then(|()| fs::rename(&aside, path));
    if placed.is_err() {
        // The fault that is told of is the first one.
        let _ = fs::remove_file(&aside);
    }
    placed?;
    // So that the name, too, outlives a loss of power.
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

pub fn make_dir(dir: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| trouble("make", dir, &error))
}

pub fn random_key() -> Result<String, String> {
    let mut bytes = [0; KEY_RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("The system gave no random bytes: {error}."))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub fn trouble(verb: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "Could not {verb} {}: {error}. Another state directory can be named with --state DIR.",
        path.display()
    )
}
