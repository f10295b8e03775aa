//! The `runwire` program that starts commands for this process, and what it has said it can do.
//!
//! A process can confine itself only between a fork and an exec, and nothing safe runs there. So a
//! second process does it, which is this program again: `cli/sandbox.rs` is its other side.
use crate::agent::Settings;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(in super::super) struct Launcher {
    program: PathBuf,
    /// What a command may do, as the program takes it.
    words: Vec<OsString>,
    /// The version of Landlock in force; 0 where commands are not confined.
    pub landlock_abi: u32,
}

impl Launcher {
    /// Asks the program what it can do here; `None` if it could not find and end every process of
    /// a command, as on an old kernel. `root` is the workspace's real path, `secrets` what a
    /// command may not read.
    pub fn new(
        program: &Path,
        settings: &Settings,
        root: &Path,
        secrets: &[PathBuf],
    ) -> io::Result<Option<Launcher>> {
        let asked = Command::new(program)
            .args(["__sandbox", "probe"])
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let unusable = |why: String| {
            io::Error::other(format!("{} cannot be the launcher: {why}", program.display()))
        };
        let said = asked.map_err(|why| unusable(why.to_string()))?.stdout;
        let said = String::from_utf8_lossy(&said);
        let words: Vec<&str> = said.split_whitespace().collect();
        let ["runwire", version, abi, ends_all] = words[..] else {
            return Err(unusable("it is no runwire with the feature `sandbox`".to_owned()));
        };
        let own = env!("CARGO_PKG_VERSION");
        if version != own {
            return Err(unusable(format!("it is runwire {version}, and this is {own}")));
        }
        let abi = abi.parse().map_err(|_| unusable("it speaks another language".to_owned()))?;
        let landlock_abi = if settings.sandbox { abi } else { 0 };
        let words = match landlock_abi {
            0 => Vec::new(),
            _ => words_of(settings, root, secrets),
        };
        let launcher = Launcher { program: program.to_owned(), words, landlock_abi };
        Ok(Some(launcher).filter(|_| ends_all == "true"))
    }

    /// The program, about to take this step with one more word, the shell command.
    pub fn command(&self, step: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("__sandbox").arg(step).args(&self.words).arg("--");
        command
    }
}

fn words_of(settings: &Settings, root: &Path, secrets: &[PathBuf]) -> Vec<OsString> {
    let mut words = vec![OsString::from("--workspace"), root.into()];
    let mut push = |word: &str, path: Option<&OsStr>| {
        words.push(word.into());
        words.extend(path.map(OsStr::to_owned));
    };
    for secret in secrets {
        push("--secret", Some(secret.as_os_str()));
    }
    if settings.allow_outside {
        push("--write-everywhere", None);
    }
    if !settings.tool_network {
        push("--no-network", None);
    }
    words
}
