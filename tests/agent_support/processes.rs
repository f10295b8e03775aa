//! Commands under the real launcher, and who is left of them.
use super::{Dir, call};
use runwire::agent::Settings;
use runwire::agent::tools::Tools;
use runwire::config::EndedBy;
use serde_json::json;
use std::fs;
use std::process::Command;

pub fn settings(dir: &Dir) -> Settings {
    Settings { launcher: Some(env!("CARGO_BIN_EXE_runwire").into()), ..dir.settings() }
}

pub fn tools(dir: &Dir) -> Tools {
    Tools::new(&settings(dir)).unwrap()
}

pub fn terminal(tools: &Tools, command: &str) -> Result<String, String> {
    call(tools, "terminal", json!({"command": command}))
}

/// Processes whose command line contains `mark`, zombies apart.
pub fn marked(mark: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(mark)).collect()
}

/// What ends commands here: found out by the simplest means there are, a shell's.
pub fn means() -> EndedBy {
    let trial = "own=$(sed -n 's/^0:://p' /proc/self/cgroup)
        at=$(sed -n 's/^[0-9]* [0-9]* [^ ]* \\/ \\([^ ]*\\) .* - cgroup2 .*/\\1/p' /proc/self/mountinfo | head -n 1)
        mkdir \"$at$own/trial-$$\" && test -e \"$at$own/trial-$$/cgroup.kill\"
        can=$?; rmdir \"$at$own/trial-$$\"; exit $can";
    let can = Command::new("sh").args(["-c", trial]).output().unwrap().status.success();
    if can { EndedBy::Cgroup } else { EndedBy::Supervisor }
}

/// A number of seconds to sleep that no other test uses.
pub fn mark(number: u32) -> String {
    format!("{}{number:03}", 7_000_000 + u64::from(std::process::id()))
}
