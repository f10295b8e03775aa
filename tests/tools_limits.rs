//! The limits of a confined command: each is reached by a command that wants more.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod agent_support;

use agent_support::processes::{settings, terminal, tools};
use agent_support::{Dir, eventually};
use runwire::agent::Settings;
use runwire::agent::tools::Tools;
use runwire::limits::{
    COMMAND_FILE_BYTES_MAX, COMMAND_FILES_MAX, COMMAND_MEMORY_BYTES_MAX, COMMAND_PROCESSES_MAX,
};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user nobody and its group.
const NOBODY: u32 = 65_534;

/// A command that is one of the ignored tests of this file.
fn this(name: &str) -> String {
    let own = std::env::current_exe().unwrap();
    format!("'{}' {name} --exact --ignored --nocapture", own.display())
}

/// Not a test of its own: what `no_process_opens_more_files_than_it_may` runs.
#[test]
#[ignore = "run by no_process_opens_more_files_than_it_may"]
fn opens_files() {
    let mut open = Vec::new();
    let why = loop {
        match fs::File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(why) => break why,
        }
        assert!(open.len() <= COMMAND_FILES_MAX as usize, "no limit");
    };
    let count = open.len();
    drop(open);
    println!("open: {count}, {why}");
}

#[test]
fn no_process_opens_more_files_than_it_may() {
    let dir = Dir::new();
    let shown = terminal(&tools(&dir), &this("opens_files")).unwrap();
    let count = shown.split_once("open: ").unwrap().1.split(',').next().unwrap();
    let count: u64 = count.parse().unwrap();
    assert!(shown.contains("Too many open files"), "{shown}");
    assert!(count < COMMAND_FILES_MAX && count > COMMAND_FILES_MAX / 2, "{count}");
}

/// Not a test of its own: what `no_process_takes_more_memory_than_it_may` runs.
#[test]
#[ignore = "run by no_process_takes_more_memory_than_it_may"]
fn takes_memory() {
    let piece = 64 << 20;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut more = Vec::new();
        // Asked for and not touched: it counts all the same, and costs the machine nothing.
        if more.try_reserve_exact(piece).is_err() {
            break;
        }
        taken.push(more);
        assert!((taken.len() * piece) as u64 <= COMMAND_MEMORY_BYTES_MAX, "no limit");
    }
    println!("taken: {} MiB", (taken.len() * piece) >> 20);
}

#[test]
fn no_process_takes_more_memory_than_it_may() {
    let dir = Dir::new();
    let shown = terminal(&tools(&dir), &this("takes_memory")).unwrap();
    let taken = shown.split_once("taken: ").unwrap().1.split(' ').next().unwrap();
    let taken: u64 = taken.parse().unwrap();
    let most = COMMAND_MEMORY_BYTES_MAX >> 20;
    assert!(taken < most && taken > most / 2, "{taken} of {most} MiB");
}

#[test]
fn no_process_makes_a_file_longer_than_it_may() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let most = COMMAND_FILE_BYTES_MAX;
    // Of holes alone: the disk is not asked for them.
    terminal(&tools, &format!("truncate -s {most} file")).unwrap();
    let shown = terminal(&tools, "echo more >>file").unwrap_err();
    assert!(shown.contains("signal 25") || shown.contains("File too large"), "{shown}");
    terminal(&tools, &format!("truncate -s {} file", most + 1)).unwrap_err();
    assert_eq!(fs::metadata(dir.inside("file")).unwrap().len(), most);
}

/// A file as another user can reach it.
fn within_reach(dir: &Dir, file: &Path, name: &str) -> PathBuf {
    let reachable = dir.path(name);
    fs::copy(file, &reachable).unwrap();
    fs::set_permissions(&reachable, fs::Permissions::from_mode(0o755)).unwrap();
    reachable
}

/// Not a test of its own: what `no_command_has_more_processes_than_it_may` runs, in a folder of its
/// user's.
#[test]
#[ignore = "run by no_command_has_more_processes_than_it_may"]
fn forks() {
    let here = PathBuf::from(std::env::var_os("FORKS_IN").unwrap());
    let launcher = Some(here.join("runwire"));
    let own = Settings { workspace: here.join("workspace"), launcher, ..Settings::default() };
    let tools = Tools::new(&own).unwrap();
    let tasks = fs::read_to_string("/proc/loadavg").unwrap();
    let tasks: u64 = tasks.split(['/', ' ']).nth(4).unwrap().parse().unwrap();
    // What others start and end meanwhile counts a little.
    let beyond = tasks + COMMAND_PROCESSES_MAX + 500;
    let command = format!(
        "i=0; while [ $i -lt {beyond} ]; do sleep 1000 & i=$((i+1)); echo $i >count; done; echo all"
    );
    let shown = terminal(&tools, &command).unwrap_err();
    assert!(shown.to_lowercase().contains("fork"), "{shown}");
    let count = fs::read_to_string(here.join("workspace/count")).unwrap();
    let count: u64 = count.trim().parse().unwrap();
    assert!(count >= COMMAND_PROCESSES_MAX / 2 && count < beyond, "{count} of {beyond}");
    println!("refused after {count}");
}

/// The kernel counts no processes of root's, so that it is another user who hits the limit.
#[test]
fn no_command_has_more_processes_than_it_may() {
    let dir = Dir::new();
    let forks = within_reach(&dir, &std::env::current_exe().unwrap(), "forks");
    within_reach(&dir, Path::new(env!("CARGO_BIN_EXE_runwire")), "runwire");
    let mut command = Command::new(forks);
    command.args(["forks", "--exact", "--ignored", "--nocapture"]);
    command.env("FORKS_IN", dir.path("")).env("HOME", dir.path("")).current_dir(dir.path(""));
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        chown(dir.inside(""), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.contains("refused after"), "{said}");
    println!("{said}");
    let warnings = Tools::new(&settings(&dir)).unwrap().warnings().join("\n");
    assert_eq!(warnings.contains("limit on processes"), is_root, "{warnings}");
    eventually("its processes are gone", || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        !all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .any(|line| String::from_utf8_lossy(&line).contains(&*dir.path("").to_string_lossy()))
    });
}
