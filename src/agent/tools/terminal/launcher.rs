//! The `runwire` program that starts commands for this process, and what it has said it can do.
//!
//! A process can confine itself only between a fork and an exec, and nothing safe runs there. So a
//! second process does it, which is this program again: `cli/sandbox.rs` is its other side.
use crate::agent::Settings;
use crate::agent::cgroup::{Cgroup, Cgroups};
use crate::agent::tools::leave::{Reach, Widening};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

#[derive(Clone)]
pub(in super::super) struct Launcher {
    program: PathBuf,
    /// What a command may do, as the program takes it.
    words: Vec<OsString>,
    /// The version of Landlock in force; 0 where commands are not confined.
    pub landlock_abi: u32,
    /// Where each command gets a cgroup; `None` where none can be had.
    cgroups: Option<Arc<Cgroups>>,
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
        let cgroups = Some(settings.cgroup).filter(|wanted| *wanted).and_then(|_| Cgroups::new());
        let trial = cgroups.as_ref().and_then(|cgroups| cgroups.group().ok());
        let asked = Command::new(program)
            .args(["__sandbox", "probe"])
            .args(words_of_cgroup(trial.as_ref()))
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
        let ["runwire", version, abi, ends_all, is_grouped] = words[..] else {
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
        let cgroups = cgroups.filter(|_| is_grouped == "true").map(Arc::new);
        let launcher = Launcher { program: program.to_owned(), words, landlock_abi, cgroups };
        Ok(Some(launcher).filter(|_| ends_all == "true"))
    }

    /// A launcher for the one command that may do what `widening` says.
    pub fn widened(&self, widening: &Widening) -> Launcher {
        let mut launcher = self.clone();
        if self.landlock_abi == 0 {
            return launcher;
        }
        if widening.is_unconfined() {
            launcher.words.clear();
            return launcher;
        }
        if widening.network {
            launcher.words.retain(|word| word != NO_NETWORK);
        }
        if widening.reach == Reach::Everywhere {
            launcher.words.push(WRITE_EVERYWHERE.into());
        }
        for (word, paths) in [("--write", &widening.writes), ("--read", &widening.reads)] {
            launcher.words.extend(paths.iter().flat_map(|path| [word.into(), path.into()]));
        }
        launcher
    }

    /// True if commands get a cgroup each.
    pub fn has_cgroups(&self) -> bool {
        self.cgroups.is_some()
    }

    /// A cgroup for one command, where there are any.
    pub fn cgroup(&self) -> io::Result<Option<Cgroup>> {
        self.cgroups.as_ref().map(|cgroups| cgroups.group()).transpose()
    }

    /// The program, about to supervise a shell command in this cgroup.
    pub fn supervise(&self, command: &str, cgroup: Option<&Cgroup>) -> Command {
        let mut supervisor = Command::new(&self.program);
        supervisor.args(["__sandbox", "supervise"]).args(&self.words);
        supervisor.args(words_of_cgroup(cgroup)).args(["--", command]);
        supervisor
    }
}

fn words_of_cgroup(cgroup: Option<&Cgroup>) -> impl Iterator<Item = &OsStr> {
    cgroup.into_iter().flat_map(|cgroup| [OsStr::new("--cgroup"), cgroup.path().as_os_str()])
}

const NO_NETWORK: &str = "--no-network";
const WRITE_EVERYWHERE: &str = "--write-everywhere";

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
        push(WRITE_EVERYWHERE, None);
    }
    if !settings.tool_network {
        push(NO_NETWORK, None);
    }
    words
}
