//! What the doctor sees on this machine.
use super::Finding;
use super::ask;
use crate::cli::env::Env;
use crate::cli::keys_file::KeysFile;
use crate::cli::model::Choice;
use crate::cli::settings::{Settings, StoreKind};
use crate::cli::setup;
use crate::cli::state::State;
use runwire::config::EndedBy;
use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};
#[cfg(feature = "sqlite")]
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const MIB: u64 = 1024 * 1024;
/// A server keeps a reserve, and its runs grow.
const FREE_BYTES_FAIL: u64 = 16 * MIB;
const FREE_BYTES_WARN: u64 = 512 * MIB;
/// A larger file would not be read in time.
const CHECKED_BYTES_MAX: u64 = 128 * MIB;
/// Fewer are soon used up: each connection is one.
const FILES_WARN: u64 = 1024;
/// 2025-01-01: no clock that is right says less.
const CLOCK_SECONDS_MIN: u64 = 1_735_689_600;

const NAME_ONE: &str = "Name a state directory with --state DIR.";

pub fn key(settings: &Settings, env: &Env) -> Finding {
    let further = match KeysFile::locate(settings, env).and_then(|file| file.read()) {
        Ok(keys) => keys.len(),
        Err(wrong) => return Finding::fail(wrong, "`runwire key --help` tells of that file."),
    };
    let further = format!("{further} further");
    if settings.config.key.is_some() {
        return Finding::ok(format!("given by flag, variable or file; {further}"));
    }
    let state = State::locate(settings.state.as_deref(), env);
    match state.as_ref().map_err(String::clone).and_then(State::read_key) {
        Err(wrong) => Finding::fail(wrong, ""),
        Ok(None) => Finding::ok("none yet: the first `runwire serve` makes one and shows it"),
        Ok(Some(key)) => match key.warning {
            Some(warning) => Finding::warn(warning, "Then `runwire key rotate default`."),
            None => Finding::ok(format!("there, and private; {further}")),
        },
    }
}

pub fn state(settings: &Settings, env: &Env) -> Finding {
    let state = match State::locate(settings.state.as_deref(), env) {
        Ok(state) => state,
        Err(wrong) => return Finding::fail(wrong, ""),
    };
    let shown = state.dir().display();
    let Some(there) = first_there(state.dir()) else {
        return Finding::fail(format!("{shown} cannot be reached"), NAME_ONE);
    };
    if !there.is_dir() {
        return Finding::fail(format!("{} is no directory", there.display()), NAME_ONE);
    }
    if access(&there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::fail(format!("{} cannot be written to", there.display()), NAME_ONE);
    }
    let will = if there == state.dir() { "" } else { " (made at the first start)" };
    let Ok(disk) = statvfs(&there) else {
        return Finding::warn(format!("{shown}{will}: its disk does not say what is free"), "");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let said = format!("{shown}{will}, {} MiB free on its disk", free / MIB);
    let advice = "Make room, or name a directory on another disk with --state DIR.";
    match free {
        ..FREE_BYTES_FAIL => Finding::fail(said, advice),
        FREE_BYTES_FAIL..FREE_BYTES_WARN => Finding::warn(said, advice),
        _ => Finding::ok(said),
    }
}

/// The directory itself, or the first above it that is there.
fn first_there(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|dir| dir.exists()).map(Path::to_owned)
}

#[cfg(not(feature = "sqlite"))]
pub fn store(_: &Settings, _: &Env) -> Finding {
    Finding::ok("memory: this program is built without SQLite")
}

#[cfg(feature = "sqlite")]
pub fn store(settings: &Settings, env: &Env) -> Finding {
    if settings.store == StoreKind::Memory {
        return Finding::ok("memory: the end of the server forgets all runs");
    }
    let file = match State::locate(settings.state.as_deref(), env) {
        Ok(state) => state.runs_file(),
        Err(wrong) => return Finding::fail(wrong, ""),
    };
    let shown = file.display();
    let bytes = match file.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::ok("none yet: the first `runwire serve` makes it");
        }
        Err(error) => return Finding::fail(format!("{shown}: {error}"), NAME_ONE),
        Ok(about) => about.len(),
    };
    if bytes > CHECKED_BYTES_MAX {
        let said = format!("{shown}, {} MiB: too large to be checked in passing", bytes / MIB);
        return Finding::warn(said, "`runwire db check` reads all of it.");
    }
    let advice = "`runwire db export` saves what can be read; docs/store.md tells how to go on.";
    match runwire::store::sqlite::check(&file) {
        Err(fault) => Finding::fail(crate::cli::store::told(&fault), advice),
        Ok(report) if report.problems.is_empty() => {
            let by =
                if is_served(&file) { "a server has it open" } else { "no server has it open" };
            Finding::ok(format!("{shown}, {} runs, nothing is wrong; {by}", report.runs))
        }
        Ok(report) => {
            let count = report.problems.len();
            let said =
                format!("{shown} is damaged: {count} problems, such as {}", report.problems[0]);
            Finding::fail(said, advice)
        }
    }
}

/// True if a server holds the store's lock. A server that begins meanwhile tries again.
#[cfg(feature = "sqlite")]
fn is_served(file: &Path) -> bool {
    let lock = PathBuf::from(format!("{}.lock", file.display()));
    let tried = File::open(lock).map(|lock| lock.try_lock_shared());
    matches!(tried, Ok(Err(TryLockError::WouldBlock)))
}

pub fn port(settings: &Settings, _: &Env) -> Finding {
    let addr = settings.config.addr;
    let error = match TcpListener::bind(addr) {
        Ok(_) if addr.ip().is_loopback() => return Finding::ok(format!("{addr} is free")),
        Ok(_) => {
            return Finding::warn(
                format!("{addr} is free, and others can reach it: what is sent is not encrypted"),
                "Put a proxy with TLS in front.",
            );
        }
        Err(error) => error,
    };
    if error.kind() != ErrorKind::AddrInUse {
        return Finding::fail(format!("{addr}: {error}"), "Choose another with --host and --port.");
    }
    match ask::version_at(crate::cli::serve::reachable(addr)) {
        Some(version) => Finding::ok(format!("{addr}: runwire {version} serves there already")),
        None => Finding::fail(
            format!("{addr} is taken by another program"),
            "Choose another with --port, or 0 for any free one.",
        ),
    }
}

pub fn sandbox(settings: &Settings, env: &Env) -> Finding {
    let state = State::locate(settings.state.as_deref(), env).ok();
    let kept = state.as_ref().map(|state| state.dir().join("workspace"));
    let kept = kept.filter(|dir| dir.is_dir()).unwrap_or_else(std::env::temp_dir);
    let workspace = settings.workspace.clone().unwrap_or(kept);
    let about = match setup::agent(settings, &Choice::Builtin, workspace, state.as_ref()) {
        Ok(agent) => runwire::Agent::about(&agent),
        Err(wrong) => return Finding::fail(wrong, ""),
    };
    let Some(here) = about.confinement else {
        return Finding::warn("commands are not confined", "");
    };
    let how = match here.landlock_abi {
        0 => "not confined".to_owned(),
        abi => format!("confined by Landlock {abi}"),
    };
    let ended = match here.ended_by {
        EndedBy::Cgroup => "a cgroup each",
        EndedBy::Supervisor => "a supervisor (no cgroup can be made here)",
        EndedBy::ProcessGroup => "process group, which a process can leave",
    };
    let said = format!("commands are {how}, ended by {ended}");
    let not_covered = about.warnings.join(" ");
    let is_well = here.landlock_abi > 0 && here.ended_by != EndedBy::ProcessGroup;
    match is_well || !settings.sandbox {
        true => Finding { advice: not_covered, ..Finding::ok(said) },
        false => Finding::warn(said, not_covered),
    }
}

pub fn limits(_: &Settings, _: &Env) -> Finding {
    let files = getrlimit(Resource::Nofile).maximum;
    match files {
        Some(files) if files < FILES_WARN => Finding::warn(
            format!("{files} open files: each connection is one"),
            "Raise it: `ulimit -Hn 4096`, or LimitNOFILE= of the service.",
        ),
        Some(files) => Finding::ok(format!("{files} open files")),
        None => Finding::ok("open files without limit"),
    }
}

pub fn clock(_: &Settings, _: &Env) -> Finding {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    match seconds < CLOCK_SECONDS_MIN {
        true => Finding::fail(
            "the clock is years behind: certificates of models will not be trusted",
            "Set it, or start a time service.",
        ),
        false => Finding::ok("plausible"),
    }
}
