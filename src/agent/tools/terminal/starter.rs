//! How commands are started here, and what must be said of it.
use super::Launcher;
use super::group::{End, Group};
use super::output::Output;
use super::supervised::Supervised;
use crate::agent::tools::files::Files;
use crate::agent::tools::keys;
use crate::agent::tools::leave::Widening;
use crate::agent::{Cancel, Settings};
use crate::config::{Confinement, EndedBy};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone)]
pub(in super::super) struct Starter {
    /// `None` starts commands from this process.
    launcher: Option<Launcher>,
    /// TCP is to be denied to commands.
    deny_network: bool,
    /// What confined commands may not read.
    secrets: Vec<PathBuf>,
}

impl Starter {
    pub fn new(settings: &Settings, files: &Files) -> io::Result<Starter> {
        let mut secrets: Vec<PathBuf> =
            files.private().iter().map(|path| keys::real(path)).collect();
        secrets.sort_unstable();
        secrets.dedup();
        let launcher = match &settings.launcher {
            Some(program) => Launcher::new(program, settings, files.root(), &secrets)?,
            None => None,
        };
        Ok(Starter { launcher, deny_network: !settings.tool_network, secrets })
    }

    /// A starter for the one call that may do what `widening` says.
    pub(super) fn widened(&self, widening: &Widening) -> Starter {
        let launcher = self.launcher.as_ref().map(|launcher| launcher.widened(widening));
        Starter { launcher, ..self.clone() }
    }

    /// Runs a command to the end of its processes, as far as they can be ended.
    pub(super) fn run(
        &self,
        command: &str,
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
        limit: Duration,
        cancel: &Cancel,
        output: &mut Output,
    ) -> io::Result<End> {
        match &self.launcher {
            Some(launcher) => Supervised::start(launcher, command, folder, environment)?
                .watch(limit, cancel, output),
            None => Group::start(command, folder, environment)?.watch(limit, cancel, output),
        }
    }

    pub fn is_confined(&self) -> bool {
        self.landlock_abi() > 0
    }

    pub fn confinement(&self) -> Confinement {
        let ended_by = match &self.launcher {
            Some(launcher) if launcher.has_cgroups() => EndedBy::Cgroup,
            Some(_) => EndedBy::Supervisor,
            None => EndedBy::ProcessGroup,
        };
        Confinement {
            landlock_abi: self.landlock_abi(),
            network: !(self.deny_network && self.landlock_abi() >= 4),
            ended_by,
        }
    }

    /// What the kernel does not enforce, for whoever runs this.
    pub fn warnings(&self, files: &Files) -> Vec<String> {
        let abi = self.landlock_abi();
        let holds_secrets = self
            .secrets
            .iter()
            .any(|secret| secret.starts_with(files.root()) && secret != files.root());
        let cases = [
            (abi == 0, "The terminal tool is not confined: it can do what this user can."),
            (
                abi > 0,
                "Commands are confined, but can still change modes and times of this user's \
                 files, list the names of closed files, and see the arguments of processes.",
            ),
            (
                abi > 0 && rustix::process::getuid().is_root(),
                "As root the limit on processes has no effect: the kernel counts root's not.",
            ),
            (
                (1..9).contains(&abi),
                "Commands can reach sockets this user may use, such as docker's; what answers \
                 there is not confined.",
            ),
            ((1..3).contains(&abi), "This kernel lets commands empty files outside the workspace."),
            (
                (1..6).contains(&abi),
                "This kernel lets commands signal this user's other processes, the server too.",
            ),
            (
                self.deny_network && abi < 4,
                "--tool-network deny has no effect: this kernel or build cannot enforce it.",
            ),
            (
                self.deny_network && abi >= 4,
                "--tool-network deny covers TCP; commands can still use UDP.",
            ),
            (
                abi > 0 && holds_secrets,
                "The workspace holds keys or the server's state (~/.ssh and the like): commands \
                 can make no files in its folders that lead there. A workspace of its own is \
                 better.",
            ),
            (
                self.confinement().ended_by == EndedBy::ProcessGroup,
                "A process that leaves its command's group (setsid) is not ended with it.",
            ),
        ];
        let said = cases.iter().filter(|(holds, _)| *holds);
        said.map(|(_, warning)| (*warning).to_owned()).collect()
    }

    fn landlock_abi(&self) -> u32 {
        self.launcher.as_ref().map_or(0, |launcher| launcher.landlock_abi)
    }
}
