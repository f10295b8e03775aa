//! `runwire __sandbox`: this program as the launcher of its own commands, in two steps.
//!
//! `supervise` is the process the server talks to: it starts the command, outlives all of its
//! processes and ends them. `enter` confines itself, then becomes the command's shell; a process
//! can only give up rights for itself, and without unsafe code it can do so only before an exec.
//! What the two are told stands in their arguments; `agent/tools/terminal/launcher.rs` writes them.
mod confine;
mod descendants;
mod supervisor;

use runwire::agent::cgroup;
use runwire::limits::{
    COMMAND_FILE_BYTES_MAX, COMMAND_FILES_MAX, COMMAND_MEMORY_BYTES_MAX, COMMAND_PROCESSES_MAX,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Exit code of a shell that could not be started.
const NOT_STARTED: u8 = 126;

/// What a command may do.
#[derive(Default)]
struct Plan {
    /// Where it may write; `None` means that it is not confined at all.
    workspace: Option<PathBuf>,
    /// A second place to write to, its own alone.
    temporary: Option<PathBuf>,
    /// What it may not read.
    secrets: Vec<PathBuf>,
    /// Where else it may write, and what else it may read, secret or not: somebody has allowed it.
    writes: Vec<PathBuf>,
    reads: Vec<PathBuf>,
    write_everywhere: bool,
    no_network: bool,
    /// The folder of the cgroup it lives in, if it has one of its own.
    cgroup: Option<PathBuf>,
    command: OsString,
}

/// Does what the words after `__sandbox` say.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let Some((step, words)) = words.split_first() else { return ExitCode::from(super::USAGE) };
    let plan = Plan::read(words);
    match (step.to_str(), plan) {
        (Some("probe"), Some(plan)) => ExitCode::from(super::print(&probe(&plan))),
        (Some("supervise"), Some(plan)) => supervisor::supervise(&plan, words),
        (Some("enter"), Some(plan)) => {
            let why = enter(&plan);
            // The reader of the command's output is the one to tell.
            let _ = writeln!(io::stderr(), "runwire: the command was not started: {why}");
            ExitCode::from(NOT_STARTED)
        }
        _ => ExitCode::from(super::USAGE),
    }
}

impl Plan {
    fn read(words: &[OsString]) -> Option<Plan> {
        let mut plan = Plan::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--workspace" => plan.workspace = Some(words.next()?.into()),
                "--temporary" => plan.temporary = Some(words.next()?.into()),
                "--secret" => plan.secrets.push(words.next()?.into()),
                "--write" => plan.writes.push(words.next()?.into()),
                "--read" => plan.reads.push(words.next()?.into()),
                "--write-everywhere" => plan.write_everywhere = true,
                "--no-network" => plan.no_network = true,
                "--cgroup" => plan.cgroup = Some(words.next()?.into()),
                "--" => plan.command = words.next()?.clone(),
                _ => return None,
            }
        }
        Some(plan)
    }
}

/// Who this is, and what this kernel enforces: name, version, version of Landlock (0: none),
/// whether a process can find its children, and whether it can be in the cgroup it was given.
fn probe(asked: &Plan) -> String {
    let is_grouped = asked.cgroup.as_ref().is_some_and(|group| {
        cgroup::enter(group).is_ok() && std::fs::exists(group.join("cgroup.kill")).unwrap_or(false)
    });
    let plan = Plan { workspace: Some("/".into()), no_network: true, ..Plan::default() };
    let landlock = confine::confine(&plan).unwrap_or(0);
    let finds_children = descendants::can_be_found();
    format!("runwire {} {landlock} {finds_children} {is_grouped}\n", env!("CARGO_PKG_VERSION"))
}

/// Gives up what the plan forbids and becomes the shell. Returns only if that fails.
fn enter(plan: &Plan) -> io::Error {
    let prepared = || -> io::Result<()> {
        // A supervisor that is gone can end nothing any more.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if let Some(group) = &plan.cgroup {
            cgroup::enter(group)?;
        }
        if plan.workspace.is_some() {
            limit()?;
            confine::confine(plan)?;
            confine::drop_capabilities()?;
        }
        Ok(())
    };
    if let Err(why) = prepared() {
        return why;
    }
    Command::new("/bin/sh").args([OsStr::new("-c"), OsStr::new("--"), &plan.command]).exec()
}

fn limit() -> io::Result<()> {
    // The kernel counts a user's tasks wherever they are; all the tasks there are bound that.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let tasks = load.split(['/', ' ']).nth(4).and_then(|count| count.parse().ok()).unwrap_or(0u64);
    for (resource, most) in [
        (Resource::Nproc, tasks + COMMAND_PROCESSES_MAX),
        (Resource::Data, COMMAND_MEMORY_BYTES_MAX),
        (Resource::Fsize, COMMAND_FILE_BYTES_MAX),
        (Resource::Nofile, COMMAND_FILES_MAX),
        (Resource::Core, 0),
    ] {
        let most = getrlimit(resource).maximum.map_or(most, |before| before.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
